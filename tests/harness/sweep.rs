//! Many runs at once, each worker with an installation of its own, and the table of what they came to.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use keyfresh::clock::Clock;
use nix::errno::Errno;

use crate::calls::{Call, Deed, Side, kind};
use crate::course::{Course, FILE_ERRORS, Point, SOCKET_ERRORS};
use crate::judge::{Before, Terms, Verdict, judge, keeps_at_once, stored};
use crate::rig::{Rig, Strike};
use crate::support::peer::Peer;
use crate::table::Row;

/// How many installations work at once: most of a run is waiting.
const WORKERS: usize = 12;

/// How much is run, and what the classes of runs share.
pub(crate) struct Sweep {
    peer: Arc<Peer>,
    full: bool,
    /// Installations that rest, without and with a gate.
    rigs: [Mutex<Vec<Rig>>; 2],
    /// The calls of a course that nothing strikes.
    lists: Mutex<HashMap<String, Vec<Call>>>,
}

/// The program is killed so many microseconds after the answer was let go.
struct Micros(u64);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} µs", self.0)
    }
}

impl Sweep {
    pub(crate) fn new(peer: Arc<Peer>, full: bool) -> Self {
        Self {
            peer,
            full,
            rigs: Default::default(),
            lists: Mutex::default(),
        }
    }

    /// Kills at each call of `courses`, before and after it; in part: at about `part` of them.
    pub(crate) fn kills(&self, name: &str, courses: &[Course], part: usize) -> Row {
        let sides = [Side::Before, Side::After];
        let points = courses.iter().flat_map(|&course| {
            let count = counted(&self.listed(course), kind::CUTS);
            (1..=count)
                .flat_map(move |number| sides.map(|side| (course, Strike::kill(number, side))))
        });
        self.part(name, points.collect(), part)
    }

    /// Each call of `courses` fails with each error, without and after happening.
    pub(crate) fn faults(&self, name: &str, courses: &[Course], part: usize) -> Row {
        let points = courses.iter().flat_map(|&course| {
            let calls = self.listed(course);
            [kind::FILES, kind::SOCKETS]
                .into_iter()
                .flat_map(move |kinds| failures(course, kinds, counted(&calls, kinds)))
        });
        self.part(name, points.collect(), part)
    }

    /// From each call of `courses` that changes a file on, the disk is full.
    pub(crate) fn full_disk(&self, name: &str, courses: &[Course], part: usize) -> Row {
        self.each(name, courses, Deed::FailFromNow(Errno::ENOSPC), part)
    }

    /// Each read of a file in `courses` fails.
    pub(crate) fn reads(&self, name: &str, courses: &[Course], part: usize) -> Row {
        self.each(name, courses, Deed::FailToRead, part)
    }

    /// `deed` at each call that it is for.
    fn each(&self, name: &str, courses: &[Course], deed: Deed, part: usize) -> Row {
        let strike = |number| Strike { number, deed };
        let points = courses.iter().flat_map(|&course| {
            let count = counted(&self.listed(course), strike(0).kinds());
            (1..=count).map(move |number| (course, strike(number)))
        });
        self.part(name, points.collect(), part)
    }

    /// Kills so long after the server's answer was let go: most while it is read, kept and settled.
    pub(crate) fn by_time(&self, name: &str, part: usize) -> Row {
        let first = (0..10_000).step_by(25);
        let later = (10_000..100_000).step_by(1000);
        let runs = first.chain(later).map(Micros).collect();
        let one = |rig: &mut Rig, micros: &Micros| by_time(rig, micros.0);
        self.run(name, self.thinned(runs, part), true, one)
    }

    /// These points alone.
    pub(crate) fn points(&self, name: &str, points: Vec<Point>) -> Row {
        let gated = points.iter().any(|point| point.course.is_gated());
        self.run(name, points, gated, |rig, point| point.run(rig))
    }

    fn part(&self, name: &str, all: Vec<(Course, Strike)>, part: usize) -> Row {
        let points = all
            .into_iter()
            .map(|(course, strike)| Point { course, strike });
        self.points(name, self.thinned(points.collect(), part))
    }

    /// Spread evenly over all of them.
    pub(crate) fn thinned<T>(&self, all: Vec<T>, part: usize) -> Vec<T> {
        if self.full || all.len() <= part {
            return all;
        }
        let count = all.len();
        let chosen = |place: usize| (place * part).div_ceil(count) * count / part == place;
        let numbered = all.into_iter().enumerate();
        numbered
            .filter(|(place, _)| chosen(*place))
            .map(|(_, one)| one)
            .collect()
    }

