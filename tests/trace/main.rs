//! The order that keeps the promise, proved from what the kernel was asked (`strace -f`): what a refresh
//! costs, what is durable when, and where tokens go. Without strace these tests say so and pass, but in
//! CI. Kills and failures at each call are `tests/harness`'s.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod calls;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use calls::{Call, READS, WRITES, traced};
use support::installation::Installation;
use support::strace::can_trace;

/// The calls of one refresh that is not the first, and the moments in it.
struct Refresh {
    world: Installation,
    calls: Vec<Call>,
    /// The connection to the token endpoint, of which there is one.
    connect: usize,
    /// The first byte that leaves on it.
    first_byte: usize,
    /// The read that brought the last of the answer.
    answer: usize,
}

impl Refresh {
    fn new() -> Self {
        let world = Installation::new("one-api.db");
        world.done(&["once"]);
        let before = world.authority.requests().len();
        let calls = traced(&world, 0, &["once", "--force"]);
        assert_eq!(world.authority.requests().len(), before + 1);

        let connect = connection(&world, &calls);
        let (number, _) = calls[connect].descriptor().split_once('<').unwrap();
        // Once it is connected, it may be shown by its addresses.
        let socket = format!("{number}<");
        let on_socket =
            |call: &Call, names: &[&str]| call.is(names) && call.descriptor().starts_with(&socket);
        let first_byte = position(&calls, "the request", connect, |call| {
            on_socket(call, &WRITES)
        });
        let closed = position(&calls, "the connection's end", first_byte, |call| {
            on_socket(call, &["close"])
        });
        let brought = |call: &Call| call.returned().parse().is_ok_and(|length: u32| length > 0);
        let answer = calls[first_byte..closed]
            .iter()
            .rposition(|call| on_socket(call, &READS) && brought(call))
            .expect("an answer");
        Self {
            world,
            connect,
            first_byte,
            answer: first_byte + answer,
            calls,
        }
    }

    /// The commit of the claim.
    fn claim(&self) -> usize {
        let before = &self.calls[..self.connect];
        let claim = before.iter().rposition(is_commit);
        claim.expect("a claim is durable before the connection is made")
    }
}

/// The one connection to the token endpoint.
fn connection(world: &Installation, calls: &[Call]) -> usize {
    let port = format!("sin_port=htons({})", world.authority.url().port().unwrap());
    let is_connect = |call: &Call| call.is(&["connect"]) && call.text.contains(&port);
    let connections = calls.iter().filter(|call| is_connect(call)).count();
    assert_eq!(connections, 1, "one connection to the token endpoint");
    position(calls, "the connection", 0, is_connect)
}

fn position(calls: &[Call], what: &str, from: usize, is: impl Fn(&Call) -> bool) -> usize {
    let found = calls[from..].iter().position(is);
    from + found.unwrap_or_else(|| panic!("no call is {what}"))
}

/// Our own state's commit has come to the disk.
fn is_commit(call: &Call) -> bool {
    call.is_sync_of("state.db-wal")
}

fn is_write_to(call: &Call, file: &str) -> bool {
    call.is(&WRITES) && call.is_on(file)
}

#[test]
fn the_claim_is_durable_before_the_token_leaves() {
    if !can_trace() {
        return;
    }
    let refresh = Refresh::new();
    let mut between = refresh.calls[refresh.claim()..refresh.first_byte].iter();
    let unsynced = between.find(|call| is_write_to(call, "state.db-wal"));
    assert!(unsynced.is_none(), "{unsynced:?}: waits for a sync");
}

#[test]
fn the_answer_is_durable_before_anything_else_is_done_with_it() {
    if !can_trace() {
        return;
    }
    let Refresh {
        world,
        calls,
        first_byte,
        answer,
        ..
    } = Refresh::new();
    let thread = calls[answer].thread;
    let next = position(&calls, "the next of this thread", answer + 1, |call| {
        call.thread == thread
    });
    assert!(is_write_to(&calls[next], "/slots/00"), "{:?}", calls[next]);

    let synced = position(&calls, "the slot's sync", next, |call| {
        call.is_sync_of("/slots/00")
    });
    let folder = world.path("");
    let elsewhere = |call: &&Call| {
        call.is(&WRITES)
            && call.descriptor().contains(folder.to_str().unwrap())
            && !call.is_on("/slots/00")
    };
    let used: Vec<&Call> = calls[first_byte..synced].iter().filter(elsewhere).collect();
    assert!(used.is_empty(), "{used:#?}");
    let gateway = world.gateway.file_name().unwrap().to_str().unwrap();
    let settled = position(&calls, "the settling's commit", synced, is_commit);
    let early = calls[synced..settled]
        .iter()
        .find(|call| is_write_to(call, gateway));
    assert!(early.is_none(), "{early:?}: before the settling");
}

