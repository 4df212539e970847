//! The accept loop: TCP or a Unix socket, TLS, HTTP/1.1, limits, graceful drain.
//!
//! `axum::serve` has neither a header time-out nor a cap on connections; so the connections are served
//! through hyper here. Every place is limited in time: the greeting of TLS and a request's head, its
//! body, and a caller who does not take its answer. While all places are taken, a connection ends with its
//! answer; so whoever waits gets a place within those times, in the order of the kernel's queue, however
//! many connections another holds. Whether a caller may do what it asks is for the router to say.

mod accept;
mod socket;
mod stream;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use tokio::sync::watch;

use super::peer::Proxies;
use crate::notify::Locale;
use crate::tls::Identity;
use accept::Server;
use socket::Socket;

/// Listening failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither `host:port` nor `unix:PATH`.
    #[error("cannot resolve `{0}`; write `api.listen` as host:port or unix:PATH")]
    Address(String, #[source] io::Error),
    /// The address can be reached from other machines, and there is no TLS.
    #[error(
        "`{0}` can be reached from other machines, and without TLS whoever is on the way could read the \
         tokens: set api.tls_certificate_file and api.tls_key_file, or listen on 127.0.0.1:PORT or \
         unix:PATH behind a TLS proxy, or set api.allow_plaintext = true if you trust the way"
    )]
    Exposed(String),
    /// The address cannot be bound.
    #[error("cannot listen on `{0}`; is another process there, or the port below 1024?")]
    Bind(String, #[source] io::Error),
    /// Something else lies at the socket's path.
    #[error("`{}` exists and is not a socket; move it away or change `api.listen`", .0.display())]
    Occupied(PathBuf),
    /// Another process answers at the socket's path.
    #[error("another process listens on `{}`; stop it or change `api.listen`", .0.display())]
    InUse(PathBuf),
}

/// A bound address.
#[derive(Debug)]
pub struct Listener(Socket);

/// Shows where to reach it, a port chosen by the system included, in the form that [`bind`] takes.
impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Listens on `listen`: `host:port`, or `unix:PATH`, mode 0660. `may_be_exposed`: whether others than this
/// machine may reach it, because there is TLS or `api.allow_plaintext`.
///
/// # Errors
/// See [`Error`]; a socket file is replaced only if nobody listens there.
pub async fn bind(listen: &str, may_be_exposed: bool) -> Result<Listener, Error> {
    Socket::bind(listen, may_be_exposed).await.map(Listener)
}

/// With whom a listener speaks, and how.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Who we are over TLS, read anew for each connection; none: plain HTTP. A Unix socket speaks plain
    /// HTTP in any case.
    pub tls: Option<watch::Receiver<Identity>>,
    /// Whose word is taken for the address of a caller.
    pub trusted_proxies: Proxies,
    /// The language of refusals for callers who ask for none.
    pub locale: Locale,
}

/// Serves `router` until `shutdown` resolves; then accepts nothing more and gives requests in flight
/// ten seconds to finish.
pub async fn serve(
    listener: Listener,
    router: Router,
    terms: Terms,
    shutdown: impl Future<Output = ()>,
) {
    Server::new(router, terms, Limits::default())
        .run(listener.0, shutdown)
        .await;
}

/// What callers have to keep to.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Connections served at once; more wait in the kernel's queue. Below the 1,024 open files that a
    /// process has by default.
    connections: usize,
    /// How long a caller may take for greeting us over TLS and a request's head, and how long it may idle
    /// between two requests.
    head_time: Duration,
    /// How long a caller may take for a request's body.
    body_time: Duration,
    /// How long a caller may take nothing of its answer.
    stall_time: Duration,
    /// How long requests in flight may take once the process is told to stop.
    drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            head_time: Duration::from_secs(15),
            body_time: Duration::from_secs(30),
            stall_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests;
