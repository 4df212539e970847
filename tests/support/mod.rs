//! Parts that several test programs share.
#![allow(dead_code, reason = "each test program uses only some of it")]

pub mod daemon;
pub mod database;
pub mod gate;
pub mod gateway;
pub mod installation;
pub mod sink;
