//! One gateway for all who need it, opened when it is first needed.
//!
//! The daemon starts while its gateway is down, and links and API must stand in one queue of writers.
//! So both hold one [`OnDemand`]; whoever comes first opens it, and what failed is tried again by the
//! next one who asks.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tracing::info;

use super::{Error, Gateway, Settings};

/// How long the embedded database may be busy with another of our processes.
const BUSY: Duration = Duration::from_secs(10);

/// A gateway that is opened at its first use and then stays open.
pub struct OnDemand {
    place: Place,
    /// Tries that failed so far.
    failures: AtomicU64,
    open: OnceLock<Gateway>,
    last: Mutex<Outcome>,
}

enum Place {
    Configured(Settings),
    /// Our own, without channels.
    Embedded(PathBuf),
}

/// What the last try came to, if not in success.
enum Outcome {
    Failed(Arc<Error>),
    Untried,
}

impl OnDemand {
    /// The gateway of `settings`; nothing is opened yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self::at(Place::Configured(settings))
    }

    /// The embedded database at `path`; nothing is opened yet.
    #[must_use]
    pub fn embedded(path: PathBuf) -> Self {
        Self::at(Place::Embedded(path))
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            failures: AtomicU64::new(0),
            open: OnceLock::new(),
            last: Mutex::new(Outcome::Untried),
        }
    }

    /// The gateway. Whoever waits for another's try shares what it came to.
    ///
    /// # Errors
    /// Those of [`Gateway::open`]; the next call tries again.
    pub async fn gateway(&self) -> Result<Gateway, Error> {
        if let Some(gateway) = self.open.get() {
            return Ok(gateway.clone());
        }
        let seen = self.failures.load(Ordering::Acquire);
        let mut last = self.last.lock().await;
        if let Some(gateway) = self.open.get() {
            return Ok(gateway.clone());
        }
        match &*last {
            Outcome::Failed(error) if seen != self.failures.load(Ordering::Acquire) => {
                return Err(Error::Shared(Arc::clone(error)));
            }
            Outcome::Failed(_) | Outcome::Untried => {}
        }
        let opened = match &self.place {
            Place::Configured(settings) => Gateway::open(settings).await,
            Place::Embedded(path) => Gateway::open_embedded(path, BUSY).await,
        };
        match opened {
            Ok(gateway) => {
                info!(gateway.kind = gateway.kind().name(), "gateway recognised");
                Ok(self.open.get_or_init(|| gateway).clone())
            }
            Err(error) => {
                let error = Arc::new(error);
                self.failures.fetch_add(1, Ordering::AcqRel);
                *last = Outcome::Failed(Arc::clone(&error));
                Err(Error::Shared(error))
            }
        }
    }

    /// Whether the gateway can be told of a write.
    #[must_use]
    pub fn can_tell(&self) -> bool {
        matches!(&self.place, Place::Configured(settings) if settings.can_tell())
    }
}
