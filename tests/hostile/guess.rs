//! Who guesses at tokens waits, and nobody else does.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use crate::attack::ALICE;
use crate::support::installation::Installation;

/// The answer to a caller from this address of the machine.
fn from(world: &Installation, host: Ipv4Addr, to: &str, headers: &str) -> String {
    let to: SocketAddr = to.parse().unwrap();
    world.runtime.block_on(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((host, 0))).unwrap();
        let mut stream = socket.connect(to).await.unwrap();
        let request =
            format!("GET /api/token/2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    })
}

#[test]
fn an_address_that_guesses_waits_alone() {
    let world = Installation::new("new-api-2026-02.db");
    let daemon = world.serve();
    let address = daemon.address();
    let (guesser, neighbour) = (Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2));
    let good = format!("authorization: {ALICE}\r\n");
    for number in 0..100 {
        let guess = format!("authorization: Bearer guess{number}\r\n");
        let answer = from(&world, guesser, &address, &guess);
        assert!(answer.starts_with("HTTP/1.1 401"), "{number}: {answer}");
        assert!(answer.contains("www-authenticate: Bearer\r\n"), "{answer}");
    }
    // Who waits is not told whether a token is good, whatever it says of its address.
    let disguised = format!("{good}x-forwarded-for: 127.0.0.2\r\nforwarded: for=127.0.0.2\r\n");
    for headers in ["authorization: guess\r\n", "", &good, &disguised] {
        let answer = from(&world, guesser, &address, headers);
        assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
        let (_, wait) = answer.split_once("retry-after: ").unwrap();
        let seconds: u64 = wait.lines().next().unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{answer}");
    }
    let answer = from(&world, neighbour, &address, &good);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(daemon.page("/healthz").0, 200);
    assert_eq!(daemon.stop().code, Some(0));
}
