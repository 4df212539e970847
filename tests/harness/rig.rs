//! One installation on which one run follows another: due, cut somewhere, started again, judged.

pub(crate) mod process;

use std::sync::Arc;

use keyfresh::clock::Clock;
use keyfresh::credential::Phase;

use crate::calls::{Call, Control, Deed, Order, Side, kind};
use crate::course::SOCKET_ERRORS;
use crate::judge::{Before, stored};
use crate::server::Server;
use crate::support::gate::Gate;
use crate::support::installation::{Installation, Ran};
use crate::support::peer::Peer;
use crate::support::until;

/// Where a process is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strike {
    /// At which call after the start of the count, from 1; 0 for none.
    pub(crate) number: u64,
    pub(crate) deed: Deed,
}

impl Strike {
    /// Nowhere: the calls are listed.
    pub(crate) const NONE: Self = Self {
        number: 0,
        deed: Deed::List,
    };

    pub(crate) fn kill(number: u64, side: Side) -> Self {
        Self {
            number,
            deed: Deed::Kill(side),
        }
    }

    /// The kinds of calls that count.
    pub(crate) fn kinds(self) -> u64 {
        match self.deed {
            Deed::List | Deed::Kill(_) => kind::CUTS,
            Deed::Fail(error, _) if SOCKET_ERRORS.contains(&error) => kind::SOCKETS,
            Deed::Fail(..) => kind::FILES,
            Deed::FailToRead => kind::READ,
            Deed::FailFromNow(_) => kind::ROOM,
        }
    }

    fn order(self, mark: &str) -> Order {
        Order {
            number: self.number,
            deed: self.deed,
            kinds: self.kinds(),
            mark: mark.to_owned(),
        }
    }
}

/// An installation whose credential rests, with its first access token in its channel.
pub(crate) struct Rig {
    pub(crate) installation: Installation,
    server: Server,
    control: Control,
    gate: Option<Gate>,
    /// How long a whole answer is, in bytes.
    whole: u64,
}

impl Rig {
    /// With or without a gate before the token endpoint, where an answer can be held back.
    pub(crate) fn new(peer: &Arc<Peer>, gated: bool) -> Self {
        Self::with(peer, gated, |_| ())
    }

    /// The same with something done to the installation before its first refresh.
    pub(crate) fn with(
        peer: &Arc<Peer>,
        gated: bool,
        prepare: impl FnOnce(&mut Installation),
    ) -> Self {
        let (mut installation, server) = Server::installed(peer, "one-api.db");
        let address = server.address();
        let gate = gated.then(|| {
            let gate = Gate::new(&installation.runtime, &address);
            installation.edit(address.as_str(), gate.url().as_str());
            gate
        });
        prepare(&mut installation);
        // A gateway's file that cannot be written is tried again no longer than that.
        installation.edit("[gateway]", "[gateway]\nbusy_timeout = \"2s\"");
        installation.done(&["once"]);
        let control = Control::new(installation.path("").as_path());
        let mut this = Self {
            installation,
            server,
            control,
            gate,
            whole: 0,
        };
        this.make_due();
        let calls = this.once(Strike::NONE).calls;
        this.whole = stored(&calls, &this.endpoint());
        assert!(this.whole > 0, "{calls:?}");
        this
    }

    /// How long a whole answer is, in bytes.
    pub(crate) fn whole(&self) -> u64 {
        self.whole
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The gate of one that has it.
    pub(crate) fn gate(&self) -> &Gate {
        self.gate.as_ref().expect("a gate")
    }

    /// Where the program sends its requests.
    pub(crate) fn endpoint(&self) -> String {
        let port = match &self.gate {
            Some(gate) => gate.url().port(),
            None => self.server.address().port(),
        };
        format!("port {}", port.unwrap())
    }

    /// How many of these processes may have had a notice accepted without having noted it: those that sent
    /// to the service at all.
    pub(crate) fn repeats(&self, processes: &[&[Call]]) -> usize {
        let service = format!("port {}", self.installation.sink.url().port().unwrap());
        let sends = |call: &Call| call.kind == kind::SEND && call.target == service;
        let told = processes.iter().filter(|calls| calls.iter().any(sends));
        told.count()
    }

    /// Due now; see [`forget_limits`](Self::forget_limits).
    pub(crate) fn make_due(&self) {
        self.forget_limits();
        self.installation.make_due(Clock::system().now());
    }

    /// The notifier's service has forgotten how often it was asked, and its last failure is long past.
    pub(crate) fn forget_limits(&self) {
        until("the notifier's row can be written", || {
            let reset = "UPDATE notifier SET not_before = NULL, tries = 0, detail = '{}'";
            self.installation.state().execute(reset, []).ok()
        });
    }

    /// A normal daemon, until nothing is due or under way.
    pub(crate) fn serve_until_rest(&self) -> Ran {
        let daemon = self.installation.serve();
        until("the daemon has done what is due", || {
            self.is_at_rest().then_some(())
        });
        daemon.stop()
    }

    pub(crate) fn is_at_rest(&self) -> bool {
        self.is_settled() && self.is_linked()
    }

    /// Whether nothing is due or under way.
    pub(crate) fn is_settled(&self) -> bool {
        let Some(row) = self.row_if_readable() else {
            return false;
        };
        let now = Clock::system().now();
        match row.phase {
            Phase::Resting => row.due_at > now,
            Phase::Exchanging { .. } => false,
            Phase::Unconfirmed { .. } | Phase::Dead => true,
        }
    }

    fn row_if_readable(&self) -> Option<keyfresh::credential::Credential> {
        keyfresh::store::credential::by_name(&self.installation.state(), "main").ok()
    }

    fn is_linked(&self) -> bool {
        let state = self.installation.state();
        let sql = "SELECT count(*) FROM link JOIN credential c ON c.id = link.credential \
             WHERE link.generation = c.generation";
        state.query_row(sql, [], |row| row.get::<_, u64>(0)).ok() == Some(1)
    }

    /// Whether the newest refresh token that the server issued is the one in use.
    pub(crate) fn holds_the_newest(&self) -> bool {
        self.server.is_held_by(&self.installation)
    }

    /// Whether a refresh since then is settled, in the channel and told.
    pub(crate) fn has_completed(&self, before: &Before) -> bool {
        self.installation.row().generation > before.generation
            && self.installation.tokens("main").1 == Some(self.installation.key(1))
            && self.installation.sink.titles().len() > before.told
    }

    /// Whether there is hardly room for the outputs of more commands.
    pub(crate) fn is_worn(&self) -> bool {
        self.installation.path("900.out").exists()
    }

    /// Whatever was cut is gone on with, if need be with a new login.
    pub(crate) fn come_to_rest(&self) {
        if self.installation.run(&["once"]).code != Some(0) {
            self.log_in();
            self.installation.done(&["once"]);
        }
    }

    /// A person logs in again.
    pub(crate) fn log_in(&self) {
        let seed = self.server.log_in();
        let ran = self
            .installation
            .run_with(&seed, &["credential", "replace", "main"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
}
