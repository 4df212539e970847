//! A loopback peer that follows a script on each connection and remembers what it was sent.
//!
//! For faults no well-behaved server shows; the one that behaves is `keyfresh::demo::authority`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A certificate for 127.0.0.1 that nobody trusts yet.
pub(crate) struct Certificate {
    /// For a trust store.
    pub(crate) pem: String,
    chain: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        Self {
            pem: cert.pem(),
            chain: cert.der().clone(),
            key: PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap(),
        }
    }

    fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.chain.clone()], self.key.clone_key())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

#[derive(Default)]
struct Seen {
    connections: usize,
    requests: Vec<String>,
}

/// A listening peer; stops when dropped.
pub(crate) struct Peer {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Peer {
    pub(crate) async fn start<F>(script: impl Fn(Line) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send,
    {
        Self::listen(None, script).await
    }

    pub(crate) async fn tls<F>(
        certificate: &Certificate,
        script: impl Fn(Line) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send,
    {
        Self::listen(Some(certificate.acceptor()), script).await
    }

    async fn listen<F>(
        acceptor: Option<TlsAcceptor>,
        script: impl Fn(Line) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let remembered = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                remembered.lock().unwrap().connections += 1;
                let stream = match &acceptor {
                    None => Box::new(stream) as Box<dyn Stream>,
                    Some(acceptor) => match acceptor.accept(stream).await {
                        Ok(stream) => Box::new(stream),
                        Err(_refused) => continue,
                    },
                };
                script(Line {
                    stream,
                    seen: Arc::clone(&remembered),
                })
                .await;
            }
        });
        Self {
            address,
            seen,
            task,
        }
    }

    /// A token endpoint here; its query must show up nowhere.
    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}/t?q=secret", self.address)
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    /// Every request that came whole, as text.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().requests.clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// One connection, as the script holds it; closed when dropped.
pub(crate) struct Line {
    pub(crate) stream: Box<dyn Stream>,
    seen: Arc<Mutex<Seen>>,
}

impl Line {
    /// Reads one whole request; empty if the other side left before its end.
    pub(crate) async fn request(&mut self) -> String {
        let mut bytes = Vec::new();
        while !whole(&bytes) {
            if self.stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return String::new();
            }
        }
        let text = String::from_utf8(bytes).unwrap();
        self.seen.lock().unwrap().requests.push(text.clone());
        text
    }

    /// Reads what comes first.
    pub(crate) async fn some(&mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4096);
        self.stream.read_buf(&mut bytes).await.unwrap_or(0);
        bytes
    }

    /// Writes `text`; TLS is not closed properly when nothing follows.
    pub(crate) async fn say(&mut self, text: &str) {
        // The other side may have left already; what it heard is what the test looks at.
        if self.stream.write_all(text.as_bytes()).await.is_ok() {
            self.stream.flush().await.unwrap_or(());
        }
    }

    /// Says nothing until the other side leaves.
    pub(crate) async fn linger(&mut self) {
        while self.stream.read_buf(&mut Vec::new()).await.unwrap_or(0) > 0 {}
    }

    /// Carries bytes to and from `address`, as a proxy does.
    pub(crate) async fn join(mut self, address: SocketAddr) {
        let mut target = TcpStream::connect(address).await.unwrap();
        tokio::io::copy_bidirectional(&mut self.stream, &mut target)
            .await
            .unwrap_or((0, 0));
    }
}

fn whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    body.len() >= length
}
