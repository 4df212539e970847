//! Whom we trust over TLS: the machine's root certificates, read anew each time a door opens.
//!
//! Used by every door that speaks TLS. They come from the system's store, or from `SSL_CERT_FILE` and
//! `SSL_CERT_DIR` where set. No certificates are bundled, and no check can be switched off.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt as _;

/// A TLS client that trusts what the machine trusts, with ring's cryptography and no ALPN.
///
/// # Errors
/// When the machine has no root certificates.
pub fn client() -> Result<ClientConfig, rustls::Error> {
    let config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_platform_verifier()?
            .with_no_client_auth();
    Ok(config)
}
