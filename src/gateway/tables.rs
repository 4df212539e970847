//! `users` and `tokens` of one gateway, as a job inside a transaction sees them.
//!
//! What can be done with them stands in `user.rs`, `embedded.rs` and `token/`; SQL is written once, with
//! `?` and double quotes, and the layout says what differs.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Kind;
use super::layout::{Holds, Layout};
use super::user::PAGE;
use super::{Error, Gateway, Settings, User, embedded};
use crate::database::{Database, Fault, Halt, Memorable, Session};

/// The users and tokens of a gateway, for the length of one transaction.
pub struct Tables<'s> {
    pub(super) session: &'s Session<'s>,
    pub(super) layout: &'static Layout,
}

impl Tables<'_> {
    /// Whose database it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.layout.kind
    }

    /// What values tokens may have here and now: a gateway's update adds columns.
    #[must_use]
    pub fn holds(&self) -> Holds {
        (self.layout.tokens.holds)(&|column| self.session.has("tokens", column))
    }

    /// [`Session::remembered`].
    ///
    /// # Errors
    /// Those of `compute`.
    pub fn remembered<T: Memorable>(
        &self,
        question: &str,
        about: &[u8],
        compute: impl FnOnce() -> Result<Option<T>, Fault>,
    ) -> Result<Option<T>, Fault> {
        self.session.remembered(question, about, compute)
    }
}

impl Gateway {
    /// Opens the database that [`embedded::create`] made.
    ///
    /// # Errors
    /// When it is missing, inaccessible, locked, or of another form.
    pub async fn open_embedded(path: &Path, busy_timeout: Duration) -> Result<Self, Error> {
        Ok(Self {
            database: Database::open(path, busy_timeout, &embedded::FORMS).await?,
            layout: &embedded::LAYOUT,
            settings: Arc::new(Settings {
                database: path.to_owned(),
                kind: None,
                sync_interval: None,
                busy_timeout,
                url: None,
                access_token: None,
            }),
        })
    }

    /// Reads a few rows of users and tokens, as [`Database::view`] does.
    ///
    /// # Errors
    /// When the database fails or stays locked.
    pub async fn view<T, R>(
        &self,
        job: impl Fn(&Tables<'_>) -> Result<T, Halt<R>> + Send + Sync + 'static,
    ) -> Result<Result<T, R>, Error>
    where
        T: Send + 'static,
        R: Send + 'static,
    {
        Ok(self.database.view(self.on_tables(job)).await?)
    }

    /// Changes users and tokens, as [`Database::alter`] does.
    ///
    /// # Errors
    /// When the database fails or stays locked.
    pub async fn alter<T, R>(
        &self,
        job: impl Fn(&Tables<'_>) -> Result<T, Halt<R>> + Send + Sync + 'static,
    ) -> Result<Result<T, R>, Error>
    where
        T: Send + 'static,
        R: Send + 'static,
    {
        Ok(self.database.alter(self.on_tables(job)).await?)
    }

    /// One piece of a long read.
    pub(super) async fn scan<T: Send + 'static>(
        &self,
        job: impl Fn(&Tables<'_>) -> Result<T, Fault> + Send + Sync + 'static,
    ) -> Result<T, Error> {
        let job = self.on_tables(move |tables| Ok::<_, Halt<Infallible>>(job(tables)?));
        let Ok(found) = self.database.scan(job).await?;
        Ok(found)
    }

    fn on_tables<O>(
        &self,
        job: impl Fn(&Tables<'_>) -> O + Send + Sync + 'static,
    ) -> impl Fn(&Session<'_>) -> O + Send + Sync + 'static {
        let layout = self.layout;
        move |session| job(&Tables { session, layout })
    }

    /// All users, by id.
    ///
    /// # Errors
    /// When the database fails or stays locked.
    pub async fn users(&self) -> Result<Vec<User>, Error> {
        let mut users: Vec<User> = Vec::new();
        loop {
            let last = users.last().map_or(i64::MIN, |user| user.id);
            let page = self.scan(move |tables| tables.users_after(last)).await?;
            let is_last = page.len() < PAGE;
            users.extend(page);
            if is_last {
                return Ok(users);
            }
        }
    }
}
