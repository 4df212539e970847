//! A real authorization server: `oidc-provider` in a process of its own (`tests/peer/`), which rotates
//! always, kills a family on replay, keeps its state over a kill -9 and fails on demand. Its log is the
//! judge; tokens stand there by their fingerprints.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use url::Url;

use super::installation::Installation;
use super::npm;
use super::until;
use super::wire::Wire;

/// The server; it ends when dropped.
pub(crate) struct Peer {
    process: Mutex<(Child, Ready)>,
    log: Mutex<Log>,
    folder: TempDir,
    modules: &'static Path,
}

/// The ports it listens on.
#[derive(Clone, Copy, Deserialize)]
struct Ready {
    http: u16,
    https: u16,
    control: u16,
}

/// A login: its first refresh token was never used.
#[derive(Deserialize)]
pub(crate) struct Grant {
    #[serde(rename = "grant")]
    pub(crate) id: String,
    pub(crate) refresh_token: String,
}

/// What the server knows of a grant.
#[derive(Debug, Deserialize)]
pub(crate) struct Standing {
    /// Whether its newest refresh token would be exchanged.
    pub(crate) alive: bool,
    /// That token's fingerprint, dead or alive.
    pub(crate) newest: String,
}

/// A line of the log.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line {
    Minted {},
    Request(Seen),
    Handled {
        number: u64,
        #[serde(flatten)]
        what: Handled,
    },
    Answered {
        number: u64,
        #[serde(flatten)]
        what: Answered,
    },
    RefusedTls {},
    Aborted {},
    Broken {
        problem: String,
    },
}

/// The log as far as it was read.
#[derive(Default)]
struct Log {
    bytes: u64,
    requests: Vec<Seen>,
    refused_tls: usize,
}

/// A request to the token endpoint and what came of it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Seen {
    number: u64,
    /// When it was there with its body, in milliseconds since 1970.
    pub(crate) time: f64,
    /// Which of the connections so far it came on.
    pub(crate) connection: u64,
    pub(crate) method: String,
    pub(crate) grant_type: Option<String>,
    /// The fingerprint of its refresh token.
    pub(crate) sent: Option<String>,
    /// The grant of that token.
    pub(crate) grant: Option<String>,
    /// The fault that met it.
    pub(crate) fault: Option<String>,
    /// What the provider answered, if it was asked.
    #[serde(skip)]
    pub(crate) handled: Option<Handled>,
    /// What left for the client, once it has.
    #[serde(skip)]
    pub(crate) answered: Option<Answered>,
}

/// What the provider answered, whatever the client got.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Handled {
    pub(crate) time: f64,
    pub(crate) status: u16,
    /// Why it refused, in its own words.
    pub(crate) refusal: Option<String>,
    /// The fingerprint of the new refresh token.
    pub(crate) issued: Option<String>,
}

/// What left for the client.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Answered {
    /// When the last of it was the kernel's, or the client was gone.
    pub(crate) time: f64,
    pub(crate) bytes: u64,
    /// Whether the client was there to the end.
    pub(crate) whole: bool,
}

/// What stands for a token in the server's log.
pub(crate) fn fingerprint(token: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    let first = digest.as_ref().first_chunk().unwrap();
    format!("{:016x}", u64::from_be_bytes(*first))
}

impl Peer {
    /// Starts it on free ports; `None` where Node.js is missing and may be.
    pub(crate) fn start() -> Option<Self> {
        let modules = npm::modules()?;
        let folder = tempfile::tempdir().unwrap();
        certify(folder.path());
        let anywhere = Ready {
            http: 0,
            https: 0,
            control: 0,
        };
        let process = spawn(modules, folder.path(), anywhere).unwrap();
        Some(Self {
            process: Mutex::new(process),
            log: Mutex::default(),
            folder,
            modules,
        })
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&self) {
        let child = &mut self.process.lock().unwrap().0;
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it again where it was, with what it knew; faults that still waited are forgotten.
    pub(crate) fn restart(&self) {
        let mut process = self.process.lock().unwrap();
        *process = until("its ports are free again", || {
            spawn(self.modules, self.folder.path(), process.1)
        });
    }

    fn ready(&self) -> Ready {
        self.process.lock().unwrap().1
    }

    /// Its token endpoint.
    pub(crate) fn url(&self) -> Url {
        let port = self.ready().http;
        format!("http://127.0.0.1:{port}/token").parse().unwrap()
    }

    /// The same over TLS, with a certificate that nobody trusts who does not trust [`Self::authority`].
    pub(crate) fn tls_url(&self) -> Url {
        let port = self.ready().https;
        format!("https://127.0.0.1:{port}/token").parse().unwrap()
    }

    /// The certificate authority, a PEM file.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// A new login.
    pub(crate) fn grant(&self) -> Grant {
        serde_json::from_value(self.ask("POST", "/grants", "")).unwrap()
    }

    /// What it knows of a grant now.
    pub(crate) fn standing(&self, grant: &Grant) -> Standing {
        serde_json::from_value(self.ask("GET", &format!("/grants/{}", grant.id), "")).unwrap()
    }

    /// The next requests meet these faults, one JSON object each: `tests/peer/faults.js` has them.
    pub(crate) fn order(&self, faults: &[&str]) {
        self.ask("POST", "/faults", &format!("[{}]", faults.join(",")));
    }

    /// The same for the next requests of one login, whoever else asks meanwhile.
    pub(crate) fn order_for(&self, grant: &Grant, faults: &[&str]) {
        let path = format!("/faults/{}", grant.id);
        self.ask("POST", &path, &format!("[{}]", faults.join(",")));
    }

    /// Asks the token endpoint itself, as another client of the same login would.
    pub(crate) fn refresh(&self, token: &str) -> u16 {
        let body = format!("grant_type=refresh_token&client_id=test&refresh_token={token}");
        let head = "Content-Type: application/x-www-form-urlencoded\r\n";
        call(self.ready().http, "POST", "/token", head, &body).0
    }

    /// Every request so far, in the order they came.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.log().requests.clone()
    }

