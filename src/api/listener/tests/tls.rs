//! TLS on the way in, with certificates made here.

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::*;
use crate::tls;

/// A certificate for `localhost` that nobody vouches for, and its key.
fn certificate() -> (CertificateDer<'static>, Identity) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = tls::private_key(&made.signing_key.serialize_pem()).unwrap();
    let root = made.cert.der().clone();
    (root.clone(), Identity::new(vec![root], key).unwrap())
}

/// The answer to `request` over TLS by a caller who trusts `root` alone, or why there is none.
async fn ask(
    world: &World,
    root: &CertificateDer<'static>,
    protocol: &[u8],
) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, world.connect().await).await?;
    let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn world(limits: Limits) -> (World, watch::Sender<Identity>, CertificateDer<'static>) {
    let (root, identity) = certificate();
    let shown = watch::Sender::new(identity);
    let terms = Terms {
        tls: Some(shown.subscribe()),
        ..Terms::default()
    };
    let world = World::on("127.0.0.1:0", hello(), terms, limits).await;
    (world, shown, root)
}

#[tokio::test]
async fn the_identity_of_the_moment_is_shown() {
    let (world, shown, first) = world(PATIENT).await;
    let answer = ask(&world, &first, b"http/1.1").await.unwrap();
    assert_eq!(parts(&answer), ("HTTP/1.1 200 OK", "hello"));
    let (second, identity) = certificate();
    assert!(ask(&world, &second, b"http/1.1").await.is_err());
    shown.send_replace(identity);
    assert!(ask(&world, &first, b"http/1.1").await.is_err());
    let answer = ask(&world, &second, b"http/1.1").await.unwrap();
    assert_eq!(parts(&answer), ("HTTP/1.1 200 OK", "hello"));
    assert!(ask(&world, &second, b"h2").await.is_err());
    world.stop().await;
}

#[tokio::test]
async fn who_does_not_greet_is_hung_up_on() {
    let limits = Limits {
        head_time: SHORT,
        ..PATIENT
    };
    let (world, _shown, root) = world(limits).await;
    for sent in ["", "\x16\x03\x01\x02", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let mut stream = world.connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(!answer.starts_with(b"HTTP"), "{sent}: {answer:?}");
    }
    assert!(ask(&world, &root, b"http/1.1").await.is_ok());
    world.stop().await;
}

#[tokio::test]
async fn a_stop_waits_for_no_greeting() {
    let (world, _shown, _root) = world(PATIENT).await;
    let mut silent = world.connect().await;
    silent.write_all(b"\x16").await.unwrap();
    world.stop().await;
    assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0);
}
