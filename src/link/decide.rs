//! What a link needs, decided from rows alone: no IO, time is an argument.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::credential::{Credential, Phase, Told};
use crate::gateway::Status;
use crate::notify::{Cause, Detail, EventKind};
use crate::store::link::{Identity, Link, State};

/// After taking a refresh token out of a JSON key: how long the gateway may still be in the middle of
/// a refresh of its own (New API gives one 15 s) before the channel is read again.
const LET_GO: Duration = Duration::from_mins(1);

/// How often a channel is enabled again once the watch is over: beyond that it is not our stale key
/// that the upstream refuses.
const ENABLES: u32 = 3;

/// What the line's key is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// The credential's newest access token.
    Current,
    /// In the ledger: an older token, or the key met at first contact.
    Known,
    /// Neither.
    Foreign,
}

/// A channel as read, seen from one link.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Which channel it is.
    pub(super) identity: Identity,
    /// `channels.status`.
    pub(super) status: Status,
    /// Whether the gateway itself keeps traffic from the channel, or from the line.
    pub(super) auto_disabled: bool,
    /// What the key is to us.
    pub(super) held: Held,
    /// The refresh token inside a JSON key: whether the ledger knows it.
    pub(super) refresh_known: Option<bool>,
    /// Why the link does not fit the channel (a line of a single key, …).
    pub(super) misfit: Option<String>,
}

/// How the gateway learns of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Learns {
    /// By itself, within a sync interval.
    ByItself,
    /// By itself, and sooner if told.
    SoonerIfTold,
    /// Only by being told (One-Hub).
    OnlyIfTold,
}

/// What to do about a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing in the gateway.
    Rest,
    /// Bring the newest access token, and enable the channel where the gateway had disabled it.
    Write,
    /// The key is right, the channel was disabled all the same.
    Enable,
    /// Take the refresh token out of the JSON key.
    Strip,
    /// The gateway refreshed meanwhile: its tokens become ours, then the same.
    AdoptAndStrip,
    /// Our first exchange was rejected: give the refresh token back.
    PutBack,
}

/// Decides the next step of `link`, which feeds `credential`'s token to the channel seen as `facts`.
pub(super) fn decide(
    link: &mut Link,
    credential: &Credential,
    facts: Option<&Facts>,
    learns: Learns,
    sync_interval: Duration,
    now: Timestamp,
) -> (Step, Option<Told>) {
    believe(link, sync_interval, now);
    let Some(facts) = facts else {
        let reason = format!("channel {} is gone", link.channel);
        return (Step::Rest, estrange(link, State::Gone, reason));
    };
    let met = *link.identity.get_or_insert(facts.identity);
    if met != facts.identity {
        let reason = format!("another channel stands under id {}", link.channel);
        return (Step::Rest, estrange(link, State::Conflict, reason));
    }
    if let Some(misfit) = &facts.misfit {
        return (Step::Rest, estrange(link, State::Conflict, misfit.clone()));
    }
    link.status = facts.status.number();
    if let Some(known) = facts.refresh_known {
        return refresh_inside(link, credential, facts, known, now);
    }
    if let Some(settle_at) = link.settle_at {
        if now < settle_at {
            return (Step::Rest, None);
        }
        link.settle_at = None;
    }
    match facts.held {
        Held::Foreign => (Step::Rest, stranger(link)),
        _ if credential.generation == 0 => {
            wait(link);
            let give_back = credential.phase == Phase::Dead && link.stripped;
            (if give_back { Step::PutBack } else { Step::Rest }, None)
        }
        Held::Known if !is_usable(credential, now) => {
            // The key that stands there may still be good, ours is not.
            wait(link);
            (Step::Rest, None)
        }
        Held::Known => (Step::Write, None),
        Held::Current => {
            if link.generation != credential.generation {
                // Written before, but the write was not noted: a kill came between.
                written(link, credential, learns, sync_interval, now);
            }
            (current(link, credential, facts, learns, now), None)
        }
    }
}

/// A clock that was set back makes no wait longer than it was.
fn believe(link: &mut Link, sync_interval: Duration, now: Timestamp) {
    let nearer = |moment: Option<Timestamp>, wait| moment.map(|moment| moment.min(now + wait));
    link.settle_at = nearer(link.settle_at, LET_GO);
    link.watch_until = nearer(link.watch_until, 2 * sync_interval);
}

fn is_usable(credential: &Credential, now: Timestamp) -> bool {
    credential.expires_at.is_some_and(|expiry| now < expiry)
}

