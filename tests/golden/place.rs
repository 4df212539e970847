//! Where a file is replayed: the real program on a copy of the recording's database, and beside it a
//! connection that prepares scenarios, puts the tables back and sees what was written.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use chrono::{DateTime, Utc};
use keyfresh::clock::{Clock, Timestamp};
use serde_json::{Map, Value, json};

use super::compare::Outcome;
use super::deviations::File;
use super::recording::Step;
use super::support::daemon::Daemon;
use super::support::installation::Installation;
use super::support::rows::{Beside, Rows};
use super::support::wire::Wire;

/// The tables that a scenario may begin with changes of.
const TABLES: [&str; 3] = ["tokens", "users", "options"];

pub(crate) struct Place {
    installation: Installation,
    _daemon: Daemon,
    wire: Wire,
    beside: Beside,
    before: Rows,
    changed: bool,
    /// When the scenario began.
    began: Timestamp,
    /// The keys that the scenario has made.
    minted: Vec<String>,
    /// One key of those made, and whose it is.
    sample: Option<(i64, String)>,
}

impl Place {
    pub(crate) fn new(file: File) -> Self {
        let installation = Installation::new(file.fixture());
        installation.configure(&format!(
            "[gateway]\ndatabase = \"sqlite:{}\"\n\n[state]\ndir = \"state\"\n\n\
             [api]\nlisten = \"127.0.0.1:0\"\nsearch_shape = \"{}\"\nauth_failures = 10000\n",
            installation.gateway.display(),
            file.search_shape(),
        ));
        let daemon = installation.serve();
        let wire = Wire::new(daemon.address());
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let original = original.join(file.fixture());
        let beside = Beside::open(&installation.gateway, &original);
        let before = beside.tokens();
        Self {
            installation,
            _daemon: daemon,
            wire,
            beside,
            before,
            changed: false,
            began: Clock::system().now(),
            minted: Vec::new(),
            sample: None,
        }
    }

    /// Begins a scenario: the tables as recorded, then `prepare`.
    pub(crate) fn put_back(&mut self, prepare: &[String]) {
        if self.changed || !prepare.is_empty() {
            self.beside.put_back(&TABLES, prepare);
            self.before = self.beside.tokens();
        }
        self.changed = !prepare.is_empty();
        self.began = Clock::system().now();
        self.minted.clear();
    }

    /// Sends a step's request; what came of it, with placeholders where the recording has them. What no
    /// answer may be or do, deviating or not, goes to `problems`.
    pub(crate) fn answer(&mut self, step: &Step, problems: &mut String) -> Outcome {
        let reply = self.wire.exchange(&step.request.bytes(&self.minted));
        let after = self.beside.tokens();
        let rows = self.difference(&after);
        let mut ours = Outcome {
            status: reply.status,
            content_type: reply.header("content-type").map(str::to_owned),
            location: reply.header("location").map(str::to_owned),
            body: Outcome::body(&reply.body),
            rows,
        };
        for problem in self.wrong(&ours, step, &after) {
            writeln!(problems, "{}: {problem}", step.name).unwrap();
        }
        self.changed |= ours.wrote();
        self.before = after;
        self.mask(&mut ours.body);
        self.mask(&mut ours.rows);
        ours
    }

    /// What was written since the last step.
    fn difference(&mut self, after: &Rows) -> Value {
        let (mut inserted, mut changed) = (Vec::new(), Vec::new());
        for (id, row) in after {
            match self.before.get(id) {
                None => {
                    let key = row["key"].as_str().unwrap().to_owned();
                    let user = row["user_id"].as_i64().unwrap();
                    self.sample.get_or_insert((user, key.clone()));
                    self.minted.push(key);
                    inserted.push(row.clone());
                }
                Some(old) if old != row => changed.push(row.clone()),
                Some(_) => {}
            }
        }
        let gone: Vec<_> = self
            .before
            .keys()
            .filter(|id| !after.contains_key(id))
            .collect();
        json!({"inserted": inserted, "changed": changed, "gone": gone})
    }

