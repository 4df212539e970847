//! From a preset and what the configuration overrides to a [`Client`] that can be used.
//!
//! `config.rs` calls [`Preset::client`] and adds the source to each [`Problem`]; all problems come at
//! once and none repeats a value, which may be a secret. Files and environment are not read here.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use super::{Client, ClientAuth, Encoding, Rotation};

/// What a known provider expects; every field can be overridden.
#[derive(Debug)]
pub struct Preset {
    /// The name used in the configuration.
    pub name: &'static str,
    /// The token endpoint; `None` must be overridden.
    pub token_url: Option<&'static str>,
    /// RFC 6749's `client_id`; `None` must be overridden.
    pub client_id: Option<&'static str>,
    /// How the client proves itself.
    pub client_auth: ClientAuth,
    /// How the parameters are written.
    pub body: Encoding,
    /// RFC 6749's `scope`.
    pub scope: Option<&'static str>,
    /// The `redirect_uri` that the endpoint asks for.
    pub redirect_uri: Option<&'static str>,
    /// Further parameters.
    pub extra: &'static [(&'static str, &'static str)],
    /// What happens to a used refresh token.
    pub rotation: Rotation,
    /// How long a used refresh token may be sent again.
    pub grace: Duration,
    /// How long the whole exchange may take.
    pub timeout: Duration,
    /// The access token's lifetime where nothing tells it.
    pub lifetime: Duration,
    /// Error codes of a dead refresh token besides RFC 6749 §5.2's.
    pub rejections: &'static [&'static str],
}

/// What the configuration says of a client; `None` leaves the preset's value.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// See [`Client::token_url`].
    pub token_url: Option<String>,
    /// See [`Client::client_id`].
    pub client_id: Option<String>,
    /// See [`Client::client_secret`].
    pub client_secret: Option<SecretString>,
    /// See [`Client::client_auth`].
    pub client_auth: Option<ClientAuth>,
    /// See [`Client::body`].
    pub body: Option<Encoding>,
    /// See [`Client::scope`].
    pub scope: Option<String>,
    /// See [`Client::redirect_uri`].
    pub redirect_uri: Option<String>,
    /// Added to the preset's; the same key replaces it.
    pub extra: BTreeMap<String, String>,
    /// See [`Client::rotation`].
    pub rotation: Option<Rotation>,
    /// See [`Client::grace`].
    pub grace: Option<Duration>,
    /// See [`Client::timeout`].
    pub timeout: Option<Duration>,
    /// See [`Client::proxy`].
    pub proxy: Option<SecretString>,
    /// See [`Client::lifetime`].
    pub lifetime: Option<Duration>,
}

/// Why a client cannot be made of a preset and its overrides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The configuration key, below the credential.
    pub key: &'static str,
    /// What is wrong and what to do.
    pub message: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// The parameters that the request itself sets.
const OWN_PARAMETERS: [&str; 6] = [
    "grant_type",
    "refresh_token",
    "client_id",
    "client_secret",
    "scope",
    "redirect_uri",
];

/// Shorter time-outs only lose answers (a reply that comes late is a token lost), longer ones hold a
/// slot for nothing.
const TIMEOUT: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_mins(10);

impl Preset {
    /// The client that this preset and `overrides` describe.
    ///
    /// # Errors
    /// Every problem found, each with the key to change.
    pub fn client(&'static self, overrides: Overrides) -> Result<Client, Vec<Problem>> {
        let mut problems = Vec::new();
        let token_url = endpoint(overrides.token_url.as_deref().or(self.token_url))
            .map_err(|message| problems.push(problem("token_url", message)));
        let client_id = overrides
            .client_id
            .or(self.client_id.map(str::to_owned))
            .filter(|id| !id.is_empty());
        if client_id.is_none() {
            problems.push(problem("client_id", "missing: set the OAuth client's id"));
        }
        let client_auth = overrides.client_auth.unwrap_or(self.client_auth);
        if client_auth != ClientAuth::None && overrides.client_secret.is_none() {
            problems.push(problem(
                "client_secret",
                "missing: client_auth \"basic\" and \"post\" need it; set it, or client_auth = \"none\"",
            ));
        }
        if let Some(Err(message)) = overrides.proxy.as_ref().map(checked_proxy) {
            problems.push(problem("proxy", message));
        }
        let timeout = overrides.timeout.unwrap_or(self.timeout);
        if !TIMEOUT.contains(&timeout) {
            problems.push(problem("timeout", "must be between 1s and 10m"));
        }
        if overrides
            .extra
            .keys()
            .any(|key| OWN_PARAMETERS.contains(&key.as_str()))
        {
            problems.push(problem(
                "extra",
                "holds a parameter that has a key of its own: set client_id, client_secret, scope or redirect_uri there",
            ));
        }
        let (Ok(token_url), Some(client_id), true) = (token_url, client_id, problems.is_empty())
        else {
            return Err(problems);
        };
        let mut extra: BTreeMap<String, String> = self
            .extra
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        extra.extend(overrides.extra);
        Ok(Client {
            preset: self.name,
            token_url,
            client_id,
            client_secret: overrides.client_secret,
            client_auth,
            body: overrides.body.unwrap_or(self.body),
            scope: overrides.scope.or(self.scope.map(str::to_owned)),
            redirect_uri: overrides
                .redirect_uri
                .or(self.redirect_uri.map(str::to_owned)),
            extra,
            rotation: overrides.rotation.unwrap_or(self.rotation),
            grace: overrides.grace.unwrap_or(self.grace),
            timeout,
            proxy: overrides.proxy,
            lifetime: overrides.lifetime.unwrap_or(self.lifetime),
            rejections: self.rejections,
        })
    }
}

