//! Whatever is read from outside or from disk, bent at random: real answers, configurations, channel
//! keys, slots, sealed values and rows of our own state. Nothing panics, and nothing becomes what it is
//! not.
//!
//! CI tries a few hundred of each; `PROPTEST_CASES=20000 cargo test --release --test parsers` is a long
//! run. What one finds becomes a named test beside the code that was mended.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod answer;
mod bend;
mod configuration;
mod json;
mod json_key;
mod rows;
mod sealed;
mod slot;

use proptest::test_runner::Config;

/// The usual number of cases; of tests whose cases are dear, one in so many.
fn cases(dear: u32) -> Config {
    let usual = Config::default();
    Config {
        cases: (usual.cases / dear).max(4),
        failure_persistence: None,
        ..usual
    }
}
