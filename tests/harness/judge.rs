//! The verdict on one run, by the server's log, by what the kernel was asked, and by a later refresh.

use std::fmt;

use keyfresh::credential::Phase;

use crate::calls::{Call, kind};
use crate::rig::Rig;
use crate::server::Did;

/// How the exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The newest refresh token that the server issued is the one in use, and it works.
    Held,
    /// Whether the token was spent is not known, and the answer had not been stored.
    Unconfirmed,
    /// The newest token is gone though its answer had been stored, or in silence.
    Lost,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) end: End,
    /// Requests with a token that the server had seen used.
    pub(crate) duplicates: usize,
    /// Notices that were missing, untrue or too many; alerts that did not come.
    pub(crate) wrong: Vec<String>,
    /// How many processes were killed.
    pub(crate) kills: usize,
    /// Whatever explains the verdict.
    pub(crate) story: String,
}

impl Verdict {
    /// Whether the promise was kept.
    pub(crate) fn is_sound(&self) -> bool {
        self.end != End::Lost && self.duplicates == 0 && self.wrong.is_empty()
    }

    /// The run ended in a panic, which says why.
    pub(crate) fn panicked(story: String) -> Self {
        Self {
            end: End::Lost,
            duplicates: 0,
            wrong: Vec::new(),
            kills: 0,
            story,
        }
    }

    /// Adds to the story.
    pub(crate) fn explain(&mut self, text: &str) {
        self.story.push('\n');
        self.story.push_str(text);
    }

    /// Adds a fault of the run.
    pub(crate) fn blame(&mut self, what: impl Into<String>) {
        self.wrong.push(what.into());
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            end,
            duplicates,
            wrong,
            story,
            ..
        } = self;
        write!(f, "{end:?}, {duplicates} duplicates, {wrong:?}\n{story}")
    }
}

/// The world before a run.
pub(crate) struct Before {
    pub(crate) asked: usize,
    pub(crate) told: usize,
    pub(crate) generation: u64,
}

impl Before {
    pub(crate) fn of(rig: &Rig) -> Self {
        Self {
            asked: rig.server().asked().len(),
            told: rig.installation.sink.titles().len(),
            generation: rig.installation.row().generation,
        }
    }
}

/// How many bytes of the answer had been read when a write to the slot last succeeded, and how many
/// there were in all.
pub(crate) fn stored(calls: &[Call], endpoint: &str) -> u64 {
    let (mut received, mut stored) = (0, 0);
    for call in calls {
        let bytes = call.result.and_then(|result| u64::try_from(result).ok());
        if call.kind == kind::RECEIVE && call.target == endpoint {
            received += bytes.unwrap_or(0);
        }
        if call.kind == kind::WRITE && call.target.contains("/slots/") && bytes.is_some() {
            stored = received;
        }
    }
    stored
}

/// Whether each part of the answer went to the slot by the next call of the thread that had read it; one
/// that was struck there made none.
pub(crate) fn keeps_at_once(calls: &[Call], endpoint: &str) -> bool {
    let is_part = |call: &Call| {
        let is_read = call.kind == kind::RECEIVE && call.target == endpoint;
        is_read && !call.is_hit && call.result.is_some_and(|bytes| bytes > 0)
    };
    let parts = (1..).zip(calls).filter(|(_, call)| is_part(call));
    let next = |(after, part): (usize, &Call)| {
        let mut later = calls[after..].iter();
        later.find(|call| call.thread == part.thread)
    };
    let is_slot = |call: &Call| call.kind == kind::WRITE && call.target.contains("/slots/");
    parts.map(next).all(|next| next.is_none_or(is_slot))
}

/// What one due refresh may come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Whether the whole answer had been stored: then nothing but `Held` is allowed.
    pub(crate) stored: bool,
    /// How many struck processes may have told already: each may have its notice repeated.
    pub(crate) repeats: usize,
    /// Whether an exchange may also have failed and be tried again later.
    pub(crate) may_fail: bool,
}

