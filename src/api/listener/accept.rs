//! Connections taken from the socket, served, counted and drained.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::super::manners::Manners;
use super::socket::Socket;
use super::stream::Stream;
use super::{Limits, Terms};
use crate::clock::Clock;
use crate::tls::Identity;

/// Room for a request's line and headers; more is answered with 431.
pub(super) const HEAD_BYTES: usize = 16 * 1024;

/// How long accepting rests after it failed, for instance for want of file descriptors.
const ACCEPT_REST: std::time::Duration = std::time::Duration::from_millis(100);

pub(super) struct Server {
    http: http1::Builder,
    manners: Arc<Manners>,
    terms: Terms,
    limits: Limits,
    places: Arc<Semaphore>,
    connections: JoinSet<()>,
    drain: GracefulShutdown,
}

impl Server {
    pub(super) fn new(router: Router, terms: Terms, limits: Limits) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.head_time)
            .max_buf_size(HEAD_BYTES)
            // Who has no more to say may still listen.
            .half_close(true);
        let places = Arc::new(Semaphore::new(limits.connections));
        let proxies = terms.trusted_proxies.clone();
        let manners = Manners::new(
            router,
            proxies,
            terms.locale,
            limits.body_time,
            Arc::clone(&places),
        );
        Self {
            http,
            manners: Arc::new(manners),
            terms,
            limits,
            places,
            connections: JoinSet::new(),
            drain: GracefulShutdown::new(),
        }
    }

    pub(super) async fn run(mut self, socket: Socket, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = self.accept(&socket) => {}
            () = shutdown => {}
        }
        let path = match socket {
            Socket::Tcp(..) => None,
            Socket::Unix(_, path) => Some(path),
        };
        if let Some(Err(error)) = path.map(std::fs::remove_file) {
            tracing::warn!(%error, "cannot remove the socket file");
        }
        if tokio::time::timeout(self.limits.drain_time, self.drain.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("requests in flight did not finish in time and are cut off");
        }
        self.connections.shutdown().await;
    }

    /// Never ends by itself.
    async fn accept(&mut self, socket: &Socket) {
        let clock = Clock::system();
        while let Ok(place) = Arc::clone(&self.places).acquire_owned().await {
            if let Err(error) = self.admit(socket, place).await {
                tracing::warn!(%error, "cannot accept a connection");
                clock.pause(ACCEPT_REST).await;
            }
            while self.connections.try_join_next().is_some() {}
        }
    }

    async fn admit(&mut self, socket: &Socket, place: OwnedSemaphorePermit) -> io::Result<()> {
        match socket {
            Socket::Tcp(listener, _) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let tls = self.terms.tls.as_ref();
                let identity = tls.map(|identity| identity.borrow().clone());
                self.spawn(stream, identity.as_ref(), Some(address.ip()), place);
            }
            Socket::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                self.spawn(stream, None, None, place);
            }
        }
        Ok(())
    }

    fn spawn<S>(
        &mut self,
        stream: S,
        identity: Option<&Identity>,
        direct: Option<IpAddr>,
        place: OwnedSemaphorePermit,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = Stream::new(stream, identity, self.limits.stall_time);
        let manners = Arc::clone(&self.manners);
        let service = service_fn(move |request| Arc::clone(&manners).answer(request, direct));
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let watcher = self.drain.watcher();
        self.connections.spawn(attend(watcher, connection, place));
    }
}

/// Serves one connection and gives its place back.
async fn attend<C>(watcher: Watcher, connection: C, place: OwnedSemaphorePermit)
where
    C: GracefulConnection<Error = hyper::Error>,
{
    if let Err(error) = watcher.watch(connection).await {
        // Callers that hang up, dawdle or send nonsense are not our failures.
        tracing::debug!(%error, "a connection ended early");
    }
    drop(place);
}
