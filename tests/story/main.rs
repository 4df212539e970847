//! Stories: the whole job in process, with a provider, a gateway's file and a PushPlus on loopback and
//! a clock that is turned. Each ends in the world as text.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod answer;
mod canary;
mod channel;
mod flight;
mod gateway;
mod interrupted;
mod login;
mod notices;
mod restored;
mod schedule;
mod time;
mod trouble;
mod unconfirmed;
mod year;
