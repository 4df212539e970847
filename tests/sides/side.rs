//! An installation whose gateway's file is in a folder of its own, after two refreshes, with a backup of
//! the file as it was between them.

use std::fs;
use std::path::PathBuf;

use keyfresh::clock::Clock;
use keyfresh::credential::Phase;
use keyfresh::demo::authority::Ruling;
use keyfresh::store::link::{self, Link};
use rusqlite::Connection;

use crate::support::console::Console;
use crate::support::database::{Dump, dump};
use crate::support::disk::{self, Mounts};
use crate::support::gate::Gate;
use crate::support::installation::Installation;
use crate::support::until;

/// An administrator's in the fixture of One-Hub, which has to be told.
const ACCESS_TOKEN: &str = "fixtureaccesstokendave0000000001";

/// The parts of one row.
pub(crate) struct Side {
    /// In the installation's folder, and undone before that goes.
    pub(crate) mounts: Mounts,
    pub(crate) installation: Installation,
    pub(crate) gate: Gate,
    pub(crate) before: Dump,
    /// Requests and events before the row begins.
    asked: usize,
    told: i64,
    _console: Console,
}

impl Side {
    /// The gateway of `fixture`, on a small file system of its own if that is wanted; a locked file is
    /// retried for a second.
    pub(crate) fn new(fixture: &str, small: bool) -> Self {
        Self::with(fixture, small, "busy_timeout = \"1s\"\n")
    }

    /// The same with `more` said of the gateway.
    pub(crate) fn with(fixture: &str, small: bool, more: &str) -> Self {
        let mut installation = Installation::new(fixture);
        let mounts = Mounts::below(&installation.path(""));
        let gate = Gate::new(&installation.runtime, installation.authority.url());
        installation.edit(installation.authority.url().as_str(), gate.url().as_str());
        let (console, url) = installation.runtime.block_on(Console::listen());
        let folder = installation.path("gateway");
        fs::create_dir(&folder).unwrap();
        if small {
            assert!(disk::mount(&folder, "size=4m"));
        }
        let file = folder.join("gateway.db");
        fs::copy(&installation.gateway, &file).unwrap();
        installation.edit(
            installation.gateway.to_str().unwrap(),
            file.to_str().unwrap(),
        );
        installation.gateway = file;
        installation.edit("[gateway]\n", &format!("[gateway]\n{more}"));
        if fixture == "one-hub.db" {
            installation.secret("access_token", ACCESS_TOKEN);
            let told = "[gateway]\naccess_token_file = \"access_token\"\n";
            installation.edit("[gateway]\n", &format!("{told}url = \"{url}\"\n"));
        }
        let mut side = Self {
            mounts,
            installation,
            gate,
            before: Dump::new(),
            asked: 0,
            told: 0,
            _console: console,
        };
        side.installation.done(&["once"]);
        fs::copy(side.file(), side.backup()).unwrap();
        side.installation.done(&["once", "--force"]);
        side.before = dump(&side.file());
        side.asked = side.rulings().len();
        side.told = side.events().len().try_into().unwrap();
        side
    }

    /// The gateway's file.
    pub(crate) fn file(&self) -> PathBuf {
        self.installation.gateway.clone()
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.installation.path("gateway")
    }

    /// A file that SQLite makes beside the gateway's.
    pub(crate) fn beside(&self, ending: &str) -> PathBuf {
        self.folder().join(format!("gateway.db{ending}"))
    }

    /// The file with our older key.
    pub(crate) fn backup(&self) -> PathBuf {
        self.folder().join("backup.db")
    }

    /// A copy of the gateway's file as it is now.
    pub(crate) fn twin(&self) -> PathBuf {
        let twin = self.folder().join("twin.db");
        fs::copy(self.file(), &twin).unwrap();
        twin
    }

    /// Runs `sql` in the gateway's file, with the backup beside it.
    pub(crate) fn bring_back(&self, sql: &str) {
        let connection = self.installation.other();
        let backup = self.backup();
        connection
            .execute("ATTACH ?1 AS backup", [backup.to_str().unwrap()])
            .unwrap();
        until("the gateway's file can be changed", || {
            connection.execute(sql, []).ok()
        });
    }

    /// What the provider was asked since the row began.
    pub(crate) fn rulings(&self) -> Vec<Ruling> {
        let requests = self.installation.authority.requests();
        requests
            .iter()
            .skip(self.asked)
            .map(|seen| seen.ruling)
            .collect()
    }

    /// What there was to tell since the row began.
    pub(crate) fn events(&self) -> Vec<String> {
        let state = self.installation.state();
        let mut statement = state
            .prepare("SELECT kind || coalesce(' of channel ' || (detail ->> 'channel'), '') FROM event WHERE id > ?1 ORDER BY id")
            .unwrap();
        let events = statement.query_map([self.told], |row| row.get(0)).unwrap();
        events.collect::<Result<_, _>>().unwrap()
    }

    /// Whether the notifier's service took all there was to tell.
    pub(crate) fn is_told(&self) -> bool {
        let sql =
            "SELECT coalesce((SELECT min(cursor) FROM notifier), 0) >= (SELECT max(id) FROM event)";
        let state = self.installation.state();
        state.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    pub(crate) fn link(&self) -> Link {
        let state: Connection = self.installation.state();
        link::all(&state).unwrap().remove(0)
    }

    /// Wakes the daemon as any change of the state by another process does.
    pub(crate) fn wake(&self) {
        until("our own state can be written", || {
            let state = self.installation.state();
            state
                .execute("UPDATE credential SET due_at = due_at + 1", [])
                .ok()
        });
    }

    /// Whether the refresh that was due failed and was put off.
    pub(crate) fn is_postponed(&self) -> bool {
        let row = self.installation.row();
        row.phase == Phase::Resting && !row.is_due(Clock::system().read())
    }

    pub(crate) fn make_due(&self) {
        self.installation.make_due(Clock::system().now());
    }
}
