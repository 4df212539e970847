//! `[api]`: where and how it listens, how it answers, and the two secrets that its keys are made with.

mod listen;

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::problem::{Problem, Problems};
use super::raw::{Table, place};
use super::secret::Secret;
use crate::api::{ErrorStatus, Proxies, PublicIds, SearchShape};
use crate::tls::Identity;

const NAME_LIMIT: usize = 30;
const AUTH_FAILURES: usize = 100;

/// The longest name that every layout's column holds.
const LONGEST_NAME: usize = 191;

/// The least length of the two secrets, in characters.
const TOKEN_SECRET: usize = 32;
const HASHIDS_SALT: usize = 16;

/// Parts of values that stand in somebody's documentation.
const COPIED: [&str; 10] = [
    "your_random",
    "your_token",
    "your_secret",
    "your_salt",
    "your_hashids",
    "random_string",
    "random_salt",
    "changeme",
    "change_me",
    "token_secret",
];

/// `[api]`.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// `HOST:PORT` or `unix:PATH`, the path absolute.
    pub listen: String,
    /// Who we are over TLS: `tls_certificate_file` with `tls_key_file`.
    pub tls: Option<Identity>,
    /// Whether others than this machine may be listened to without TLS.
    pub allow_plaintext: bool,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Proxies,
    /// The most characters of a token's name.
    pub name_limit: usize,
    /// What the data of a search is.
    pub search_shape: SearchShape,
    /// How answers name a row.
    pub public_ids: PublicIds,
    /// The HTTP status of a refusal that concerns tokens.
    pub error_status: ErrorStatus,
    /// Failed logins a minute that one address has.
    pub auth_failures: u32,
    /// Signs bearers and keys.
    pub token_secret: Option<Secret>,
    /// The `token_secret` that this one takes over from.
    pub token_secret_previous: Option<Secret>,
    /// Keys the shuffle that hides ids.
    pub hashids_salt: Option<Secret>,
}

/// The API's secrets, fit for use.
#[derive(Clone, Debug)]
pub struct ApiSecrets {
    /// Signs bearers and keys; at least 32 characters.
    pub token_secret: SecretString,
    /// The `token_secret` that this one takes over from.
    pub token_secret_previous: Option<SecretString>,
    /// Keys the shuffle that hides ids; at least 16 characters.
    pub hashids_salt: SecretString,
}

pub(super) fn read(root: &mut Table<'_>) -> ApiSettings {
    let mut table = root.table("api");
    let listen = listen::read(&mut table);
    let shapes = [("array", SearchShape::Array), ("page", SearchShape::Page)];
    let ids = [
        ("numbers", PublicIds::Numbers),
        ("hashed", PublicIds::Hashed),
    ];
    let statuses = [("ok", ErrorStatus::Ok), ("http", ErrorStatus::Http)];
    let name_limit = table.number("name_limit", 1..=LONGEST_NAME);
    let auth_failures = table
        .number("auth_failures", 1..=1_000_000)
        .unwrap_or(AUTH_FAILURES);
    let settings = ApiSettings {
        listen: listen.address,
        tls: listen.tls,
        allow_plaintext: listen.allow_plaintext,
        trusted_proxies: listen::proxies(&mut table),
        name_limit: name_limit.unwrap_or(NAME_LIMIT),
        search_shape: table.choice("search_shape", &shapes).unwrap_or_default(),
        public_ids: table.choice("public_ids", &ids).unwrap_or_default(),
        error_status: table.choice("error_status", &statuses).unwrap_or_default(),
        auth_failures: u32::try_from(auth_failures).unwrap_or(u32::MAX),
        token_secret: table.secret_or_file("token_secret", Some("token_secret")),
        token_secret_previous: table.secret("token_secret_previous"),
        hashids_salt: table.secret_or_file("hashids_salt", Some("hashids_salt")),
    };
    table.finish();
    settings
}