    /// The calls of a course that nothing strikes.
    fn listed(&self, course: Course) -> Vec<Call> {
        let mut lists = self.lists.lock().unwrap();
        let list = lists.entry(course.name()).or_insert_with(|| {
            let mut rig = self.rig(course.is_gated());
            let calls = course.calls(&mut rig);
            self.rigs[usize::from(course.is_gated())]
                .lock()
                .unwrap()
                .push(rig);
            calls
        });
        list.clone()
    }

    /// Whether nothing is left out.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// The server that all of them ask.
    pub(crate) fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// An installation that rests.
    fn rig(&self, gated: bool) -> Rig {
        let rested = self.rigs[usize::from(gated)].lock().unwrap().pop();
        rested.unwrap_or_else(|| Rig::new(&self.peer, gated))
    }

    /// Makes these runs, each on an installation that rests.
    pub(crate) fn run<T: fmt::Display + Send>(
        &self,
        name: &str,
        runs: Vec<T>,
        gated: bool,
        one: impl Fn(&mut Rig, &T) -> Verdict + Sync,
    ) -> Row {
        self::runs(name, runs, |run| {
            let mut rig = self.rig(gated);
            let verdict = one(&mut rig, run);
            // One that a run spoilt, or whose folder fills with outputs, is not used again.
            if verdict.is_sound() && !rig.is_worn() {
                self.rigs[usize::from(gated)].lock().unwrap().push(rig);
            }
            verdict
        })
    }
}

/// Makes these runs, each with whatever `one` makes for it.
pub(crate) fn runs<T: fmt::Display + Send>(
    name: &str,
    runs: Vec<T>,
    one: impl Fn(&T) -> Verdict + Sync,
) -> Row {
    assert!(!runs.is_empty(), "{name}: nothing is run");
    let watch = Clock::system().stopwatch();
    let workers = WORKERS.min(runs.len());
    let queue = Mutex::new(runs.into_iter());
    let row = Mutex::new(Row::new(name));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                // Not in the condition of the loop, where the queue would stay locked.
                loop {
                    let Some(run) = queue.lock().unwrap().next() else {
                        break;
                    };
                    let verdict = catch_unwind(AssertUnwindSafe(|| one(&run)));
                    let verdict = verdict.unwrap_or_else(|panic| {
                        let plain = || panic.downcast_ref::<&str>().map(ToString::to_string);
                        let text = panic.downcast_ref::<String>().cloned().or_else(plain);
                        Verdict::panicked(text.unwrap_or_default())
                    });
                    row.lock().unwrap().count(&run, &verdict);
                }
            });
        }
    });
    let mut row = row.into_inner().unwrap();
    row.took(watch.elapsed());
    println!("{row}");
    row
}

fn by_time(rig: &mut Rig, micros: u64) -> Verdict {
    let before = Before::of(rig);
    rig.make_due();
    let struck = rig.once_killed_after(micros);
    rig.installation.run(&["once"]);
    let terms = Terms {
        stored: stored(&struck.calls, &rig.endpoint()) >= rig.whole(),
        repeats: rig.repeats(&[&struck.calls]),
        may_fail: false,
    };
    let mut verdict = judge(rig, &before, terms);
    verdict.kills = usize::from(struck.killed);
    if !keeps_at_once(&struck.calls, &rig.endpoint()) {
        verdict.blame("an answer was not kept by the next call");
    }
    verdict
}

fn counted(calls: &[Call], kinds: u64) -> u64 {
    let of_them = calls.iter().filter(|call| call.kind & kinds != 0);
    u64::try_from(of_them.count()).unwrap()
}

/// Each way in which the first `count` calls of these kinds may fail.
fn failures(course: Course, kinds: u64, count: u64) -> Vec<(Course, Strike)> {
    let errors = if kinds == kind::SOCKETS {
        &SOCKET_ERRORS[..]
    } else {
        &FILE_ERRORS[..]
    };
    let sides = [Side::Before, Side::After];
    let ways = || {
        errors
            .iter()
            .flat_map(|error| sides.map(|side| Deed::Fail(*error, side)))
    };
    let strikes = (1..=count).flat_map(|number| ways().map(move |deed| Strike { number, deed }));
    strikes.map(|strike| (course, strike)).collect()
}
