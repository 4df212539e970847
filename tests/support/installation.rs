//! An installation in a folder of its own, run with the real program: configuration, secrets, state, a
//! copy of a gateway's database, and the services it talks to.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use keyfresh::clock::{Clock, Timestamp};
use keyfresh::credential::Credential;
use keyfresh::demo::authority::{Authority, Settings};
use keyfresh::demo::sink::Sink;
use keyfresh::secret::ExposeSecret as _;
use keyfresh::store::{self, Store};
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{database, until};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_keyfresh");

/// One installation with its provider and its notifier's service.
pub(crate) struct Installation {
    folder: TempDir,
    /// The gateway's database.
    pub(crate) gateway: PathBuf,
    /// The provider.
    pub(crate) authority: Authority,
    /// The notifier's service.
    pub(crate) sink: Sink,
    /// Where the services run.
    pub(crate) runtime: Runtime,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it complained or logged.
    pub(crate) stderr: String,
}

/// A command that runs.
pub(crate) struct Running {
    pub(crate) child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Installation {
    /// One credential, `main`, that feeds channel 1 of a copy of `fixture`.
    pub(crate) fn new(fixture: &str) -> Self {
        Self::with(fixture, Settings::default())
    }

    /// The same with a provider that behaves as `settings` say.
    pub(crate) fn with(fixture: &str, settings: Settings) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (folder, gateway) = database::copy(fixture);
        let authority = runtime
            .block_on(Authority::start(settings, Clock::system()))
            .unwrap();
        let sink = runtime.block_on(Sink::start()).unwrap();
        let this = Self {
            folder,
            gateway,
            authority,
            sink,
            runtime,
        };
        this.secret("token_secret", "a-test-value-of-more-than-32-characters");
        this.secret("hashids_salt", "another-test-value");
        this.secret("pushplus.token", "fixture-pushplus-token-0001");
        this.configure(&this.default_configuration());
        this.credential("main", "channels = [1]");
        store::create(&this.path("state")).unwrap();
        this
    }

    fn default_configuration(&self) -> String {
        format!(
            "locale = \"en\"\n\n\
             [gateway]\ndatabase = \"sqlite:{}\"\n\n\
             [state]\ndir = \"state\"\n\n\
             [schedule]\ncron = \"0 5 * * 1\"\n\n\
             [notify.wechat]\ntype = \"pushplus\"\nurl = \"{}\"\ntoken_file = \"pushplus.token\"\n\n\
             [api]\nlisten = \"127.0.0.1:0\"\n\n\
             [log]\nlevel = \"info\"\n",
            self.gateway.display(),
            self.sink.url(),
        )
    }

    /// Adds a credential with a login of its own; `more` are further lines of its table.
    pub(crate) fn credential(&self, name: &str, more: &str) {
        let seed = self.authority.seed().unwrap();
        self.secret(&format!("{name}.token"), seed.expose_secret());
        let table = format!(
            "\n[credentials.{name}]\nprovider = \"generic\"\ntoken_url = \"{}\"\n\
             client_id = \"test\"\nrefresh_token_file = \"{name}.token\"\n{more}\n",
            self.authority.url()
        );
        self.configure(&(self.configuration() + &table));
    }

    /// A path in the installation's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that only its owner may read.
    pub(crate) fn secret(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .unwrap();
        fs::write(path, text).unwrap();
    }

    /// Replaces the configuration.
    pub(crate) fn configure(&self, text: &str) {
        self.secret("config.toml", text);
    }

    /// The configuration as it stands.
    pub(crate) fn configuration(&self) -> String {
        fs::read_to_string(self.path("config.toml")).unwrap()
    }

