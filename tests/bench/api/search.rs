//! A search where no index leads to the caller's tokens: One-API's table, read whole.
//!
//! Watched from outside: how long a get takes meanwhile, and how long another process's COMMIT has to
//! wait, which is how long one read of ours lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keyfresh::clock::Clock;
use rusqlite::{Connection, TransactionBehavior};

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
    other.busy_timeout(Duration::from_secs(10)).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let committing = std::thread::spawn(move || longest_commit(&mut other, &stopped));
    let busy = searches(&daemon, async {});
    stop.store(true, Ordering::Relaxed);
    let what = "  … while another process commits without pause";
    table.line(what, busy, Target::Shown, "ms");
    let longest = committing.join().unwrap();
    table.line("  … its longest COMMIT", longest, Target::Most(PIECE), "ms");
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

/// How long a COMMIT had to wait, in milliseconds, at worst: for the readers of the file.
fn longest_commit(db: &mut Connection, stop: &AtomicBool) -> f64 {
    let mut longest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let change = db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .unwrap();
        change
            .execute(
                "UPDATE users SET request_count = request_count + 1 WHERE id = 1",
                [],
            )
            .unwrap();
        let watch = Clock::system().stopwatch();
        change.commit().unwrap();
        longest = longest.max(watch.elapsed());
    }
    longest.as_secs_f64() * 1000.0
}
