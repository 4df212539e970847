//! Who calls: the address of the connection, or the one that a trusted proxy reports.
//!
//! `manners.rs` puts the [`Peer`] beside each request; the throttle and the access log go by it.
//! `X-Forwarded-For` alone is read: RFC 7239's `Forwarded` is absent because no common proxy sends it by
//! default, and reading both would let a client choose.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The caller's address; none for a caller on a Unix socket for whom nobody named one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(pub Option<IpAddr>);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unix"),
        }
    }
}

/// `api.trusted_proxies`: whose word is taken for the address of a caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Addresses and networks.
    pub networks: Vec<IpNet>,
    /// Whoever may connect to the Unix socket.
    pub unix: bool,
}

impl Proxies {
    fn trust(&self, address: Option<IpAddr>) -> bool {
        match address {
            Some(address) => self
                .networks
                .iter()
                .any(|network| network.contains(&address)),
            None => self.unix,
        }
    }

    /// The caller behind the connection from `direct` (none: a Unix socket): going back through
    /// `X-Forwarded-For`, the first that is not trusted. What lies behind an entry that is no address
    /// may be anybody's invention: there the last trusted address stands for the caller.
    #[must_use]
    pub fn peer(&self, direct: Option<IpAddr>, headers: &HeaderMap) -> Peer {
        let mut caller = direct.map(|address| address.to_canonical());
        if !self.trust(caller) {
            return Peer(caller);
        }
        let lines = headers.get_all(FORWARDED).iter().rev();
        let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for entry in entries {
            let Some(address) = address(entry) else { break };
            caller = Some(address);
            if !self.trust(caller) {
                break;
            }
        }
        Peer(caller)
    }
}

/// An address as proxies write it, with or without a port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let parsed: Option<IpAddr> = bare.parse().ok();
    parsed
        .or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    /// The caller that connects from `direct` (`unix` for a socket) with these lines.
    fn check(trusted: &[&str], direct: &str, lines: &[&str], expected: &str) {
        let mut proxies = Proxies::default();
        for word in trusted {
            match *word {
                "unix" => proxies.unix = true,
                network => proxies.networks.push(network.parse().unwrap()),
            }
        }
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        let peer = proxies.peer(direct.parse().ok(), &headers);
        assert_eq!(peer.to_string(), expected, "{trusted:?} {direct} {lines:?}");
    }

    #[test]
    fn only_a_trusted_proxy_names_the_caller() {
        let (client, lan) = ("198.51.100.7", &["10.0.0.0/8", "::1/128"][..]);
        check(&[], "10.0.0.1", &[client], "10.0.0.1");
        check(lan, "203.0.113.9", &[client], "203.0.113.9");
        check(lan, "10.0.0.1", &[], "10.0.0.1");
        check(lan, "10.0.0.1", &[client], client);
        check(lan, "::ffff:10.0.0.1", &["::ffff:198.51.100.7"], client);
        check(lan, "::1", &["2001:db8::5"], "2001:db8::5");
        check(lan, "unix", &[client], "unix");
        check(&["unix"], "unix", &[client], client);
        check(&["unix"], "unix", &[], "unix");
    }

    #[test]
    fn the_last_untrusted_address_counts_and_inventions_before_it_do_not() {
        let (client, lan) = ("198.51.100.7", &["10.0.0.0/8"][..]);
        let ask = |lines: &[&str], expected| check(lan, "10.0.0.1", lines, expected);
        ask(&["1.1.1.1, 198.51.100.7"], client);
        ask(&["1.1.1.1", "198.51.100.7"], client);
        ask(&["198.51.100.7, 10.0.0.2", "10.0.0.3"], client);
        ask(&["10.0.0.5, 10.0.0.4"], "10.0.0.5");
        ask(&["198.51.100.7:5044"], client);
        ask(&["[2001:db8::5]:80"], "2001:db8::5");
        ask(&["[2001:db8::5]"], "2001:db8::5");
        ask(&["198.51.100.7, nonsense"], "10.0.0.1");
        ask(&["198.51.100.7, nonsense, 10.0.0.2"], "10.0.0.2");
        ask(&["nonsense, 198.51.100.7"], client);
        ask(&["", " , "], "10.0.0.1");
        ask(&["\u{e9}\u{fffd}"], "10.0.0.1");
    }
}
