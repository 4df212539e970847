//! The courses that a run may take, and one run of each: prepared, struck, started again, judged.

use std::fmt;

use nix::errno::Errno;

use crate::calls::{Call, Deed, Side, kind};
use crate::judge::{Before, End, Terms, Verdict, judge, keeps_at_once, stored};
use crate::rig::process::{Struck, complains, is_started};
use crate::rig::{Rig, Strike};

/// By how many calls one list may be shorter than another: a new log's header and its syncs.
const SHORTER: u64 = 8;

/// What is under way when the program is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// `once` with one credential due.
    Once,
    /// The daemon with one credential due, and its stop.
    Daemon,
    /// The daemon taking another configuration into force while an answer comes in.
    Reload,
    /// `once` going on where an earlier one was killed, from the end of its start on.
    Recovery(Stage),
    /// The start of that `once`: state, lock, configuration, the first slots.
    Start(Stage),
}

/// How far the killed one had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Claimed,
    Answered,
    Settled,
    Delivered,
    Told,
}

pub(crate) const STAGES: [Stage; 5] = [
    Stage::Claimed,
    Stage::Answered,
    Stage::Settled,
    Stage::Delivered,
    Stage::Told,
];

/// One run: what is struck, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) course: Course,
    pub(crate) strike: Strike,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Answered => "answered",
            Self::Settled => "settled",
            Self::Delivered => "delivered",
            Self::Told => "told",
        }
    }
}

impl Course {
    /// Whether its answers are held back by a gate.
    pub(crate) fn is_gated(self) -> bool {
        self == Self::Reload
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Once => "once".to_owned(),
            Self::Daemon => "daemon".to_owned(),
            Self::Reload => "reload".to_owned(),
            Self::Recovery(stage) => format!("recovery-{}", stage.name()),
            Self::Start(stage) => format!("start-{}", stage.name()),
        }
    }

    /// Every course there is.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [Self::Once, Self::Daemon, Self::Reload]
            .into_iter()
            .chain(STAGES.map(Self::Recovery))
            .chain(STAGES.map(Self::Start))
    }

    /// The process of this course that is struck, and what the one before it asked of the kernel.
    fn strike(self, rig: &mut Rig, strike: Strike) -> (Struck, Vec<Call>) {
        match self {
            Self::Once => {
                rig.make_due();
                (rig.once(strike), Vec::new())
            }
            Self::Daemon => (rig.daemon(strike), Vec::new()),
            Self::Reload => (rig.reloading(strike), Vec::new()),
            Self::Recovery(stage) => {
                rig.make_due();
                let first = rig.once_until(stage);
                assert!(first.fired && first.killed, "{stage:?}: {}", first.said);
                (rig.once(strike), first.calls)
            }
            Self::Start(stage) => {
                rig.make_due();
                let first = rig.once_until(stage);
                assert!(first.fired && first.killed, "{stage:?}: {}", first.said);
                (rig.starting(strike), first.calls)
            }
        }
    }

    /// The calls of this course when nothing is struck; the rig rests again afterwards.
    pub(crate) fn calls(self, rig: &mut Rig) -> Vec<Call> {
        let (struck, _) = self.strike(rig, Strike::NONE);
        rig.come_to_rest();
        let mut calls = struck.calls;
        if let Self::Start(_) = self {
            let started = calls.iter().position(is_started);
            calls.truncate(started.expect("the last slot is opened"));
        }
        calls
    }
}

impl Point {
    /// Makes the run and judges it.
    pub(crate) fn run(self, rig: &mut Rig) -> Verdict {
        let (before, struck, earlier) = self.strike(rig);
        let complete = rig.has_completed(&before);
        if self.is_daemons() && struck.killed {
            rig.serve_until_rest();
        } else {
            rig.forget_limits();
            rig.installation.run(&["once"]);
        }
        let endpoint = rig.endpoint();
        let most = stored(&earlier, &endpoint).max(stored(&struck.calls, &endpoint));
        let is_kill = matches!(self.strike.deed, Deed::Kill(_));
        let terms = Terms {
            stored: most >= rig.whole(),
            repeats: rig.repeats(&[&earlier, &struck.calls]),
            may_fail: !is_kill,
        };
        let mut verdict = judge(rig, &before, terms);
        verdict.kills = usize::from(struck.killed) + usize::from(!earlier.is_empty());
        if !keeps_at_once(&struck.calls, &endpoint) {
            verdict.blame("an answer was not kept by the next call");
        }
        if !struck.fired {
            verdict.blame("the strike did not come");
        }
        if is_kill != struck.killed {
            verdict.blame(format!("it ended with {:?}", struck.code));
        }
        let hit = struck.calls.iter().find(|call| call.is_hit);
        if !is_kill {
            check_alert(&struck, hit, complete, &mut verdict);
        }
        if !verdict.is_sound() {
            let list: Vec<String> = struck.calls.iter().map(ToString::to_string).collect();
            let list = list.join("\n");
            verdict.explain(&format!("hit {hit:?}\n{list}\n{}", struck.said));
        }
        if verdict.end == End::Unconfirmed && is_kill {
            verdict.story = format!("{self}: {hit:?}");
        }
        verdict
    }