    /// Changes a part of the configuration.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let text = self.configuration();
        assert!(text.contains(from), "{from} is not in the configuration");
        self.configure(&text.replacen(from, to, 1));
    }

    /// The program with nothing in its environment, in the installation's folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments);
        self.prepare(&mut command);
        command
    }

    /// Gives a command the installation's folder and an empty environment.
    pub(crate) fn prepare(&self, command: &mut Command) {
        command
            .current_dir(self.folder.path())
            .env_clear()
            .stdin(Stdio::null());
    }

    /// Starts a command; what it prints goes to files, which never make it wait.
    pub(crate) fn start(&self, mut command: Command) -> Running {
        let number = until("a name is free", || {
            (0..1000).find(|number| !self.path(&format!("{number}.out")).exists())
        });
        let [stdout, stderr] = ["out", "err"].map(|end| self.path(&format!("{number}.{end}")));
        let [out, err] = [&stdout, &stderr].map(|path| fs::File::create_new(path).unwrap());
        let child = command.stdout(out).stderr(err).spawn().unwrap();
        Running {
            child,
            stdout,
            stderr,
        }
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.start(self.command(arguments)).end()
    }

    /// Runs the program with `input` on its standard input.
    pub(crate) fn run_with(&self, input: &str, arguments: &[&str]) -> Ran {
        self.secret("input", input);
        let mut command = self.command(arguments);
        command.stdin(fs::File::open(self.path("input")).unwrap());
        self.start(command).end()
    }

    /// Runs the program, which must succeed, and returns what it printed.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        ran.stdout
    }

    /// What `status --json` says of credential `main`.
    pub(crate) fn status(&self) -> Value {
        let ran = self.run(&["status", "main", "--json"]);
        let mut report: Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
        report["credentials"][0].take()
    }

    /// The row of credential `main`, from the state itself.
    pub(crate) fn row(&self) -> Credential {
        store::credential::by_name(&self.state(), "main").unwrap()
    }

    /// Another connection to our own state, which waits for nobody.
    pub(crate) fn state(&self) -> Connection {
        open(&self.path("state/state.db"))
    }

    /// Another connection to the gateway's database, which waits for nobody.
    pub(crate) fn other(&self) -> Connection {
        open(&self.gateway)
    }

    /// Changes the gateway's file as its administrator would, whoever else uses it.
    pub(crate) fn change(&self, sql: &str) {
        until("the gateway's file can be changed", || {
            self.other().execute(sql, []).ok()
        });
    }

    /// The key of a channel.
    pub(crate) fn key(&self, channel: i64) -> String {
        until("the gateway's file can be read", || {
            self.other()
                .query_row("SELECT key FROM channels WHERE id = ?1", [channel], |row| {
                    row.get(0)
                })
                .ok()
        })
    }

    /// The refresh token and the access token in use.
    pub(crate) fn tokens(&self, name: &str) -> (Option<String>, Option<String>) {
        let store = Store::open(&self.path("state")).unwrap();
        let (key, name) = (store.key(), name.to_owned());
        let tokens = self.runtime.block_on(store.read(move |db| {
            let id = store::credential::by_name(db, &name)?.id;
            Ok((
                store::credential::refresh_token(db, &key, id)?,
                store::credential::access_token(db, &key, id)?,
            ))
        }));
        let (refresh, access) = tokens.unwrap();
        let text = |token: Option<keyfresh::secret::SecretString>| {
            token.map(|token| token.expose_secret().to_owned())
        };
        (text(refresh), text(access))
    }

    /// Whether the newest refresh token of `main`'s login is the one in use, and still good.
    pub(crate) fn is_held(&self) -> bool {
        let newest = self.authority.newest(0).unwrap();
        self.authority.alive(0) && self.tokens("main").0.as_deref() == Some(newest.expose_secret())
    }

    /// Makes `main` due without the program.
    pub(crate) fn make_due(&self, at: Timestamp) {
        let changed = until("our own state can be written", || {
            self.state()
                .execute(
                    "UPDATE credential SET due_at = ?1 WHERE name = 'main'",
                    [at.timestamp_millis()],
                )
                .ok()
        });
        assert_eq!(changed, 1);
    }
}

impl Ran {
    /// It ended with `code` and said all `parts`, on whichever output.
    pub(crate) fn says(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for part in parts {
            let said = self.stdout.contains(part) || self.stderr.contains(part);
            assert!(said, "{part}: {self:?}");
        }
    }
}

impl Running {
    /// Waits until the command has ended.
    pub(crate) fn end(mut self) -> Ran {
        let status = until("a command has ended", || self.child.try_wait().unwrap());
        Ran {
            code: status.code(),
            stdout: fs::read_to_string(&self.stdout).unwrap(),
            stderr: self.log(),
        }
    }

    /// What it complained or logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let killed = self.child.kill();
        let reaped = self.child.wait();
        drop((killed, reaped));
    }
}

/// Who may read a file: its mode's last nine bits.
pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(std::time::Duration::ZERO).unwrap();
    connection
}
