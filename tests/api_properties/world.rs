//! The real program on one gateway's database, its callers, and the model beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::call::{Call, Pick};
use super::model::{Gateway, Model, Object, Refused, VISIBLE};
use super::support::daemon::Daemon;
use super::support::installation::Installation;
use super::support::rows::{Beside, Rows};
use super::support::wire::Wire;

/// What a call that names no own token is told.
const MISSING: &str = r#"{"message":"Token不存在","success":false}"#;

/// The configuration, but for a gateway.
const API: &str = "[state]\ndir = \"state\"\n\n[api]\nlisten = \"127.0.0.1:0\"\n";

/// The length of One-Hub's keys.
const ONE_HUBS: usize = 59;

/// No token ever has this id.
const NOBODYS: i64 = 999_999;

type Checked = Result<(), TestCaseError>;

pub(crate) struct World {
    _installation: Installation,
    _daemon: Daemon,
    wire: Wire,
    beside: Beside,
    model: Model,
    /// Ids of those who call, and what they call with.
    pub(crate) users: Vec<(i64, String)>,
    /// The table as it is.
    rows: Rows,
}

/// An answer of the API.
struct Said {
    success: bool,
    data: Value,
    text: String,
}

impl World {
    /// A copy of a gateway's database, whose first three users call with their access tokens.
    pub(crate) fn new(fixture: &str, gateway: Gateway) -> Self {
        let installation = Installation::new(fixture);
        installation.configure(&format!(
            "{API}\n[gateway]\ndatabase = \"sqlite:{}\"\n",
            installation.gateway.display(),
        ));
        if gateway.key_length == ONE_HUBS {
            let secret = "user_token_secret = \"fixture-user-token-secret-000001\"\n";
            installation.configure(&(installation.configuration() + secret));
        }
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let beside = Beside::open(&installation.gateway, &original.join(fixture));
        let users = first_users(&beside.db);
        Self::serve(installation, beside, gateway, users)
    }

    /// No gateway: users of our own, who call with bearers.
    pub(crate) fn embedded(gateway: Gateway) -> Self {
        let installation = Installation::new("one-api.db");
        fs::remove_dir_all(installation.path("state")).unwrap();
        installation.configure(API);
        installation.done(&["init", "--owner", "root"]);
        let users = ["alice", "bob", "carol"].iter().zip(1..).map(|(name, id)| {
            installation.done(&["user", "add", name]);
            let bearer = installation.done(&["user", "token", name]);
            (id, bearer.trim().to_owned())
        });
        let users = users.collect();
        let path = installation.path("state/gateway.db");
        let original = installation.path("original.db");
        let db = Connection::open(&path).unwrap();
        db.execute("VACUUM INTO ?1", [original.to_str().unwrap()])
            .unwrap();
        let beside = Beside::open(&path, &original);
        Self::serve(installation, beside, gateway, users)
    }

    fn serve(
        installation: Installation,
        beside: Beside,
        gateway: Gateway,
        users: Vec<(i64, String)>,
    ) -> Self {
        let daemon = installation.serve();
        let tokens = BTreeMap::new();
        Self {
            wire: Wire::new(daemon.address()),
            _installation: installation,
            _daemon: daemon,
            beside,
            model: Model { gateway, tokens },
            users,
            rows: Rows::new(),
        }
    }

    /// The fixture's tokens again, and the model learns them.
    pub(crate) fn begin(&mut self) {
        self.beside.put_back(&["tokens"], &[]);
        self.rows = self.beside.tokens();
        self.model.tokens.clear();
        for user in 0..self.users.len() {
            let said = self.ask(user, "GET", "/api/token/?size=100", None);
            for token in said.data["items"].as_array().unwrap() {
                let token = token.as_object().unwrap();
                let id = token["id"].as_i64().unwrap();
                self.model.tokens.insert(id, visible(token));
            }
        }
        let is_users = |id: &Value| self.users.iter().any(|(user, _)| *id == *user);
        let living = self.rows.iter().filter(|(_, row)| {
            let deleted = row.get("deleted_at").unwrap_or(&Value::Null);
            deleted.is_null() && is_users(&row["user_id"])
        });
        assert!(living.map(|(id, _)| id).eq(self.model.tokens.keys()));
    }

    /// Everybody sees what the model says, no more and no less.
    pub(crate) fn end(&mut self) -> Checked {
        for user in 0..self.users.len() {
            let said = self.ask(user, "GET", "/api/token/?size=100", None);
            let ids = self.model.ids(self.users[user].0);
            prop_assert_eq!(&said.data["total"], ids.len());
            self.shows(&said.data["items"], &ids)?;
        }
        Ok(())
    }

