//! One gateway's database in the hands of [`Gateway`], of other connections and of other processes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use keyfresh::database::{Database, Form};
use keyfresh::gateway::{Channel, Error, Gateway, Settings, Write};
use rusqlite::Connection;
use tempfile::TempDir;

use super::database::{Dump, copy, difference, dump};

static TOKENS: Form = Form {
    name: "tokens",
    present: &[("tokens", &["id", "user_id", "key", "name"])],
    absent: &[],
};
static FORMS: [&Form; 1] = [&TOKENS];

/// One gateway's database in a folder of its own.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) before: Dump,
    pub(crate) busy_timeout: Duration,
}

impl World {
    pub(crate) fn new(fixture: &str) -> Self {
        let (folder, path) = copy(fixture);
        let before = dump(&path);
        Self {
            folder,
            path,
            before,
            busy_timeout: Duration::from_mins(1),
        }
    }

    /// The same, with hardly any patience.
    pub(crate) fn hasty(fixture: &str) -> Self {
        Self {
            busy_timeout: Duration::from_millis(200),
            ..Self::new(fixture)
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            database: self.path.clone(),
            kind: None,
            sync_interval: None,
            busy_timeout: self.busy_timeout,
            url: None,
            access_token: None,
        }
    }

    pub(crate) async fn open(&self) -> Gateway {
        Gateway::open(&self.settings()).await.unwrap()
    }

    /// The same file without a layout: whatever has tokens.
    pub(crate) async fn database(&self) -> Database {
        let database = Database::open(&self.path, self.busy_timeout, &FORMS).await;
        database.unwrap()
    }

    /// Another connection, which waits for nobody.
    pub(crate) fn other(&self) -> Connection {
        let connection = Connection::open(&self.path).unwrap();
        connection.busy_timeout(Duration::ZERO).unwrap();
        connection
    }

    pub(crate) fn sql(&self, sql: &str) {
        self.other().execute_batch(sql).unwrap();
    }

    pub(crate) fn changes(&self) -> String {
        difference(&self.before, &dump(&self.path))
    }
}

pub(crate) async fn channel(gateway: &Gateway, id: i64) -> Channel {
    gateway.channels(&[id]).await.unwrap().remove(0)
}

/// A write of `new` that enables, decided from the channel as it is.
pub(crate) async fn renewal(gateway: &Gateway, id: i64, line: Option<usize>, new: &str) -> Write {
    let channel = channel(gateway, id).await;
    Write {
        channel: id,
        created_time: channel.created_time,
        kind: channel.kind,
        expected: channel.key,
        new_key: Some(new.into()),
        enable: true,
        line,
    }
}

/// An error as told, with the temporary folder's name taken out.
pub(crate) fn told(error: &Error, world: &World) -> String {
    let folder = world.folder.path().to_str().unwrap();
    error.to_string().replace(folder, "/folder")
}

/// `program` (a copy of this test program) again, as a process that runs one of its ignored tests.
pub(crate) fn child(program: &Path, name: &str, database: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env("KEYFRESH_TEST_DATABASE", database);
    command
}

/// The database that [`child`] named.
#[expect(clippy::disallowed_methods, reason = "how a child learns its part")]
pub(crate) fn database_of_child() -> PathBuf {
    std::env::var_os("KEYFRESH_TEST_DATABASE").unwrap().into()
}
