//! The run itself, in rounds: logins replaced, credentials made due, faults, a kill or a reload, and the
//! judgement once everything has settled.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use keyfresh::clock::Clock;
use keyfresh::demo::authority::Fault;
use keyfresh::secret::ExposeSecret as _;
use nix::sys::signal::Signal;

use crate::booking::Booking;
use crate::judge::{Entry, Judge};
use crate::size::Sizes;
use crate::stage;
use crate::support::daemon::Daemon;
use crate::support::database::{Dump, dump};
use crate::support::dice::Dice;
use crate::support::installation::Installation;
use crate::support::until;

/// The most credentials, and one for so many refreshes of a shorter run.
const CREDENTIALS: usize = 300;
const REFRESHES_EACH: usize = 8;

/// Before an exchange that could not be begun is asked for once more; the rules wait a minute.
const AGAIN: Duration = Duration::from_secs(1);

/// A kill comes at most this long after the exchange that it is to hit was claimed.
const JITTER: usize = 30;

/// Everybody, and how far they came.
pub(crate) struct Course {
    world: Installation,
    daemon: Option<Daemon>,
    booking: Option<Booking>,
    before: Dump,
    dice: Dice,
    judge: Judge,
    kills: usize,
    reloads: usize,
}

impl Course {
    pub(crate) fn new(refreshes: usize, seed: u64) -> Self {
        let credentials = (refreshes / REFRESHES_EACH).clamp(1, CREDENTIALS);
        let world = stage::installation(credentials);
        let mut this = Self {
            before: dump(&world.gateway),
            booking: Some(Booking::start(&world)),
            daemon: Some(world.serve()),
            judge: Judge::new(credentials),
            dice: Dice::new(seed, 0),
            world,
            kills: 0,
            reloads: 0,
        };
        // The first exchanges need no asking, only the rows that a daemon makes for its configuration.
        let first = this.judge.entries(&this.world);
        this.settle(&first, 0);
        this
    }

    pub(crate) fn refreshes(&self) -> usize {
        self.judge.granted()
    }

    pub(crate) fn sizes(&self) -> Sizes {
        Sizes::of(&self.world, self.daemon(), self.refreshes())
    }

    pub(crate) fn report(&self) -> String {
        let (kills, reloads) = (self.kills, self.reloads);
        format!("{}\n{kills} kills, {reloads} reloads", self.judge.report())
    }

    /// One round, with a kill in the middle of it if there are `kills`.
    pub(crate) fn round(&mut self, kills: bool) {
        let entries = self.judge.entries(&self.world);
        self.log_in(&entries);
        let share = self.dice.within(2, 5);
        let mut chosen = entries;
        chosen.retain(|entry| entry.is_failing() || !self.dice.once_in(share));
        for _ in 0..chosen.len() / 12 {
            let fault = fault(&mut self.dice);
            self.world.authority.fault(&fault, 1);
        }
        self.make_due(&chosen);
        if kills {
            self.kill(&chosen);
        } else if self.dice.once_in(3) {
            self.reload();
        }
        self.settle(&chosen, 1);
    }

