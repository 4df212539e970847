//! Who calls: an access token of the gateway's, or a bearer that `user token` issued.
//!
//! What the headers say is a [`Claim`]; whether it holds is looked up inside the job that answers the
//! call, so that a user who is disabled or deleted is refused from then on. The words and their order are
//! New API's (facts: `gateways.md` 1.11), the status is always 401. Sessions and cookies are absent, and
//! an `sk-` key opens nothing here.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, header};
use secrecy::{ExposeSecret as _, SecretString};

use super::message::Message;
use crate::clock::Timestamp;
use crate::database::Halt;
use crate::gateway::{Tables, User};
use crate::mint::{BearerError, IdKind, Mint};
use crate::store::bearer::Standing;

const NEW_API_USER: HeaderName = HeaderName::from_static("new-api-user");

/// The roles that the gateways know; One-Hub alone has 3.
const ROLES: [i64; 5] = [0, 1, 3, 10, 100];

/// What a call says of its caller.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    proof: Proof,
    named: Named,
}

#[derive(Clone, Debug)]
enum Proof {
    AccessToken(SecretString),
    Bearer {
        user: i64,
        generation: i64,
        /// To whom it was issued; known once our state was asked.
        name: Option<String>,
    },
}

/// The user of `New-Api-User`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Nobody,
    User(i64),
    Garbled,
}

impl Claim {
    /// # Errors
    /// When the headers alone show that nobody may call so.
    pub(super) fn of(headers: &HeaderMap, mint: &Mint, now: Timestamp) -> Result<Self, Message> {
        let Some(value) = headers
            .get(header::AUTHORIZATION)
            .filter(|value| !value.is_empty())
        else {
            return Err(Message::NotLoggedIn);
        };
        let token = value
            .to_str()
            .map_err(|_| Message::UnknownAccessToken)
            .map(bare)?;
        if token.is_empty() || token.starts_with("sk-") {
            return Err(Message::UnknownAccessToken);
        }
        // No gateway's access token has a point: they are hexadecimal or base64.
        let proof = if token.contains('.') {
            let bearer = mint.read_bearer(token, now).map_err(|error| match error {
                BearerError::Expired => Message::BearerExpired,
                BearerError::Foreign => Message::UnknownAccessToken,
            })?;
            Proof::Bearer {
                user: bearer.user,
                generation: bearer.generation,
                name: None,
            }
        } else {
            Proof::AccessToken(token.into())
        };
        Ok(Self {
            proof,
            named: Named::of(headers, mint),
        })
    }

    /// The user of a bearer, whose [`Standing`] is to be told to [`settle`](Self::settle).
    pub(super) fn bearer(&self) -> Option<i64> {
        match self.proof {
            Proof::Bearer { user, .. } => Some(user),
            Proof::AccessToken(_) => None,
        }
    }

    /// Takes the name from what our state says of the bearer's user.
    ///
    /// # Errors
    /// When the bearer is of another generation.
    pub(super) fn settle(&mut self, standing: Standing) -> Result<(), Message> {
        match &mut self.proof {
            Proof::Bearer {
                generation, name, ..
            } if *generation == standing.generation => {
                *name = standing.name;
                Ok(())
            }
            Proof::Bearer { .. } => Err(Message::BearerRevoked),
            Proof::AccessToken(_) => Ok(()),
        }
    }

    /// The user who calls, as the database has it now.
    ///
    /// # Errors
    /// When there is no such user, or it may not call; when the database fails.
    pub(super) fn user(&self, tables: &Tables<'_>) -> Result<Arc<User>, Halt<Message>> {
        let found = match &self.proof {
            Proof::AccessToken(token) => {
                let about = token.expose_secret().as_bytes();
                tables.remembered("who has this access token", about, || {
                    Ok(tables.user_by_access_token(token)?.map(Arc::new))
                })?
            }
            Proof::Bearer { user, .. } => {
                tables.remembered("who has this id", &user.to_be_bytes(), || {
                    Ok(tables.user(*user)?.map(Arc::new))
                })?
            }
        };
        let user = found.ok_or(Halt::Refused(Message::UnknownAccessToken))?;
        match self.objection(&user) {
            Some(message) => Err(Halt::Refused(message)),
            None => Ok(user),
        }
    }

