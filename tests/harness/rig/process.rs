//! The processes that are struck: a `once`, a daemon, a daemon that reloads.

use std::process::Command;
use std::time::Duration;

use keyfresh::clock::Clock;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Rig, Strike};
use crate::calls::{Call, Deed, Order, Side, kind};
use crate::course::Stage;
use crate::support::daemon::Daemon;
use crate::support::gate::{Part, Stop};
use crate::support::installation::Ran;
use crate::support::until;

/// The opening of the last slot: what comes before it is alike in every start.
const STARTED: &str = "slots/63";

/// Whether with this call the start is over.
pub(crate) fn is_started(call: &Call) -> bool {
    call.target.ends_with(STARTED)
}

/// What a struck process left.
pub(crate) struct Struck {
    pub(crate) calls: Vec<Call>,
    pub(crate) fired: bool,
    /// Whether it ended by a signal.
    pub(crate) killed: bool,
    pub(crate) code: Option<i32>,
    /// What a daemon said of itself at `/readyz` after a call had failed and before it was stopped.
    pub(crate) readiness: Option<u16>,
    /// What it printed and logged.
    pub(crate) said: String,
}

impl Rig {
    /// Gives the next processes an order whose count begins once they are started.
    pub(crate) fn order(&mut self, strike: Strike) {
        self.control.order(&strike.order(STARTED));
    }

    /// The program under the order.
    pub(crate) fn loaded(&self, argument: &str) -> Command {
        let mut command = self.installation.command(&[argument]);
        self.control.load(&mut command);
        command
    }

