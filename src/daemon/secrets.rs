//! The API's secrets at start: are they those that keys, bearers and ids were made with so far?
//!
//! [`settle`] stops whoever would sign with a secret that makes what was signed before worthless, until
//! a person says what is meant. `serve` and `user token` call it, `check` looks with [`strangers`],
//! `token accept-secrets` is the person's word.

use anyhow::Result;
use tracing::warn;

use crate::config::{Config, Problem, Problems, Secret};
use crate::mint::{self, Fingerprints, Mint, OneHubMint, Signer};
use crate::secret::{ExposeSecret as _, Fingerprint};
use crate::store::secrets::{Name, keep, used};
use crate::store::{self, Store};

/// How a configured secret stands to the one in use so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// None was in use.
    First,
    /// It is the same.
    Same,
    /// It takes over from the one in use, which is still configured as the previous one.
    Successor,
    /// The one in use is not configured any more.
    Changed,
}

type Standings = [(Name, Standing); 2];

/// The mint of `config`'s secrets, which are noted as those in use, and whether `token_secret` took
/// over from another: a daemon that runs since before still has that one.
///
/// # Errors
/// [`Problems`] when they are missing or weak, or others were in use so far; when the state cannot be
/// read or written.
pub async fn settle(config: &Config, store: &Store) -> Result<(Mint, bool)> {
    let mint = mint(config)?;
    let standings = standings(&mint.fingerprints(), store).await?;
    let problems = problems(config, standings);
    if !problems.0.is_empty() {
        return Err(problems.into());
    }
    let is = |wanted| move |(_, standing): &(Name, Standing)| *standing == wanted;
    if !standings.iter().all(is(Standing::Same)) {
        write(&mint, store).await?;
    }
    bind(config, store).await?;
    let has_heir = standings.iter().any(is(Standing::Successor));
    Ok((mint, has_heir))
}

/// Bearers name a user by id: those of another database's users are revoked.
async fn bind(config: &Config, store: &Store) -> Result<(), store::Error> {
    let database = match &config.gateway {
        Some(gateway) => gateway.database.display().to_string(),
        None => "embedded".to_owned(),
    };
    let known = store.read(store::bearer::gateway).await?;
    if known.as_ref() == Some(&database) {
        return Ok(());
    }
    if known.is_some() {
        warn!("gateway.database has changed: every bearer issued before is revoked");
    }
    store
        .write(move |db| store::bearer::belong_to(db, &database))
        .await
}

/// Each secret of `config` that is not the one in use so far, with the remedies.
///
/// # Errors
/// [`Problems`] when a secret is missing or weak; when the state cannot be read.
pub async fn strangers(config: &Config, store: &Store) -> Result<Problems> {
    let fingerprints = mint(config)?.fingerprints();
    Ok(problems(config, standings(&fingerprints, store).await?))
}

/// Notes the secrets of `config` as those in use, whatever was signed before. Returns those that changed.
///
/// # Errors
/// [`Problems`] when they are missing or weak; when the state cannot be read or written.
pub async fn accept(config: &Config, store: &Store) -> Result<Vec<Name>> {
    let mint = mint(config)?;
    let standings = standings(&mint.fingerprints(), store).await?;
    write(&mint, store).await?;
    Ok(changed(standings).collect())
}

/// What keys, bearers and hashed ids are made with.
///
/// # Errors
/// [`Problems`] when a secret is missing or weak.
pub fn mint(config: &Config) -> Result<Mint> {
    let secrets = config.api_secrets()?;
    Ok(Mint::new(
        &secrets.token_secret,
        secrets.token_secret_previous.as_ref(),
        &secrets.hashids_salt,
    )?)
}

