//! Stories: the whole job in process, with a provider, a gateway's file and a PushPlus on loopback and
//! a clock that is turned. Each ends in the world as text.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/database.rs"]
#[expect(dead_code, reason = "other test programs use the rest")]
mod database;
mod life;
mod links;
mod recovery;
mod world;
