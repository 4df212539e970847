//! Several processes that find one credential due with one state: one of them refreshes, the others refuse
//! or hand over, also when one is killed in the midst of it.

use std::fmt;
use std::fs;
use std::time::Duration;

use keyfresh::clock::Clock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::judge::{Before, End, Terms, Verdict, judge, keeps_at_once, stored};
use crate::rig::{Rig, Strike};
use crate::support::gate::{Part, Stop};
use crate::support::installation::{Ran, Running};
use crate::support::until;

/// What the processes are.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Once,
    Daemons,
    Mixed,
}

/// Who is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Nobody,
    /// The one that refreshes, while its answer stands ready at the gate.
    Holder,
    /// The one with this place, so many milliseconds after all were started.
    Any(usize, usize),
}

/// The processes of one run.
#[derive(Debug)]
pub(crate) struct Crowd {
    size: usize,
    kind: Kind,
    victim: Victim,
}

/// When the last one is killed, in milliseconds after the start: by then all is done.
const LATEST: usize = 400;

/// 2, 4 and 8 processes of each kind: with nobody killed, with the one that refreshes, and with one after
/// the other while they start and refresh, `kills` times.
pub(crate) fn all(kills: usize) -> Vec<Crowd> {
    let mut crowds = Vec::new();
    for (shift, size) in [2, 4, 8].into_iter().enumerate() {
        for (turn, kind) in [Kind::Once, Kind::Daemons, Kind::Mixed]
            .into_iter()
            .enumerate()
        {
            let some = (0..kills).map(|number| {
                let millis = number * LATEST / kills + (3 * shift + turn) * LATEST / 9;
                Victim::Any((number + turn) % size, millis % LATEST)
            });
            let victims = [Victim::Nobody, Victim::Holder].into_iter().chain(some);
            crowds.extend(victims.map(|victim| Crowd { size, kind, victim }));
        }
    }
    crowds
}

impl fmt::Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, kind, victim } = self;
        write!(f, "{size} {kind:?} {victim:?}")
    }
}

/// A process of the crowd.
struct Member {
    running: Running,
    is_daemon: bool,
    /// Whether a test killed it.
    killed: bool,
    /// How it ended by itself or by the kill.
    ended: bool,
}

impl Crowd {
    /// Makes the run and judges it.
    pub(crate) fn run(&self, rig: &mut Rig) -> Verdict {
        let before = Before::of(rig);
        let attempt = rig.installation.row().attempt;
        rig.order(Strike::NONE);
        let reached = rig.gate().reached();
        let is_held = matches!(self.victim, Victim::Holder);
        rig.gate().stop(if is_held {
            Stop::Answer(Part::First(0))
        } else {
            Stop::Nowhere
        });
        rig.make_due();
        let mut members = self.started(rig);
        match self.victim {
            Victim::Nobody => {}
            Victim::Holder => {
                until("the answer is at the gate", || {
                    (rig.gate().reached() > reached).then_some(())
                });
                let holder = holder(rig);
                let holds = |member: &&mut Member| member.running.child.id() == holder;
                members.iter_mut().find(holds).expect("a holder").kill();
                rig.gate().stop(Stop::Nowhere);
            }
            Victim::Any(place, millis) => {
                pause(Duration::from_millis(millis.try_into().unwrap()));
                members[place].kill();
            }
        }
        let left = dispersed(rig, members);
        rig.forget_limits();
        rig.installation.run(&["once"]);
        let calls = rig.calls();
        let is_kill = !matches!(self.victim, Victim::Nobody);
        let claims = rig.installation.row().attempt - attempt;
        let terms = Terms {
            stored: stored(&calls, &rig.endpoint()) >= rig.whole(),
            repeats: if is_kill { rig.repeats(&[&calls]) } else { 0 },
            may_fail: false,
        };
        let mut verdict = judge(rig, &before, terms);
        if claims != 1 {
            verdict.blame(format!("{claims} claims for one due moment"));
        }
        if !keeps_at_once(&calls, &rig.endpoint()) {
            verdict.blame("an answer was not kept by the next call");
        }
        if verdict.end == End::Unconfirmed && !is_kill {
            verdict.blame("nobody was killed, and the outcome is unknown");
        }
        for (is_daemon, ran) in left {
            check_end(is_daemon, &ran, &mut verdict);
        }
        verdict
    }

    fn started(&self, rig: &Rig) -> Vec<Member> {
        let members = (0..self.size).map(|place| {
            let is_daemon = match self.kind {
                Kind::Once => false,
                Kind::Daemons => true,
                Kind::Mixed => place % 2 == 1,
            };
            let command = rig.loaded(if is_daemon { "serve" } else { "once" });
            Member {
                running: rig.installation.start(command),
                is_daemon,
                killed: false,
                ended: false,
            }
        });
        members.collect()
    }
}

impl Member {
    fn kill(&mut self) {
        // It may have ended by itself.
        self.running.child.kill().unwrap();
        self.killed = true;
    }

    fn has_ended(&mut self) -> bool {
        self.ended = self.ended || self.running.child.try_wait().unwrap().is_some();
        self.ended
    }
}

fn pause(span: Duration) {
    let watch = Clock::system().stopwatch();
    while let Some(rest) = span
        .checked_sub(watch.elapsed())
        .filter(|rest| !rest.is_zero())
    {
        std::thread::park_timeout(rest);
    }
}

/// The process that holds the state's lock, as its file says.
fn holder(rig: &Rig) -> u32 {
    let text = fs::read_to_string(rig.installation.path("state/state.lock")).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// Waits until all but one daemon have ended and that one has done what is due, then stops it; how those
/// ended that were not killed.
fn dispersed(rig: &Rig, mut members: Vec<Member>) -> Vec<(bool, Ran)> {
    until("all are done", || {
        let living: Vec<bool> = members
            .iter_mut()
            .filter_map(|member| (!member.has_ended()).then_some(member.is_daemon))
            .collect();
        let done = match living[..] {
            [] => true,
            [true] => rig.is_at_rest(),
            _ => false,
        };
        done.then_some(())
    });
    for member in members.iter_mut().filter(|member| !member.ended) {
        let pid = Pid::from_raw(member.running.child.id().cast_signed());
        kill(pid, Signal::SIGTERM).unwrap();
    }
    let left = members.into_iter().filter(|member| !member.killed);
    left.map(|member| (member.is_daemon, member.running.end()))
        .collect()
}

/// A daemon refuses by the holder's name or stops well when asked; `once` is done, or says that a person
/// is needed.
fn check_end(is_daemon: bool, ran: &Ran, verdict: &mut Verdict) {
    let refused = ran.stderr.contains("another keyfresh (process ");
    let expected = match (is_daemon, refused) {
        (true, true) => Some(1),
        (false, false) if verdict.end == End::Unconfirmed => ran.code.filter(|code| *code < 2),
        (_, false) => Some(0),
        (false, true) => None,
    };
    if ran.code.is_none() || ran.code != expected {
        verdict.blame(format!("one ended strangely: {ran:?}"));
    }
}
