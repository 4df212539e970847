//! Ten thousand hostile requests, and callers who dawdle, hang up or never listen, against the real
//! program: it goes on serving, tells nothing, and changes nothing in the gateway's database.
//!
//! The requests are made of a seed: `HOSTILE_SEED` repeats a run, a failure tells it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod attack;
mod guess;
mod wire;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use attack::{ALICE, CANARY, Knowledge, attack};
use support::daemon::Daemon;
use support::database::{difference, dump};
use support::dice::{self, Dice};
use support::installation::Installation;
use support::until;

const REQUESTS: u64 = 10_000;

const CALLERS: usize = 6;

/// After so many requests a caller asks something sensible.
const SENSIBLE: u64 = 250;

/// Who hold a place and never finish a request, and who never listen to what they asked for.
const DAWDLERS: usize = 40;
const DEAF: usize = 20;

/// Room for the program in memory at any moment, with all its debugging aids.
const MEMORY_KB: u64 = 60 * 1024;

fn seed() -> u64 {
    let given = option_env!("HOSTILE_SEED").and_then(|text| text.parse().ok());
    given.unwrap_or(4)
}

/// The answer to a sensible caller.
fn sensible(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = request.replace('\n', "\r\n");
    write!(
        stream,
        "{request}\r\nhost: x\r\nconnection: close\r\nauthorization: {ALICE}\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Whether who may call still gets what is there.
fn serves(address: &str) -> Result<(), String> {
    let answer = sensible(address, "GET /api/token/2 HTTP/1.1");
    let is_good = answer.starts_with("HTTP/1.1 200") && answer.contains("\"success\":true");
    is_good.then_some(()).ok_or(answer)
}

/// Every key and access token of the gateway's, but for those of `user`.
fn secrets(world: &Installation, user: i64) -> Vec<String> {
    let db = world.other();
    let mut query = db
        .prepare(
            "SELECT key FROM tokens WHERE user_id <> ?1 UNION
             SELECT access_token FROM users WHERE access_token <> '' UNION SELECT password FROM users",
        )
        .unwrap();
    let found = query.query_map([user], |row| row.get(0)).unwrap();
    let mut secrets: Vec<String> = found.map(Result::unwrap).collect();
    for name in ["token_secret", "hashids_salt"] {
        secrets.push(fs::read_to_string(world.path(name)).unwrap());
    }
    secrets
}

/// How much it has open, but for the gateway's file: how many read that is for its lanes to say.
fn files(daemon: &Daemon) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
    let target = |entry: std::io::Result<fs::DirEntry>| fs::read_link(entry.unwrap().path());
    let targets = open.filter_map(|entry| target(entry).ok());
    let others = targets.filter(|target| !target.ends_with("new-api-2026-02.db"));
    others.count()
}

fn memory(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let (_, rest) = status.split_once("VmHWM:").unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

/// Callers who have begun to say something.
fn dawdlers(address: &str) -> Vec<TcpStream> {
    let begun: [&[u8]; 4] = [
        b"",
        b"GET /api/tok",
        b"GET / HTTP/1.1\r\nhost: x\r\nx: ",
        b"POST /api/token/ HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{\"na",
    ];
    let call = |number: usize| {
        let stream = TcpStream::connect(address).unwrap();
        (&stream).write_all(begun[number % begun.len()]).unwrap();
        stream
    };
    (0..DAWDLERS).map(call).collect()
}

/// Callers who ask for much and read nothing of it, until nobody takes their questions any more.
fn deaf(address: &str) -> Vec<TcpStream> {
    let ask =
        format!("GET /api/token/?size=100 HTTP/1.1\r\nhost: x\r\nauthorization: {ALICE}\r\n\r\n");
    let call = |_| {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nonblocking(true).unwrap();
        let many = ask.repeat(300);
        // What does not fit is not sent.
        drop((&stream).write(many.as_bytes()));
        stream
    };
    (0..DEAF).map(call).collect()
}

/// Sends every attack, several callers at once; gives what went wrong.
fn attack_all(address: &str, knowledge: &Knowledge, secrets: &[String]) -> Vec<String> {
    let (seed, next, failures) = (seed(), AtomicU64::new(0), Mutex::new(Vec::new()));
    let call = || loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= REQUESTS || failures.lock().unwrap().len() > 20 {
            break;
        }
        if number % SENSIBLE == 0
            && let Err(answer) = serves(address)
        {
            let failure = format!("seed {seed}, {number}: no longer served: {answer}");
            failures.lock().unwrap().push(failure);
        }
        let (name, attack) = attack(seed, number, knowledge);
        let came = wire::exchange(address, &attack, &mut Dice::new(seed, number));
        let judged = came.and_then(|came| {
            let shown = String::from_utf8_lossy(&came[..came.len().min(400)]).into_owned();
            wire::judge(&attack, &came, secrets).map_err(|wrong| format!("{wrong}: {shown}"))
        });
        if let Err(wrong) = judged {
            let sent = attack.bytes[..attack.bytes.len().min(600)].escape_ascii();
            let failure = format!(
                "seed {seed}, {number} ({name}, {:?}): {wrong}\n  {sent}",
                attack.way
            );
            failures.lock().unwrap().push(failure);
        }
    };
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(call);
        }
    });
    failures.into_inner().unwrap()
}

