//! One item of a message in words: what happened, what it means, what to do.

use chrono::TimeDelta;

use super::phrases::{clean, clip, fill, text};
use super::{Links, Writer};
use crate::clock::Timestamp;
use crate::notify::fold::Entry;
use crate::notify::markup::{Block, Line};
use crate::notify::{Cause, EventKind};
use crate::store::link::{Link, State};

/// The most channels that one item lists.
const CHANNELS: usize = 8;

/// The longest error text repeated, in characters.
const ERROR: usize = 300;

impl Writer<'_> {
    pub(super) fn block(&self, entry: &Entry<'_>, feeds: &Links) -> Block {
        let phrases = self.phrases;
        let detail = &entry.event.detail;
        let mut lines = vec![text(phrases.at, &[&self.time(entry.event.at)])];
        match (entry.since, entry.ended) {
            (Some(since), Some(ended)) => {
                let lasted = self.span(ended - since);
                lines.push(text(phrases.lasted, &[&self.time(since), &lasted]));
            }
            (Some(since), None) if since != entry.event.at => {
                lines.push(text(phrases.since, &[&self.time(since)]));
            }
            _ => {}
        }
        if entry.relapses > 0 {
            lines.push(text(phrases.relapses, &[&entry.relapses.to_string()]));
        }
        if let Some(error) = &detail.error {
            lines.push(text(phrases.error, &[&clip(&clean(error), ERROR)]));
        }
        match entry.kind {
            EventKind::Recovered | EventKind::Refreshed => {
                lines.extend(self.key(entry));
                lines.extend(self.channels(entry, feeds));
            }
            EventKind::Starting | EventKind::Stopping => {}
            _ => {
                lines.extend(self.outlook(entry));
                lines.extend(self.remedy(entry.kind, detail.cause, &name(entry)));
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

    /// The channels that the key goes to; of an item on one channel, that one.
    fn channels(&self, entry: &Entry<'_>, feeds: &Links) -> Vec<Line> {
        let name = entry.event.credential.as_ref();
        let own = name.and_then(|name| feeds.get(name)).into_iter().flatten();
        let told = entry.event.detail.channel;
        let own = own.filter(|link| told.is_none_or(|channel| link.channel == channel));
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
            // Written; what is pending is that the gateway hears of it.
            State::Pending if link.untold => phrases.current,
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
            Some(index) => {
                let number = (index + 1).to_string();
                fill(phrases.channel_line, &[&channel, &number, &state])
            }
        }
    }

    /// What it means, and what is known of the time ahead.
    fn outlook(&self, entry: &Entry<'_>) -> Vec<Line> {
        let phrases = self.phrases;
        let detail = &entry.event.detail;
        let mut lines = Vec::new();
        if entry.kind == EventKind::Unconfirmed {
            lines.push(text(phrases.unconfirmed, &[]));
        }
        if let Some(at) = detail.expires_at {
            let works = at > entry.event.at;
            let phrase = if works {
                phrases.still
            } else {
                phrases.expired
            };
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
    pub(super) fn remedy(&self, kind: EventKind, cause: Option<Cause>, name: &str) -> Vec<Line> {
        let phrases = self.phrases;
        let command = |verb| Line::Command(format!("keyfresh credential {verb} {name}"));
        match kind {
            EventKind::Dead => {
                let phrase = match cause {
                    Some(Cause::Reused) => phrases.reused,
                    Some(Cause::Refused) => phrases.refused,
                    Some(Cause::Lost) => phrases.lost,
                    Some(Cause::Withheld) => phrases.withheld,
                    Some(Cause::Estranged) | None => phrases.dead,
                };
                vec![text(phrase, &[]), command("replace")]
            }
            EventKind::Unconfirmed => vec![text(phrases.replace, &[]), command("replace")],
            EventKind::Conflict if cause == Some(Cause::Estranged) => vec![
                text(phrases.estranged, &[]),
                command("replace"),
                command("take-over"),
                text(phrases.changed, &[]),
            ],
            EventKind::Conflict => vec![
                text(phrases.conflict, &[]),
                command("take-over"),
                text(phrases.let_go, &[]),
            ],
            _ => Vec::new(),
        }
    }

    pub(super) fn heading(&self, entry: &Entry<'_>) -> String {
        let one = match (entry.kind, entry.event.detail.channel) {
            (EventKind::Failing, Some(_)) => self.phrases.unwritten,
            (EventKind::Recovered, Some(_)) => self.phrases.written,
            (kind, _) => self.phrases.kinds[kind.rank()].0,
        };
        let channel = entry.event.detail.channel.map(|id| id.to_string());
        fill(one, &[&name(entry), channel.as_deref().unwrap_or("?")])
    }

    pub(super) fn several(&self, kind: EventKind, count: usize) -> String {
        let (_, several) = self.phrases.kinds[kind.rank()];
        fill(several, &[&count.to_string()])
    }

    pub(super) fn time(&self, at: Timestamp) -> String {
        let local = at.with_timezone(&self.style.timezone);
        local.format(self.phrases.time).to_string()
    }

    /// A span in its two largest units.
    pub(super) fn span(&self, span: TimeDelta) -> String {
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
pub(super) fn name(entry: &Entry<'_>) -> String {
    let name = entry.event.credential.as_deref().unwrap_or_default();
    clip(&clean(name), 64)
}
