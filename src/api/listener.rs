//! The accept loop: loopback TCP or a Unix socket, HTTP/1.1, limits, graceful drain.
//!
//! `axum::serve` has neither a header time-out nor a cap on connections; so the connections are served
//! through hyper here. TLS and listening beyond loopback are absent: they arrive together. Whether a
//! caller may do what it asks is for the router to say.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::clock::Clock;

/// Connections served at once; more wait in the kernel's queue. Below the 1,024 open files that a
/// process has by default.
const CONNECTIONS: usize = 512;

/// How long a caller may take for a request's headers, and how long it may idle between two requests.
const HEADER_TIME: Duration = Duration::from_secs(15);

/// Room for a request's line and headers; more is answered with 431.
const HEADER_BYTES: usize = 16 * 1024;

/// How long requests in flight may take once the process is told to stop.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// How long accepting rests after it failed, for instance for want of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Listening failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither `host:port` nor `unix:PATH`.
    #[error("cannot resolve `{0}`; write `api.listen` as host:port or unix:PATH")]
    Address(String, #[source] io::Error),
    /// The address can be reached from other machines.
    #[error(
        "`{0}` is not a loopback address and there is no TLS yet: listen on 127.0.0.1:PORT or \
         unix:PATH and put a TLS proxy before it"
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

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener, PathBuf),
}

/// Shows where to reach it, a port chosen by the system included, in the form that [`bind`] takes.
impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Socket::Tcp(_, address) => address.fmt(f),
            Socket::Unix(_, path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Listens on `listen`: `host:port`, loopback only, or `unix:PATH`, mode 0660.
///
/// # Errors
/// See [`Error`]; a socket file is replaced only if nobody listens there.
pub async fn bind(listen: &str) -> Result<Listener, Error> {
    let socket = match listen.strip_prefix("unix:") {
        Some(path) => bind_unix(listen, Path::new(path)).await?,
        None => bind_tcp(listen).await?,
    };
    Ok(Listener(socket))
}

async fn bind_tcp(listen: &str) -> Result<Socket, Error> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(listen)
        .await
        .map_err(|error| Error::Address(listen.to_owned(), error))?
        .collect();
    if !addresses.iter().all(|address| address.ip().is_loopback()) {
        return Err(Error::Exposed(listen.to_owned()));
    }
    let refused = |error| Error::Bind(listen.to_owned(), error);
    let listener = TcpListener::bind(&addresses[..]).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok(Socket::Tcp(listener, address))
}

async fn bind_unix(listen: &str, path: &Path) -> Result<Socket, Error> {
    let refused = |error| Error::Bind(listen.to_owned(), error);
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(refused(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(Error::Occupied(path.to_owned()));
        }
        Ok(_) => match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(refused)?;
            }
            Err(error) => return Err(refused(error)),
            Ok(_) => return Err(Error::InUse(path.to_owned())),
        },
    }
    let listener = UnixListener::bind(path).map_err(refused)?;
    // Connecting takes write permission, which no usual umask leaves to others in the meantime.
    let mode = std::fs::Permissions::from_mode(0o660);
    std::fs::set_permissions(path, mode).map_err(refused)?;
    Ok(Socket::Unix(listener, path.to_owned()))
}

/// Serves `router` until `shutdown` resolves; then accepts nothing more and gives requests in flight
/// ten seconds to finish.
pub async fn serve(listener: Listener, router: Router, shutdown: impl Future<Output = ()>) {
    Server::new(router, CONNECTIONS, HEADER_TIME, DRAIN_TIME)
        .run(listener.0, shutdown)
        .await;
}

struct Server {
    http: http1::Builder,
    router: Router,
    places: Arc<Semaphore>,
    connections: JoinSet<()>,
    drain: GracefulShutdown,
    drain_time: Duration,
}

impl Server {
    fn new(router: Router, places: usize, header_time: Duration, drain_time: Duration) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(header_time)
            .max_buf_size(HEADER_BYTES);
        Self {
            http,
            router,
            places: Arc::new(Semaphore::new(places)),
            connections: JoinSet::new(),
            drain: GracefulShutdown::new(),
            drain_time,
        }
    }

    async fn run(mut self, socket: Socket, shutdown: impl Future<Output = ()>) {
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
        if tokio::time::timeout(self.drain_time, self.drain.shutdown())
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
            let accepted = match socket {
                Socket::Tcp(listener, _) => listener
                    .accept()
                    .await
                    .and_then(|(stream, _)| stream.set_nodelay(true).map(|()| stream))
                    .map(|stream| self.spawn(stream, place)),
                Socket::Unix(listener, _) => listener
                    .accept()
                    .await
                    .map(|(stream, _)| self.spawn(stream, place)),
            };
            if let Err(error) = accepted {
                tracing::warn!(%error, "cannot accept a connection");
                clock.pause(ACCEPT_REST).await;
            }
            while self.connections.try_join_next().is_some() {}
        }
    }

    fn spawn<S>(&mut self, stream: S, place: OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = TowerToHyperService::new(self.router.clone());
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let watcher = self.drain.watcher();
        self.connections.spawn(attend(watcher, connection, place));
    }
}

/// Serves one connection and gives its place back.
async fn attend<C>(watcher: Watcher, connection: C, place: OwnedSemaphorePermit)
where
    C: hyper_util::server::graceful::GracefulConnection<Error = hyper::Error>,
{
    if let Err(error) = watcher.watch(connection).await {
        // Callers that hang up, dawdle or send nonsense are not our failures.
        tracing::debug!(%error, "a connection ended early");
    }
    drop(place);
}

#[cfg(test)]
mod tests;
