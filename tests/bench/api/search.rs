//! A search where no index leads to the caller's tokens: One-API's table, read whole.
//!
//! Watched from outside: how long a get takes meanwhile, and how long another process's COMMIT has to
//! wait, which is how long one read of ours lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use keyfresh::clock::Clock;
use rusqlite::Connection;

use crate::gateway::{self, Layout};
use crate::load::{self, Call, Crowd, Request, Sample};
use crate::support::daemon::Daemon;
use crate::table::{Table, Target};

/// Clients who get a token while somebody searches.
const BYSTANDERS: usize = 4;

/// How long somebody searches without pause, at least; the last search is waited for.
const SPAN: Duration = Duration::from_secs(2);

/// One read may last so long, in milliseconds.
const PIECE: f64 = 100.0;

pub(crate) fn measure(table: &mut Table) {
    let world = gateway::large(&Layout::ONE_API);
    let ids = gateway::own_ids(&world.gateway, 64);
    let daemon = world.serve();
    let alone = searches(&daemon, async {});
    let what = "search in One-API's 1,000,000 rows, median";
    table.line(what, alone, Target::Shown, "ms");

    let call = Arc::new(Call::new("get", ids.len(), move |number| {
        Request::get(format!("/api/token/{}", ids[number]))
    }));
    let address = gateway::address(&daemon);
    let mut gets = Sample::default();
    let busy = searches(&daemon, async {
        let mut crowd = Crowd::connect(&address, BYSTANDERS, Layout::ONE_API.authorization).await;
        crowd.drive(&call, SPAN, &mut gets).await;
    });
    let what = format!("  … while {BYSTANDERS} clients get without pause");
    table.line(what, busy, Target::Shown, "ms");
    table.line("  … their median", gets.within(50), Target::Shown, "ms");
    let longest = gets.within(100);
    table.line("  … their longest get", longest, Target::Most(PIECE), "ms");

    let mut other = world.other();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let committing = std::thread::spawn(move || longest_wait(&mut other, &stopped));
    let busy = searches(&daemon, async {});
    stop.store(true, Ordering::Relaxed);
    let what = "search while another process commits without pause";
    table.line(what, busy, Target::Shown, "ms");
    let what = "  … the longest that one of its commits waited for us";
    let longest = committing.join().unwrap();
    table.line(what, longest, Target::Most(PIECE), "ms");
    daemon.stop();
}

/// The median time of a search in milliseconds, while `meanwhile` goes on.
fn searches(daemon: &Daemon, meanwhile: impl Future<Output = ()>) -> f64 {
    let call = Arc::new(Call::new("search", 1, |_| {
        Request::get("/api/token/search?keyword=runner%2077&token=")
    }));
    let address = gateway::address(daemon);
    let mut sample = Sample::default();
    load::thread().block_on(async {
        let mut client = Crowd::connect(&address, 1, Layout::ONE_API.authorization).await;
        tokio::join!(client.drive(&call, SPAN, &mut sample), meanwhile);
    });
    sample.within(50)
}

/// How long a COMMIT had to wait at worst for the readers of the file, in milliseconds, and for no disk:
/// from when `SQLite` first found them there until it found them gone.
fn longest_wait(db: &mut Connection, stop: &AtomicBool) -> f64 {
    let longest = Arc::new(AtomicU64::new(0));
    let (noted, watch) = (Arc::clone(&longest), Clock::system().stopwatch());
    let mut since = Duration::ZERO;
    // SQLite's own way of waiting would look only every 100 ms in the end.
    db.busy_handler(Some(move |tries| {
        if tries == 0 {
            since = watch.elapsed();
        }
        std::thread::park_timeout(Duration::from_micros(200));
        let waited = watch.elapsed().saturating_sub(since).as_micros();
        noted.fetch_max(waited.try_into().unwrap(), Ordering::Relaxed);
        true
    }))
    .unwrap();
    let sql = "UPDATE users SET request_count = request_count + 1 WHERE id = 1";
    while !stop.load(Ordering::Relaxed) {
        db.execute(sql, []).unwrap();
    }
    Duration::from_micros(longest.load(Ordering::Relaxed)).as_secs_f64() * 1000.0
}