    /// The run ends: nothing but our keys changed in the gateway's file, and no booking was refused.
    pub(crate) fn end(mut self) {
        let booked = self.booking.take().unwrap().end();
        assert_eq!(self.daemon.take().unwrap().stop().code, Some(0));
        self.judge.judge_gateway(&self.world, &self.before, booked);
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    /// A person logs in for each credential that needs it, by command or in its file.
    fn log_in(&mut self, entries: &[Entry]) {
        let mut reload = false;
        for entry in entries.iter().filter(|entry| entry.needs_a_login()) {
            let seed = self.judge.login(&self.world, entry.number);
            if self.dice.once_in(2) {
                let file = format!("{}.token", entry.name);
                self.world.secret(&file, seed.expose_secret());
                reload = true;
            } else {
                let mut command = self.world.command(&["credential", "replace", &entry.name]);
                let piped = command.stdin(Stdio::piped()).stdout(Stdio::null());
                let mut child = piped.spawn().unwrap();
                let mut input = child.stdin.take().unwrap();
                input.write_all(seed.expose_secret().as_bytes()).unwrap();
                drop(input);
                assert!(child.wait().unwrap().success());
            }
        }
        if reload {
            self.reload();
        }
    }

    /// The daemon reads its configuration again. What it tells systemd is heard each time: a socket that
    /// nobody reads would hold it up.
    fn reload(&mut self) {
        let daemon = self.daemon.as_mut().unwrap();
        daemon.signal(Signal::SIGHUP);
        daemon.hear("READY=1");
        self.reloads += 1;
    }

    /// The `chosen` that have not been exchanged since they were chosen are due now.
    fn make_due(&self, chosen: &[Entry]) {
        let now = Clock::system().now().timestamp_millis();
        until("our own state can be written", || {
            let mut state = self.world.state();
            let transaction = state.transaction().ok()?;
            for entry in chosen {
                transaction
                    .execute(
                        "UPDATE credential SET due_at = ?3
                         WHERE name = ?1 AND attempt = ?2 AND phase = 'resting' AND due_at > ?3",
                        (&entry.name, entry.attempt, now),
                    )
                    .ok()?;
            }
            transaction.commit().ok()
        });
    }

    /// Kills the daemon somewhere among the exchanges of the `chosen`, now and then also the next one
    /// while it takes up what was left.
    fn kill(&mut self, chosen: &[Entry]) {
        let progress = self.dice.below(chosen.len());
        until("some were exchanged", || {
            (self.left(chosen)? < chosen.len() - progress).then_some(())
        });
        self.pause();
        self.daemon.take().unwrap().kill();
        self.kills += 1;
        while self.dice.once_in(3) {
            let short = self.world.start(self.world.command(&["serve"]));
            self.pause();
            drop(short);
            self.kills += 1;
        }
        self.daemon = Some(self.world.serve());
    }

    fn pause(&mut self) {
        let span = u64::try_from(self.dice.below(JITTER)).unwrap();
        let (span, watch) = (Duration::from_millis(span), Clock::system().stopwatch());
        until("a moment has passed", || {
            (watch.elapsed() >= span).then_some(())
        });
    }

    /// How many of the `chosen` have not been exchanged since; nothing if the state is busy.
    fn left(&self, chosen: &[Entry]) -> Option<usize> {
        let state = self.world.state();
        let sql = "SELECT attempt > ?2 AND phase <> 'exchanging' FROM credential WHERE name = ?1";
        let mut query = state.prepare(sql).ok()?;
        let mut left = 0;
        for entry in chosen {
            let done: bool = query
                .query_row((&entry.name, entry.attempt), |row| row.get(0))
                .ok()?;
            left += usize::from(!done);
        }
        Some(left)
    }

    /// Waits until each of the `chosen` was exchanged and every channel has its key; then judges.
    fn settle(&mut self, chosen: &[Entry], asked: u32) {
        let mut watch = Clock::system().stopwatch();
        until("all were exchanged", || {
            if asked > 0 && watch.elapsed() > AGAIN {
                watch = Clock::system().stopwatch();
                self.make_due(chosen);
            }
            (self.left(chosen)? == 0).then_some(())
        });
        let judge = &mut self.judge;
        until("every channel has its key", || judge.keys(&self.world));
        judge.judge(&self.world);
    }
}

/// Something that a provider may honestly do: none of these calls a spent token unspent, as then no
/// client could know.
fn fault(dice: &mut Dice) -> Fault {
    let status = |status, retry_after: Option<&str>, handled| Fault::Status {
        status,
        retry_after: retry_after.map(str::to_owned),
        handled,
    };
    match dice.below(16) {
        0 => Fault::Cut { handled: false },
        1 => Fault::Cut { handled: true },
        2 => Fault::CutBody {
            missing: dice.within(1, 200),
        },
        3 => Fault::CutBody { missing: 1 },
        4 => Fault::Slow(Duration::from_millis(300)),
        5 => status(500, None, true),
        6 => status(503, Some("1"), false),
        7 => status(429, Some("1"), false),
        8 => Fault::Html,
        9 => Fault::Error(400, "invalid_grant"),
        10 => Fault::Error(503, "temporarily_unavailable"),
        11 => Fault::ErrorObject(403, "unsupported_country"),
        12 => Fault::Omit("access_token"),
        13 => {
            let odd = ["-1", "\"3600\"", "null", "1e400", "[]", "soon"];
            Fault::ExpiresIn((*dice.pick(&odd)).to_owned())
        }
        14 => Fault::Trickle,
        _ if dice.once_in(4) => Fault::Huge,
        _ => Fault::Redirect,
    }
}
