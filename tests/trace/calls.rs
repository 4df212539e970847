//! A run of the program as `strace` saw it: its system calls in the order of their return.

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use crate::support::installation::{Installation, PROGRAM};

pub(crate) const SYNCS: [&str; 2] = ["fsync", "fdatasync"];
pub(crate) const WRITES: [&str; 8] = [
    "write", "pwrite64", "writev", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg",
];
pub(crate) const READS: [&str; 4] = ["recvfrom", "recvmsg", "read", "readv"];

/// One system call that has returned.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) thread: u32,
    pub(crate) name: String,
    /// Arguments and result, as strace writes them.
    pub(crate) text: String,
}

impl Call {
    pub(crate) fn is(&self, names: &[&str]) -> bool {
        names.contains(&self.name.as_str())
    }

    /// The first argument, if it is a descriptor: its number, and in angle brackets what it stands for.
    pub(crate) fn descriptor(&self) -> &str {
        self.text.split([',', ')']).next().unwrap()
    }

    /// What the first argument stands for: a path or a socket.
    pub(crate) fn place(&self) -> &str {
        let (_, place) = self.descriptor().split_once('<').unwrap_or_default();
        place.trim_end_matches('>')
    }

    /// Whether its first argument is a descriptor of a file whose path ends so.
    pub(crate) fn is_on(&self, file: &str) -> bool {
        self.descriptor().ends_with(&format!("{file}>"))
    }

    /// Whether it made what it was asked to sync durable.
    pub(crate) fn is_sync_of(&self, file: &str) -> bool {
        self.is(&SYNCS) && self.is_on(file) && self.returned() == "0"
    }

    pub(crate) fn returned(&self) -> &str {
        self.text.rsplit(" = ").next().unwrap()
    }

    /// The path of a file that it may have made.
    pub(crate) fn creates(&self) -> Option<&str> {
        let creates = self.is(&["openat"]) && self.text.contains("O_CREAT");
        let succeeded = !self.returned().starts_with('-');
        let path = self.text.split('"').nth(1)?;
        (creates && succeeded).then_some(path)
    }
}

/// The calls of one run, which must end well; `length` is how many bytes of each text are shown.
pub(crate) fn traced(world: &Installation, length: usize, arguments: &[&str]) -> Vec<Call> {
    let mut command = Command::new("strace");
    world.prepare(&mut command);
    command
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .args(["-f", "-y", "-s", &length.to_string(), "--output"])
        .arg(world.path("trace"))
        .arg(PROGRAM)
        .args(arguments);
    let ran = world.start(command).end();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    calls(&fs::read_to_string(world.path("trace")).unwrap())
}

fn calls(trace: &str) -> Vec<Call> {
    let mut begun: HashMap<u32, String> = HashMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let (thread, rest) = line.trim_start().split_once(' ').unwrap();
        let thread = thread.parse().unwrap();
        let rest = rest.trim_start();
        let whole = if let Some(start) = rest.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, start.to_owned());
            continue;
        } else if let Some(end) = rest.strip_prefix("<... ") {
            let (_, end) = end.split_once(" resumed>").unwrap();
            begun.remove(&thread).unwrap_or_default() + end
        } else {
            rest.to_owned()
        };
        // What is left are exits and signals.
        if let Some((name, text)) = whole.split_once('(') {
            calls.push(Call {
                thread,
                name: name.to_owned(),
                text: text.to_owned(),
            });
        }
    }
    calls
}
