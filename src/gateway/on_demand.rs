//! One gateway for all who need it, opened when it is first needed.
//!
//! The daemon starts while its gateway is down, and links and API must stand in one queue of writers.
//! So both hold one [`OnDemand`]; whoever comes first opens it, and what failed is tried again by the
//! next one who asks, but not within [`REMEMBERED`]. Whether it can be used is remembered for monitors,
//! and [`OnDemand::look`] finds out anew.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::Mutex;
use tracing::info;

use super::{Error, Gateway, Settings};
use crate::clock::{Clock, Timestamp};

/// How long the embedded database may be busy with another of our processes.
const BUSY: Duration = Duration::from_secs(10);

/// How long a failed try stands: each starts threads, and strangers may call as often as they like.
const REMEMBERED: TimeDelta = TimeDelta::seconds(1);

/// A gateway that is opened at its first use and then stays open.
pub struct OnDemand {
    place: Place,
    clock: Clock,
    /// Whether it could not be used when that was last tried.
    ailing: AtomicBool,
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
    Failed(Arc<Error>, Timestamp),
    Untried,
}

impl OnDemand {
    /// The gateway of `settings`; nothing is opened yet.
    #[must_use]
    pub fn new(settings: Settings, clock: Clock) -> Self {
        Self::at(Place::Configured(settings), clock)
    }

    /// The embedded database at `path`; nothing is opened yet.
    #[must_use]
    pub fn embedded(path: PathBuf, clock: Clock) -> Self {
        Self::at(Place::Embedded(path), clock)
    }

    fn at(place: Place, clock: Clock) -> Self {
        Self {
            place,
            clock,
            ailing: AtomicBool::new(false),
            failures: AtomicU64::new(0),
            open: OnceLock::new(),
            last: Mutex::new(Outcome::Untried),
        }
    }

    /// The gateway. Whoever waits for another's try shares what it came to, and so does who comes within
    /// a second.
    ///
    /// # Errors
    /// Those of [`Gateway::open`]; a later call tries again.
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
            Outcome::Failed(error, when)
                if seen != self.failures.load(Ordering::Acquire) || self.is_recent(*when) =>
            {
                return Err(Error::Shared(Arc::clone(error)));
            }
            Outcome::Failed(..) | Outcome::Untried => {}
        }
        let opened = match &self.place {
            Place::Configured(settings) => Gateway::open(settings).await,
            Place::Embedded(path) => Gateway::open_embedded(path, BUSY).await,
        };
        match opened {
            Ok(gateway) => {
                info!(gateway.kind = gateway.kind().name(), "gateway recognised");
                self.ailing.store(false, Ordering::Relaxed);
                Ok(self.open.get_or_init(|| gateway).clone())
            }
            Err(error) => {
                let error = Arc::new(error);
                self.failures.fetch_add(1, Ordering::AcqRel);
                self.ailing.store(true, Ordering::Relaxed);
                *last = Outcome::Failed(Arc::clone(&error), self.clock.now());
                Err(Error::Shared(error))
            }
        }
    }

    /// Whether a failure of this moment still stands; not if the clock was turned back since.
    fn is_recent(&self, when: Timestamp) -> bool {
        let age = self.clock.now() - when;
        (TimeDelta::zero()..REMEMBERED).contains(&age)
    }

    /// Whether the gateway could not be opened or used when that was last tried; nothing is tried now.
    #[must_use]
    pub fn is_ailing(&self) -> bool {
        self.ailing.load(Ordering::Relaxed)
    }

    /// Takes note of what a use of the gateway failed with; being busy for once is no ailment.
    pub fn failed(&self, error: &Error) {
        if !error.passes() && !error.is_of_one_channel() {
            self.ailing.store(true, Ordering::Relaxed);
        }
    }

    /// Tries whether the gateway can be opened and written, and remembers it.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn look(&self) -> Result<(), Error> {
        let looked = self.gateway().await?.probe().await;
        self.ailing.store(looked.is_err(), Ordering::Relaxed);
        looked
    }

    /// Whether the gateway can be told of a write.
    #[must_use]
    pub fn can_tell(&self) -> bool {
        matches!(&self.place, Place::Configured(settings) if settings.can_tell())
    }
}
