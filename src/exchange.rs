//! The door to token endpoints: one claim, one connection, one POST, every byte of the answer kept.
//!
//! This is not `http.rs` on purpose: here nothing is pooled, resent, redirected or decompressed, and
//! each read from the network is followed, as the very next system call, by the write of what has
//! come so far (see [`Keep`]). The same decoder reads an answer back from a slot ([`replay`]).

use std::time::Duration;

use secrecy::SecretString;

use crate::wire::{Answer, Request};

/// Where an answer is kept while it comes in.
///
/// Called with everything received so far (status line, headers and body as they came over the wire)
/// after each read, on the thread that read it, with no system call in between.
pub trait Keep: Send {
    /// Keeps `received`; `Err` says why it could not be kept (the exchange goes on).
    fn keep(&mut self, received: &[u8]);
}

/// What came of sending a request.
#[derive(Debug)]
pub enum Sent {
    /// The connection was never made (refused, DNS, TLS, proxy, time-out while connecting): not a
    /// byte of the request left.
    Never(String),
    /// The request may have left; the answer as far as it came.
    Answered(Answer),
    /// The request may have left and nothing readable came back.
    Silence(String),
}

/// Sends `request` once and reads the answer, keeping every byte in `keep`.
pub async fn send(
    _request: Request,
    _proxy: Option<&SecretString>,
    _timeout: Duration,
    _keep: &mut dyn Keep,
) -> Sent {
    unimplemented!()
}

/// Reads the bytes that a [`Keep`] received as the answer they are.
pub async fn replay(_received: &[u8]) -> Sent {
    unimplemented!()
}
