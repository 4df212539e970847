//! From a URL to a connection the request can be written to: addresses, TCP, proxy, TLS.
//!
//! Called by [`super::Door::send`] alone. Whatever fails here, the request has not left. The handshake
//! with a proxy is hyper-util's; addresses are tried in turn, not raced.

use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::CONNECT;

/// Why there is no connection; no variant holds a path, a query or a password.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0} has no address")]
    Resolve(String, #[source] io::Error),
    #[error("{0} cannot be reached")]
    Tcp(String, #[source] io::Error),
    #[error("no TLS with {0}")]
    Tls(String, #[source] io::Error),
    #[error("no root certificates: install ca-certificates or set SSL_CERT_FILE")]
    Roots(#[source] rustls::Error),
    #[error("the proxy's URL cannot be used: correct `proxy`")]
    ProxyUrl,
    #[error("the proxy refuses")]
    Proxy(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Anything that carries bytes both ways.
pub(super) trait Line: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Line for T {}

/// A connection to `url`'s host on which HTTP can begin.
pub(super) async fn line(
    url: &Url,
    proxy: Option<&SecretString>,
    tls: &OnceLock<TlsConnector>,
) -> Result<Box<dyn Line>, Error> {
    let line = match proxy {
        None => tcp(url, 443).await?,
        Some(proxy) => {
            let proxy = Url::parse(proxy.expose_secret()).map_err(|_| Error::ProxyUrl)?;
            through(&proxy, url, tls).await?
        }
    };
    match url.scheme() {
        "https" => encrypted(line, url, tls).await,
        _ => Ok(line),
    }
}

async fn addresses(url: &Url, default_port: u16) -> Result<Vec<SocketAddr>, Error> {
    let port = url.port_or_known_default().unwrap_or(default_port);
    let name = match url.host() {
        Some(Host::Ipv4(ip)) => return Ok(vec![(ip, port).into()]),
        Some(Host::Ipv6(ip)) => return Ok(vec![(ip, port).into()]),
        // Schemes the URL standard does not know, like socks5, leave an address a name.
        Some(Host::Domain(name)) => name,
        None => "",
    };
    tokio::net::lookup_host((name, port))
        .await
        .map(Iterator::collect)
        .map_err(|error| Error::Resolve(name.to_owned(), error))
}

/// Each address has its share of the time, so that a silent one does not starve the next.
async fn tcp(url: &Url, default_port: u16) -> Result<Box<dyn Line>, Error> {
    let addresses = addresses(url, default_port).await?;
    let share = CONNECT / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match attempt(address, share).await {
            Ok(stream) => return Ok(Box::new(stream)),
            Err(error) => last = error,
        }
    }
    Err(Error::Tcp(host(url), last))
}

async fn attempt(address: SocketAddr, share: Duration) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(share, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn encrypted(
    line: Box<dyn Line>,
    url: &Url,
    tls: &OnceLock<TlsConnector>,
) -> Result<Box<dyn Line>, Error> {
    let connector = match tls.get() {
        Some(connector) => connector,
        None => tls.get_or_init({
            let mut config = crate::tls::client().map_err(Error::Roots)?;
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            let connector = TlsConnector::from(Arc::new(config));
            || connector
        }),
    };
    let failed = |error| Error::Tls(host(url), error);
    let name = host(url);
    let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned())
        .map_err(|error| failed(io::Error::other(error)))?;
    let encrypted = connector.connect(name, line).await.map_err(failed)?;
    Ok(Box::new(encrypted))
}

async fn through(
    proxy: &Url,
    target: &Url,
    tls: &OnceLock<TlsConnector>,
) -> Result<Box<dyn Line>, Error> {
    let socks = proxy.scheme().starts_with("socks5");
    let mut line = tcp(proxy, 1080).await?;
    if proxy.scheme() == "https" {
        line = encrypted(line, proxy, tls).await?;
    }
    let authority = if proxy.scheme() == "socks5" {
        // As in curl, `socks5` asks our own resolver and `socks5h` leaves it to the proxy.
        let address = addresses(target, 443).await?.into_iter().next();
        address.ok_or(Error::ProxyUrl)?.to_string()
    } else {
        let port = target.port_or_known_default().unwrap_or(443);
        format!("{}:{port}", host(target))
    };
    let target = Uri::try_from(authority).map_err(|_| Error::ProxyUrl)?;
    let made = Made(Some(TokioIo::new(line)));
    let nowhere = Uri::from_static("/");
    let login = login(proxy)?;
    let line = if socks {
        let mut socks = SocksV5::new(nowhere, made);
        if let Some((user, password)) = login {
            socks = socks.with_auth(user.to_string(), password.to_string());
        }
        socks
            .call(target)
            .await
            .map_err(|error| Error::Proxy(error.into()))?
    } else {
        let mut tunnel = Tunnel::new(nowhere, made);
        if let Some((user, password)) = login {
            let pair = Zeroizing::new(format!("{}:{}", *user, *password));
            let encoded = base64::engine::general_purpose::STANDARD.encode(&*pair);
            let value = HeaderValue::try_from(format!("Basic {encoded}"));
            tunnel = tunnel.with_auth(value.map_err(|_| Error::ProxyUrl)?);
        }
        tunnel
            .call(target)
            .await
            .map_err(|error| Error::Proxy(error.into()))?
    };
    Ok(line.into_inner())
}

type Login = (Zeroizing<String>, Zeroizing<String>);

/// The user and password in a proxy's URL, decoded.
fn login(proxy: &Url) -> Result<Option<Login>, Error> {
    let decode = |part: &str| {
        urlencoding::decode(part)
            .map(|text| Zeroizing::new(text.into_owned()))
            .map_err(|_| Error::ProxyUrl)
    };
    if proxy.username().is_empty() && proxy.password().is_none() {
        return Ok(None);
    }
    let password = decode(proxy.password().unwrap_or_default())?;
    Ok(Some((decode(proxy.username())?, password)))
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// The connection to the proxy, already made, in the shape hyper-util's handshakes ask for.
struct Made(Option<TokioIo<Box<dyn Line>>>);

impl Service<Uri> for Made {
    type Response = TokioIo<Box<dyn Line>>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().ok_or(io::ErrorKind::NotConnected.into()))
    }
}
