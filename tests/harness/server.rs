//! The authorization server as the harness knows it: one login at the real one (`tests/peer/`), which all
//! installations share.

use std::cell::RefCell;
use std::sync::Arc;

use url::Url;

use crate::support::installation::Installation;
use crate::support::peer::{Grant, Handled, Peer, Seen};
use crate::support::until;

/// What the server did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Did {
    /// It issued new tokens.
    Grant,
    /// It issued none.
    Refuse,
    /// A fault met the request before it was looked at.
    Nothing,
    /// The token had been spent by an earlier request.
    Replay,
}

/// The server, and which of its logins is in use.
pub(crate) struct Server {
    peer: Arc<Peer>,
    grant: RefCell<Grant>,
}

impl Server {
    /// An installation whose credential is a new login at `peer`, and that login.
    pub(crate) fn installed(peer: &Arc<Peer>, fixture: &str) -> (Installation, Self) {
        let (installation, grant) = Installation::at(peer, fixture);
        let this = Self {
            peer: Arc::clone(peer),
            grant: RefCell::new(grant),
        };
        (installation, this)
    }

    /// Its token endpoint.
    pub(crate) fn address(&self) -> Url {
        self.peer.url()
    }

    /// The next request of the login meets this fault: `tests/peer/faults.js` has them.
    pub(crate) fn order(&self, fault: &str) {
        self.peer.order_for(&self.grant.borrow(), &[fault]);
    }

    /// Another login takes the place of the one in use; its refresh token.
    pub(crate) fn log_in(&self) -> String {
        self.grant.replace(self.peer.grant());
        self.grant.borrow().refresh_token.clone()
    }

    /// What it was asked for this login so far and did, in order; all of it is done.
    pub(crate) fn asked(&self) -> Vec<Did> {
        let grant = self.grant.borrow();
        // Whatever was sent before has been read when this is answered.
        self.peer.standing(&grant);
        let requests = until("the server has done what it was asked", || {
            let requests = self.peer.requests_of(&grant);
            requests.iter().all(is_done).then_some(requests)
        });
        let numbered = requests.iter().enumerate();
        numbered
            .map(|(place, seen)| did(seen, &requests[..place]))
            .collect()
    }

    /// The fault that the last request met, if one did.
    pub(crate) fn met(&self) -> Option<String> {
        let requests = self.peer.requests_of(&self.grant.borrow());
        requests.last()?.fault.clone()
    }

    /// Whether `installation` holds the newest refresh token of this login, and it is still good.
    pub(crate) fn is_held_by(&self, installation: &Installation) -> bool {
        installation.holds(&self.peer, &self.grant.borrow())
    }
}

fn is_done(seen: &Seen) -> bool {
    seen.answered.is_some() && (seen.handled.is_some() || seen.fault.is_some())
}

fn did(seen: &Seen, earlier: &[Seen]) -> Did {
    let issued = |handled: &Handled| handled.issued.is_some();
    let spent = |other: &Seen| other.handled.as_ref().is_some_and(issued);
    if earlier
        .iter()
        .any(|other| other.sent == seen.sent && spent(other))
    {
        return Did::Replay;
    }
    match &seen.handled {
        Some(handled) if issued(handled) => Did::Grant,
        Some(_) => Did::Refuse,
        None => Did::Nothing,
    }
}
