//! What is listened on: loopback TCP, TCP that others reach too, or a Unix socket.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::Error;

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener, PathBuf),
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(_, address) => address.fmt(f),
            Self::Unix(_, path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Socket {
    pub(super) async fn bind(listen: &str, may_be_exposed: bool) -> Result<Self, Error> {
        match listen.strip_prefix("unix:") {
            Some(path) => bind_unix(listen, Path::new(path)).await,
            None => bind_tcp(listen, may_be_exposed).await,
        }
    }
}

async fn bind_tcp(listen: &str, may_be_exposed: bool) -> Result<Socket, Error> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(listen)
        .await
        .map_err(|error| Error::Address(listen.to_owned(), error))?
        .collect();
    let mut hosts = addresses.iter().map(|address| address.ip().to_canonical());
    if !may_be_exposed && !hosts.all(|host| host.is_loopback()) {
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