impl ApiSettings {
    /// What `new` changes that a running listener cannot take over: everything but the certificate and its
    /// key, which it can exchange for others.
    pub(super) fn needs_restart(&self, new: &Self) -> impl Iterator<Item = &'static str> {
        let text = |secret: &Option<Secret>| {
            let secret = secret.as_ref();
            secret.map(|secret| super::secret_text(&secret.value))
        };
        let changed = [
            ("api.listen", self.listen != new.listen),
            (
                "api.tls_certificate_file",
                self.tls.is_some() != new.tls.is_some(),
            ),
            (
                "api.trusted_proxies",
                self.trusted_proxies != new.trusted_proxies,
            ),
            ("api.name_limit", self.name_limit != new.name_limit),
            ("api.search_shape", self.search_shape != new.search_shape),
            ("api.public_ids", self.public_ids != new.public_ids),
            ("api.error_status", self.error_status != new.error_status),
            ("api.auth_failures", self.auth_failures != new.auth_failures),
            (
                "api.token_secret",
                text(&self.token_secret) != text(&new.token_secret),
            ),
            (
                "api.token_secret_previous",
                text(&self.token_secret_previous) != text(&new.token_secret_previous),
            ),
            (
                "api.hashids_salt",
                text(&self.hashids_salt) != text(&new.hashids_salt),
            ),
        ];
        let keys = changed.into_iter().filter(|(_, changed)| *changed);
        keys.map(|(key, _)| key)
    }

    /// The two secrets, if they are there and fit.
    pub(super) fn secrets(&self, file: Option<&PathBuf>) -> Result<ApiSecrets, Problems> {
        let (Some(token_secret), Some(hashids_salt)) = (&self.token_secret, &self.hashids_salt)
        else {
            return Err(Problems(vec![self.missing(file)]));
        };
        let mut problems = Vec::new();
        let mut look = |key: &str, secret: &Secret, least: usize| {
            if let Some(fault) = weakness(secret.value.expose_secret(), least) {
                problems.push(weak(key, secret, fault));
            }
        };
        look("api.token_secret", token_secret, TOKEN_SECRET);
        look("api.hashids_salt", hashids_salt, HASHIDS_SALT);
        if token_secret.value.expose_secret() == hashids_salt.value.expose_secret() {
            let fault = "is the same as api.token_secret".to_owned();
            problems.push(weak("api.hashids_salt", hashids_salt, fault));
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        Ok(ApiSecrets {
            token_secret: token_secret.value.clone(),
            token_secret_previous: self
                .token_secret_previous
                .clone()
                .map(|secret| secret.value),
            hashids_salt: hashids_salt.value.clone(),
        })
    }

    /// The first half of the message is One-Hub's, which people search for.
    fn missing(&self, file: Option<&PathBuf>) -> Problem {
        let names: Vec<&str> = [
            self.token_secret.is_none().then_some("token_secret"),
            self.hashids_salt.is_none().then_some("hashids_salt"),
        ]
        .into_iter()
        .flatten()
        .collect();
        let each = |write: &dyn Fn(&str) -> String, and: &str| {
            let written: Vec<String> = names.iter().map(|name| write(name)).collect();
            written.join(and)
        };
        Problem {
            source: place(file),
            key: each(&|name| format!("api.{name}"), ", "),
            fault: format!(
                "failed to initialize user token: token_secret or hashids_salt is not set (missing: {})",
                names.join(" and ")
            ),
            remedy: format!(
                "`keyfresh init` makes what is missing; or set {} in the environment or in .env, or {} under [api] in the \
                 configuration, or a file with {}, or write the file {} beside the configuration, mode 0600",
                each(&str::to_uppercase, " and "),
                each(&str::to_owned, " and "),
                each(&|name| format!("{name}_file"), " and "),
                each(&str::to_owned, " and "),
            ),
        }
    }
}

fn weak(key: &str, secret: &Secret, fault: String) -> Problem {
    Problem {
        source: secret.source.clone(),
        key: key.to_owned(),
        fault,
        remedy: "write a random text there, for example of `openssl rand -hex 32`".to_owned(),
    }
}

fn weakness(secret: &str, least: usize) -> Option<String> {
    let spelled = secret.to_lowercase().replace(['-', ' '], "_");
    if COPIED.iter().any(|copied| spelled.contains(copied)) {
        return Some("is a value copied from documentation".to_owned());
    }
    let length = secret.chars().count();
    (length < least).then(|| format!("has {length} characters, expected at least {least}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_secrets_are_told_apart() {
        let check = |secret: &str, least, expected: Option<&str>| {
            assert_eq!(weakness(secret, least).as_deref(), expected, "{secret}");
        };
        let copied = Some("is a value copied from documentation");
        check("your_random_string_here", 32, copied);
        check("YOUR-RANDOM-SALT-HERE", 16, copied);
        check("Random_String", 16, copied);
        check("ChangeMe", 16, copied);
        check(
            "fifteen-letters",
            16,
            Some("has 15 characters, expected at least 16"),
        );
        check("十六个汉字组成的一段很长的盐值呀", 16, None);
        check(
            &"x".repeat(31),
            32,
            Some("has 31 characters, expected at least 32"),
        );
        check(&"x".repeat(32), 32, None);
    }
}