/// Nothing that the log should not hold.
fn judge_log(log: &str, secrets: &[String]) {
    for line in log.lines() {
        let told = secrets.iter().find(|secret| line.contains(*secret));
        assert!(told.is_none(), "{told:?} stands in the log: {line}");
        for word in ["panic", " ERROR ", " WARN ", "http.status=5"] {
            assert!(!line.contains(word), "{line}");
        }
        assert!(
            !line.contains(|letter: char| letter.is_control()),
            "{line:?}"
        );
    }
}

/// An installation without credentials, which would be refreshed meanwhile, and without a throttle.
fn unattended() -> Installation {
    let world = Installation::new("new-api-2026-02.db");
    world.configure(&format!(
        "[gateway]\ndatabase = \"sqlite:{}\"\n[state]\ndir = \"state\"\n\
         [api]\nlisten = \"127.0.0.1:0\"\nauth_failures = 1000000\n[log]\nlevel = \"debug\"\n",
        world.gateway.display()
    ));
    world
}

#[test]
fn ten_thousand_hostile_requests_change_nothing() {
    let world = unattended();
    let mut secrets = secrets(&world, 2);
    let key = "SELECT key FROM tokens WHERE id = 2";
    let key = world.other().query_row(key, [], |row| row.get(0)).unwrap();
    let daemon = world.serve();
    let address = daemon.address();
    let bearer = world.done(&["user", "token", "alice"]).trim().to_owned();
    secrets.push(bearer.clone());
    let knowledge = Knowledge { bearer, key };
    let (before, open) = (dump(&world.gateway), files(&daemon));

    let (dawdlers, deaf) = (dawdlers(&address), deaf(&address));
    let failures = attack_all(&address, &knowledge, &secrets);
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    serves(&address).unwrap();
    for dawdler in &dawdlers {
        // Each is refused, or hung up on, in its time.
        let mut rest = Vec::new();
        drop({ dawdler }.read_to_end(&mut rest));
        assert!(rest.len() < 1000);
    }
    drop((dawdlers, deaf));
    until("every connection is closed", || {
        (files(&daemon) <= open).then_some(())
    });

    assert_eq!(difference(&before, &dump(&world.gateway)), "");
    assert!(memory(&daemon) < MEMORY_KB, "{} kB", memory(&daemon));
    secrets.extend([knowledge.key, CANARY.to_owned(), ALICE.to_owned()]);
    judge_log(&daemon.log(), &secrets);
    let made = sensible(&address, "DELETE /api/token/2 HTTP/1.1");
    assert!(made.ends_with(r#"{"message":"","success":true}"#), "{made}");
    let changed = difference(&before, &dump(&world.gateway));
    assert!(changed.starts_with("tokens[2].deleted_at"), "{changed}");
    assert_eq!(changed.lines().count(), 1, "{changed}");
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn a_connection_may_be_used_for_long_and_half_of_it_closed() {
    let world = Installation::new("new-api-2026-02.db");
    let daemon = world.serve();
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    let ask = format!("GET /api/token/2 HTTP/1.1\r\nhost: x\r\nauthorization: {ALICE}\r\n\r\n");
    for _ in 0..500 {
        stream.write_all(ask.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\"success\":true}") {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).unwrap();
            assert_ne!(count, 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&bytes[..count]);
        }
    }
    stream.write_all(ask.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut last = String::new();
    stream.read_to_string(&mut last).unwrap();
    assert!(last.ends_with("\"success\":true}"), "{last}");
    assert_eq!(daemon.stop().code, Some(0));
}
