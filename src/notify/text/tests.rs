//! What an administrator reads, in both languages.

use chrono::TimeDelta;

use super::*;
use crate::clock::Timestamp;
use crate::credential::CredentialId;
use crate::notify::Detail;
use crate::notify::fold::{Counts, digest};

const NOW: &str = "2026-11-20T08:00:00Z";

fn style(locale: Locale, format: Format) -> Style {
    Style {
        locale,
        timezone: chrono_tz::Asia::Shanghai,
        format,
        limits: Limits {
            per_minute: 5,
            per_day: 200,
            same_per_hour: 3,
            day: chrono_tz::Asia::Shanghai,
            title: 100,
            content: 20_000,
        },
    }
}

fn event(id: i64, credential: &str, kind: EventKind, detail: Detail) -> Event {
    let now: Timestamp = NOW.parse().unwrap();
    Event {
        id,
        at: now - TimeDelta::minutes(30 - id),
        credential: (!credential.is_empty()).then(|| credential.to_owned()),
        kind,
        detail,
    }
}

fn failed(error: &str, next_at: Option<&str>) -> Detail {
    Detail {
        error: Some(error.into()),
        expires_at: Some("2026-11-23T21:00:00Z".parse().unwrap()),
        next_at: next_at.map(|at| at.parse().unwrap()),
        ..Detail::default()
    }
}

fn granted(generation: u64) -> Detail {
    Detail {
        generation: Some(generation),
        token: Some("eyJh…x4Qw".into()),
        expires_at: Some("2026-11-30T07:59:00Z".parse().unwrap()),
        next_at: Some("2026-11-22T21:00:00Z".parse().unwrap()),
        ..Detail::default()
    }
}

fn link(channel: i64, line: Option<usize>, state: State, status: i64) -> Link {
    Link {
        id: channel,
        credential: CredentialId(1),
        channel,
        line,
        identity: None,
        state,
        generation: 5,
        status,
        watch_until: None,
        enables: 0,
        untold: false,
        stripped: false,
        settle_at: None,
        last_error: None,
    }
}

fn told(events: &[Event], feeds: &Links, style: &Style) -> Message {
    let earlier = Counts::from([(EventKind::Refreshed, 12), (EventKind::Failing, 2)]);
    let now = NOW.parse().unwrap();
    let digest = digest(events, &earlier, &EventKind::WORST_FIRST, now).unwrap();
    message(&digest, feeds, style)
}

fn mixed() -> (Vec<Event>, Links) {
    use EventKind::{
        Conflict, Dead, Failing, Recovered, Refreshed, Starting, Stopping, Unconfirmed,
    };
    let conflict = Detail {
        channel: Some(7),
        ..Detail::default()
    };
    let expired = Detail {
        expires_at: Some("2026-11-19T21:00:00Z".parse().unwrap()),
        ..failed("invalid_grant <script>alert(1)</script>", None)
    };
    let events = vec![
        event(1, "", Stopping, Detail::default()),
        event(2, "", Starting, Detail::default()),
        event(3, "codex", Refreshed, granted(5)),
        event(
            4,
            "team_a",
            Failing,
            failed("connection refused", Some("2026-11-20T08:03:00Z")),
        ),
        event(
            5,
            "backup",
            Failing,
            failed("HTTP 503", Some("2026-11-20T08:09:00Z")),
        ),
        event(
            6,
            "team_b",
            Unconfirmed,
            failed("time-out after 90 s", Some("2026-11-23T20:00:00Z")),
        ),
        event(7, "codex", Conflict, conflict),
        event(25, "team_a", Refreshed, granted(31)),
        event(25, "team_a", Recovered, granted(31)),
        event(26, "chatgpt", Dead, expired),
        event(27, "codex", Refreshed, granted(6)),
    ];
    let untold = Link {
        untold: true,
        ..link(2, None, State::Current, 1)
    };
    let busy = Link {
        last_error: Some("the database is busy".into()),
        ..link(3, None, State::Pending, 3)
    };
    let codex = vec![
        link(1, None, State::Current, 1),
        untold,
        busy,
        link(7, None, State::Conflict, 1),
    ];
    let team = vec![
        link(9, Some(1), State::Current, 2),
        link(10, None, State::Gone, 0),
    ];
    (
        events,
        Links::from([("codex".into(), codex), ("team_a".into(), team)]),
    )
}

