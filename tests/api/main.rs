//! The HTTP module of the real program: how it listens, whom it believes, what it logs, what it outlives.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod listen;
mod log;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use support::daemon::Daemon;
use support::installation::Installation;

/// An installation whose `[api]` has `keys` besides, or instead of its own `listen`.
fn with_api(keys: &str) -> Installation {
    let world = Installation::new("new-api-2026-08.db");
    let listen = "listen = \"127.0.0.1:0\"\n";
    let more = if keys.contains("listen = ") {
        keys.to_owned()
    } else {
        format!("{listen}{keys}")
    };
    world.edit(listen, &more);
    world
}

/// The answer to `request` as it stands; nothing where the daemon hangs up on it.
fn answer(daemon: &Daemon, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    exchange(&mut stream, request)
}

/// Either side may hang up while the other still sends: that is an end too.
fn exchange(stream: &mut (impl Read + Write), request: &[u8]) -> String {
    let mut text = Vec::new();
    if stream.write_all(request).is_ok() {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut bytes) {
            text.extend_from_slice(&bytes[..length]);
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// A GET with `headers`, each ended by a line break.
fn get(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n").into_bytes()
}

#[test]
fn nothing_hostile_ends_it() {
    let world = with_api("");
    let daemon = world.serve();
    let flood = format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(16 * 1024));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200));
    let body = "b".repeat(64 * 1024 + 1);
    let large = format!(
        "POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    for (request, statuses) in [
        (flood.as_bytes(), &["431", ""][..]),
        (many.as_bytes(), &["431", ""]),
        (large.as_bytes(), &["413"]),
        (b"\0\0\0\0\r\n\r\n", &["400"]),
        (b"GET /\xff HTTP/1.1\r\n\r\n", &["400", "404"]),
        (b"GET / HTTP/9.9\r\n\r\n", &["400"]),
        (
            b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            &["400"],
        ),
        (
            b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
            &["400"],
        ),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[""]),
        (b"\x16\x03\x01\x00\x01\x01\r\n\r\n", &["400"]),
    ] {
        let answer = answer(&daemon, request);
        let status = answer.split(' ').nth(1).unwrap_or_default();
        let shown = String::from_utf8_lossy(&request[..request.len().min(60)]);
        assert!(statuses.contains(&status), "{shown}: {answer}");
        assert_eq!(daemon.page("/healthz").0, 200, "after {shown}");
    }
    let half = TcpStream::connect(daemon.address()).unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    let slow = TcpStream::connect(daemon.address()).unwrap();
    (&slow).write_all(b"GET / HT").unwrap();
    assert_eq!(daemon.page("/readyz").0, 200);
    drop((half, slow));
    assert_eq!(daemon.stop().code, Some(0));
}
