//! One-Hub signs its users' keys, and so must we: whether the secret that was copied from it is its own.
//!
//! `check` asks once, `serve` when the gateway is first reached. A wrong or missing copy stops neither:
//! the API then makes no keys, and does everything else.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::gateway::{self, Gateway, Kind, OnDemand};
use crate::mint::OneHubMint;
use crate::secret::ExposeSecret as _;
use crate::telemetry::chain;

/// How often a gateway out of reach is asked again.
const PAUSE: Duration = Duration::from_mins(1);

/// Whether keys can be made that the gateway accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// The gateway is none of One-Hub's: it accepts any key of the right length.
    Free,
    /// One-Hub's secret is not configured.
    NoSecret,
    /// No token has a signed key that could be compared.
    Unproved,
    /// One-Hub's newest signed key verifies.
    Proved,
    /// It does not.
    Foreign {
        /// `tokens.id` of that key.
        token: i64,
    },
}

impl Signing {
    /// What is wrong and what to do.
    #[must_use]
    pub fn obstacle(self) -> Option<String> {
        match self {
            Self::Free | Self::Proved | Self::Unproved => None,
            Self::NoSecret => Some(
                "the API makes no tokens: gateway.user_token_secret is not set; copy USER_TOKEN_SECRET from One-Hub"
                    .to_owned(),
            ),
            Self::Foreign { token } => Some(format!(
                "the API makes no tokens: the key of One-Hub's token {token}, its newest, was made with another secret or \
                 alphabet; copy USER_TOKEN_SECRET and HASHIDS_SALT as One-Hub has them to gateway.user_token_secret and \
                 gateway.hashids_salt; if One-Hub's own changed since, make a token in its console"
            )),
        }
    }
}

/// Compares `mint`, of the configured copy, with what `gateway` signed.
///
/// # Errors
/// When the database fails or stays locked.
pub async fn signing(
    gateway: &Gateway,
    mint: Option<&OneHubMint>,
) -> Result<Signing, gateway::Error> {
    if gateway.kind() != Kind::OneHub {
        return Ok(Signing::Free);
    }
    let Some(mint) = mint else {
        return Ok(Signing::NoSecret);
    };
    let Ok(newest) = gateway
        .view::<_, Infallible>(|tables| Ok(tables.newest_signed_key()?))
        .await?;
    Ok(match newest {
        None => Signing::Unproved,
        Some((token, user, key)) if mint.verify(key.expose_secret()) == Some((token, user)) => {
            Signing::Proved
        }
        Some((token, ..)) => Signing::Foreign { token },
    })
}

/// Warns once of keys that cannot be made, when the gateway is first reached.
pub(super) async fn warn_once(
    gateway: Arc<OnDemand>,
    mint: Option<OneHubMint>,
    clock: Clock,
    mut stop: watch::Receiver<bool>,
) {
    let look = async {
        loop {
            let looked = async { signing(&gateway.gateway().await?, mint.as_ref()).await };
            match looked.await {
                Ok(signing) => return signing,
                // The links warn of a gateway out of reach.
                Err(error) => info!(
                    error = chain(&error),
                    "the API's gateway cannot be read yet"
                ),
            }
            clock.pause(PAUSE).await;
        }
    };
    tokio::select! {
        signing = look => if let Some(obstacle) = signing.obstacle() {
            warn!("{obstacle}");
        },
        _ = stop.wait_for(|stop| *stop) => return,
    }
    // A loop of the daemon's lasts until the stop.
    let _stopped = stop.wait_for(|stop| *stop).await;
}