#[test]
fn from_claim_to_link_row_are_four_syncs() {
    if !can_trace() {
        return;
    }
    let refresh = Refresh::new();
    let calls = &refresh.calls;
    let gateway = refresh.world.gateway.file_name().unwrap().to_str().unwrap();
    let written = calls.iter().rposition(|call| is_write_to(call, gateway));
    let written = written.expect("the channel is written");
    let linked = position(calls, "the link's commit", written, is_commit);
    let ours = |call: &&Call| {
        call.is(&calls::SYNCS) && call.text.contains("/state/") && !call.is_on("state.db")
    };
    let syncs: Vec<&Call> = calls[refresh.claim()..=linked]
        .iter()
        .filter(ours)
        .collect();
    assert_eq!(syncs.len(), 4, "fewer is better: say so here: {syncs:#?}");
}

/// A file that is synced but not in its folder is lost with the power.
#[test]
fn what_is_made_is_in_its_folder_before_it_matters() {
    if !can_trace() {
        return;
    }
    let world = Installation::new("one-api.db");
    let names = |folder: &str| {
        let entries = fs::read_dir(world.path(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path())
    };
    let there: HashSet<PathBuf> = names("state").chain(names("")).collect();
    let calls = traced(&world, 0, &["once"]);
    let connect = connection(&world, &calls);
    let gateway = world.gateway.to_str().unwrap();
    // The index of a log is made anew from the log.
    let is_new = |path: &&str| !there.contains(Path::new(path)) && !path.ends_with("-shm");
    let mut made = Vec::new();
    for (place, call) in calls.iter().enumerate() {
        let Some(path) = call.creates().filter(is_new) else {
            continue;
        };
        let (folder, name) = path.rsplit_once('/').unwrap();
        let folder = folder.rsplit('/').next().unwrap();
        let matters = if path.starts_with(gateway) {
            position(&calls, "a write of pages", place, |call| {
                is_write_to(call, gateway)
            })
        } else {
            connect.max(place)
        };
        let synced = calls[place..matters]
            .iter()
            .any(|call| call.is_sync_of(folder));
        assert!(synced, "{path}: {call:?}");
        made.push(name.to_owned());
    }
    made.sort();
    made.dedup();
    let journal = format!("{}-journal", gateway.rsplit('/').next().unwrap());
    assert_eq!(made, [journal.as_str(), "state.db-wal"]);
}

#[test]
fn tokens_go_to_the_endpoint_and_the_gateway_alone() {
    if !can_trace() {
        return;
    }
    let world = Installation::new("one-api.db");
    world.done(&["once"]);
    let (sent, old) = world.tokens("main");
    let calls = traced(&world, 1 << 18, &["once", "--force"]);
    let (next, new) = world.tokens("main");
    let endpoint = calls[connection(&world, &calls)].place();
    let (endpoint, gateway) = (endpoint.to_owned(), world.gateway.to_str().unwrap());
    let written_to = |token: Option<String>| -> Vec<String> {
        let token = token.unwrap();
        let leaves = |call: &&Call| call.is(&WRITES) || call.is(&["execve"]);
        let with_it = calls.iter().filter(leaves);
        with_it
            .filter(|call| call.text.contains(&token))
            .map(|call| call.place().replace(&endpoint, "endpoint"))
            .map(|place| place.replace(gateway, "gateway"))
            .collect()
    };
    assert_eq!(written_to(sent), ["endpoint"]);
    assert_eq!(written_to(old), ["gateway-journal"]);
    assert_eq!(written_to(next), [""; 0]);
    assert_eq!(written_to(new), ["gateway"]);
}
