//! The daemon under test: started with a notification socket as systemd would, signalled, watched.

use std::cell::RefCell;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use keyfresh::clock::Clock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::installation::{Installation, Ran, Running};
use super::{PATIENCE, until};

/// `serve`, running.
pub(crate) struct Daemon {
    running: Running,
    socket: UnixDatagram,
    heard: RefCell<Vec<String>>,
    /// From its start to READY.
    pub(crate) ready_after: Duration,
}

impl Installation {
    /// Starts `serve` and waits until it is ready.
    pub(crate) fn serve(&self) -> Daemon {
        self.serve_as(self.command(&["serve"]))
    }

    /// The same with a command of one's own.
    pub(crate) fn serve_as(&self, mut command: Command) -> Daemon {
        let path = self.path("notify");
        // Left by the daemon before this one.
        if path.exists() {
            fs::remove_file(&path).unwrap();
        }
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        command.env("NOTIFY_SOCKET", &path);
        let watch = Clock::system().stopwatch();
        let mut daemon = Daemon {
            running: self.start(command),
            socket,
            heard: RefCell::default(),
            ready_after: PATIENCE,
        };
        daemon.hear("READY=1");
        daemon.ready_after = watch.elapsed();
        daemon
    }
}

impl Daemon {
    /// Waits until systemd was told `what`, since the last time this was asked for.
    pub(crate) fn hear(&mut self, what: &str) {
        until(what, || {
            if let Some(ended) = self.running.child.try_wait().unwrap() {
                self.listen();
                assert!(self.tells(what), "{ended}:\n{}", self.running.log());
            }
            self.listen();
            self.tells(what).then_some(())
        });
        self.heard.borrow_mut().retain(|line| line != what);
    }

    fn listen(&self) {
        let mut bytes = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let lines = text.lines().map(str::to_owned);
            self.heard.borrow_mut().extend(lines);
        }
    }

    fn tells(&self, what: &str) -> bool {
        self.heard.borrow().iter().any(|line| line == what)
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        self.running.log()
    }

    /// Waits until it has logged `what`.
    pub(crate) fn logs(&self, what: &str) {
        until(what, || self.log().contains(what).then_some(()));
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.child.id()
    }

    /// Whether it has ended, though nobody waited for that.
    pub(crate) fn has_ended(&self) -> bool {
        // A process that nobody waited for is left as a zombie.
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let (_, state) = stat.rsplit_once(") ").unwrap();
        state.starts_with('Z')
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).unwrap();
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(self) {
        self.signal(Signal::SIGKILL);
        assert_eq!(self.running.end().code, None);
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(self) -> Ran {
        self.signal(Signal::SIGTERM);
        self.running.end()
    }

    /// Waits until it has ended.
    pub(crate) fn end(self) -> Ran {
        self.running.end()
    }

    /// Waits until its thread called `name` sleeps between two tries of a lock that another has.
    pub(crate) fn waits_for_a_lock(&self, name: &str) {
        until(&format!("{name} waits for a lock"), || {
            let calls = self.threads(name, "syscall");
            let call = calls.first()?;
            let number = call.split(' ').next()?;
            SLEEPING.contains(&number).then_some(())
        });
    }

    /// Waits until its threads called `name`, else idle, are asked again and again.
    pub(crate) fn tries_again_and_again(&self, name: &str) {
        let woken = || {
            let counts = self.threads(name, "status").into_iter().map(|status| {
                let (_, count) = status.split_once("\nvoluntary_ctxt_switches:")?;
                count.split_whitespace().next()?.parse::<u64>().ok()
            });
            let counts: Vec<u64> = counts.collect::<Option<_>>()?;
            (!counts.is_empty()).then(|| counts.iter().sum::<u64>())
        };
        let before = until("the thread is there", woken);
        until(&format!("{name} tries again"), || {
            (woken()? >= before + 10).then_some(())
        });
    }

    /// What `/proc` says of its threads of this name.
    fn threads(&self, name: &str, file: &str) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let folders = tasks.map(|task| task.unwrap().path()).filter(|task| {
            fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name)
        });
        folders
            .filter_map(|folder| fs::read_to_string(folder.join(file)).ok())
            .collect()
    }

    /// Where its listener is reached.
    pub(crate) fn address(&self) -> String {
        until("it listens", || {
            let log = self.log();
            let (_, rest) = log.split_once("listening")?;
            let start = ["listen=", "\"listen\":\""]
                .iter()
                .find_map(|name| rest.split_once(name));
            let (address, _) = start?.1.split_once([' ', '"', '\n'])?;
            Some(address.to_owned())
        })
    }

    /// The status and body of a page of its listener.
    pub(crate) fn page(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }
}

/// `nanosleep` and `clock_nanosleep`, with which SQLite waits for a lock, on `x86_64` and `aarch64`.
const SLEEPING: [&str; 4] = ["35", "230", "101", "115"];