/// What One-Hub's keys are made with; nothing where its `USER_TOKEN_SECRET` is not configured.
///
/// # Errors
/// When One-Hub itself would not start with what is configured.
pub fn one_hub_mint(config: &Config) -> Result<Option<OneHubMint>, Problems> {
    let Some(secret) = &config.one_hub.user_token_secret else {
        return Ok(None);
    };
    let alphabet = config.one_hub.hashids_salt.as_ref();
    let text = alphabet.map(|alphabet| alphabet.value.expose_secret());
    OneHubMint::new(&secret.value, text)
        .map(Some)
        .map_err(|error| {
            let wrong = match error {
                mint::Error::Alphabet(_) => alphabet.unwrap_or(secret),
                _ => secret,
            };
            Problems(vec![Problem {
                source: wrong.source.clone(),
                key: String::new(),
                fault: error.to_string(),
                remedy: "`keyfresh check` then compares it with One-Hub's newest key".to_owned(),
            }])
        })
}

async fn standings(configured: &Fingerprints, store: &Store) -> Result<Standings, store::Error> {
    let [token_secret, hashids_salt] = store
        .read(|db| Ok([used(db, Name::TokenSecret)?, used(db, Name::HashidsSalt)?]))
        .await?;
    let signer = |stored| configured.token_secret_of(stored);
    // Ids of an older salt could not be told from those of this one: it has no previous.
    let same = |stored: Fingerprint| (stored == configured.hashids_salt).then_some(Signer::Current);
    Ok([
        (Name::TokenSecret, standing(token_secret, signer)),
        (Name::HashidsSalt, standing(hashids_salt, same)),
    ])
}

fn standing(used: Option<Fingerprint>, which: impl Fn(Fingerprint) -> Option<Signer>) -> Standing {
    match used.map(which) {
        None => Standing::First,
        Some(Some(Signer::Current)) => Standing::Same,
        Some(Some(Signer::Previous)) => Standing::Successor,
        Some(None) => Standing::Changed,
    }
}

async fn write(mint: &Mint, store: &Store) -> Result<(), store::Error> {
    let fingerprints = mint.fingerprints();
    store
        .write(move |db| {
            keep(db, Name::TokenSecret, fingerprints.token_secret)?;
            keep(db, Name::HashidsSalt, fingerprints.hashids_salt)
        })
        .await
}

fn changed(standings: Standings) -> impl Iterator<Item = Name> {
    let changed = |(_, standing): &(Name, Standing)| *standing == Standing::Changed;
    standings.into_iter().filter(changed).map(|(name, _)| name)
}

fn problems(config: &Config, standings: Standings) -> Problems {
    Problems(
        changed(standings)
            .map(|name| problem(config, name))
            .collect(),
    )
}

fn problem(config: &Config, name: Name) -> Problem {
    let (secret, fault, remedy) = match name {
        Name::TokenSecret => (
            &config.api.token_secret,
            match config.api.token_secret_previous {
                None => "is not the one used so far",
                Some(_) => "is not the one used so far, and token_secret_previous is not either",
            },
            "restore the old one; or write the old one into a file and name it by token_secret_previous_file \
             under [api]: it goes on verifying old bearers and keys; or, if it is lost or must not count any more, \
             run `keyfresh token accept-secrets`: bearers issued before are then refused, and keys made before, \
             which the gateway goes on accepting, are no longer recognised by `keyfresh token verify`",
        ),
        Name::HashidsSalt => (
            &config.api.hashids_salt,
            "is not the one used so far",
            "restore the old one; or, if it is lost or must change, run `keyfresh token accept-secrets`: hashed ids \
             that clients keep then lead nowhere or to other rows, bearers issued before are refused, and keys made \
             before, which the gateway goes on accepting, are no longer recognised by `keyfresh token verify`",
        ),
    };
    let place = |secret: &Secret| secret.source.clone();
    Problem {
        source: secret.as_ref().map(place).unwrap_or_default(),
        key: format!("api.{}", name.as_str()),
        fault: fault.to_owned(),
        remedy: remedy.to_owned(),
    }
}
