//! The authorization server as the harness knows it: whoever replaces it rewrites this file alone.

use keyfresh::demo::authority::{Authority, Ruling};
use keyfresh::secret::ExposeSecret as _;
use url::Url;

/// What the server did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Did {
    /// It issued new tokens.
    Grant,
    /// The token had been used before, or belongs to a dead grant.
    Refuse,
}

/// The server, and which of its grants is in use.
pub(crate) struct Server<'a> {
    authority: &'a Authority,
    grant: usize,
}

impl<'a> Server<'a> {
    /// The server behind `authority`, where the grant with this number, from 0, is in use.
    pub(crate) fn new(authority: &'a Authority, grant: usize) -> Self {
        Self { authority, grant }
    }

    /// Its token endpoint.
    pub(crate) fn address(&self) -> &Url {
        self.authority.url()
    }

    /// What it was asked so far and did, in order.
    pub(crate) fn asked(&self) -> Vec<Did> {
        let seen = self.authority.requests();
        let did = |ruling| match ruling {
            Ruling::Granted => Did::Grant,
            _ => Did::Refuse,
        };
        seen.iter().map(|seen| did(seen.ruling)).collect()
    }

    /// The newest refresh token of the grant, delivered or not, if the grant is alive.
    pub(crate) fn newest(&self) -> Option<String> {
        let newest = self.authority.newest(self.grant)?;
        let alive = self.authority.alive(self.grant);
        alive.then(|| newest.expose_secret().to_owned())
    }
}