    /// Makes one call, here and in the model, and compares answer and table.
    pub(crate) fn play(&mut self, user: usize, call: &Call) -> Checked {
        let me = self.users[user].0;
        match call {
            Call::Create(body) => self.create(user, std::slice::from_ref(body), json!(body))?,
            Call::CreateMany(bodies) => self.create(user, bodies, json!(bodies))?,
            Call::Update(pick, body) => {
                self.update(user, self.id(me, *pick), body, "/api/token/")?;
            }
            Call::UpdateStatus(pick, body) => {
                self.update(
                    user,
                    self.id(me, *pick),
                    body,
                    "/api/token/?status_only=true",
                )?;
            }
            Call::Delete(pick) => {
                let id = self.id(me, *pick);
                let said = self.ask(user, "DELETE", &format!("/api/token/{id}"), None);
                prop_assert_eq!(said.success, self.model.own(me, id).is_some());
                prop_assert!(said.success || said.text == MISSING);
                self.is_deleted(me, &[id])?;
            }
            Call::DeleteMany(picks) => {
                let ids: Vec<_> = picks.iter().map(|pick| self.id(me, *pick)).collect();
                let said = self.ask(user, "POST", "/api/token/batch", Some(json!({"ids": ids})));
                let own = ids.iter().filter(|id| self.model.own(me, **id).is_some());
                prop_assert_eq!(said.data, own.collect::<BTreeSet<_>>().len());
                self.is_deleted(me, &ids)?;
            }
            Call::One(pick) => {
                let id = self.id(me, *pick);
                let said = self.ask(user, "GET", &format!("/api/token/{id}"), None);
                if self.model.own(me, id).is_some() {
                    self.shows(&json!([said.data]), &[id])?;
                } else {
                    prop_assert_eq!(said.text, MISSING);
                }
            }
            Call::List { page, size } => {
                let path = format!("/api/token/?p={page}&size={size}");
                let said = self.ask(user, "GET", &path, None);
                let size = match usize::from(*size) {
                    0 => 20,
                    size => size.min(100),
                };
                let ids = self.model.ids(me);
                let skipped = usize::from(page.saturating_sub(1)) * size;
                let ids: Vec<_> = ids.into_iter().skip(skipped).take(size).collect();
                self.shows(&said.data["items"], &ids)?;
            }
            Call::Search { name, key } => {
                let [part, whole] = [name, key].map(|text| urlencoding::encode(text));
                let path = format!("/api/token/search?keyword={part}&token={whole}");
                let said = self.ask(user, "GET", &path, None);
                self.shows(&said.data, &self.model.search(me, name, key))?;
            }
        }
        Ok(())
    }

    fn create(&mut self, user: usize, bodies: &[Object], sent: Value) -> Checked {
        let me = self.users[user].0;
        let is_many = sent.is_array();
        let said = self.ask(user, "POST", "/api/token/", Some(sent));
        let wanted = bodies.iter().map(|body| self.model.created(me, body));
        let Ok(wanted) = wanted.collect::<Result<Vec<_>, _>>() else {
            prop_assert!(!said.success, "created: {}", said.text);
            return self.differs(&[]);
        };
        prop_assert!(said.success, "refused: {}", said.text);
        let made = if is_many {
            said.data
        } else {
            json!([said.data])
        };
        let made = made.as_array().unwrap().iter();
        let made: Vec<_> = made
            .map(|token| visible(token.as_object().unwrap()))
            .collect();
        prop_assert_eq!(made.len(), wanted.len());
        let after = self.beside.tokens();
        let mut expected = self.rows.keys().copied().collect::<BTreeSet<_>>();
        for (token, mut wanted) in made.into_iter().zip(wanted) {
            let id = token["id"].as_i64().unwrap();
            prop_assert!(expected.insert(id), "{id} is not new");
            prop_assert_eq!(&after[&id]["user_id"], me);
            let key = token["key"].as_str().unwrap();
            prop_assert_eq!(key.len(), self.model.gateway.key_length);
            prop_assert_eq!(&token["created_time"], &token["accessed_time"]);
            for given in ["id", "key", "created_time", "accessed_time"] {
                wanted.insert(given.to_owned(), token[given].clone());
            }
            prop_assert_eq!(&token, &wanted);
            self.model.tokens.insert(id, token);
        }
        prop_assert!(after.keys().eq(&expected));
        prop_assert!(self.rows.iter().all(|(id, row)| after[id] == *row));
        self.rows = after;
        Ok(())
    }

