//! A digest in words: short, for a person, saying what to do.
//!
//! Pure; called by `step.rs` and `keyfresh notify test`. The words of each language are a table in a
//! file of its own under `text/`; what goes between them, and how much of it fits the service's
//! limits, is decided here. `markup.rs` escapes.

mod chinese;
mod english;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::fold::{Digest, Entry};
use super::markup::{Block, Line};
use super::{EventKind, Format, Limits, Locale, Message};
use crate::clock::Timestamp;
use crate::store::link::{Link, State};

/// The links of each credential, by its name.
pub type Links = BTreeMap<String, Vec<Link>>;

/// How a message is to be written.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// In which language.
    pub locale: Locale,
    /// In which time zone times are shown.
    pub timezone: Tz,
    /// In which markup.
    pub format: Format,
    /// How long it may be.
    pub limits: Limits,
}

/// One language. `{}` stands for what is filled in, in this order everywhere.
struct Phrases {
    /// Before every title.
    title: &'static str,
    /// Between the parts of a title, and between sentences of one line.
    comma: &'static str,
    /// Between names.
    list: &'static str,
    /// One item of each kind (the credential's name, the channel) and several (how many), worst first.
    kinds: [(&'static str, &'static str); 8],
    /// A time as chrono writes it.
    time: &'static str,
    at: &'static str,
    since: &'static str,
    error: &'static str,
    lasted: &'static str,
    token: &'static str,
    expires: &'static str,
    next: &'static str,
    several: &'static str,
    /// Until when the key in the channels works.
    still: &'static str,
    dead: &'static str,
    unconfirmed: &'static str,
    resend: &'static str,
    replace: &'static str,
    retry: &'static str,
    conflict: &'static str,
    let_go: &'static str,
    channel: &'static str,
    channel_line: &'static str,
    current: &'static str,
    pending: &'static str,
    foreign: &'static str,
    gone: &'static str,
    by_hand: &'static str,
    by_gateway: &'static str,
    untold: &'static str,
    tell: &'static str,
    more_channels: &'static str,
    besides: &'static str,
    more: &'static str,
    older: &'static str,
    older_title: &'static str,
    zone: &'static str,
    test_title: &'static str,
    test: &'static str,
    days: &'static str,
    hours: &'static str,
    minutes: &'static str,
    moment: &'static str,
}

/// How much of each kind is told: items in full, then names, then a number.
const ROOM: [(usize, usize); 5] = [(8, 50), (3, 30), (1, 10), (0, 10), (0, 0)];

/// The most channels that one item lists.
const CHANNELS: usize = 8;

/// The longest error text repeated, in characters.
const ERROR: usize = 300;

/// The message for a digest, with the links of the credentials in it, within the style's limits.
#[must_use]
pub fn message(digest: &Digest<'_>, links: &Links, style: &Style) -> Message {
    let writer = Writer::new(style);
    let mut body = String::new();
    for (full, named) in ROOM {
        body = style
            .format
            .write(&writer.blocks(digest, links, full, named));
        if body.chars().count() <= style.limits.content {
            break;
        }
    }
    Message {
        title: clip(&writer.title(digest), style.limits.title),
        body,
    }
}

/// What `keyfresh notify test` sends for the notifier `name`.
#[must_use]
pub fn test_message(name: &str, style: &Style, now: Timestamp) -> Message {
    let writer = Writer::new(style);
    let phrases = writer.phrases;
    let block = Block {
        heading: String::new(),
        lines: vec![
            text(phrases.test, &[name]),
            text(phrases.at, &[&writer.time(now)]),
        ],
    };
    Message {
        title: format!("{}{}", phrases.title, phrases.test_title),
        body: style.format.write(&[block, writer.footer()]),
    }
}

struct Writer<'a> {
    style: &'a Style,
    phrases: &'static Phrases,
}

impl<'a> Writer<'a> {
    fn new(style: &'a Style) -> Self {
        let phrases = match style.locale {
            Locale::Chinese => &chinese::PHRASES,
            Locale::English => &english::PHRASES,
        };
        Self { style, phrases }
    }

    fn title(&self, digest: &Digest<'_>) -> String {
        let phrases = self.phrases;
        let mut parts = Vec::new();
        for kind in EventKind::WORST_FIRST {
            let mut entries = digest.entries.iter().filter(|entry| entry.kind == kind);
            match (entries.next(), entries.count()) {
                (None, _) => {}
                (Some(only), 0) if digest.entries.len() == 1 => parts.push(self.heading(only)),
                (Some(_), others) => parts.push(self.several(kind, others + 1)),
            }
        }
        if parts.is_empty() {
            let older: usize = digest.older.values().sum();
            parts.push(fill(phrases.older_title, &[&older.to_string()]));
        }
        format!("{}{}", phrases.title, parts.join(phrases.comma))
    }

