//! A digest in words: short, for a person, saying what to do.
//!
//! Pure; called by `step.rs` and `keyfresh notify test`. The words of each language are a table in a
//! file of its own under `text/`; what goes between them, and how much of it fits the service's
//! limits, is decided here. `markup.rs` escapes.

mod chinese;
mod english;
mod item;
mod phrases;

use std::collections::BTreeMap;

use chrono_tz::Tz;

use self::item::name;
use self::phrases::{Phrases, clip, fill, text};
use super::fold::{Digest, Entry};
use super::markup::{Block, Line};
use super::{Cause, Event, EventKind, Format, Limits, Locale, Message};
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

/// How much of each kind is told: items in full, then names, then a number.
const ROOM: [Room; 6] = [
    Room::of(8, 50),
    Room::of(3, 30),
    Room::of(1, 10),
    Room::of(0, 10),
    Room::of(0, 0),
    // The least that is worth a message: where to look.
    Room {
        remedies: false,
        ..Room::of(0, 0)
    },
];

#[derive(Clone, Copy)]
struct Room {
    full: usize,
    named: usize,
    /// Whether it says of each kind what to do.
    remedies: bool,
}

impl Room {
    const fn of(full: usize, named: usize) -> Self {
        Self {
            full,
            named,
            remedies: true,
        }
    }
}

/// The message for a digest, with the links of the credentials in it, within the style's limits.
#[must_use]
pub fn message(digest: &Digest<'_>, feeds: &Links, style: &Style) -> Message {
    let writer = Writer::new(style);
    let mut body = String::new();
    for room in ROOM {
        body = style.format.write(&writer.blocks(digest, feeds, room));
        if body.chars().count() <= style.limits.content {
            break;
        }
    }
    Message {
        title: clip(&writer.title(digest), style.limits.title),
        body,
    }
}

/// Whether `event` is a conflict that a person has settled since, as the links show.
#[must_use]
pub fn is_settled(event: &Event, feeds: &Links) -> bool {
    let name = event.credential.as_ref();
    let links = name.and_then(|name| feeds.get(name));
    match (event.kind, event.detail.channel, links) {
        (EventKind::Conflict, Some(channel), Some(links)) => !links
            .iter()
            .filter(|link| link.channel == channel)
            .any(|link| matches!(link.state, State::Conflict | State::Gone)),
        _ => false,
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

    fn blocks(&self, digest: &Digest<'_>, feeds: &Links, room: Room) -> Vec<Block> {
        let phrases = self.phrases;
        let mut blocks = Vec::new();
        for kind in EventKind::WORST_FIRST {
            let entries = digest.entries.iter().filter(|entry| entry.kind == kind);
            let entries: Vec<_> = entries.collect();
            let (told, rest) = entries.split_at(room.full.min(entries.len()));
            blocks.extend(told.iter().map(|entry| self.block(entry, feeds)));
            if !rest.is_empty() {
                blocks.push(self.rest(kind, rest, room));
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
        if !room.remedies {
            blocks.push(Block {
                heading: String::new(),
                lines: vec![Line::Command("keyfresh status".to_owned())],
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
    fn rest(&self, kind: EventKind, rest: &[&Entry<'_>], room: Room) -> Block {
        let all = room.full == 0;
        let phrases = self.phrases;
        let several = self.several(kind, rest.len());
        let label = |entry: &&Entry<'_>| match entry.event.detail.channel {
            Some(channel) => format!("{}/{channel}", name(entry)),
            None => name(entry),
        };
        let labels: Vec<_> = rest.iter().take(room.named).map(label).collect();
        let unnamed = rest.len() - labels.len();
        let mut lines = Vec::new();
        if !labels.is_empty() {
            let mut line = labels.join(phrases.list);
            if unnamed > 0 {
                line += &fill(phrases.more, &[&unnamed.to_string()]);
            }
            lines.push(Line::Text(line));
        }
        if all && room.remedies {
            lines.extend(self.remedy(kind, shared(rest), "NAME"));
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
}

/// The cause that several items have in common. That of an estranged credential stands for all: its
/// remedy is safe where a person changed the key, and that one's would spend a token here.
fn shared(entries: &[&Entry<'_>]) -> Option<Cause> {
    let mut causes = entries.iter().map(|entry| entry.event.detail.cause);
    if causes.clone().any(|cause| cause == Some(Cause::Estranged)) {
        return Some(Cause::Estranged);
    }
    let first = causes.next()?;
    first.filter(|_| causes.all(|cause| cause == first))
}

#[cfg(test)]
mod tests;
