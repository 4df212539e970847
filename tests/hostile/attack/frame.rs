//! Requests that are hardly any: lengths, chunks, headers and protocols.

use super::{ALICE, Attack, CANARY, Knowledge, Outcome, request, with_headers};
use crate::dice::Dice;

/// What must never be taken for a request of its own.
fn hidden() -> String {
    format!("DELETE /api/token/2 HTTP/1.1\r\nhost: x\r\nauthorization: {ALICE}\r\n\r\n")
}

pub(super) fn flood(dice: &mut Dice, _: &Knowledge) -> Attack {
    let line = format!("authorization: {ALICE}\r\n");
    let headers = match dice.below(5) {
        0 => format!("{line}{}", "a: b\r\n".repeat(dice.within(100, 2000))),
        1 => format!("{line}x: {}\r\n", "b".repeat(dice.within(15_000, 40_000))),
        2 => format!("{line}{}: b\r\n", "x".repeat(dice.within(15_000, 40_000))),
        3 => line.repeat(dice.within(98, 300)),
        _ => format!(
            "{line}cookie: {}\r\n",
            format!("{CANARY}=x; ").repeat(dice.within(300, 900))
        ),
    };
    Attack::new(
        with_headers("DELETE", b"/api/token/3", headers.as_bytes(), b""),
        Outcome::Refused,
    )
    .halved()
}

pub(super) fn header(dice: &mut Dice, _: &Knowledge) -> Attack {
    let odd: &[u8] = dice.pick(&[
        &b"x\r\n"[..], b": x\r\n", b" x: y\r\n", b"x : y\r\n", b"x\0: y\r\n", b"x: a\0b\r\n", b"x: a\rb\r\n",
        b"x: a\nb\r\n", b"x: \xff\xfe\r\n", b"x: y\r\n z\r\n", b"x(): y\r\n", b"\xffx: y\r\n", b"host: y\r\n",
        b"host:\r\n", b"host: a b/c\r\n", b"expect: 200-ok\r\n", b"expect: 100-continue\r\n", b"range: bytes=0-0\r\n",
        b"upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
        b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: x\r\n", b"connection: \r\n",
        b"connection: keep-alive, close, x\r\n", b"accept-language: \xff;q=9\r\n", b"accept: image/png;q=x\r\n",
        b"accept-encoding: gzip;q=1.0, *;q=0\r\n", b"if-none-match: *\r\n", b"te: trailers\r\n",
        b"x-forwarded-for: \xff, 1.2.3.4, ::\r\n", b"content-type: \0\r\n", b"content-encoding: gzip\r\n",
        b"accept-language: en\r\nset-cookie: a=b\r\n", b"x-request-id: a\r\n\r\nHTTP/1.1 200 OK\r\n",
    ]);
    let headers = [format!("authorization: {ALICE}\r\n").as_bytes(), odd].concat();
    Attack::new(
        with_headers("DELETE", b"/api/token/9999", &headers, b""),
        Outcome::Refused,
    )
    .halved()
}

/// A creation that would be fine if its length were.
pub(super) fn length(dice: &mut Dice, _: &Knowledge) -> Attack {
    let lengths = dice.pick(&[
        "content-length: -1",
        "content-length: +20",
        "content-length: 0x14",
        "content-length: 20, 21",
        "content-length: 20\r\ncontent-length: 21",
        "content-length: 21\r\ncontent-length: 20",
        "content-length: 18446744073709551616",
        "content-length: 18446744073709551615",
        "content-length: 9223372036854775807",
        "content-length: 99999",
        "content-length: 1000000000000",
        "content-length: 2e1",
        "content-length:",
        "content-length: 20.0",
        "content-length: \u{ff12}0",
        "content-length: 2 0",
        "content-length: 65537",
        "content-length: 1048577\r\nexpect: 100-continue",
    ]);
    let bytes = format!(
        "POST /api/token/ HTTP/1.1\r\nhost: x\r\nauthorization: {ALICE}\r\n{lengths}\r\n\r\n{{\"name\":\"smuggled\"}} "
    );
    Attack::new(bytes.into_bytes(), Outcome::Refused).halved()
}

