//! The gateway at work: a thread that books requests, none of which may be refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use crate::support::installation::Installation;

/// Who pays for the requests.
const PAYER: &str = "users[2]";

/// How long it rests after each booking.
const REST: Duration = Duration::from_millis(20);

/// The running gateway.
pub(crate) struct Booking {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Booking {
    pub(crate) fn start(world: &Installation) -> Self {
        let mut gateway = Connection::open(&world.gateway).unwrap();
        gateway.busy_timeout(Duration::from_secs(5)).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let mut booked = 0;
            while !told.load(Ordering::Relaxed) {
                book(&mut gateway);
                booked += 1;
                std::thread::park_timeout(REST);
            }
            booked
        });
        Self { ended, thread }
    }

    /// Ends it; how many requests it booked.
    pub(crate) fn end(self) -> usize {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn book(gateway: &mut Connection) {
    let immediate = rusqlite::TransactionBehavior::Immediate;
    let transaction = gateway.transaction_with_behavior(immediate).unwrap();
    transaction
        .execute_batch(
            "INSERT INTO logs (user_id, content) VALUES (2, 'soak');
             UPDATE users SET used_quota = used_quota + 1 WHERE id = 2;",
        )
        .unwrap();
    transaction.commit().unwrap();
}

/// Whether a changed cell is one that a booking changes.
pub(crate) fn is_booked(change: &str) -> bool {
    change.starts_with("logs[") || change.starts_with(PAYER)
}

/// How a changed cell tells that `booked` requests were paid for.
pub(crate) fn paid(booked: usize) -> String {
    format!("{PAYER}.used_quota: integer 0 → integer {booked}")
}
