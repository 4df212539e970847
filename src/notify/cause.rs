//! Why nothing more is sent for a credential, as far as that is known, and what to do about it.
//!
//! Told in an event's particulars; `text/` has the words of each language for notices, and
//! [`explain`](Cause::explain) those of logs and `status`, which are English. No cause claims more than
//! a provider's answer or our own rows show.

use serde::{Deserialize, Serialize};

/// What is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The provider says that the token was used before.
    Reused,
    /// The provider refuses a token of which no earlier exchange was left open.
    Refused,
    /// The provider refuses a token after an exchange whose answer never came.
    Lost,
    /// Every linked channel holds a key that this state never had.
    Estranged,
    /// The token was configured before this state was made.
    Withheld,
}

impl Cause {
    /// What it means and what to do, for the credential called `name`.
    #[must_use]
    pub fn explain(self, name: &str) -> String {
        let replace =
            format!("log in anew and run `keyfresh credential replace {name}` with the new token");
        match self {
            Self::Reused => format!(
                "another owner refreshes this token, or this state is old: stop the other one, {replace}"
            ),
            Self::Refused => format!(
                "it was revoked, it expired, or another owner refreshes this token: stop the other one if there is one, {replace}"
            ),
            Self::Lost => {
                format!("most likely it was spent by the exchange whose answer was lost: {replace}")
            }
            Self::Estranged => format!(
                "nothing is sent, as no channel holds a key of this state: another owner refreshes this token, or this state is old: stop the other one, {replace}, then `keyfresh credential take-over {name}`; take-over alone is enough only if a person changed the key"
            ),
            Self::Withheld => format!(
                "this refresh token was configured before this state was made, it may be spent: {replace}; if it was never used, give the same one to that command"
            ),
        }
    }
}
