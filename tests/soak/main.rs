//! A long run of the real daemon under a fickle provider, beside a gateway that books all the time: its
//! first half with kills, its second in one process whose size is watched.
//!
//! `KEYFRESH_SOAK=20000 cargo test --release --test soak -- --nocapture` asks for so many refreshes
//! instead of 500 and prints what it came to. `KEYFRESH_SEED` repeats a run's choices, not its timing.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod booking;
mod course;
mod judge;
mod size;
mod stage;

use course::Course;
use size::Sizes;

const REFRESHES: usize = 500;
const SEED: u64 = 20_261_121;

#[expect(clippy::disallowed_methods, reason = "how a person asks for more")]
fn asked<T: std::str::FromStr>(variable: &str) -> Option<T> {
    let text = std::env::var(variable).ok()?;
    let Ok(number) = text.parse() else {
        panic!("{variable}: expected a number");
    };
    Some(number)
}

#[test]
fn a_long_run_loses_nothing_and_does_not_grow() {
    let refreshes = asked("KEYFRESH_SOAK").unwrap_or(REFRESHES);
    let seed = asked("KEYFRESH_SEED").unwrap_or(SEED);
    println!("{refreshes} refreshes, KEYFRESH_SEED={seed}");
    let mut course = Course::new(refreshes, seed);
    let begun = course.sizes();
    while course.refreshes() < refreshes / 2 {
        course.round(true);
    }
    let mut sizes = vec![course.sizes()];
    while course.refreshes() < refreshes {
        course.round(false);
        sizes.push(course.sizes());
    }
    println!("{}", course.report());
    println!("{}", Sizes::table(&begun, &sizes));
    course.end();
    Sizes::check(&begun, &sizes);
}
