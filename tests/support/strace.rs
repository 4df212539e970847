//! Whether there is a strace; without it the tests that need it say so and pass, but in CI.

use std::process::Command;

/// `false`: there is no strace, and it may be missing.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "CI and people have a say"
)]
pub(crate) fn can_trace() -> bool {
    let found = Command::new("strace").arg("-V").output().is_ok();
    let needed = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(found || !needed, "strace is missing (package strace)");
    if !found {
        println!("left out: strace is missing (package strace)");
    }
    found
}