/// Judges a run whose recovery has come to rest, and leaves the installation refreshed.
pub(crate) fn judge(rig: &Rig, before: &Before, terms: Terms) -> Verdict {
    let installation = &rig.installation;
    let row = installation.row();
    let asked = rig.server().asked().split_off(before.asked);
    let told = installation.sink.titles().split_off(before.told);
    let mut verdict = Verdict {
        end: End::Lost,
        duplicates: asked.iter().filter(|did| **did == Did::Replay).count(),
        wrong: Vec::new(),
        kills: 0,
        story: format!("{terms:?}\nasked {asked:?}\ntold {told:?}\n{row:?}"),
    };
    if asked.contains(&Did::Refuse) {
        verdict.blame("a token that the server does not take");
    }
    if asked.len() > 1 {
        verdict.blame("more than one request for one due moment");
    }
    let (_, access) = installation.tokens("main");
    if access != Some(installation.key(1)) {
        verdict.blame("the channel does not hold the newest access token");
    }
    let grown = row.generation - before.generation;
    match row.phase {
        Phase::Resting if rig.holds_the_newest() => {
            verdict.end = End::Held;
            check_notices(&mut verdict, &told, terms, grown);
            refresh_once_more(rig, &mut verdict);
        }
        Phase::Unconfirmed { .. } => {
            if !terms.stored {
                verdict.end = End::Unconfirmed;
            }
            let unknown = count(&told, &["unknown", "unconfirmed"]);
            if !(1..=1 + terms.repeats).contains(&unknown) || told.len() != unknown {
                verdict.blame("an unknown outcome must be told, and nothing else");
            }
            replay_nothing(rig, before.asked + asked.len(), &mut verdict);
        }
        _ => {}
    }
    verdict
}

pub(crate) fn count(told: &[String], words: &[&str]) -> usize {
    let says = |title: &&String| words.iter().any(|word| title.contains(word));
    told.iter().filter(says).count()
}

fn check_notices(verdict: &mut Verdict, told: &[String], terms: Terms, grown: u64) {
    // A refresh whose key reached its channel only later is told as a recovery.
    let refreshed = count(told, &["refreshed", "recovered", "has its new key"]);
    let failing = count(
        told,
        &["cannot be refreshed", "failing", "waits for its new key"],
    );
    if grown > 1 {
        verdict.blame("refreshed more than once");
    }
    if grown == 0 && !terms.may_fail {
        verdict.blame("what was due was not done");
    }
    let most = 1 + terms.repeats;
    if grown == 1 && !(1..=most).contains(&refreshed) {
        verdict.blame(
            "a refresh must be told once, and once more for each process that had told at most",
        );
    }
    if grown == 0 && !(1..=most).contains(&failing) {
        verdict.blame("a failure must be told");
    }
    if told.len() > refreshed + failing {
        verdict.blame("something else was told");
    }
}

/// The later refresh: what is held works.
pub(crate) fn refresh_once_more(rig: &Rig, verdict: &mut Verdict) {
    let before = rig.server().asked().len();
    let ran = rig.installation.run(&["once", "--force"]);
    let asked = rig.server().asked().split_off(before);
    if asked != [Did::Grant] || ran.code != Some(0) || !rig.holds_the_newest() {
        verdict.end = End::Lost;
        verdict.explain(&format!("the later refresh: {asked:?} {ran:?}"));
    }
}

/// An unconfirmed token is not sent again, asked or not; a new login ends the matter.
pub(crate) fn replay_nothing(rig: &Rig, asked: usize, verdict: &mut Verdict) {
    for arguments in [&["once"][..], &["once", "--force"]] {
        let ran = rig.installation.run(arguments);
        if ran.code != Some(1) {
            verdict.blame(format!("an unknown outcome needs a person: {ran:?}"));
        }
    }
    verdict.duplicates += rig.server().asked().len() - asked;
    rig.log_in();
    let ran = rig.installation.run(&["once"]);
    if ran.code != Some(0) || !rig.holds_the_newest() {
        verdict.blame(format!("a new login does not help: {ran:?}"));
    }
}
