//! What a token endpoint may do and what becomes of the credential, one row for each fault of
//! `faults.js`: for the stories here and for the reliability table (`tests/harness/`). Only servers that
//! do not lie; those stand in `main.rs`.

use keyfresh::credential::Phase;

use crate::support::installation::Installation;
use After::{Dead, Granted, Retry, Unconfirmed, Wait};

/// Nothing was spent, and the answer says so.
pub(crate) const UNSPENT: &str = r#"
Wait        held {"fault":"status","handled":false,"status":503,"retry_after":600}
Wait        held {"fault":"status","handled":false,"status":503,"retry_after":600,"date":true}
Wait        held {"fault":"status","handled":false,"status":429,"retry_after":600}
Wait        held {"fault":"status","handled":false,"status":429,"retry_after":600,"date":true}
Retry       held {"fault":"status","handled":false,"status":429}
Retry       held {"fault":"html","handled":false,"status":403}
Retry       held {"fault":"error","handled":false,"status":503,"code":"temporarily_unavailable"}
Retry       held {"fault":"error","handled":false,"code":"server_error"}
Dead        held {"fault":"error","handled":false,"code":"invalid_grant"}
"#;

/// The same to the client, whether the token was spent or not.
pub(crate) const DOUBTFUL: &str = r#"
Unconfirmed held {"fault":"cut","handled":false}
Unconfirmed lost {"fault":"cut","handled":true}
Unconfirmed held {"fault":"cut","handled":false,"reset":true}
Unconfirmed lost {"fault":"cut","handled":true,"reset":true}
Unconfirmed held {"fault":"html","handled":false}
Unconfirmed lost {"fault":"html","handled":true}
Unconfirmed held {"fault":"status","handled":false,"status":503}
Unconfirmed lost {"fault":"status","handled":true,"status":502}
Unconfirmed held {"fault":"error","handled":false,"code":"try_again"}
Unconfirmed held {"fault":"redirect","handled":false}
Unconfirmed lost {"fault":"truncate","handled":true,"at":"refresh_token"}
Unconfirmed lost {"fault":"huge","handled":true,"tokens":"last"}
"#;

/// The token was spent, and the new one came.
pub(crate) const SPENT: &str = r#"
Granted     held {"fault":"slow","handled":true,"ms":1500}
Granted     held {"fault":"trickle","handled":true}
Granted     held {"fault":"keep-open","handled":true}
Granted     held {"fault":"change","handled":true,"omit":["expires_in"]}
Granted     held {"fault":"change","handled":true,"set":{"expires_in":"\"soon\""}}
Retry       held {"fault":"change","handled":true,"omit":["access_token"]}
Retry       held {"fault":"change","handled":true,"set":{"error":"\"server_error\""}}
Retry       held {"fault":"change","handled":true,"set":{"error":"\"invalid_grant\""}}
Retry       held {"fault":"truncate","handled":true,"missing":1}
Retry       held {"fault":"truncate","handled":true,"at":"scope"}
Retry       held {"fault":"huge","handled":true,"tokens":"first"}
"#;

/// Where a credential stands after its exchange met a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It has a new access token.
    Granted,
    /// The token it holds may be sent again whenever a person wants.
    Retry,
    /// The same, but not before the provider's `Retry-After` is over.
    Wait,
    /// Whether its token was spent is not known: it rests until nothing is left to lose.
    Unconfirmed,
    /// Nothing is sent before a new login.
    Dead,
}

impl After {
    fn named(name: &str) -> Self {
        let all = [Granted, Retry, Wait, Unconfirmed, Dead];
        let named = all.into_iter().find(|after| format!("{after:?}") == name);
        named.unwrap_or_else(|| panic!("no such phase: {name}"))
    }

    pub(crate) fn of(world: &Installation) -> Self {
        let row = world.row();
        match row.phase {
            Phase::Resting if row.failures == 0 => Granted,
            Phase::Resting if row.not_before.is_some() => Wait,
            Phase::Resting => Retry,
            Phase::Unconfirmed { .. } => Unconfirmed,
            Phase::Dead => Dead,
            Phase::Exchanging { .. } => panic!("an exchange was left open"),
        }
    }

    /// Whether a person's demand sends a request at once.
    pub(crate) fn may_be_forced(self) -> bool {
        matches!(self, Granted | Retry)
    }
}

/// A row of the table: where the credential stands after the fault, whether it then holds the newest
/// refresh token that the server issued, and the fault as `faults.js` has it. Each costs one request.
pub(crate) struct Row<'a> {
    pub(crate) after: After,
    pub(crate) held: bool,
    pub(crate) order: &'a str,
}

impl<'a> Row<'a> {
    pub(crate) fn read(line: &'a str) -> Self {
        let (after, rest) = line.trim().split_once(' ').unwrap();
        let (held, order) = rest.trim_start().split_once(' ').unwrap();
        assert!(["held", "lost"].contains(&held), "{line}");
        Self {
            after: After::named(after),
            held: held == "held",
            order: order.trim_start(),
        }
    }
}
