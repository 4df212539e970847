//! The promise as the kernel sees it, through `strace`: what a refresh costs, in which order its calls
//! come, and a kill at each of them. Without strace these tests say so and pass, but in CI.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::process::Command;

use keyfresh::credential::Phase;
use keyfresh::demo::authority::Ruling;
use keyfresh::secret::ExposeSecret as _;
use support::gate::Gate;
use support::installation::{Installation, PROGRAM, Ran};
use support::strace::can_trace;

/// One system call that has returned.
#[derive(Debug)]
struct Call {
    thread: u32,
    name: String,
    /// Arguments and result, as strace writes them.
    text: String,
}

impl Call {
    fn is(&self, names: &[&str]) -> bool {
        names.contains(&self.name.as_str())
    }

    /// Whether its first argument is a descriptor of that file.
    fn is_on(&self, file: &str) -> bool {
        let first = self.text.split([',', ')']).next().unwrap();
        first.ends_with(&format!("{file}>"))
    }

    fn returned(&self) -> &str {
        self.text.rsplit(" = ").next().unwrap()
    }
}

fn traced(world: &Installation, options: &[&str], arguments: &[&str]) -> Ran {
    let mut command = Command::new("strace");
    world.prepare(&mut command);
    command
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .args(options)
        .arg("--output")
        .arg(world.path("trace"))
        .arg(PROGRAM)
        .args(arguments);
    world.start(command).end()
}

/// The calls in the order of their return.
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

const SYNCS: [&str; 2] = ["fsync", "fdatasync"];
const SENDS: [&str; 5] = ["sendto", "sendmsg", "write", "writev", "send"];
const RECEIVES: [&str; 4] = ["recvfrom", "recvmsg", "read", "readv"];

fn position(calls: &[Call], what: &str, from: usize, is: impl Fn(&Call) -> bool) -> usize {
    let found = calls[from..].iter().position(is);
    from + found.unwrap_or_else(|| panic!("no call is {what}"))
}

