//! Parts that several test programs share.
#![allow(dead_code, reason = "each test program uses only some of it")]

pub(crate) mod console;
pub(crate) mod daemon;
pub(crate) mod database;
pub(crate) mod dice;
pub(crate) mod disk;
pub(crate) mod gate;
pub(crate) mod gateway;
pub(crate) mod installation;
pub(crate) mod npm;
pub(crate) mod peer;
pub(crate) mod picture;
pub(crate) mod rows;
pub(crate) mod strace;
pub(crate) mod wire;
pub(crate) mod world;

use std::time::Duration;

use keyfresh::clock::Clock;

/// How long anything that a test waits for may take; only a failure takes so long.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits for `coming`; fails when that takes too long.
pub(crate) async fn comes<T>(what: &str, coming: impl Future<Output = T>) -> T {
    let came = tokio::time::timeout(PATIENCE, coming).await;
    came.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// Looks again and again until `look` finds something; fails when that takes too long.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let watch = Clock::system().stopwatch();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(watch.elapsed() < PATIENCE, "waited too long until {what}");
        // Leaves the processor to whom is waited for; what is looked at cannot wake anybody.
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
