//! What an OAuth provider expects and what its answers mean: presets as data, two pure functions.
//!
//! `refresh.rs` asks [`Client::request`] for the one POST of RFC 6749 §6 and [`Client::outcome`] for
//! what came back; `config.rs` makes a [`Client`] of a row of [`PRESETS`] and its overrides. No IO
//! and no clock here, nothing is retried, and no reason or code ever holds a token.

mod generic;
mod members;
mod openai_auth0;
mod openai_codex;
mod outcome;
mod preset;

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method};
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use zeroize::Zeroizing;

use crate::wire::Request;

pub use outcome::{blames_token, names_reuse, never_sent, silence};
pub use preset::{Overrides, Preset, Problem};

/// Every preset, in the order people are shown them.
pub const PRESETS: &[Preset] = &[openai_auth0::PRESET, openai_codex::PRESET, generic::PRESET];

/// The preset called `name`.
#[must_use]
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

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
    /// `http://`, `https://`, `socks5://` or `socks5h://` proxy; may hold a password.
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
    /// The one POST that exchanges `refresh_token` (RFC 6749 §6).
    ///
    /// No `Accept-Encoding`: a compressed answer could not be read from a slot that was cut.
    #[must_use]
    pub fn request(&self, refresh_token: &SecretString) -> Request {
        let parameters = self.parameters(refresh_token.expose_secret());
        let (content_type, body) = match self.body {
            Encoding::Form => ("application/x-www-form-urlencoded", form(&parameters)),
            Encoding::Json => ("application/json", json(&parameters)),
        };
        let mut headers = vec![
            (ACCEPT, HeaderValue::from_static("application/json")),
            (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        ];
        headers.extend(self.basic().map(|value| (AUTHORIZATION, value)));
        Request {
            method: Method::POST,
            url: self.token_url.clone(),
            headers,
            body,
        }
    }

    /// Stands for everything that a request says besides its refresh token, for the digest that tells
    /// whether it would be the same as one already refused. A hash: a client's secret is part of it.
    #[must_use]
    pub fn digest_text(&self) -> String {
        let request = self.request(&SecretString::default());
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(request.url.as_str().as_bytes());
        for (name, value) in &request.headers {
            context.update(name.as_str().as_bytes());
            context.update(value.as_bytes());
        }
        context.update(&request.body);
        base64::engine::general_purpose::STANDARD_NO_PAD.encode(context.finish())
    }

    fn parameters<'a>(&'a self, refresh_token: &'a str) -> Vec<(&'a str, &'a str)> {
        let mut parameters = Vec::new();
        parameters.extend(
            self.redirect_uri
                .as_deref()
                .map(|uri| ("redirect_uri", uri)),
        );
        parameters.push(("grant_type", "refresh_token"));
        if self.client_auth != ClientAuth::Basic {
            parameters.push(("client_id", self.client_id.as_str()));
        }
        if let (ClientAuth::Post, Some(secret)) = (self.client_auth, &self.client_secret) {
            parameters.push(("client_secret", secret.expose_secret()));
        }
        parameters.push(("refresh_token", refresh_token));
        parameters.extend(self.scope.as_deref().map(|scope| ("scope", scope)));
        parameters.extend(
            self.extra
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str())),
        );
        parameters
    }

    /// RFC 6749 §2.3.1: both parts are form-encoded before they are joined.
    fn basic(&self) -> Option<HeaderValue> {
        let (ClientAuth::Basic, Some(secret)) = (self.client_auth, &self.client_secret) else {
            return None;
        };
        let pair = Zeroizing::new(format!(
            "{}:{}",
            urlencoding::encode(&self.client_id),
            urlencoding::encode(secret.expose_secret())
        ));
        let encoded = base64::engine::general_purpose::STANDARD.encode(&*pair);
        let mut value = HeaderValue::try_from(format!("Basic {encoded}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

fn form(parameters: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    let pairs: Vec<String> = parameters
        .iter()
        .map(|(key, value)| {
            format!(
                "{}={}",
                urlencoding::encode(key),
                urlencoding::encode(value)
            )
        })
        .collect();
    Zeroizing::new(pairs.join("&").into_bytes())
}

fn json(parameters: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    let object: serde_json::Map<String, serde_json::Value> = parameters
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.into()))
        .collect();
    Zeroizing::new(serde_json::Value::Object(object).to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request as text: its line, its headers, its body.
    pub(super) fn written(client: &Client, refresh_token: &str) -> String {
        let request = client.request(&refresh_token.into());
        let headers: Vec<String> = request
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
            .collect();
        format!(
            "{} {}\n{}\n{}",
            request.method,
            request.url,
            headers.concat(),
            std::str::from_utf8(&request.body).unwrap()
        )
    }

    fn client(overrides: Overrides) -> Client {
        preset("generic")
            .unwrap()
            .client(Overrides {
                token_url: Some("https://id.example/token".into()),
                client_id: Some("a client".into()),
                client_secret: Some("s:e&c=r%t".into()),
                ..overrides
            })
            .unwrap()
    }

    #[test]
    fn a_client_proves_itself_in_each_way() {
        let check = |client_auth, header: Option<&str>, body: &str| {
            let client = client(Overrides {
                client_auth: Some(client_auth),
                ..Overrides::default()
            });
            let request = client.request(&"r+t/1=".into());
            let found = request
                .headers
                .iter()
                .find(|(name, _)| name == AUTHORIZATION);
            assert_eq!(found.map(|(_, value)| value.to_str().unwrap()), header);
            assert!(found.is_none_or(|(_, value)| value.is_sensitive()));
            assert_eq!(std::str::from_utf8(&request.body).unwrap(), body);
        };
        check(
            ClientAuth::None,
            None,
            "grant_type=refresh_token&client_id=a%20client&refresh_token=r%2Bt%2F1%3D",
        );
        check(
            ClientAuth::Basic,
            Some("Basic YSUyMGNsaWVudDpzJTNBZSUyNmMlM0RyJTI1dA=="),
            "grant_type=refresh_token&refresh_token=r%2Bt%2F1%3D",
        );
        check(
            ClientAuth::Post,
            None,
            "grant_type=refresh_token&client_id=a%20client&client_secret=s%3Ae%26c%3Dr%25t&refresh_token=r%2Bt%2F1%3D",
        );
    }

    #[test]
    fn whatever_a_person_corrects_makes_another_request() {
        let usual = || Overrides {
            client_auth: Some(ClientAuth::Basic),
            ..Overrides::default()
        };
        let before = client(usual()).digest_text();
        assert_eq!(client(usual()).digest_text(), before);
        let mut secret = client(usual());
        secret.client_secret = Some("corrected".into());
        let mut scope = client(usual());
        scope.scope = Some("offline_access".to_owned());
        for corrected in [secret, scope] {
            assert_ne!(corrected.digest_text(), before);
            assert!(!corrected.digest_text().contains("corrected"));
        }
    }

    #[test]
    fn everything_configured_is_sent_in_both_encodings() {
        let check = |body, wanted: &str| {
            let client = client(Overrides {
                body: Some(body),
                scope: Some("openid offline_access".into()),
                redirect_uri: Some("app://call\"back".into()),
                extra: BTreeMap::from([("audience".into(), "a&b".into())]),
                ..Overrides::default()
            });
            assert_eq!(
                std::str::from_utf8(&client.request(&"rt".into()).body).unwrap(),
                wanted
            );
        };
        check(
            Encoding::Form,
            "redirect_uri=app%3A%2F%2Fcall%22back&grant_type=refresh_token&client_id=a%20client&refresh_token=rt&scope=openid%20offline_access&audience=a%26b",
        );
        check(
            Encoding::Json,
            r#"{"redirect_uri":"app://call\"back","grant_type":"refresh_token","client_id":"a client","refresh_token":"rt","scope":"openid offline_access","audience":"a&b"}"#,
        );
    }

    #[test]
    fn presets_are_found_by_their_own_name_only() {
        for row in PRESETS {
            assert_eq!(preset(row.name).unwrap().name, row.name);
        }
        assert!(preset("openai").is_none());
    }
}
