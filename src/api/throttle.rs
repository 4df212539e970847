//! Failed logins per address: too many within a minute, and that address alone waits.
//!
//! The resources ask before they look at a token and report when it was no good. A caller on a Unix
//! socket has no address and is not throttled: the socket's mode says who may connect. Behind a proxy
//! that is not in `api.trusted_proxies` all callers share the proxy's address, and so its fate.
//!
//! Memory is bounded by a table of fixed size, like a processor's cache: an address has a few places, and
//! takes the one with the fewest failures. So a flood of addresses displaces others like it, not one that
//! waits. An IPv6 address counts as its /64, which is what one customer has.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::peer::Peer;
use crate::clock::{Clock, Stopwatch};

/// What failures are counted within; it begins with the first.
const MINUTE: Duration = Duration::from_mins(1);

/// Addresses remembered at most: this many rows, and places in each.
const ROWS: usize = 1024;
const PLACES: usize = 4;

/// Counts failed logins; shared by all handlers.
#[derive(Debug)]
pub struct Throttle {
    watch: Stopwatch,
    counts: Mutex<Counts>,
}

/// The caller has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter {
    /// Whole seconds, at least 1.
    pub seconds: u64,
}

impl Throttle {
    /// Lets `failures` a minute pass from each address.
    #[must_use]
    pub fn new(failures: u32, clock: &Clock) -> Self {
        Self {
            watch: clock.stopwatch(),
            counts: Mutex::new(Counts::new(failures)),
        }
    }

    /// Whether `peer` may try a token now.
    ///
    /// # Errors
    /// When it failed too often within a minute.
    pub fn admit(&self, peer: Peer) -> Result<(), RetryAfter> {
        match peer.0 {
            Some(address) => self.counts().admit(network(address), self.watch.elapsed()),
            None => Ok(()),
        }
    }

    /// Remembers that a token of `peer` was no good.
    pub fn failed(&self, peer: Peer) {
        if let Some(address) = peer.0 {
            self.counts().failed(network(address), self.watch.elapsed());
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // A count is whole at any moment, so a panic elsewhere leaves none half done.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of an address counts: all of an IPv4 one, the first half of an IPv6 one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(long) => {
            let [a, b, c, d, ..] = long.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        short @ IpAddr::V4(_) => short,
    }
}

/// The failures of one address in its minute.
#[derive(Clone, Copy, Debug)]
struct Count {
    network: IpAddr,
    since: Duration,
    failures: u32,
}

impl Count {
    /// How many of its failures still count.
    fn weight(&self, now: Duration) -> u32 {
        if now.saturating_sub(self.since) < MINUTE {
            self.failures
        } else {
            0
        }
    }
}

/// The table; time is an argument.
#[derive(Debug)]
struct Counts {
    limit: u32,
    hasher: RandomState,
    rows: Vec<[Option<Count>; PLACES]>,
}

impl Counts {
    fn new(limit: u32) -> Self {
        Self {
            limit,
            hasher: RandomState::new(),
            rows: vec![[None; PLACES]; ROWS],
        }
    }

    fn row(&mut self, network: IpAddr) -> &mut [Option<Count>; PLACES] {
        let hash = self.hasher.hash_one(network);
        let [low, high, ..] = hash.to_le_bytes();
        let row = usize::from(u16::from_le_bytes([low, high])) % ROWS;
        &mut self.rows[row]
    }

    fn admit(&mut self, network: IpAddr, now: Duration) -> Result<(), RetryAfter> {
        let limit = self.limit;
        let mut counts = self.row(network).iter().flatten();
        match counts.find(|count| count.network == network) {
            Some(count) if count.weight(now) >= limit => {
                let rest = (count.since + MINUTE).saturating_sub(now);
                Err(RetryAfter {
                    seconds: rest.as_secs() + u64::from(rest.subsec_nanos() > 0),
                })
            }
            _ => Ok(()),
        }
    }

    fn failed(&mut self, network: IpAddr, now: Duration) {
        let row = self.row(network);
        let fresh = Count {
            network,
            since: now,
            failures: 1,
        };
        let mut counts = row.iter_mut().flatten();
        if let Some(count) = counts.find(|count| count.network == network) {
            *count = match count.weight(now) {
                0 => fresh,
                failures => Count {
                    failures: failures.saturating_add(1),
                    ..*count
                },
            };
            return;
        }
        let weight =
            |place: &&mut Option<Count>| place.as_ref().map_or(0, |count| count.weight(now));
        if let Some(place) = row.iter_mut().min_by_key(weight) {
            *place = Some(fresh);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(address: &str) -> IpAddr {
        network(address.parse().unwrap())
    }

    fn waits(seconds: u64) -> Result<(), RetryAfter> {
        Err(RetryAfter { seconds })
    }

    #[test]
    fn who_fails_too_often_waits_out_the_minute_alone() {
        let (mut counts, noisy, other) = (Counts::new(3), at("192.0.2.1"), at("192.0.2.2"));
        counts.failed(other, SECOND);
        for _ in 0..3 {
            assert_eq!(counts.admit(noisy, SECOND), Ok(()));
            counts.failed(noisy, SECOND);
        }
        assert_eq!(counts.admit(noisy, SECOND), waits(60));
        assert_eq!(counts.admit(noisy, SECOND * 30), waits(31));
        let last = Duration::new(60, 999_999_999);
        assert_eq!(counts.admit(noisy, last), waits(1));
        assert_eq!(counts.admit(other, last), Ok(()));
        assert_eq!(counts.admit(noisy, SECOND * 61), Ok(()));
        counts.failed(noisy, SECOND * 61);
        assert_eq!(counts.admit(noisy, SECOND * 61), Ok(()));
    }

    #[test]
    fn what_counts_as_one_address() {
        let check = |one: &str, other: &str, same: bool| {
            assert_eq!(at(one) == at(other), same, "{one} {other}");
        };
        check("192.0.2.1", "192.0.2.2", false);
        check("::ffff:192.0.2.1", "192.0.2.1", true);
        check("2001:db8:0:1::1", "2001:db8:0:1:ffff::", true);
        check("2001:db8:0:1::1", "2001:db8:0:2::1", false);
    }

    #[test]
    fn a_flood_of_addresses_frees_nobody_and_takes_no_room() {
        let (mut counts, noisy) = (Counts::new(2), at("192.0.2.1"));
        counts.failed(noisy, SECOND);
        counts.failed(noisy, SECOND);
        for number in 0..50_000_u32 {
            counts.failed(IpAddr::from(number.to_be_bytes()), SECOND * 2);
        }
        assert_eq!(counts.admit(noisy, SECOND * 3), waits(58));
        let remembered = counts.rows.iter().flatten().flatten().count();
        assert_eq!(remembered, ROWS * PLACES);
    }

    #[test]
    fn a_caller_without_an_address_never_waits() {
        let throttle = Throttle::new(1, &Clock::system());
        let (unix, far) = (Peer(None), Peer(Some(at("192.0.2.1"))));
        throttle.failed(unix);
        throttle.failed(far);
        assert_eq!(throttle.admit(unix), Ok(()));
        assert_eq!(throttle.admit(far), waits(60));
    }
}