/// Two ways to tell where a request ends, and a deletion where they differ.
pub(super) fn smuggled(dice: &mut Dice, _: &Knowledge) -> Attack {
    let hidden = hidden();
    let chunked = dice.pick(&[
        "transfer-encoding: chunked",
        "Transfer-Encoding: Chunked",
        "transfer-encoding:\tchunked",
        "transfer-encoding: identity, chunked",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: xchunked",
        "transfer-encoding : chunked",
        "transfer-encoding: \"chunked\"",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding: identity\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked;q=1",
        "transfer-encoding:\u{b}chunked",
        " transfer-encoding: chunked",
        "x: y\r\n transfer-encoding: chunked",
        "transfer-encoding: chunked\0",
    ]);
    let body = format!("0\r\n\r\n{hidden}");
    let length = format!("content-length: {}", body.len());
    let (one, other) = if dice.once_in(2) {
        (chunked, length.as_str())
    } else {
        (length.as_str(), chunked)
    };
    let bytes = format!(
        "PUT /api/token/ HTTP/1.1\r\nhost: x\r\nauthorization: {ALICE}\r\n{one}\r\n{other}\r\n\r\n{body}"
    );
    Attack::new(bytes.into_bytes(), Outcome::Refused).halved()
}

pub(super) fn chunks(dice: &mut Dice, _: &Knowledge) -> Attack {
    let body = match dice.below(10) {
        0 => "ffffffffffffffffff\r\n{}\r\n0\r\n\r\n".to_owned(),
        1 => "-2\r\n{}\r\n0\r\n\r\n".to_owned(),
        2 => format!(
            "2;{}\r\n{{}}\r\n0\r\n\r\n",
            "x".repeat(dice.within(20_000, 90_000))
        ),
        3 => format!(
            "0\r\n{}\r\n",
            "trailer: x\r\n".repeat(dice.within(1500, 4000))
        ),
        4 => format!("1\r\n{{\r\n{}", "0\r\n".repeat(dice.within(1, 50))),
        5 => "3\r\n{\"n".to_owned(),
        6 => "2\n{}\n0\n\n".to_owned(),
        7 => format!("11000\r\n{}\r\n0\r\n\r\n", "x".repeat(0x11000)),
        8 => format!("{}0\r\n\r\n", "1\r\n[\r\n".repeat(dice.within(1, 3000))),
        _ => "zz\r\n{}\r\n0\r\n\r\n".to_owned(),
    };
    let head = format!(
        "PUT /api/token/ HTTP/1.1\r\nhost: x\r\nauthorization: {ALICE}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    Attack::new((head + &body).into_bytes(), Outcome::Refused).halved()
}

pub(super) fn protocol(dice: &mut Dice, _: &Knowledge) -> Attack {
    let said: &[u8] = dice.pick(&[
        &b"GET /api/token/\r\n"[..],
        b"GET /\r\n\r\n",
        b"GET / HTTP/0.9\r\n\r\n",
        b"GET /x HTTP/1.0\r\n\r\n",
        b"GET /x HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
        b"GET /x HTTP/1.2\r\n\r\n",
        b"GET / HTTP/1.10\r\n\r\n",
        b"GET / http/1.1\r\n\r\n",
        b"GET / HTTP/2\r\n\r\n",
        b"GET / HTTP/3.0\r\n\r\n",
        b"GET / HTTPS/1.1\r\n\r\n",
        b"GET  /x  HTTP/1.1\r\n\r\n",
        b"GET /x HTTP/1.1 x\r\n\r\n",
        b"GET\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"\n",
        b"\0",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0d",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"EHLO x\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\x05\x01\0",
        b"\x80\x2e\x01\0\x02",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\nGET /x HTTP/1.1\r\n\r\n",
        b"{\"id\":1}",
        b"GET / HTTP/1.1\rX: y\r\r",
        b"GET /x HTTP/1.1\n\n",
        b"GET /\0 HTTP/1.1\r\n\r\n",
    ]);
    let mut bytes = said.to_vec();
    if dice.once_in(3) {
        let count = dice.within(1, 20_000);
        bytes.extend(dice.bytes(count));
    }
    if dice.once_in(10) {
        bytes = vec![b'A'; dice.within(1, 100_000)];
    }
    Attack::new(bytes, Outcome::Refused).halved()
}

/// Many calls at once; each has its answer.
pub(super) fn pipeline(dice: &mut Dice, _: &Knowledge) -> Attack {
    let count = dice.within(2, 30);
    let mut bytes = Vec::new();
    for _ in 1..count {
        let target = dice.pick(&["/api/token/?size=1", "/api/token/3", "/nowhere", "/healthz"]);
        let call = request("GET", target, b"");
        let call = String::from_utf8(call).unwrap();
        bytes.extend_from_slice(call.replace("connection: close\r\n", "").as_bytes());
    }
    bytes.extend(request("GET", "/api/token/9999", b""));
    // What comes after the last is for nobody.
    bytes.extend_from_slice(hidden().as_bytes());
    Attack::new(bytes, Outcome::Answers(count))
}