/// The credential's newest token now stands in the channel.
pub(super) fn written(
    link: &mut Link,
    credential: &Credential,
    learns: Learns,
    sync_interval: Duration,
    now: Timestamp,
) {
    link.generation = credential.generation;
    link.watch_until = Some(now + 2 * sync_interval);
    link.enables = 0;
    link.untold = learns != Learns::ByItself;
    link.last_error = None;
    settle_state(link, learns);
}

/// The link's state once its key is right.
pub(super) fn settle_state(link: &mut Link, learns: Learns) {
    link.state = if link.untold && learns == Learns::OnlyIfTold {
        State::Pending
    } else {
        State::Current
    };
}

fn current(
    link: &mut Link,
    credential: &Credential,
    facts: &Facts,
    learns: Learns,
    now: Timestamp,
) -> Step {
    settle_state(link, learns);
    if !link.untold {
        link.last_error = None;
    }
    if !is_usable(credential, now) || !facts.auto_disabled {
        return Step::Rest;
    }
    if link.watch_until.is_some_and(|until| now < until) {
        return Step::Enable;
    }
    if link.enables < ENABLES {
        link.enables += 1;
        return Step::Enable;
    }
    link.last_error = Some(format!(
        "the gateway disabled channel {} again after {ENABLES} repairs: its upstream refuses the fresh key",
        link.channel
    ));
    Step::Rest
}

fn refresh_inside(
    link: &mut Link,
    credential: &Credential,
    facts: &Facts,
    known: bool,
    now: Timestamp,
) -> (Step, Option<Told>) {
    if credential.phase == Phase::Dead {
        wait(link);
        return (Step::Rest, None);
    }
    let stepped_in = link.settle_at.is_some() && !known;
    if facts.held == Held::Foreign && !stepped_in {
        return (Step::Rest, stranger(link));
    }
    wait(link);
    link.settle_at = Some(now + LET_GO);
    let step = if stepped_in {
        Step::AdoptAndStrip
    } else {
        Step::Strip
    };
    (step, None)
}

/// Nothing is to be brought yet; a link that was estranged no longer is.
fn wait(link: &mut Link) {
    if link.state != State::Pending {
        link.last_error = None;
    }
    link.state = State::Pending;
}

/// The key cannot be brought to its channel.
pub(super) fn hinder(link: &mut Link, reason: String) {
    link.state = State::Pending;
    link.last_error = Some(reason);
}

/// The gateway cannot be used: noted with whatever is or should be fed through it.
pub(super) fn cut_off(link: &mut Link, credential: &Credential, reason: &str) {
    let waits = link.state == State::Pending && link.generation < credential.generation;
    if waits || link.state == State::Current {
        link.last_error = Some(reason.to_owned());
    }
}

/// What a change of the link is to tell: once that its key cannot be brought, once that it was.
pub(super) fn incident(before: &Link, link: &Link, credential: &Credential) -> Option<Told> {
    let detail = Detail {
        channel: Some(link.channel),
        ..Detail::default()
    };
    match [before, link].map(|link| is_hindered(link, credential)) {
        [false, true] => {
            let error = link.last_error.clone();
            Some((EventKind::Failing, Detail { error, ..detail }))
        }
        [true, false] if !link.is_estranged() && link.generation == credential.generation => {
            let generation = Some(link.generation);
            let expires_at = credential.expires_at;
            let detail = Detail {
                generation,
                expires_at,
                ..detail
            };
            Some((EventKind::Recovered, detail))
        }
        _ => None,
    }
}

/// Whether what stands in the way keeps the key out, not only the gateway from hearing of it.
fn is_hindered(link: &Link, credential: &Credential) -> bool {
    let brought = link.untold && link.generation == credential.generation;
    link.state == State::Pending && link.last_error.is_some() && !brought
}

/// What is noted with a link in whose channel another's key stands.
#[must_use]
pub fn foreign(channel: i64) -> String {
    format!("somebody else changed the key of channel {channel}")
}

/// Whether that is so of the credential, and not of one channel, only all its links can tell.
fn stranger(link: &mut Link) -> Option<Told> {
    let (kind, mut detail) = estrange(link, State::Conflict, foreign(link.channel))?;
    detail.cause = Some(Cause::Estranged);
    Some((kind, detail))
}

/// One event when the link becomes estranged, none while it stays so.
fn estrange(link: &mut Link, state: State, reason: String) -> Option<Told> {
    let news = link.state != state || link.last_error.as_ref() != Some(&reason);
    link.state = state;
    link.last_error = Some(reason.clone());
    let detail = Detail {
        channel: Some(link.channel),
        error: Some(reason),
        ..Detail::default()
    };
    news.then_some((EventKind::Conflict, detail))
}