    fn blocks(&self, digest: &Digest<'_>, links: &Links, full: usize, named: usize) -> Vec<Block> {
        let phrases = self.phrases;
        let mut blocks = Vec::new();
        for kind in EventKind::WORST_FIRST {
            let entries = digest.entries.iter().filter(|entry| entry.kind == kind);
            let entries: Vec<_> = entries.collect();
            let (told, rest) = entries.split_at(full.min(entries.len()));
            blocks.extend(told.iter().map(|entry| self.block(entry, links)));
            if !rest.is_empty() {
                blocks.push(self.rest(kind, rest, named, told.is_empty()));
            }
        }
        if !digest.older.is_empty() {
            let mut counts = Vec::new();
            for kind in EventKind::WORST_FIRST {
                if let Some(count) = digest.older.get(&kind) {
                    counts.push(self.several(kind, *count));
                }
            }
            blocks.push(Block {
                heading: String::new(),
                lines: vec![text(phrases.older, &[&counts.join(phrases.comma)])],
            });
        }
        blocks.push(self.footer());
        blocks
    }

    fn footer(&self) -> Block {
        Block {
            heading: String::new(),
            lines: vec![text(self.phrases.zone, &[self.style.timezone.name()])],
        }
    }

    /// The items beyond those told in full.
    fn rest(&self, kind: EventKind, rest: &[&Entry<'_>], named: usize, all: bool) -> Block {
        let phrases = self.phrases;
        let several = self.several(kind, rest.len());
        let label = |entry: &&Entry<'_>| match entry.event.detail.channel {
            Some(channel) => format!("{}/{channel}", name(entry)),
            None => name(entry),
        };
        let names: Vec<_> = rest.iter().take(named).map(label).collect();
        let unnamed = rest.len() - names.len();
        let mut lines = Vec::new();
        if !names.is_empty() {
            let mut line = names.join(phrases.list);
            if unnamed > 0 {
                line += &fill(phrases.more, &[&unnamed.to_string()]);
            }
            lines.push(Line::Text(line));
        }
        if all {
            lines.extend(self.remedy(kind, "NAME"));
        }
        Block {
            heading: if all {
                several
            } else {
                fill(phrases.besides, &[&several])
            },
            lines,
        }
    }

    fn block(&self, entry: &Entry<'_>, links: &Links) -> Block {
        let phrases = self.phrases;
        let detail = &entry.event.detail;
        let mut lines = vec![text(phrases.at, &[&self.time(entry.event.at)])];
        match (entry.kind, entry.since) {
            (EventKind::Recovered, Some(since)) => {
                let lasted = self.span(entry.event.at - since);
                lines.push(text(phrases.lasted, &[&self.time(since), &lasted]));
            }
            (_, Some(since)) if since != entry.event.at => {
                lines.push(text(phrases.since, &[&self.time(since)]));
            }
            _ => {}
        }
        if let Some(error) = &detail.error {
            lines.push(text(phrases.error, &[&clip(&clean(error), ERROR)]));
        }
        match entry.kind {
            EventKind::Recovered | EventKind::Refreshed => {
                lines.extend(self.key(entry));
                lines.extend(self.channels(entry, links));
            }
            EventKind::Starting | EventKind::Stopping => {}
            _ => {
                lines.extend(self.outlook(entry));
                lines.extend(self.remedy(entry.kind, &name(entry)));
            }
        }
        Block {
            heading: self.heading(entry),
            lines,
        }
    }

    /// The new key of a success.
    fn key(&self, entry: &Entry<'_>) -> Vec<Line> {
        let phrases = self.phrases;
        let detail = &entry.event.detail;
        let mut lines = Vec::new();
        if entry.count > 1 {
            lines.push(text(phrases.several, &[&entry.count.to_string()]));
        }
        if let (Some(token), Some(generation)) = (&detail.token, detail.generation) {
            lines.push(text(phrases.token, &[token, &generation.to_string()]));
        }
        if let Some(at) = detail.expires_at {
            lines.push(text(phrases.expires, &[&self.time(at)]));
        }
        if let Some(at) = detail.next_at {
            lines.push(text(phrases.next, &[&self.time(at)]));
        }
        lines
    }

    fn channels(&self, entry: &Entry<'_>, links: &Links) -> Vec<Line> {
        let name = entry.event.credential.as_ref();
        let own = name.and_then(|name| links.get(name)).into_iter().flatten();
        // The one to look at is the one that is not as it should be.
        let (well, ill): (Vec<_>, Vec<_>) =
            own.partition(|link| link.state == State::Current && link.status == 1 && !link.untold);
        let count = well.len() + ill.len();
        let mut lines: Vec<_> = ill
            .iter()
            .chain(&well)
            .take(CHANNELS)
            .map(|link| Line::Text(self.channel(link)))
            .collect();
        if let Some(more @ 1..) = count.checked_sub(CHANNELS) {
            lines.push(text(self.phrases.more_channels, &[&more.to_string()]));
        }
        if ill.iter().any(|link| link.untold) {
            lines.push(text(self.phrases.tell, &[]));
        }
        lines
    }