    /// What the processes under the last order asked of the kernel.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.control.calls()
    }

    /// One `once`, struck.
    pub(crate) fn once(&mut self, strike: Strike) -> Struck {
        self.once_by(&strike.order(STARTED))
    }

    /// One `once`, struck from its first call on.
    pub(crate) fn starting(&mut self, strike: Strike) -> Struck {
        self.once_by(&strike.order(""))
    }

    /// One `once` below `tracer`, which is given `program` and its arguments.
    pub(crate) fn once_under(&mut self, mut tracer: Command, program: &str) -> Vec<Call> {
        self.make_due();
        self.control.order(&Strike::NONE.order(STARTED));
        self.installation.prepare(&mut tracer);
        tracer.env("PATH", "/usr/local/bin:/usr/bin:/bin");
        for (name, value) in self.control.environment() {
            tracer.args(["-E", &format!("{name}={}", value.display())]);
        }
        tracer.args([program, "once"]);
        let ran = self.installation.start(tracer).end();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        self.control.calls()
    }

    /// One `once`, killed as soon as it has come so far.
    pub(crate) fn once_until(&mut self, stage: Stage) -> Struck {
        let sink = self.installation.sink.url().port().unwrap();
        let (mark, kinds, number, side) = match stage {
            Stage::Claimed => (STARTED.to_owned(), kind::CONNECT, 1, Side::Before),
            Stage::Answered => (self.endpoint(), kind::SYNC, 1, Side::After),
            Stage::Settled => (self.endpoint(), kind::SYNC, 2, Side::After),
            // Two syncs of the gateway's journal and one of its file come before.
            Stage::Delivered => (self.endpoint(), kind::SYNC, 6, Side::Before),
            Stage::Told => (format!("port {sink}"), kind::SYNC, 1, Side::Before),
        };
        self.once_by(&Order {
            number,
            deed: Deed::Kill(side),
            kinds,
            mark,
        })
    }

    /// One `once` in which the first call of a kind after the connection to `endpoint` is refused.
    pub(crate) fn fail_first(&mut self, kinds: u64, endpoint: &str) -> Struck {
        self.make_due();
        self.once_by(&Order {
            number: 1,
            deed: Deed::Fail(Errno::EIO, Side::Before),
            kinds,
            mark: endpoint.to_owned(),
        })
    }

    fn once_by(&mut self, order: &Order) -> Struck {
        self.control.order(order);
        if order.mark.is_empty() {
            self.control.arm();
        }
        let command = self.loaded("once");
        let mut running = self.installation.start(command);
        if let Deed::FailFromNow(_) = order.deed {
            // It may wait for the disk as long as it lives: a person stops it.
            let lives = until("it has ended or complained", || {
                let ended = running.child.try_wait().unwrap().is_some();
                (ended || complains(&running.log())).then_some(!ended)
            });
            if lives {
                kill(
                    Pid::from_raw(running.child.id().cast_signed()),
                    Signal::SIGTERM,
                )
                .unwrap();
            }
            until("it has ended or needs the disk", || {
                let ended = running.child.try_wait().unwrap().is_some();
                (ended || needs_the_disk(&running.log())).then_some(())
            });
            self.control.relent();
        }
        let ran = running.end();
        self.struck(ran, None)
    }

    /// A `once` whose answer stands ready at the gate; it is killed `micros` after that was let go.
    pub(crate) fn once_killed_after(&mut self, micros: u64) -> Struck {
        self.control.order(&Strike::NONE.order(STARTED));
        let gate = self.gate();
        let reached = gate.reached();
        gate.stop(Stop::Answer(Part::First(0)));
        let command = self.loaded("once");
        let mut running = self.installation.start(command);
        until("the answer is at the gate", || {
            (gate.reached() > reached).then_some(())
        });
        gate.stop(Stop::Nowhere);
        let watch = Clock::system().stopwatch();
        let span = Duration::from_micros(micros);
        // Leaves the processor to the program; a park may end early.
        while let Some(rest) = span
            .checked_sub(watch.elapsed())
            .filter(|rest| !rest.is_zero())
        {
            std::thread::park_timeout(rest);
        }
        // It may have ended by itself.
        running.child.kill().unwrap();
        let ran = running.end();
        self.struck(ran, None)
    }

    /// A daemon, struck while it refreshes, or while it stops.
    pub(crate) fn daemon(&mut self, strike: Strike) -> Struck {
        let daemon = self.armed_daemon(strike);
        self.make_due();
        let (ran, readiness) = self.let_go_on(daemon, strike);
        self.struck(ran, readiness)
    }

    /// A daemon that takes another configuration into force while an answer arrives, struck.
    pub(crate) fn reloading(&mut self, strike: Strike) -> Struck {
        self.control.order(&strike.order(""));
        let gate = self.gate();
        let reached = gate.reached();
        let command = self.loaded("serve");
        let daemon = self.installation.serve_as(command);
        gate.stop(Stop::Answer(Part::First(0)));
        self.make_due();
        until("the answer is at the gate", || {
            (gate.reached() > reached).then_some(())
        });
        let plain = self.installation.configuration();
        self.installation
            .configure(&plain.replacen("0 5 * * 1", "0 6 * * 1", 1));
        self.control.arm();
        daemon.signal(Signal::SIGHUP);
        gate.stop(Stop::Nowhere);
        let (ran, readiness) = self.let_go_on(daemon, strike);
        self.installation.configure(&plain);
        self.struck(ran, readiness)
    }

    /// A daemon whose calls are listed.
    pub(crate) fn listed_daemon(&mut self) -> Daemon {
        self.armed_daemon(Strike::NONE)
    }

    fn armed_daemon(&mut self, strike: Strike) -> Daemon {
        self.control.order(&strike.order(""));
        let command = self.loaded("serve");
        let daemon = self.installation.serve_as(command);
        self.control.arm();
        daemon
    }

    /// Waits until the daemon was killed or has done what is due, then stops it.
    fn let_go_on(&self, daemon: Daemon, strike: Strike) -> (Ran, Option<u16>) {
        let is_kill = matches!(strike.deed, Deed::Kill(_));
        let mut looks = 0;
        let dead = until("the daemon is done or dead", || {
            let dead = daemon.has_ended();
            looks += 1;
            // To read rows costs more than to look at a process.
            if dead || looks % 16 != 0 {
                return dead.then_some(true);
            }
            let failed = !is_kill && self.is_settled() && complains(&daemon.log());
            (failed || self.is_at_rest() || refuses(&daemon)).then_some(false)
        });
        if dead {
            return (daemon.end(), None);
        }
        // One that is to be killed may be dead by now.
        let readiness = (!is_kill && self.control.has_fired()).then(|| daemon.page("/readyz").0);
        // It may be struck while it stops.
        daemon.signal(Signal::SIGTERM);
        until("it has ended or needs the disk", || {
            (daemon.has_ended() || needs_the_disk(&daemon.log())).then_some(())
        });
        self.control.relent();
        (daemon.end(), readiness)
    }

    fn struck(&self, ran: Ran, readiness: Option<u16>) -> Struck {
        Struck {
            calls: self.control.calls(),
            fired: self.control.has_fired(),
            killed: ran.code.is_none(),
            code: ran.code,
            readiness,
            said: ran.stdout + &ran.stderr,
        }
    }
}

/// A daemon that refuses new exchanges until it is started again says so.
pub(crate) fn refuses(daemon: &Daemon) -> bool {
    daemon.log().contains("the state is not trusted")
}

/// Whether a log has something that somebody should know.
pub(crate) fn complains(log: &str) -> bool {
    log.contains(" WARN ") || log.contains(" ERROR ")
}

/// Whether it lives on with an answer that nothing else holds.
pub(crate) fn needs_the_disk(log: &str) -> bool {
    log.contains("it is held in memory until the disk takes it")
}
