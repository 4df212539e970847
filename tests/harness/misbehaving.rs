//! A server that does not answer as it should, with every fault of `tests/peer/` that does not lie: what
//! the program makes of it, and what a later refresh shows.

use std::fmt;

use crate::judge::{Before, End, Verdict, count, keeps_at_once, refresh_once_more, replay_nothing};
use crate::rig::{Rig, Strike};
use crate::rows::After::{self, Dead, Granted, Retry, Unconfirmed, Wait};
use crate::rows::{DOUBTFUL, Row, SPENT, UNSPENT};
use crate::server::Did;

/// One request that meets a fault.
pub(crate) struct Fault(Row<'static>);

/// Every fault of a server that does not lie.
pub(crate) fn all() -> impl Iterator<Item = Fault> {
    let lines = [UNSPENT, DOUBTFUL, SPENT].into_iter().flat_map(str::lines);
    lines
        .filter(|line| !line.is_empty())
        .map(|line| Fault(Row::read(line)))
        // A refusal for good is nothing that a later refresh could be asked about: tests/peer has it.
        .filter(|fault| fault.0.after != Dead)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.order)
    }
}

impl Fault {
    /// Makes the run and judges it.
    pub(crate) fn run(&self, rig: &mut Rig) -> Verdict {
        let before = Before::of(rig);
        rig.make_due();
        rig.server().order(self.0.order);
        let struck = rig.once(Strike::NONE);
        let mut verdict = self.judge(rig, &before);
        if !keeps_at_once(&struck.calls, &rig.endpoint()) {
            verdict.blame("an answer was not kept by the next call");
        }
        if struck.code != Some(i32::from(self.0.after != Granted)) {
            verdict.blame(format!("it ended with {:?}", struck.code));
        }
        if !verdict.is_sound() {
            verdict.explain(&struck.said);
        }
        verdict
    }

    fn judge(&self, rig: &Rig, before: &Before) -> Verdict {
        let Row { after, held, .. } = self.0;
        let asked = rig.server().asked().split_off(before.asked);
        let told = rig.installation.sink.titles().split_off(before.told);
        let stands = After::of(&rig.installation);
        let holds = rig.holds_the_newest();
        let mut verdict = Verdict {
            end: match (stands, holds) {
                (Unconfirmed, _) => End::Unconfirmed,
                (_, true) => End::Held,
                (_, false) => End::Lost,
            },
            duplicates: asked.iter().filter(|did| **did == Did::Replay).count(),
            wrong: Vec::new(),
            kills: 0,
            story: format!("{stands:?}, holds {holds}\nasked {asked:?}\ntold {told:?}"),
        };
        if rig
            .server()
            .met()
            .is_none_or(|fault| !self.0.order.contains(&fault))
        {
            verdict.blame("the fault did not come");
        }
        if asked.len() != 1 {
            verdict.blame("not one request for one due moment");
        }
        if (stands, holds) != (after, held) {
            verdict.blame(format!("not {after:?} with held: {held}"));
        }
        if told.len() != 1 || count(&told, &[title(after)]) != 1 {
            verdict.blame("it must be told, and nothing else");
        }
        if rig.installation.tokens("main").1 != Some(rig.installation.key(1)) {
            verdict.blame("the channel does not hold the newest access token");
        }
        if stands == Unconfirmed {
            replay_nothing(rig, before.asked + asked.len(), &mut verdict);
        } else {
            if !stands.may_be_forced() {
                wait_is_kept(rig, &mut verdict);
            }
            refresh_once_more(rig, &mut verdict);
        }
        verdict
    }
}

/// What is said of it.
fn title(after: After) -> &'static str {
    match after {
        Granted => "refreshed",
        Retry | Wait => "cannot be refreshed",
        Unconfirmed => "outcome of the refresh unknown",
        Dead => "is dead",
    }
}

/// The server's wish is respected, whoever asks; then its time is over.
fn wait_is_kept(rig: &Rig, verdict: &mut Verdict) {
    let asked = rig.server().asked().len();
    rig.installation.run(&["once", "--force"]);
    if rig.server().asked().len() != asked {
        verdict.blame("asked again before the server wanted");
    }
    let passed = "UPDATE credential SET not_before = NULL";
    rig.installation.state().execute(passed, []).unwrap();
}
