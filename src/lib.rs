//! keyfresh keeps the OAuth keys of an LLM gateway fresh.

pub mod api;
// pub mod cli;
pub mod clock;
pub mod config;
pub mod credential;
// pub mod daemon;
pub mod database;
pub mod demo;
pub mod exchange;
pub mod gateway;
pub mod http;
// pub mod link;
pub mod notify;
pub mod provider;
// pub mod refresh;
pub mod schedule;
pub mod secret;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod wire;