#[test]
fn a_refresh_is_four_syncs_one_connection_and_nothing_between_the_answer_and_its_slot() {
    if !can_trace() {
        return;
    }
    let world = Installation::new("one-api.db");
    world.done(&["once"]);
    let ran = traced(&world, &["-f", "-y", "-s", "0"], &["once", "--force"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let calls = calls(&std::fs::read_to_string(world.path("trace")).unwrap());

    let port = format!("sin_port=htons({})", world.authority.url().port().unwrap());
    let is_connect = |call: &Call| call.is(&["connect"]) && call.text.contains(&port);
    let connections = calls.iter().filter(|call| is_connect(call)).count();
    assert_eq!(connections, 1, "one connection to the token endpoint");
    let connect = position(&calls, "the connection", 0, is_connect);
    let socket = calls[connect].text.split(['<', ',']).next().unwrap();
    let on_socket = |call: &Call| call.text.starts_with(&format!("{socket}<socket"));

    let is_commit = |call: &Call| call.is(&SYNCS) && call.is_on("state.db-wal");
    let claim = calls[..connect].iter().rposition(is_commit);
    let claim = claim.expect("a claim is durable before the connection is made");
    let first_byte = position(&calls, "the request", connect, |call| {
        call.is(&SENDS) && on_socket(call)
    });
    let written = calls[claim..first_byte]
        .iter()
        .any(|call| call.is(&["pwrite64"]) && call.is_on("state.db-wal"));
    assert!(
        !written,
        "nothing of our own state waits for a sync when the token leaves"
    );

    let closed = position(&calls, "the connection's end", first_byte, |call| {
        call.is(&["close"]) && on_socket(call)
    });
    let answer = first_byte
        + calls[first_byte..closed]
            .iter()
            .rposition(|call| {
                call.is(&RECEIVES)
                    && on_socket(call)
                    && call
                        .returned()
                        .parse::<u32>()
                        .is_ok_and(|length| length > 0)
            })
            .expect("an answer");
    let thread = calls[answer].thread;
    let next = position(&calls, "the next of this thread", answer + 1, |call| {
        call.thread == thread
    });
    assert!(
        calls[next].is(&["pwrite64"]) && calls[next].is_on("/slots/00"),
        "{:?}",
        calls[next]
    );

    let gateway = world.gateway.file_name().unwrap().to_str().unwrap();
    let delivered = calls
        .iter()
        .rposition(|call| call.is(&["pwrite64"]) && call.is_on(gateway))
        .expect("the channel is written");
    let linked = position(&calls, "the link's commit", delivered, is_commit);
    let ours =
        |call: &&Call| call.is(&SYNCS) && call.text.contains("/state/") && !call.is_on("state.db");
    let syncs: Vec<&Call> = calls[claim..=linked].iter().filter(ours).collect();
    assert!(syncs.len() <= 4, "{syncs:#?}");
    assert_eq!(syncs.len(), 4, "fewer is better: say so here");
}

/// The calls by which anything outside the process changes, and the one that hears of a change there.
const CHANGES: [&str; 7] = [
    "pwrite64",
    "fdatasync",
    "fsync",
    "connect",
    "sendto",
    "recvfrom",
    "unlink",
];

/// Kills the program at the first, second, … call of each kind that changes anything outside it.
#[test]
fn a_kill_at_any_call_loses_nothing_in_silence() {
    if !can_trace() {
        return;
    }
    let mut story = String::new();
    let world = Installation::new("one-api.db");
    let gate = Gate::new(&world.runtime, world.authority.url());
    world.edit(world.authority.url().as_str(), gate.url().as_str());
    world.done(&["once"]);
    for call in CHANGES {
        let (mut kills, mut unconfirmed) = (0, 0);
        loop {
            let trace = format!("--trace={call}");
            let inject = format!("--inject={call}:signal=SIGKILL:when={}", kills + 1);
            let ran = traced(&world, &["-f", &trace, &inject], &["once", "--force"]);
            if ran.code == Some(0) {
                break;
            }
            assert_eq!(ran.code, None, "{ran:?}");
            kills += 1;
            unconfirmed += usize::from(is_unconfirmed_after(&world, call, kills));
        }
        assert!(kills > 0, "{call} is never called");
        writeln!(
            story,
            "{call}: {unconfirmed} of {kills} kills left an unconfirmed exchange"
        )
        .unwrap();
    }
    println!("{story}");
    let rulings = world.authority.requests();
    assert!(rulings.iter().all(|seen| seen.ruling == Ruling::Granted));
}

/// Starts the program again; what it then knows must be what the provider knows, or be told.
fn is_unconfirmed_after(world: &Installation, call: &str, kills: usize) -> bool {
    let told = told(world);
    let ran = world.run(&["once"]);
    let row = world.row();
    let (refresh, access) = world.tokens("main");
    assert_eq!(Some(world.key(1)), access, "{call} {kills}");
    let family = world.authority.requests().last().unwrap().family.unwrap();
    assert!(world.authority.alive(family), "{call} {kills}");
    if row.phase == Phase::Resting {
        let newest = world.authority.newest(family).unwrap();
        assert_eq!(
            refresh.as_deref(),
            Some(newest.expose_secret()),
            "{call} {kills}: {ran:?}"
        );
        return false;
    }
    assert!(
        matches!(row.phase, Phase::Unconfirmed { .. }),
        "{call} {kills}: {row:?}"
    );
    assert_eq!(ran.code, Some(1));
    assert_eq!(self::told(world), told + 1, "{call} {kills}: {ran:?}");
    let seed = world.authority.seed().unwrap();
    world.run_with(seed.expose_secret(), &["credential", "replace", "main"]);
    world.done(&["once"]);
    true
}

/// How often an exchange of unknown outcome was to be told; the service's limits may delay that.
fn told(world: &Installation) -> usize {
    world
        .state()
        .query_row(
            "SELECT count(*) FROM event WHERE kind = 'unconfirmed'",
            [],
            |row| row.get(0),
        )
        .unwrap()
}
