//! The server's rules: who descends from which login, what was used, what is dead.
//!
//! Called by [`super::Authority`] alone. As RFC 9700 §4.14.2 asks, a used refresh token that comes
//! again revokes its whole family, for the server cannot tell who is the thief. No clock: time is an
//! argument.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

use super::{Issued, Ruling, Settings};
use crate::clock::Timestamp;
use crate::secret::{self, random_text};

/// A refresh token's family and its place there.
pub(super) type Place = (usize, usize);

#[derive(Default)]
pub(super) struct Families {
    all: Vec<Family>,
    places: HashMap<String, Place>,
    grants: HashMap<String, Place>,
    issued: Vec<SecretString>,
}

#[derive(Default)]
struct Family {
    dead: bool,
    tokens: Vec<Token>,
    granted: usize,
}

struct Token {
    text: SecretString,
    used: Option<Timestamp>,
}

impl Families {
    /// Begins a family and returns its first refresh token.
    pub(super) fn found(&mut self) -> Result<SecretString, secret::Error> {
        self.all.push(Family::default());
        self.mint(self.all.len() - 1)
    }

    pub(super) fn place(&self, token: &str) -> Option<Place> {
        self.places.get(token).copied()
    }

    pub(super) fn what_is(&self, token: &str) -> Option<Issued> {
        let refresh = self.places.get(token);
        let refresh = refresh.map(|&(family, generation)| Issued::Refresh { family, generation });
        let access = self.grants.get(token);
        let access = access.map(|&(family, grant)| Issued::Access { family, grant });
        refresh.or(access)
    }

    pub(super) fn newest(&self, family: usize) -> Option<SecretString> {
        let newest = self.all.get(family)?.tokens.last()?;
        Some(newest.text.clone())
    }

    pub(super) fn alive(&self, family: usize) -> bool {
        self.all.get(family).is_some_and(|family| !family.dead)
    }

    pub(super) fn issued(&self) -> &[SecretString] {
        &self.issued
    }

    /// What is done with the token at `place`; a reuse kills its family here and now.
    pub(super) fn judge(
        &mut self,
        place: Option<Place>,
        settings: &Settings,
        now: Timestamp,
    ) -> Ruling {
        let Some((family, token)) = place else {
            return Ruling::Refused;
        };
        let family = &mut self.all[family];
        match family.tokens[token].used {
            _ if family.dead => Ruling::Refused,
            None => Ruling::Granted,
            Some(used) if (now - used).to_std().is_ok_and(|age| age < settings.grace) => {
                Ruling::Graced
            }
            Some(_) => {
                family.dead = true;
                Ruling::Reused
            }
        }
    }

    /// A new access token and the refresh token that goes with it.
    pub(super) fn exchange(
        &mut self,
        (family, token): Place,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<(SecretString, SecretString), secret::Error> {
        let access = if settings.jwt {
            jwt(now + settings.lifetime)?
        } else {
            random_text(32)?
        };
        self.issued.push(access.clone());
        self.all[family].granted += 1;
        let grant = (family, self.all[family].granted);
        self.grants.insert(access.expose_secret().to_owned(), grant);
        let used = &mut self.all[family].tokens[token];
        if !settings.rotates {
            return Ok((access, used.text.clone()));
        }
        used.used.get_or_insert(now);
        Ok((access, self.mint(family)?))
    }

    fn mint(&mut self, family: usize) -> Result<SecretString, secret::Error> {
        let text = random_text(32)?;
        let tokens = &mut self.all[family].tokens;
        let place = (family, tokens.len());
        tokens.push(Token {
            text: text.clone(),
            used: None,
        });
        self.places.insert(text.expose_secret().to_owned(), place);
        self.issued.push(text.clone());
        Ok(text)
    }
}

/// Looks like a JWT and tells its expiry; the signature is noise.
fn jwt(expiry: Timestamp) -> Result<SecretString, secret::Error> {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{}}}"#, expiry.timestamp()));
    let signature = random_text(32)?;
    Ok(format!("{header}.{claims}.{}", signature.expose_secret()).into())
}
