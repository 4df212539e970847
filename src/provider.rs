//! What an OAuth provider expects and what its answers mean: presets as data, two pure functions.
//!
//! [`Client::request`] makes the one POST of RFC 6749 §6, [`Client::outcome`] reads what came back.
//! A preset is a row of [`PRESETS`]; no IO and no clock here, and nothing is retried.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::clock::Timestamp;
use crate::wire::{Answer, Request};

/// How the client proves itself at the token endpoint (RFC 6749 §2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// A public client: its id stands in the body.
    None,
    /// HTTP Basic, both parts form-encoded first.
    Basic,
    /// Id and secret in the body.
    Post,
}

/// How the request's parameters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// `application/x-www-form-urlencoded`, as RFC 6749 demands.
    Form,
    /// A JSON object, as OpenAI's endpoints take it.
    Json,
}

/// What the provider does with a refresh token once it was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rotation {
    /// Each token works once.
    Rotates,
    /// The same token stays valid.
    Keeps,
    /// Unproven, treated as rotating.
    Unknown,
}

/// One credential's OAuth client: a preset with the configuration's overrides.
#[derive(Clone, Debug)]
pub struct Client {
    /// The preset's name.
    pub preset: &'static str,
    /// The token endpoint.
    pub token_url: Url,
    /// RFC 6749's `client_id`.
    pub client_id: String,
    /// RFC 6749's `client_secret`, for [`ClientAuth::Basic`] and [`ClientAuth::Post`].
    pub client_secret: Option<SecretString>,
    /// How the client proves itself.
    pub client_auth: ClientAuth,
    /// How the parameters are written.
    pub body: Encoding,
    /// RFC 6749's `scope`.
    pub scope: Option<String>,
    /// RFC 6749's `redirect_uri`: not part of a refresh, but some endpoints ask for it.
    pub redirect_uri: Option<String>,
    /// Further parameters, sent as they are.
    pub extra: BTreeMap<String, String>,
    /// What happens to a used refresh token.
    pub rotation: Rotation,
    /// How long a used refresh token may be sent again with the same result.
    pub grace: Duration,
    /// How long the whole exchange may take.
    pub timeout: Duration,
    /// `http://`, `https://` or `socks5://` proxy; may hold a password.
    pub proxy: Option<SecretString>,
    /// The access token's lifetime where neither the answer nor the token tells it.
    pub lifetime: Duration,
    /// Error codes that mean "this refresh token is dead" besides RFC 6749 §5.2's.
    pub rejections: &'static [&'static str],
}

/// What an exchange came to.
#[derive(Debug)]
pub struct Outcome {
    /// The judgement.
    pub verdict: Verdict,
    /// A refresh token found in a 2xx answer, whatever else is wrong there; also in a cut one, if whole.
    pub refresh_token: Option<SecretString>,
}

/// The judgement on an exchange.
#[derive(Debug)]
pub enum Verdict {
    /// 2xx, no `error`, an access token of visible ASCII.
    Granted {
        /// The new access token.
        access_token: SecretString,
        /// Its lifetime, clamped to 60 s … 400 d: `expires_in`, else the JWT's `exp`, else the client's `lifetime`.
        lifetime: Duration,
    },
    /// The provider refused the token for good (RFC 6749 §5.2 or the preset's list).
    Rejected {
        /// The error code, printable and at most 64 characters.
        code: String,
    },
    /// Proved unspent: the same token may be sent again.
    Retry {
        /// Why, for people; no secrets.
        reason: String,
        /// The answer's `Retry-After` as a span from `now`.
        retry_after: Option<Duration>,
    },
    /// The token may or may not have been spent.
    Unconfirmed {
        /// Why, for people; no secrets.
        reason: String,
    },
}

impl Client {
    /// The one POST that exchanges `refresh_token`.
    #[must_use]
    pub fn request(&self, _refresh_token: &SecretString) -> Request {
        unimplemented!()
    }

    /// What `answer` means, read at `now`.
    #[must_use]
    pub fn outcome(&self, _answer: &Answer, _now: Timestamp) -> Outcome {
        unimplemented!()
    }
}
