//! Many runs at once, each worker with an installation of its own, and the table of what they came to.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use keyfresh::clock::Clock;
use nix::errno::Errno;

use crate::calls::{Call, Deed, Side, kind};
use crate::course::{Course, FILE_ERRORS, Point, SOCKET_ERRORS};
use crate::judge::{Before, End, Terms, Verdict, judge, keeps_at_once, stored};
use crate::rig::{Rig, Strike};

/// How many installations work at once: most of a run is waiting.
const WORKERS: usize = 8;

/// How much is run, and what the classes of runs share.
pub(crate) struct Sweep {
    full: bool,
    /// Installations that rest, without and with a gate.
    rigs: [Mutex<Vec<Rig>>; 2],
    /// The calls of a course that nothing strikes.
    lists: Mutex<HashMap<String, Vec<Call>>>,
}

/// One class of runs.
#[derive(Debug, Default)]
pub(crate) struct Row {
    name: String,
    runs: usize,
    held: usize,
    unconfirmed: usize,
    lost: usize,
    duplicates: usize,
    wrong: usize,
    seconds: f64,
    findings: Vec<String>,
}

/// One run of a sweep.
#[derive(Clone, Copy, Debug)]
enum Run {
    At(Point),
    /// Killed so many microseconds after the answer was let go.
    Micros(u64),
}

impl Sweep {
    pub(crate) fn new(full: bool) -> Self {
        Self {
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
        let first = (0..10_000).step_by(50);
        let later = (10_000..100_000).step_by(1000);
        let runs: Vec<Run> = first.chain(later).map(Run::Micros).collect();
        self.run(name, true, self.thinned(runs, part))
    }

    /// These points alone.
    pub(crate) fn points(&self, name: &str, points: Vec<Point>) -> Row {
        let gated = points.iter().any(|point| point.course.is_gated());
        self.run(name, gated, points.into_iter().map(Run::At).collect())
    }

    fn part(&self, name: &str, all: Vec<(Course, Strike)>, part: usize) -> Row {
        let points = all
            .into_iter()
            .map(|(course, strike)| Point { course, strike });
        self.points(name, self.thinned(points.collect(), part))
    }

    /// Spread evenly over all of them.
    fn thinned<T: Copy>(&self, all: Vec<T>, part: usize) -> Vec<T> {
        if self.full || all.len() <= part {
            return all;
        }
        (0..part).map(|n| all[n * all.len() / part]).collect()
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

    /// An installation that rests.
    fn rig(&self, gated: bool) -> Rig {
        let rested = self.rigs[usize::from(gated)].lock().unwrap().pop();
        rested.unwrap_or_else(|| Rig::new(gated))
    }

    fn run(&self, name: &str, gated: bool, runs: Vec<Run>) -> Row {
        let watch = Clock::system().stopwatch();
        let workers = WORKERS.min(runs.len());
        let queue = Mutex::new(runs.into_iter());
        let row = Mutex::new(Row {
            name: name.to_owned(),
            ..Row::default()
        });
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    // Not in the condition of the loop, where the queue would stay locked.
                    loop {
                        let Some(run) = queue.lock().unwrap().next() else {
                            break;
                        };
                        let verdict = self.tried(run, gated);
                        row.lock().unwrap().count(run, &verdict);
                    }
                });
            }
        });
        let mut row = row.into_inner().unwrap();
        row.seconds = watch.elapsed().as_secs_f64();
        println!("{row}");
        row
    }

    /// One run; an installation that it spoilt, or whose folder fills with outputs, is not used again.
    fn tried(&self, run: Run, gated: bool) -> Verdict {
        let verdict = catch_unwind(AssertUnwindSafe(|| {
            let mut rig = self.rig(gated);
            let verdict = match run {
                Run::At(point) => point.run(&mut rig),
                Run::Micros(micros) => by_time(&mut rig, micros),
            };
            if verdict.is_sound() && !rig.is_worn() {
                self.rigs[usize::from(gated)].lock().unwrap().push(rig);
            }
            verdict
        }));
        verdict.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Verdict::panicked(text.unwrap_or_default())
        })
    }
}

fn by_time(rig: &mut Rig, micros: u64) -> Verdict {
    let before = Before::of(rig);
    rig.make_due();
    let struck = rig.once_killed_after(micros);
    rig.installation.run(&["once"]);
    let terms = Terms {
        stored: stored(&struck.calls, &rig.endpoint()) >= rig.whole(),
        strikes: 1,
        may_fail: false,
    };
    let mut verdict = judge(rig, &before, terms);
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

impl Row {
    fn count(&mut self, run: Run, verdict: &Verdict) {
        self.runs += 1;
        match verdict.end {
            End::Held => self.held += 1,
            End::Unconfirmed => self.unconfirmed += 1,
            End::Lost => self.lost += 1,
        }
        self.duplicates += verdict.duplicates;
        self.wrong += usize::from(!verdict.wrong.is_empty());
        if !verdict.is_sound() {
            let name = match run {
                Run::At(point) => point.to_string(),
                Run::Micros(micros) => format!("{micros} µs"),
            };
            self.findings.push(format!("{name}: {verdict}"));
        }
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:<32} {:>5} {:>5} {:>11} {:>5} {:>10} {:>6} {:>6.0} s",
            self.name,
            self.runs,
            self.held,
            self.unconfirmed,
            self.lost,
            self.duplicates,
            self.wrong,
            self.seconds,
        )
    }
}

/// The rows of all classes.
#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    pub(crate) fn add(&mut self, row: Row) {
        self.0.push(row);
    }

    pub(crate) fn print(&self) {
        println!(
            "\n{:<32} {:>5} {:>5} {:>11} {:>5} {:>10} {:>6}",
            "", "runs", "held", "unconfirmed", "lost", "duplicates", "wrong"
        );
        for row in &self.0 {
            println!("{row}");
        }
    }

    pub(crate) fn must_be_sound(&self) {
        let findings: Vec<&str> = self
            .0
            .iter()
            .flat_map(|row| row.findings.iter().map(String::as_str))
            .collect();
        assert!(findings.is_empty(), "\n{}", findings.join("\n\n"));
    }
}