    /// What must hold for every answer.
    fn wrong(&self, ours: &Outcome, step: &Step, after: &Rows) -> Vec<String> {
        let mut wrong = Vec::new();
        if ours.status >= 500 {
            wrong.push(format!("status {}", ours.status));
        }
        if ours.wrote() && ours.success() != Some(true) {
            wrong.push("a refused request wrote".to_owned());
        }
        let is_envelope = ours.success().is_some() && ours.body["message"].is_string();
        if !is_envelope && step.request.method != "HEAD" {
            wrong.push(format!("no envelope: {}", ours.body));
        }
        for key in self.minted.iter().filter(|key| !is_key(key)) {
            wrong.push(format!("a key of {} characters", key.len()));
        }
        let owners: BTreeSet<_> = tokens(&ours.body["data"])
            .map(|token| {
                let stored = &after[&token["id"].as_i64().unwrap()];
                if !shows(token, stored) {
                    wrong.push(format!("shows {token:?} of {stored:?}"));
                }
                token["user_id"].as_i64().unwrap()
            })
            .collect();
        if owners.iter().any(|owner| *owner != self.caller(step)) {
            wrong.push("shows a row of somebody else".to_owned());
        }
        wrong
    }

    /// Whose access token the request bears.
    fn caller(&self, step: &Step) -> i64 {
        let mut headers = step.request.headers.iter();
        let bears = headers.find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let token = bears.map_or("", |(_, value)| value.as_str().unwrap());
        let token = token.split(' ').next_back().unwrap();
        let sql = "SELECT id FROM users WHERE access_token = ?1";
        self.beside
            .db
            .query_row(sql, [token], |row| row.get(0))
            .unwrap()
    }

    /// Puts the recording's placeholders where this run has its own values.
    fn mask(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.mask(value);
                    if self.is_now(name, value) {
                        let text = value.is_string();
                        *value = json!(if text { "{{now_text}}" } else { "{{now}}" });
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask(item)),
            Value::String(text) => {
                for (number, key) in self.minted.iter().enumerate() {
                    *text = text.replace(key, &format!("{{{{key:{}}}}}", number + 1));
                }
            }
            _ => {}
        }
    }

    fn is_now(&self, name: &str, value: &Value) -> bool {
        let at = match (name, value) {
            ("created_time" | "accessed_time", Value::Number(seconds)) => {
                DateTime::from_timestamp(seconds.as_i64().unwrap(), 0)
            }
            ("deleted_at", Value::String(text)) if text.ends_with("+00:00") => {
                let at = DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%:z");
                at.ok().map(|at| at.with_timezone(&Utc))
            }
            _ => None,
        };
        let began = self.began.timestamp();
        let now = Clock::system().now().timestamp();
        at.is_some_and(|at| (began..=now).contains(&at.timestamp()))
    }

    /// A key made here is known offline as ours, and whose it is.
    pub(crate) fn keys_verify(&self) {
        let (user, key) = self.sample.as_ref().unwrap();
        let ran = self.installation.run_with(key, &["token", "verify"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stdout.contains(&user.to_string()), "{ran:?}");
    }
}

/// Whether an answer has a row's columns in their order, with their values; NULL is false, too.
fn shows(token: &Map<String, Value>, stored: &Map<String, Value>) -> bool {
    let alike = |((name, shown), (column, cell)): ((&String, &Value), (&String, &Value))| {
        let name = if name == "DeletedAt" {
            "deleted_at"
        } else {
            name
        };
        let cell = match shown {
            Value::Bool(_) => json!(cell.as_i64().unwrap_or_default() != 0),
            _ => cell.clone(),
        };
        name == column && *shown == cell
    };
    token.len() == stored.len() && token.iter().zip(stored).all(alike)
}

/// The tokens in an answer's `data`: itself, its elements or the items of a page.
fn tokens(data: &Value) -> impl Iterator<Item = &Map<String, Value>> {
    let many = data.as_array().or_else(|| data["items"].as_array());
    let each = many.into_iter().flatten().chain(Some(data));
    each.filter_map(Value::as_object)
        .filter(|object| object.contains_key("key"))
}

fn is_key(key: &str) -> bool {
    key.len() == 48 && key.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
