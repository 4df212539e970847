//! `url` with `allow_plaintext` beside it: whom secrets may be sent to without TLS.

use url::{Host, Url};

use super::raw::Table;

/// The table's `url`: https, or plain http to this machine or where `allow_plaintext` permits it.
pub(super) fn read(table: &mut Table<'_>) -> Option<Url> {
    let plaintext = table.flag("allow_plaintext").unwrap_or(false);
    let expected = "an address like https://HOST[:PORT][/PATH] without user, password or #fragment";
    let url = table.parsed("url", expected, "\"https://gateway.example\"", |value| {
        Url::parse(value.as_str()?).ok().filter(is_plain)
    })?;
    if url.scheme() == "http" && !plaintext && !is_loopback(&url) {
        table.report(
            "url",
            "plain http would show secrets to the network",
            "use https, or set allow_plaintext = true if you trust the way there",
        );
        return None;
    }
    Some(url)
}

fn is_plain(url: &Url) -> bool {
    ["http", "https"].contains(&url.scheme())
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
