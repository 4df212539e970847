//! TLS: whom we trust as a client, and who we are as a server.
//!
//! A client trusts the machine's root certificates, read anew each time a door opens: the system's store,
//! or `SSL_CERT_FILE` and `SSL_CERT_DIR` where set. No certificates are bundled, and no check can be
//! switched off. A server is an [`Identity`], made from what the configuration read and shown by the API's
//! listener. Client certificates are absent: callers have tokens.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ServerConfig};
use rustls_platform_verifier::BuilderVerifierExt as _;

/// A TLS client that trusts what the machine trusts, with ring's cryptography and no ALPN.
///
/// # Errors
/// When the machine has no root certificates.
pub fn client() -> Result<ClientConfig, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    Ok(config)
}

/// Why a certificate and a key are no [`Identity`].
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// No certificate in PEM, or something else among them.
    #[error("is no certificate chain in PEM")]
    Certificate,
    /// No private key in PEM, or none in a form we know (PKCS #8, PKCS #1, SEC 1).
    #[error("is no private key in PEM")]
    Key,
    /// Each can be read, but not used together.
    #[error("does not fit the key")]
    Pair(#[source] rustls::Error),
}

/// The certificates in a PEM file.
///
/// # Errors
/// When there is none.
pub fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, Unfit> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    found
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or(Unfit::Certificate)
}

/// The first private key in a PEM file.
///
/// # Errors
/// When there is none.
pub fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, Unfit> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| Unfit::Key)
}

/// A certificate with its key, ready to be shown to HTTP/1.1 clients; cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<ServerConfig>);

impl Identity {
    /// Of a chain, our own certificate first, and its key.
    ///
    /// # Errors
    /// When they do not belong together. Whether the certificate has expired, and for which name it
    /// stands, is for clients to say.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, Unfit> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(Unfit::Pair)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(Unfit::Pair)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// What handshakes are made with.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}