#[test]
fn a_mixed_digest_in_chinese() {
    let (events, feeds) = mixed();
    let Message { title, body } = told(&events, &feeds, &style(Locale::Chinese, Format::Text));
    insta::assert_snapshot!(format!("{title}\n\n{body}"));
    let html = told(&events, &feeds, &style(Locale::Chinese, Format::Html)).body;
    insta::assert_snapshot!(html);
}

#[test]
fn a_mixed_digest_in_english() {
    let (events, feeds) = mixed();
    let Message { title, body } = told(&events, &feeds, &style(Locale::English, Format::Text));
    insta::assert_snapshot!(format!("{title}\n\n{body}"));
    let markdown = told(&events, &feeds, &style(Locale::English, Format::Markdown)).body;
    insta::assert_snapshot!(markdown);
}

#[test]
fn one_event_stands_in_the_title() {
    let check = |locale, kind, title: &str| {
        let events = [event(1, "chatgpt", kind, granted(2))];
        let now = NOW.parse().unwrap();
        let digest = digest(&events, &Counts::new(), &[kind], now).unwrap();
        let style = style(locale, Format::Html);
        assert_eq!(message(&digest, &Links::new(), &style).title, title);
    };
    let zh = Locale::Chinese;
    check(zh, EventKind::Refreshed, "keyfresh：chatgpt 已刷新");
    check(
        zh,
        EventKind::Dead,
        "keyfresh：chatgpt 已失效，需要重新登录",
    );
    check(
        Locale::English,
        EventKind::Refreshed,
        "keyfresh: chatgpt refreshed",
    );
}

#[test]
fn the_title_names_the_channel_that_it_is_about() {
    let check = |locale, kind, title: &str| {
        let detail = Detail {
            channel: Some(7),
            ..Detail::default()
        };
        let events = [event(1, "main", kind, detail)];
        let now = NOW.parse().unwrap();
        let digest = digest(&events, &Counts::new(), &[kind], now).unwrap();
        let style = style(locale, Format::Text);
        assert_eq!(message(&digest, &Links::new(), &style).title, title);
    };
    let (zh, en) = (Locale::Chinese, Locale::English);
    let (failing, recovered) = (EventKind::Failing, EventKind::Recovered);
    check(zh, failing, "keyfresh：main 的渠道 7 暂时无法写入新密钥");
    check(zh, recovered, "keyfresh：main 的渠道 7 已写入新密钥");
    check(
        en,
        failing,
        "keyfresh: main: channel 7 waits for its new key",
    );
    check(en, recovered, "keyfresh: main: channel 7 has its new key");
}

#[test]
fn a_thousand_deaths_make_one_message_that_fits() {
    let dead = |id| {
        let name = format!("credential_with_a_long_name_{id:04}");
        event(id, &name, EventKind::Dead, failed(&"<&>".repeat(500), None))
    };
    let events: Vec<_> = (1..=1000).map(dead).collect();
    for locale in [Locale::Chinese, Locale::English] {
        for format in [Format::Html, Format::Text, Format::Markdown] {
            for content in [20_000, 700] {
                let mut style = style(locale, format);
                style.limits.content = content;
                let message = told(&events, &Links::new(), &style);
                assert!(message.title.contains("1000") && message.title.chars().count() <= 100);
                assert!(message.body.chars().count() <= content, "{}", message.body);
                assert!(message.body.contains("keyfresh credential replace"));
                assert!(!message.body.contains('\u{0}'));
            }
        }
    }
}

