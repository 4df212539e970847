//! The gateway whose `channels`, `tokens` and `users` we use: One-API, New API or One-Hub, each a layout
//! of columns; or the embedded database in its place.
//!
//! Layouts are data and pure functions (`gateway/*.rs`): a row and what is wanted become statements.
//! [`Gateway`] runs them through `database.rs`; `link.rs` writes channels, the API tokens (`tables.rs`).
//! A foreign gateway's tables are never migrated (I8).

mod change;
mod channel;
pub mod embedded;
pub mod json_key;
mod layout;
mod multi_key;
mod new_api;
mod on_demand;
mod one_api;
mod one_hub;
mod signed;
mod tables;
pub mod telling;
mod token;
mod user;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::database::{self, Database, Halt};
use crate::wire::Request;
use layout::{FORMS, LAYOUTS, Layout};

pub use change::Write;
pub use channel::{Channel, Status};
pub use layout::Holds;
pub use on_demand::OnDemand;
pub use tables::Tables;
pub use token::{FOUND_MOST, Key, Native, NewToken, Page, Token, TokenChange, Unfit};
pub use user::User;

/// Which gateway a database belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// songquanpeng/one-api.
    OneApi,
    /// QuantumNous/new-api, every generation.
    NewApi,
    /// MartialBE/one-hub.
    OneHub,
    /// No gateway's: our own users and tokens; never `gateway.kind`.
    Embedded,
}

impl Kind {
    /// As `gateway.kind` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OneApi => one_api::LAYOUT.form.name,
            Self::NewApi => new_api::LAYOUT.form.name,
            Self::OneHub => one_hub::LAYOUT.form.name,
            Self::Embedded => embedded::LAYOUT.form.name,
        }
    }
}

/// `[gateway]` of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The SQLite file.
    pub database: PathBuf,
    /// The gateway that the administrator says it is; recognised by its columns if unset.
    pub kind: Option<Kind>,
    /// How long the gateway may go on serving a cached key; each layout has its default.
    pub sync_interval: Option<Duration>,
    /// How long a locked file is retried before it counts as a failure.
    pub busy_timeout: Duration,
    /// The gateway's base URL, to tell it after a write.
    pub url: Option<Url>,
    /// An administrator's access token, for that call alone.
    pub access_token: Option<SecretString>,
}

impl Settings {
    /// Whether the gateway can be told of a write.
    #[must_use]
    pub fn can_tell(&self) -> bool {
        self.url.is_some() && self.access_token.is_some()
    }
}

/// What it does to tell a gateway, over HTTP, that a channel was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// It reloads at once what it would notice within the sync interval (New API).
    Useful,
    /// Without it the gateway never notices (One-Hub's master).
    Needed,
}

/// What became of a [`Write`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The row is as wanted.
    Done,
    /// The row is not the one that was read: nothing was done, read it again and decide anew.
    Changed,
    /// There is no such channel.
    Gone,
}

/// Why the gateway could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database itself.
    #[error(transparent)]
    Database(#[from] database::Error),
    /// The database is another gateway's.
    #[error("{path} is a {} database, but gateway.kind says {}: correct one of gateway.kind and gateway.database", .found.name(), .said.name(), path = .path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What the configuration says.
        said: Kind,
        /// What the columns say.
        found: Kind,
    },
    /// The channel has one key and a line was named, or the reverse, or fewer lines.
    #[error("channel {channel} {}: correct `channels` of its credential", match .line {
        Some(line) => format!("has no key line {line}"),
        None => "has several keys and no line is named".to_owned(),
    })]
    Line {
        /// The channel's id.
        channel: i64,
        /// The line that was named.
        line: Option<usize>,
    },
    /// The new text cannot stand in that channel.
    #[error("the new key of channel {channel} {problem}: it was not written")]
    Unfit {
        /// The channel's id.
        channel: i64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// New API wants to know whose access token calls.
    #[error(
        "gateway.access_token is no user's access token in the gateway's database: make one as an administrator in the gateway's personal settings"
    )]
    NoOwner,
    /// It could not be opened, which several who needed it are told.
    #[error(transparent)]
    Shared(Arc<Error>),
}

impl Error {
    /// Whether waiting may help: the database is locked, or was busy with others.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            Self::Shared(error) => error.passes(),
            Self::Database(error) => matches!(
                error,
                database::Error::Busy { .. } | database::Error::Overrun { .. }
            ),
            _ => false,
        }
    }

    /// Whether the database could not be opened: who looks after the gateway knows, or will.
    #[must_use]
    pub fn is_of_opening(&self) -> bool {
        match self {
            Self::Shared(_) => true,
            Self::Database(error) => matches!(
                error,
                database::Error::Missing(_)
                    | database::Error::NotFile(_)
                    | database::Error::Empty(_)
                    | database::Error::NotDatabase(_)
                    | database::Error::Denied { .. }
                    | database::Error::Unrecognised { .. }
            ),
            _ => false,
        }
    }

    /// Whether other channels may be written all the same.
    #[must_use]
    pub fn is_of_one_channel(&self) -> bool {
        matches!(
            self,
            Self::Line { .. }
                | Self::Unfit { .. }
                | Self::Database(database::Error::NotKept(_) | database::Error::Constraint { .. })
        )
    }
}