    fn update(&mut self, user: usize, id: i64, body: &Object, path: &str) -> Checked {
        let me = self.users[user].0;
        let mut sent = json!(body);
        sent["id"] = json!(id);
        let said = self.ask(user, "PUT", path, Some(sent));
        let mut body = body.clone();
        if path.contains("status_only") {
            body.retain(|name, wished| name == "status" && !wished.is_null());
        }
        let changed = match self.model.own(me, id) {
            _ if path.contains("status_only") && !body.contains_key("status") => Err(Refused),
            Some(token) => self.model.changed(token, &body),
            None => Err(Refused),
        };
        let Ok(changed) = changed else {
            prop_assert!(!said.success, "done: {}", said.text);
            return self.differs(&[]);
        };
        prop_assert!(said.success, "refused: {}", said.text);
        prop_assert_eq!(&visible(said.data.as_object().unwrap()), &changed);
        let columns = self.model.columns(&self.model.tokens[&id], &changed);
        self.model.tokens.insert(id, changed);
        self.differs(&[(id, columns)])
    }

    /// Those of `ids` that were `user`'s are gone, here and there.
    fn is_deleted(&mut self, user: i64, ids: &[i64]) -> Checked {
        let ids: BTreeSet<_> = ids.iter().copied().collect();
        let own = ids
            .into_iter()
            .filter(|id| self.model.own(user, *id).is_some());
        let own: Vec<_> = own.collect();
        for id in &own {
            self.model.tokens.remove(id);
        }
        if self.model.gateway.soft {
            let marked = own.iter().map(|id| (*id, BTreeSet::from(["deleted_at"])));
            return self.differs(&marked.collect::<Vec<_>>());
        }
        for id in &own {
            self.rows.remove(id);
        }
        self.differs(&[])
    }

    /// Exactly these cells of the table are other than before.
    fn differs(&mut self, expected: &[(i64, BTreeSet<&'static str>)]) -> Checked {
        let after = self.beside.tokens();
        prop_assert!(after.keys().eq(self.rows.keys()));
        for (id, row) in &after {
            let before = &self.rows[id];
            let changed = row.iter().filter(|(name, cell)| before[*name] != **cell);
            let changed: BTreeSet<_> = changed.map(|(name, _)| name.as_str()).collect();
            let mut named = expected.iter().filter(|(of, _)| of == id);
            let columns = named.next().map(|(_, columns)| columns.clone());
            prop_assert_eq!(changed, columns.unwrap_or_default(), "token {}", id);
        }
        self.rows = after;
        Ok(())
    }

    /// Rows in an answer are these of the model, in this order.
    fn shows(&self, items: &Value, ids: &[i64]) -> Checked {
        let items = items.as_array().unwrap().iter();
        let shown = items.map(|token| visible(token.as_object().unwrap()));
        let model = ids.iter().map(|id| self.model.tokens[id].clone());
        prop_assert_eq!(shown.collect::<Vec<_>>(), model.collect::<Vec<_>>());
        Ok(())
    }

    fn id(&self, user: i64, pick: Pick) -> i64 {
        let (ids, place) = match pick {
            Pick::Own(place) => (self.model.ids(user), place),
            Pick::Any(place) => (self.rows.keys().copied().chain([NOBODYS]).collect(), place),
        };
        let place = place.checked_rem(ids.len());
        place.map_or(NOBODYS, |place| ids[place])
    }

    fn ask(&mut self, user: usize, method: &str, path: &str, body: Option<Value>) -> Said {
        let body = body.map_or(String::new(), |body| body.to_string());
        let reply = self.wire.exchange(&format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.users[user].1,
            body.len(),
        ));
        assert_eq!(reply.status, 200, "{method} {path} {body}: {}", reply.body);
        let mut said: Value = serde_json::from_str(&reply.body).unwrap();
        Said {
            success: said["success"].as_bool().unwrap(),
            data: said["data"].take(),
            text: reply.body,
        }
    }
}

fn first_users(db: &Connection) -> Vec<(i64, String)> {
    let sql = "SELECT id, access_token FROM main.users WHERE id <= 3";
    let mut users = db.prepare(sql).unwrap();
    let users = users.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    users.unwrap().collect::<Result<_, _>>().unwrap()
}

fn visible(token: &Object) -> Object {
    let members = VISIBLE.iter();
    let members = members.filter_map(|name| Some(((*name).to_owned(), token.get(*name)?.clone())));
    members.collect()
}