#[test]
fn a_thousand_of_each_kind_at_once_fit() {
    let names = |kind: EventKind| {
        (1..=1000).map(move |id| {
            let name = format!("credential_with_a_long_name_{id:04}_{}", kind.word());
            let detail = Detail {
                channel: (kind == EventKind::Conflict).then_some(id),
                token: Some("eyJh…x4Qw".into()),
                generation: Some(7),
                ..failed(&"<&>".repeat(500), Some("2026-11-20T08:03:00Z"))
            };
            event(id, &name, kind, detail)
        })
    };
    let all: Vec<_> = EventKind::WORST_FIRST.into_iter().flat_map(names).collect();
    for locale in [Locale::Chinese, Locale::English] {
        for format in [Format::Html, Format::Text, Format::Markdown] {
            for content in [20_000, 700] {
                let mut style = style(locale, format);
                style.limits.content = content;
                let message = told(&all, &Links::new(), &style);
                assert!(message.title.chars().count() <= 100);
                let length = message.body.chars().count();
                assert!(length <= content, "{length}: {}", message.body);
            }
        }
    }
}

#[test]
fn both_languages_fill_in_the_same_things() {
    let (chinese, english) = (&chinese::PHRASES, &english::PHRASES);
    let holes = |phrase: &str| phrase.matches("{}").count();
    for (ours, theirs) in chinese.kinds.iter().zip(&english.kinds) {
        assert_eq!(holes(ours.0), holes(theirs.0), "{ours:?}");
        assert_eq!(holes(ours.1), 1, "{ours:?}");
        assert_eq!(holes(theirs.1), 1, "{theirs:?}");
    }
}

#[test]
fn spans_in_their_two_largest_units() {
    let style = style(Locale::Chinese, Format::Text);
    let check = |seconds, written: &str| {
        let span = Writer::new(&style).span(TimeDelta::seconds(seconds));
        assert_eq!(span, written);
    };
    check(-5, "不到 1 分钟");
    check(59, "不到 1 分钟");
    check(60, "1 分钟");
    check(2 * 3600 + 300, "2 小时 5 分钟");
    check(86_400 + 300, "1 天");
    check(3 * 86_400 + 7200 + 60, "3 天 2 小时");
}

#[test]
fn a_test_message_names_its_notifier() {
    let style = style(Locale::English, Format::Text);
    let message = test_message("wechat", &style, NOW.parse().unwrap());
    assert_eq!(message.title, "keyfresh: test");
    assert!(message.body.contains("notifier wechat"));
    assert!(message.body.contains("2026-11-20 16:00"));
}

/// The item of each cause in both languages: what it says, and its commands in the order to be followed.
#[test]
fn a_known_cause_comes_with_its_own_remedy() {
    use Cause::{Estranged, Lost, Refused, Reused, Withheld};
    let mut picture = String::new();
    for cause in [Reused, Refused, Lost, Withheld, Estranged] {
        let (kind, channel) = match cause {
            Estranged => (EventKind::Conflict, Some(7)),
            _ => (EventKind::Dead, None),
        };
        let detail = Detail {
            cause: Some(cause),
            channel,
            ..Detail::default()
        };
        let events = [event(1, "main", kind, detail)];
        for locale in [Locale::Chinese, Locale::English] {
            let now = NOW.parse().unwrap();
            let digest = digest(&events, &Counts::new(), &[kind], now).unwrap();
            let style = style(locale, Format::Text);
            picture += &message(&digest, &Links::new(), &style).body;
            picture += "\n\n";
        }
    }
    insta::assert_snapshot!(picture);
}

#[test]
fn what_many_have_in_common_is_safe_for_each() {
    let check = |causes: &[Option<Cause>], common: Option<Cause>| {
        let events = causes.iter().map(|&cause| {
            let detail = Detail {
                cause,
                ..Detail::default()
            };
            event(1, "main", EventKind::Dead, detail)
        });
        let events: Vec<Event> = events.collect();
        let entry = |event| Entry {
            kind: EventKind::Dead,
            event,
            since: None,
            ended: None,
            count: 1,
            relapses: 0,
        };
        let entries: Vec<Entry<'_>> = events.iter().map(entry).collect();
        assert_eq!(shared(&entries.iter().collect::<Vec<_>>()), common);
    };
    let (withheld, estranged) = (Some(Cause::Withheld), Some(Cause::Estranged));
    check(&[], None);
    check(&[withheld, withheld], withheld);
    check(&[withheld, None], None);
    check(&[None, estranged], estranged);
}
