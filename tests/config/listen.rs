//! `[api]`: where it listens, TLS, whom it believes.

use std::fmt::Write as _;

use super::place::Place;

/// A certificate and its key, in PEM.
fn pair() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn api(keys: &str) -> Place {
    let (certificate, key) = pair();
    Place::with(&format!("[api]\n{keys}"))
        .file("tls.crt", &certificate)
        .mode("tls.crt", 0o644)
        .file("tls.key", &key)
}

const TLS: &str = "tls_certificate_file = \"tls.crt\"\ntls_key_file = \"tls.key\"\n";

#[test]
fn where_it_may_listen() {
    let check = |place: Place, listen: &str, tls: bool| {
        let api = place.config().api;
        assert_eq!(api.listen, listen);
        assert_eq!(api.tls.is_some(), tls, "{listen}");
    };
    check(api(""), "127.0.0.1:8787", false);
    check(api("listen = \"[::1]:0\"\n"), "[::1]:0", false);
    check(
        api("listen = \"unix:/run/k.sock\"\n"),
        "unix:/run/k.sock",
        false,
    );
    let place = api("listen = \"unix:k.sock\"\n");
    let beside = format!("unix:{}", place.path("k.sock").display());
    check(place, &beside, false);
    let everywhere = "listen = \"0.0.0.0:8787\"\n";
    check(api(&format!("{everywhere}{TLS}")), "0.0.0.0:8787", true);
    check(
        api(&format!("{everywhere}allow_plaintext = true\n")),
        "0.0.0.0:8787",
        false,
    );
}

#[test]
fn proxies_are_addresses_networks_or_the_socket() {
    let check = |list: &str, networks: &[&str], unix: bool| {
        let typed = format!("trusted_proxies = {list}\n");
        let proxies = api(&typed).config().api.trusted_proxies;
        let shown: Vec<String> = proxies.networks.iter().map(ToString::to_string).collect();
        assert_eq!(shown, networks);
        assert_eq!(proxies.unix, unix, "{list}");
    };
    check("[]", &[], false);
    check("[\"unix\"]", &[], true);
    check(
        "[\"127.0.0.1\", \"10.0.0.0/8\", \"::1\", \"::ffff:192.0.2.1\"]",
        &["127.0.0.1/32", "10.0.0.0/8", "::1/128", "192.0.2.1/32"],
        false,
    );
    check("\"127.0.0.1,unix\"", &["127.0.0.1/32"], true);
}

#[test]
fn what_cannot_be_listened_with_is_explained() {
    let mut told = String::new();
    let mut tell = |what: &str, place: Place| {
        writeln!(told, "{what}\n{}\n", place.problems()).unwrap();
    };
    tell("exposed", api("listen = \"0.0.0.0:80\"\n"));
    tell("exposed, v6", api("listen = \"[::]:80\"\n"));
    tell("no path", api("listen = \"unix:\"\n"));
    tell("no key", api("tls_certificate_file = \"tls.crt\"\n"));
    tell("no certificate", api("tls_key_file = \"tls.key\"\n"));
    tell(
        "TLS on a socket",
        api(&format!("listen = \"unix:k.sock\"\n{TLS}")),
    );
    tell("an open key", api(TLS).mode("tls.key", 0o644));
    tell(
        "neither is there",
        Place::with(&format!("[api]\nlisten = \"0.0.0.0:80\"\n{TLS}")),
    );
    let (certificate, key) = pair();
    tell("another's key", api(TLS).file("tls.key", &key));
    tell("a key twice", api(TLS).file("tls.crt", &key));
    tell(
        "a certificate twice",
        api(TLS).file("tls.key", &certificate),
    );
    insta::assert_snapshot!(told);
}
