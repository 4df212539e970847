//! Where `[api]` listens, who it is over TLS, and which proxies it believes.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use figment::value::Value;
use ipnet::IpNet;

use super::super::private_file::{Places, Refusal};
use super::super::raw::Table;
use super::super::value::listed;
use crate::api::Proxies;
use crate::tls::{self, Identity, Unfit};

const LISTEN: &str = "127.0.0.1:8787";

/// The keys that make an identity.
const CERTIFICATE: &str = "tls_certificate_file";
const KEY: &str = "tls_key_file";

/// Callers on the Unix socket, among `trusted_proxies`.
const UNIX: &str = "unix";

pub(super) struct Listen {
    pub(super) address: String,
    pub(super) tls: Option<Identity>,
    pub(super) allow_plaintext: bool,
}

pub(super) fn read(table: &mut Table<'_>) -> Listen {
    let base = table.document.places.base.clone();
    let expected = "HOST:PORT or unix:PATH";
    let address = table
        .parsed("listen", expected, &format!("\"{LISTEN}\""), |value| {
            address(value.as_str()?, &base)
        })
        .unwrap_or_else(|| LISTEN.to_owned());
    let tls = identity(table);
    let allow_plaintext = table.flag("allow_plaintext").unwrap_or(false);
    let wants_tls = table.has(CERTIFICATE) || table.has(KEY);
    if wants_tls && address.starts_with("unix:") {
        let named = if table.has(CERTIFICATE) {
            CERTIFICATE
        } else {
            KEY
        };
        table.report(
            named,
            "a Unix socket is not spoken to over TLS",
            "remove tls_certificate_file and tls_key_file, or listen on HOST:PORT",
        );
    }
    if !wants_tls && !allow_plaintext && is_exposed(&address) {
        table.report(
            "listen",
            "others than this machine can reach it, and without TLS whoever is on the way could read the tokens",
            "set tls_certificate_file and tls_key_file, or listen on 127.0.0.1:PORT or unix:PATH behind a TLS proxy, \
             or set allow_plaintext = true if you trust the way",
        );
    }
    Listen {
        address,
        tls,
        allow_plaintext,
    }
}

fn address(text: &str, base: &Path) -> Option<String> {
    if let Some(path) = text.strip_prefix("unix:") {
        let absolute = base.join(path);
        return (!path.is_empty()).then(|| format!("unix:{}", absolute.display()));
    }
    let (host, port) = text.rsplit_once(':')?;
    let is_host = !host.is_empty() && !host.contains(['/', '@']);
    (is_host && port.parse::<u16>().is_ok()).then(|| text.to_owned())
}

/// A name is looked up when it is bound, and judged then.
fn is_exposed(address: &str) -> bool {
    address
        .parse::<SocketAddr>()
        .is_ok_and(|address| !address.ip().to_canonical().is_loopback())
}

fn identity(table: &mut Table<'_>) -> Option<Identity> {
    let certificate = table.text(CERTIFICATE);
    let key = table.text(KEY);
    for (here, there) in [(CERTIFICATE, KEY), (KEY, CERTIFICATE)] {
        if table.has(here) && !table.has(there) {
            let fault = format!("{there} is missing: a certificate and its key go together");
            table.report(here, fault, format!("set {there} or remove {here}"));
        }
    }
    // Both are read before either is missed, so that all problems come at once.
    let chain = certificate.and_then(|name| {
        let path = table.document.places.locate(&name);
        let text = readable(table, CERTIFICATE, &path, Places::read_public(&path))?;
        fit(table, CERTIFICATE, tls::chain(&text))
    });
    let key = key.and_then(|name| {
        let path = table.document.places.locate(&name);
        let text = readable(table, KEY, &path, table.document.places.read(&path))?;
        fit(table, KEY, tls::private_key(&text))
    });
    fit(table, CERTIFICATE, Identity::new(chain?, key?))
}

fn readable<T>(table: &Table<'_>, key: &str, path: &Path, read: Result<T, Refusal>) -> Option<T> {
    read.map_err(|refusal| {
        let (fault, remedy) = refusal.explain(path);
        table.report(key, fault, remedy);
    })
    .ok()
}

fn fit<T>(table: &Table<'_>, key: &str, made: Result<T, Unfit>) -> Option<T> {
    made.map_err(|unfit| {
        let remedy = match unfit {
            Unfit::Certificate => "name the file with the whole chain in PEM",
            Unfit::Key => "name the file with the certificate's private key in PEM",
            Unfit::Pair(_) => "name a certificate and the key it was made with",
        };
        table.report(key, unfit.to_string(), remedy);
    })
    .ok()
}

/// Addresses, networks and the word `unix`.
pub(super) fn proxies(table: &mut Table<'_>) -> Proxies {
    let expected = "a list of addresses, networks like 10.0.0.0/8, or \"unix\"";
    table
        .parsed("trusted_proxies", expected, "[\"127.0.0.1\"]", believed)
        .unwrap_or_default()
}

fn believed(value: &Value) -> Option<Proxies> {
    let mut proxies = Proxies::default();
    for word in listed(value)? {
        match word.as_str()? {
            UNIX => proxies.unix = true,
            text => proxies.networks.push(network(text)?),
        }
    }
    Some(proxies)
}

fn network(text: &str) -> Option<IpNet> {
    let one: Option<IpAddr> = text.parse().ok();
    one.map(|address| IpNet::from(address.to_canonical()))
        .or_else(|| text.parse().ok())
}
