//! The stories: what happens to a credential, told with real parts and a clock that the test sets. Each
//! ends in one picture of the world.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod answer;
mod channel;
mod flight;
mod gateway;
mod interrupted;
mod login;
mod schedule;
mod trouble;
mod unconfirmed;
