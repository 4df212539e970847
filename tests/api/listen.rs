//! Where it listens: TLS with certificates that change, a socket, and nothing that others could read.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use nix::sys::signal::Signal;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::daemon::Daemon;
use crate::support::installation::{Installation, mode};
use crate::support::until;
use crate::{answer, exchange, get, with_api};

const TLS: &str = "tls_certificate_file = \"tls.crt\"\ntls_key_file = \"tls.key\"\n";

/// Puts a new certificate for `localhost` and its key where the configuration names them.
fn certify(world: &Installation) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    world.secret("tls.crt", &made.cert.pem());
    world.secret("tls.key", &made.signing_key.serialize_pem());
    made.cert.der().clone()
}

/// The answer to a caller who trusts `root` alone; empty if the two cannot agree.
fn ask(daemon: &Daemon, root: &CertificateDer<'static>, path: &str) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(daemon.address()).unwrap();
    exchange(&mut StreamOwned::new(connection, stream), &get(path, ""))
}

#[test]
fn a_reload_takes_over_a_new_certificate_or_keeps_the_old() {
    let world = with_api(TLS);
    let first = certify(&world);
    let daemon = world.serve();
    assert!(ask(&daemon, &first, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(!answer(&daemon, &get("/healthz", "")).starts_with("HTTP"));

    let second = certify(&world);
    assert_eq!(ask(&daemon, &second, "/healthz"), "");
    daemon.signal(Signal::SIGHUP);
    daemon.logs("configuration reloaded");
    assert!(ask(&daemon, &second, "/healthz").starts_with("HTTP/1.1 200"));
    assert_eq!(ask(&daemon, &first, "/healthz"), "");

    let certificate = std::fs::read_to_string(world.path("tls.crt")).unwrap();
    certify(&world);
    world.secret("tls.crt", &certificate);
    daemon.signal(Signal::SIGHUP);
    daemon.logs("api.tls_certificate_file: does not fit the key");
    assert!(daemon.log().contains("the old one stays in force"));
    assert!(ask(&daemon, &second, "/healthz").starts_with("HTTP/1.1 200"));

    world.edit(TLS, "");
    daemon.signal(Signal::SIGHUP);
    daemon.logs("these changes need a restart");
    assert!(ask(&daemon, &second, "/healthz").starts_with("HTTP/1.1 200"));
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn a_socket_is_for_its_group_and_gone_at_the_end() {
    let world = with_api("listen = \"unix:api.sock\"\n");
    let daemon = world.serve();
    let path = world.path("api.sock");
    assert_eq!(daemon.address(), format!("unix:{}", path.display()));
    assert_eq!(mode(&path), 0o660);
    let mut stream = UnixStream::connect(&path).unwrap();
    let answer = exchange(&mut stream, &get("/readyz", ""));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(daemon.stop().code, Some(0));
    assert!(!path.exists());
}

#[test]
fn what_others_could_read_is_refused_unless_asked_for() {
    let world = with_api("listen = \"0.0.0.0:0\"\n");
    let refused = world.run(&["serve"]);
    assert_eq!(refused.code, Some(78), "{refused:?}");
    for way in [
        "could read the tokens",
        "tls_certificate_file",
        "127.0.0.1:PORT or unix:PATH",
        "allow_plaintext = true",
    ] {
        assert!(refused.stderr.contains(way), "{way}: {refused:?}");
    }
    assert_eq!(world.run(&["check"]).code, Some(78));

    world.edit("0.0.0.0:0\"\n", "0.0.0.0:0\"\nallow_plaintext = true\n");
    let daemon = world.serve();
    let port = daemon.address().replace("0.0.0.0:", "127.0.0.1:");
    let mut stream = until("it listens", || TcpStream::connect(&port).ok());
    let answer = exchange(&mut stream, &get("/healthz", ""));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(daemon.stop().code, Some(0));
}
