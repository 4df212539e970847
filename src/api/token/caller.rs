//! One call and who makes it: throttled, claimed, looked up, answered in its language.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tracing::{error, warn};

use super::answer::{Ids, Paged, Row, Rows};
use super::page::Page;
use super::rules::Limits;
use super::{Style, TokenApi};
use crate::api::auth::Claim;
use crate::api::envelope::Refusal;
use crate::api::message::{self, Message};
use crate::api::{ErrorStatus, Peer};
use crate::database::Halt;
use crate::gateway::{self, Gateway, Tables, Token, User};
use crate::notify::Locale;
use crate::store::{self, bearer};
use crate::telemetry::chain;

/// Seconds after which a caller may find the database free.
const RETRY_AFTER: u64 = 5;

/// Who calls, in what language, and the resource that is called.
pub(super) struct Caller {
    pub(super) api: Arc<TokenApi>,
    claim: Arc<Claim>,
    peer: Peer,
    locale: Locale,
}

/// What a known caller asks for.
pub(super) struct Asked<T> {
    /// The caller's id.
    pub(super) user: i64,
    /// What may be set on this gateway.
    pub(super) limits: Limits,
    pub(super) wish: T,
}

impl FromRequestParts<Arc<TokenApi>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(head: &mut Parts, api: &Arc<TokenApi>) -> Result<Self, Refusal> {
        let locale = message::language(&head.headers, api.style.locale);
        let peer = head.extensions.get().copied().unwrap_or(Peer(None));
        let refuse = |message, retry_after| api.refusal(message, locale, retry_after);
        if let Err(wait) = api.throttle.admit(peer) {
            return Err(refuse(Message::TooManyFailures, Some(wait.seconds)));
        }
        let claim = Claim::of(&head.headers, &api.mint, api.clock.now()).map_err(|message| {
            api.throttle.failed(peer);
            refuse(message, None)
        })?;
        let mut caller = Self {
            api: Arc::clone(api),
            claim: Arc::new(claim),
            peer,
            locale,
        };
        caller.claim = caller.settled().await?;
        Ok(caller)
    }
}

impl TokenApi {
    fn refusal(&self, message: Message, locale: Locale, retry_after: Option<u64>) -> Refusal {
        Refusal {
            message,
            locale,
            telling: self.style.error_status == ErrorStatus::Http,
            retry_after,
        }
    }
}

impl Caller {
    /// The claim as our state sees it now: a revoked bearer opens nothing.
    async fn settled(&self) -> Result<Arc<Claim>, Refusal> {
        let Some(user) = self.claim.bearer() else {
            return Ok(Arc::clone(&self.claim));
        };
        let mut claim = Claim::clone(&self.claim);
        let standing = self.api.store.read(move |db| bearer::standing(db, user));
        let standing = standing.await.map_err(|error| self.stateless(&error))?;
        match claim.settle(standing) {
            Ok(()) => Ok(Arc::new(claim)),
            Err(message) => Err(self.refuse(message)),
        }
    }

    fn stateless(&self, error: &store::Error) -> Refusal {
        error!(error = chain(error), "a call cannot be answered");
        self.refuse(Message::Internal)
    }

    /// A refusal in the caller's language; one of the caller's own person is counted.
    pub(super) fn refuse(&self, message: Message) -> Refusal {
        if message.is_of_person() {
            self.api.throttle.failed(self.peer);
        }
        let retry_after = (message == Message::Busy).then_some(RETRY_AFTER);
        self.api.refusal(message, self.locale, retry_after)
    }

    /// What the gateway's failure means for the caller; its text stays in the log.
    pub(super) fn failed(&self, error: &gateway::Error) -> Refusal {
        if error.passes() || error.is_of_opening() {
            warn!(error = chain(error), "a call cannot be answered now");
        } else {
            error!(error = chain(error), "a call cannot be answered");
        }
        self.api.gateway.failed(error);
        self.refuse(if error.passes() {
            Message::Busy
        } else {
            Message::Internal
        })
    }

    /// The gateway, opened if it was not.
    pub(super) async fn gateway(&self) -> Result<Gateway, Refusal> {
        let opened = self.api.gateway.gateway().await;
        opened.map_err(|error| self.failed(&error))
    }

    /// Reads as the user who calls.
    pub(super) async fn view<T: Send + 'static>(
        &self,
        job: impl Fn(&Tables<'_>, &User) -> Result<T, Halt<Message>> + Send + Sync + 'static,
    ) -> Result<T, Refusal> {
        let claim = Arc::clone(&self.claim);
        let gateway = self.gateway().await?;
        let found = gateway.view(move |tables| job(tables, claim.user(tables)?.as_ref()));
        self.outcome(found.await)
    }

    /// Writes as the user who calls. That may be long after the call came: a bearer is looked at again.
    pub(super) async fn alter<T: Send + 'static>(
        &self,
        job: impl Fn(&Tables<'_>, &User) -> Result<T, Halt<Message>> + Send + Sync + 'static,
    ) -> Result<T, Refusal> {
        let gateway = self.gateway().await?;
        let claim = self.settled().await?;
        let done = gateway.alter(move |tables| job(tables, claim.user(tables)?.as_ref()));
        self.outcome(done.await)
    }

    fn outcome<T>(
        &self,
        outcome: Result<Result<T, Message>, gateway::Error>,
    ) -> Result<T, Refusal> {
        match outcome {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(message)) => Err(self.refuse(message)),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Who asks and what for. A stranger learns nothing about its body, and takes no write lock: the
    /// caller is looked up once more where it writes.
    pub(super) async fn asks<T>(&self, asked: Result<T, Message>) -> Result<Asked<T>, Refusal> {
        let name = self.api.style.name_limit;
        let (user, limits) = self
            .view(move |tables, user| Ok((user.id, Limits::of(tables.holds(), name))))
            .await?;
        match asked {
            Ok(wish) => Ok(Asked { user, limits, wish }),
            Err(message) => Err(self.refuse(message)),
        }
    }

    pub(super) fn style(&self) -> Style {
        self.api.style
    }
}

impl TokenApi {
    fn ids(&self) -> Ids<'_> {
        Ids {
            mint: &self.mint,
            shape: self.style.public_ids,
        }
    }

    pub(super) fn row<'a>(&'a self, token: &'a Token) -> Row<'a> {
        Row {
            token,
            ids: self.ids(),
        }
    }

    pub(super) fn rows<'a>(&'a self, tokens: &'a [Token]) -> Rows<'a> {
        Rows {
            tokens,
            ids: self.ids(),
        }
    }

    pub(super) fn paged<'a>(&'a self, page: Page, total: i64, tokens: &'a [Token]) -> Paged<'a> {
        Paged {
            page: page.number,
            page_size: page.size,
            total,
            items: self.rows(tokens),
        }
    }
}