    /// The requests of one login.
    pub(crate) fn requests_of(&self, grant: &Grant) -> Vec<Seen> {
        let log = self.log();
        let of_it = |seen: &&Seen| seen.grant.as_ref() == Some(&grant.id);
        log.requests.iter().filter(of_it).cloned().collect()
    }

    /// How many of a login's requests brought a token that an earlier one had spent.
    pub(crate) fn replays(&self, grant: &Grant) -> usize {
        let requests = self.requests_of(grant);
        let spent = |seen: &Seen| {
            let granted = |handled: &Handled| handled.issued.is_some();
            seen.handled.as_ref().is_some_and(granted)
        };
        let replayed = |(place, seen): &(usize, &Seen)| {
            let mut earlier = requests[..*place].iter();
            earlier.any(|other| other.sent == seen.sent && spent(other))
        };
        requests.iter().enumerate().filter(replayed).count()
    }

    /// How many TLS connections never came to a request.
    pub(crate) fn refused_tls(&self) -> usize {
        self.log().refused_tls
    }

    /// The log, read on to its end.
    fn log(&self) -> MutexGuard<'_, Log> {
        let mut log = self.log.lock().unwrap();
        let mut file = fs::File::open(self.folder.path().join("log.jsonl")).unwrap();
        file.seek(SeekFrom::Start(log.bytes)).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        // A line is there once its end is.
        let length = text.rfind('\n').map_or(0, |end| end + 1);
        log.bytes += length as u64;
        for line in text[..length].lines() {
            log.add(serde_json::from_str(line).unwrap());
        }
        log
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let (status, answer) = call(self.ready().control, method, path, "", body);
        assert_eq!(status, 200, "{method} {path}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Both fail where it was killed already.
        let Ok(process) = self.process.get_mut() else {
            return;
        };
        let killed = process.0.kill();
        let reaped = process.0.wait();
        drop((killed, reaped));
    }
}

impl Installation {
    /// An installation whose credential `main` is a new login at `peer`.
    pub(crate) fn at(peer: &Peer, fixture: &str) -> (Self, Grant) {
        let this = Self::new(fixture);
        let grant = peer.grant();
        this.edit(this.authority.url().as_str(), peer.url().as_str());
        this.secret("main.token", &grant.refresh_token);
        (this, grant)
    }

    /// Whether `main` holds the newest refresh token that `peer` issued for `grant`, and it is still good.
    pub(crate) fn holds(&self, peer: &Peer, grant: &Grant) -> bool {
        let standing = peer.standing(grant);
        let held = self.tokens("main").0;
        standing.alive && held.as_deref().map(fingerprint) == Some(standing.newest)
    }
}

impl Log {
    fn add(&mut self, line: Line) {
        match line {
            Line::Request(seen) => self.requests.push(seen),
            Line::Handled { number, what } => self.request(number).handled = Some(what),
            Line::Answered { number, what } => self.request(number).answered = Some(what),
            Line::RefusedTls {} => self.refused_tls += 1,
            Line::Broken { problem } => panic!("the server itself failed: {problem}"),
            Line::Minted {} | Line::Aborted {} => {}
        }
    }

    /// The request with that number.
    fn request(&mut self, number: u64) -> &mut Seen {
        let mut latest = self.requests.iter_mut().rev();
        latest.find(|seen| seen.number == number).unwrap()
    }
}

fn call(port: u16, method: &str, path: &str, head: &str, body: &str) -> (u16, String) {
    let reply = Wire::new(format!("127.0.0.1:{port}")).exchange(&format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    (reply.status, reply.body)
}

/// Starts the server and waits until it listens; `None` if it could not.
fn spawn(modules: &Path, folder: &Path, ports: Ready) -> Option<(Child, Ready)> {
    let mut child = Command::new("node")
        .arg(Path::new(npm::SOURCE).join("server.js"))
        .arg("--modules")
        .arg(modules)
        .arg("--state")
        .arg(folder)
        .args(["--http", &ports.http.to_string()])
        .args(["--https", &ports.https.to_string()])
        // It ends with its input, even where nobody is left to drop it.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(folder.join("err")).unwrap())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut told = BufReader::new(child.stdout.take().unwrap());
    told.read_line(&mut line).unwrap();
    let Ok(ready) = serde_json::from_str(&line) else {
        child.wait().unwrap();
        let why = fs::read_to_string(folder.join("err")).unwrap();
        assert!(why.contains("EADDRINUSE"), "{why}");
        return None;
    };
    Some((child, ready))
}

/// A certificate authority of its own, and the server's certificate by it.
fn certify(folder: &Path) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&key).unwrap();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap();
    for (name, text) in [
        ("authority.pem", root.pem()),
        ("chain.pem", leaf.pem()),
        ("key.pem", key.serialize_pem()),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
}