fn problem(key: &'static str, message: &'static str) -> Problem {
    Problem { key, message }
}

/// RFC 6749 §3.2: TLS, and no fragment.
fn endpoint(text: Option<&str>) -> Result<Url, &'static str> {
    let text = text.ok_or("missing: set the provider's token endpoint")?;
    let url = Url::parse(text).map_err(|_| "is not a URL: expected https://HOST/PATH")?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err("has no host: expected https://HOST/PATH"),
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        _ => return Err("must begin with https:// (plain http:// only to this machine)"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user name: use client_id, client_secret and client_auth = \"basic\"");
    }
    if url.fragment().is_some() {
        return Err("must not have a #fragment");
    }
    Ok(url)
}

fn checked_proxy(text: &SecretString) -> Result<(), &'static str> {
    const EXPECTED: &str =
        "must look like http://, https://, socks5:// or socks5h://[USER:PASSWORD@]HOST[:PORT]";
    let url = Url::parse(text.expose_secret()).map_err(|_| EXPECTED)?;
    let known = ["http", "https", "socks5", "socks5h"].contains(&url.scheme());
    if known && url.host_str().is_some_and(|host| !host.is_empty()) {
        Ok(())
    } else {
        Err(EXPECTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::preset;

    fn check(name: &str, overrides: Overrides, keys: &[&str]) {
        let found = preset(name)
            .unwrap()
            .client(overrides)
            .err()
            .unwrap_or_default();
        assert_eq!(
            found.iter().map(|problem| problem.key).collect::<Vec<_>>(),
            keys
        );
    }

    fn endpoint_of(url: &str) -> Overrides {
        Overrides {
            token_url: Some(url.into()),
            ..Overrides::default()
        }
    }

    #[test]
    fn all_problems_come_at_once() {
        check("openai-auth0", Overrides::default(), &[]);
        check("openai-codex", Overrides::default(), &[]);
        check("generic", Overrides::default(), &["token_url", "client_id"]);
        let everything = Overrides {
            client_id: Some(String::new()),
            client_auth: Some(ClientAuth::Post),
            proxy: Some("ftp://u:p@h".into()),
            timeout: Some(Duration::ZERO),
            extra: BTreeMap::from([("refresh_token".into(), "x".into())]),
            ..endpoint_of("http://id.example/token")
        };
        let keys = [
            "token_url",
            "client_id",
            "client_secret",
            "proxy",
            "timeout",
            "extra",
        ];
        check("generic", everything, &keys);
    }

    #[test]
    fn endpoints_are_https_or_this_machine() {
        for good in [
            "https://id.example/t?tenant=1",
            "http://localhost:1/t",
            "http://127.9.9.9/t",
            "http://[::1]:80/t",
        ] {
            check("openai-auth0", endpoint_of(good), &[]);
        }
        for bad in [
            "",
            "id.example/t",
            "http://id.example/t",
            "http://localhost.example/t",
            "ftp://127.0.0.1/t",
            "https://u@id.example/t",
            "https://:p@id.example/t",
            "https://id.example/t#f",
        ] {
            check("openai-auth0", endpoint_of(bad), &["token_url"]);
        }
    }

    #[test]
    fn proxies_need_a_known_scheme_and_a_host() {
        let proxy = |text: &str| Overrides {
            proxy: Some(text.into()),
            ..Overrides::default()
        };
        for good in [
            "http://h:1",
            "https://h",
            "socks5://u:p@h:1080",
            "socks5h://[::1]:9",
        ] {
            check("openai-auth0", proxy(good), &[]);
        }
        for bad in ["h:1", "socks4://h", "socks5://", "http:", ""] {
            check("openai-auth0", proxy(bad), &["proxy"]);
        }
    }
}