/// A gateway's database, open and recognised; cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    database: Database,
    layout: &'static Layout,
    settings: Arc<Settings>,
}

impl Gateway {
    /// Opens the database, without ever creating or changing it, and recognises whose it is.
    ///
    /// # Errors
    /// When it is missing, inaccessible, locked, of no known layout, or of another than
    /// `settings.kind`.
    pub async fn open(settings: &Settings) -> Result<Self, Error> {
        let database = Database::open(&settings.database, settings.busy_timeout, &FORMS).await?;
        let layout = LAYOUTS[database.form()];
        match settings.kind {
            Some(said) if said != layout.kind => Err(Error::Kind {
                path: settings.database.clone(),
                said,
                found: layout.kind,
            }),
            _ => Ok(Self {
                database,
                layout,
                settings: Arc::new(settings.clone()),
            }),
        }
    }

    /// Whose database it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.layout.kind
    }

    /// How long the gateway may go on serving a cached key.
    #[must_use]
    pub fn sync_interval(&self) -> Duration {
        self.settings
            .sync_interval
            .unwrap_or(self.layout.sync_interval)
    }

    /// What telling the gateway of a write does; nothing for One-API, which offers no way.
    #[must_use]
    pub fn telling(&self) -> Option<Telling> {
        self.layout.telling
    }

    /// The request that tells the gateway that `channel` was written, if telling it does anything and
    /// `gateway.url` and `gateway.access_token` are set. [`telling::accepted`] reads the answer.
    ///
    /// # Errors
    /// When the database fails, or the access token is nobody's.
    pub async fn telling_request(&self, channel: i64) -> Result<Option<Request>, Error> {
        let (Some(_), Some(url), Some(token)) = (
            self.telling(),
            &self.settings.url,
            &self.settings.access_token,
        ) else {
            return Ok(None);
        };
        let sought = token.clone();
        let owner = self
            .view(move |tables| {
                let owner = tables.user_by_access_token(&sought)?;
                owner.ok_or(Halt::Refused(Error::NoOwner))
            })
            .await??;
        Ok(telling::request(url, token, owner.id, channel))
    }

    /// The channels with these ids, as far as they exist; One-Hub's soft-deleted ones do not.
    ///
    /// # Errors
    /// When the database fails or stays locked.
    pub async fn channels(&self, ids: &[i64]) -> Result<Vec<Channel>, Error> {
        let mut channels = Vec::with_capacity(ids.len());
        for page in ids.chunks(PAGE) {
            let rows = self
                .database
                .read(channel::select(self.layout, page))
                .await?;
            channels.extend(
                rows.iter()
                    .map(|row| channel::read(self.layout, row).channel),
            );
        }
        Ok(channels)
    }

    /// Proves that the database can be written, without leaving a change.
    ///
    /// # Errors
    /// When it cannot, with the remedy.
    pub async fn probe(&self) -> Result<(), Error> {
        Ok(self.database.probe().await?)
    }

    /// Brings one channel to what `write` wants, in one transaction, if it is still what it was.
    ///
    /// # Errors
    /// When the database fails or stays locked, or the wanted text cannot stand there. After a failure
    /// of the disk the write may have happened all the same: read before writing again.
    pub async fn write(&self, write: Write) -> Result<Written, Error> {
        let select = channel::select(self.layout, &[write.channel]);
        let rows = self.database.read(select).await?;
        let Some(stored) = rows.first().map(|row| channel::read(self.layout, row)) else {
            return Ok(Written::Gone);
        };
        if !write.is_about(&stored.channel) {
            return Ok(Written::Changed);
        }
        let Some(change) = change::change(self.layout, &stored, &write)? else {
            return Ok(Written::Done);
        };
        if self.database.write(change).await? {
            Ok(Written::Done)
        } else {
            Ok(Written::Changed)
        }
    }

    /// A number that differs from the last one if anybody committed to the database meanwhile.
    ///
    /// # Errors
    /// When the database fails or stays locked.
    pub async fn version(&self) -> Result<i64, Error> {
        Ok(self.database.version().await?)
    }

    /// Whether somebody switched the file to a write-ahead log: a gateway under load then loses
    /// bookings, and a copy of the bare file is no backup.
    ///
    /// # Errors
    /// When the database fails or stays locked.
    pub async fn is_wal(&self) -> Result<bool, Error> {
        Ok(self.database.is_wal().await?)
    }
}

/// The most channels that one query reads.
const PAGE: usize = 100;