    fn channel(&self, link: &Link) -> String {
        let phrases = self.phrases;
        let state = match link.state {
            State::Current => phrases.current,
            State::Pending => phrases.pending,
            State::Conflict => phrases.foreign,
            State::Gone => phrases.gone,
        };
        let mut parts = vec![state.to_owned()];
        match link.status {
            2 => parts.push(phrases.by_hand.to_owned()),
            3 => parts.push(phrases.by_gateway.to_owned()),
            _ => {}
        }
        if link.untold {
            parts.push(phrases.untold.to_owned());
        }
        parts.extend(
            link.last_error
                .iter()
                .map(|error| clip(&clean(error), ERROR)),
        );
        let state = parts.join(phrases.comma);
        let channel = link.channel.to_string();
        match link.line {
            None => fill(phrases.channel, &[&channel, &state]),
            Some(line) => {
                let line = (line + 1).to_string();
                fill(phrases.channel_line, &[&channel, &line, &state])
            }
        }
    }

    /// What is known of the time ahead.
    fn outlook(&self, entry: &Entry<'_>) -> Vec<Line> {
        let phrases = self.phrases;
        let detail = &entry.event.detail;
        let mut lines = Vec::new();
        if let Some(at) = detail.expires_at {
            let phrase = phrases.still;
            lines.push(text(phrase, &[&self.time(at)]));
        }
        let ahead = match entry.kind {
            EventKind::Failing => phrases.retry,
            EventKind::Unconfirmed => phrases.resend,
            _ => return lines,
        };
        lines.extend(detail.next_at.map(|at| text(ahead, &[&self.time(at)])));
        lines
    }

    /// What a person can do.
    fn remedy(&self, kind: EventKind, name: &str) -> Vec<Line> {
        let phrases = self.phrases;
        let command = |verb| Line::Command(format!("keyfresh credential {verb} {name}"));
        match kind {
            EventKind::Dead => vec![text(phrases.dead, &[]), command("replace")],
            EventKind::Unconfirmed => vec![
                text(phrases.unconfirmed, &[]),
                text(phrases.replace, &[]),
                command("replace"),
            ],
            EventKind::Conflict => vec![
                text(phrases.conflict, &[]),
                command("take-over"),
                text(phrases.let_go, &[]),
            ],
            _ => Vec::new(),
        }
    }

    fn heading(&self, entry: &Entry<'_>) -> String {
        let (one, _) = self.phrases.kinds[entry.kind.rank()];
        let channel = entry.event.detail.channel.map(|id| id.to_string());
        fill(one, &[&name(entry), channel.as_deref().unwrap_or("?")])
    }

    fn several(&self, kind: EventKind, count: usize) -> String {
        let (_, several) = self.phrases.kinds[kind.rank()];
        fill(several, &[&count.to_string()])
    }

    fn time(&self, at: Timestamp) -> String {
        let local = at.with_timezone(&self.style.timezone);
        local.format(self.phrases.time).to_string()
    }

    /// A span in its two largest units.
    fn span(&self, span: TimeDelta) -> String {
        let phrases = self.phrases;
        let units = [
            (span.num_days(), phrases.days),
            (span.num_hours() % 24, phrases.hours),
            (span.num_minutes() % 60, phrases.minutes),
        ];
        let parts: Vec<_> = units
            .into_iter()
            .skip_while(|(count, _)| *count <= 0)
            .take(2)
            .filter(|(count, _)| *count > 0)
            .map(|(count, unit)| fill(unit, &[&count.to_string()]))
            .collect();
        if parts.is_empty() {
            return phrases.moment.to_owned();
        }
        parts.join(" ")
    }
}

/// The credential's name; nothing for the daemon.
fn name(entry: &Entry<'_>) -> String {
    let name = entry.event.credential.as_deref().unwrap_or_default();
    clip(&clean(name), 64)
}

fn text(phrase: &str, values: &[&str]) -> Line {
    Line::Text(fill(phrase, values))
}

/// The phrase with each `{}` replaced by the next value.
fn fill(phrase: &str, values: &[&str]) -> String {
    let mut parts = phrase.split("{}");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    let values = values.iter().copied().chain(std::iter::repeat(""));
    for (part, value) in parts.zip(values) {
        filled += value;
        filled += part;
    }
    filled
}

/// One line of visible characters.
fn clean(text: &str) -> String {
    let visible = |character: char| {
        if character.is_control() {
            ' '
        } else {
            character
        }
    };
    let line: String = text.chars().map(visible).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn clip(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept + "…"
}