    /// The list of calls is not quite the same each time: where the last ones did not come, an earlier
    /// one is struck.
    fn strike(self, rig: &mut Rig) -> (Before, Struck, Vec<Call>) {
        let mut strike = self.strike;
        for _ in 0..SHORTER {
            let before = Before::of(rig);
            let (struck, earlier) = self.course.strike(rig, strike);
            if struck.fired || strike.number <= 1 {
                return (before, struck, earlier);
            }
            strike.number -= 1;
            rig.come_to_rest();
        }
        panic!("{self}: the strike did not come");
    }

    fn is_daemons(self) -> bool {
        matches!(self.course, Course::Daemon | Course::Reload)
    }
}

/// A failure is never silent, but where nothing came of it.
fn check_alert(struck: &Struck, hit: Option<&Call>, complete: bool, verdict: &mut Verdict) {
    let alert = complains(&struck.said) || struck.code != Some(0);
    // SQLite syncs the folder of its log and does not mind if that fails; a gateway's file that
    // cannot be written is tried again, and read back.
    let is_ours = hit.is_some_and(|call| call.target.starts_with("state/"));
    let is_kept = hit.is_some_and(|call| call.kind & (kind::WRITE | kind::SYNC) != 0);
    if !alert && (!complete || is_ours && is_kept) {
        verdict.blame("a failure without an alert");
    }
    let is_sync = hit.is_some_and(|call| call.kind == kind::SYNC);
    if is_ours && is_sync && struck.readiness == Some(200) {
        verdict.blame("ready after a failed sync");
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Strike { number, deed } = self.strike;
        let course = self.course.name();
        match deed {
            Deed::List => write!(f, "{course} {number} list"),
            Deed::Kill(side) => write!(f, "{course} {number} killed {side:?}"),
            Deed::Fail(error, side) => write!(f, "{course} {number} {error:?} {side:?}"),
            Deed::FailToRead => write!(f, "{course} {number} EIO Reading"),
            Deed::FailFromNow(error) => write!(f, "{course} {number} {error:?} FromNow"),
        }
    }
}

/// A point as it is written.
pub(crate) fn parse(text: &str) -> Point {
    let words: Vec<&str> = text.split(' ').collect();
    let [course, number, what, side] = words[..] else {
        panic!("four words: {text}");
    };
    let course = Course::all().find(|known| known.name() == course);
    let errors = FILE_ERRORS.iter().chain(&SOCKET_ERRORS);
    let error = errors.copied().find(|error| format!("{error:?}") == what);
    let side_of = |side| match side {
        "Before" => Side::Before,
        "After" => Side::After,
        _ => panic!("Before, After, Reading or FromNow: {text}"),
    };
    let deed = match (what, side, error) {
        ("killed", side, _) => Deed::Kill(side_of(side)),
        (_, "Reading", _) => Deed::FailToRead,
        (_, "FromNow", Some(error)) => Deed::FailFromNow(error),
        (_, side, Some(error)) => Deed::Fail(error, side_of(side)),
        _ => panic!("no such error: {text}"),
    };
    Point {
        course: course.expect("a course"),
        strike: Strike {
            number: number.parse().unwrap(),
            deed,
        },
    }
}

pub(crate) const FILE_ERRORS: [Errno; 4] = [Errno::ENOSPC, Errno::EIO, Errno::EROFS, Errno::EDQUOT];
pub(crate) const SOCKET_ERRORS: [Errno; 3] = [Errno::EINTR, Errno::ECONNRESET, Errno::EPIPE];