    /// Why `user` may not call, in the gateway's order; that the id is still the same person's, before.
    fn objection(&self, user: &User) -> Option<Message> {
        if let Proof::Bearer { name, .. } = &self.proof
            && name.as_ref() != Some(&user.name)
        {
            return Some(Message::BearerRevoked);
        }
        if user.name.trim().is_empty() || !ROLES.contains(&user.role) {
            return Some(Message::StrangeUser);
        }
        match self.named {
            Named::Garbled => return Some(Message::UserHeaderGarbled),
            Named::User(id) if id != user.id => return Some(Message::UserHeaderOther),
            Named::User(_) | Named::Nobody => {}
        }
        if !user.is_enabled() {
            return Some(Message::UserDisabled);
        }
        user.is_guest().then_some(Message::RoleTooLow)
    }
}

/// The token without `Bearer`, in any case, once.
fn bare(value: &str) -> &str {
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => value.trim(),
    }
}

impl Named {
    fn of(headers: &HeaderMap, mint: &Mint) -> Self {
        let Some(value) = headers.get(NEW_API_USER).filter(|value| !value.is_empty()) else {
            return Self::Nobody;
        };
        let Ok(text) = value.to_str().map(str::trim) else {
            return Self::Garbled;
        };
        let number = text.parse().ok();
        match number.or_else(|| mint.id_of(IdKind::User, text)) {
            Some(id) => Self::User(id),
            None => Self::Garbled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bearer_in_any_case_is_left_off() {
        let check = |value: &str, token: &str| assert_eq!(bare(value), token, "{value}");
        check("abc", "abc");
        check("Bearer abc", "abc");
        check("BEARER  abc", "abc");
        check("bearer abc/+=", "abc/+=");
        check("Bearer", "Bearer");
        check("Bearer Bearer abc", "Bearer abc");
        check("abBearer c", "abBearer c");
        check("Basic abc", "Basic abc");
    }

    #[test]
    fn a_bearer_is_the_one_persons_it_was_issued_to() {
        let check = |issued: &str, generation: i64, expected: Result<Option<Message>, Message>| {
            let proof = Proof::Bearer {
                user: 2,
                generation: 3,
                name: None,
            };
            let named = Named::Nobody;
            let mut claim = Claim { proof, named };
            let name = Some(issued.to_owned());
            let settled = claim.settle(Standing { generation, name });
            let found = settled.map(|()| claim.objection(&alice()));
            assert_eq!(found, expected, "{issued} {generation}");
        };
        let revoked = Message::BearerRevoked;
        check("alice", 3, Ok(None));
        check("Alice", 3, Ok(Some(revoked.clone())));
        check("alice", 4, Err(revoked));
    }

    fn alice() -> User {
        User {
            id: 2,
            name: "alice".to_owned(),
            has_access_token: true,
            display_name: String::new(),
            role: 1,
            status: 1,
            group: String::new(),
        }
    }

    #[test]
    fn objections_come_in_the_gateways_order() {
        let user = alice();
        let check = |named: Named, change: &dyn Fn(&mut User), expected: Option<Message>| {
            let proof = Proof::AccessToken("".into());
            let mut user = user.clone();
            change(&mut user);
            assert_eq!(
                Claim { proof, named }.objection(&user),
                expected,
                "{named:?} {user:?}"
            );
        };
        let other = Named::User(3);
        check(Named::Nobody, &|_| (), None);
        check(Named::User(2), &|user| user.role = 100, None);
        check(
            other,
            &|user| user.name = " ".to_owned(),
            Some(Message::StrangeUser),
        );
        check(other, &|user| user.role = 7, Some(Message::StrangeUser));
        check(
            other,
            &|user| user.status = 2,
            Some(Message::UserHeaderOther),
        );
        check(
            Named::Garbled,
            &|user| user.status = 2,
            Some(Message::UserHeaderGarbled),
        );
        check(
            Named::User(2),
            &|user| (user.status, user.role) = (2, 0),
            Some(Message::UserDisabled),
        );
        check(
            Named::Nobody,
            &|user| user.status = 3,
            Some(Message::UserDisabled),
        );
        check(
            Named::Nobody,
            &|user| user.role = 0,
            Some(Message::RoleTooLow),
        );
    }
}
