//! A client of the API: one connection for each call, and what came back.

use std::time::Duration;

use rusqlite::types::Value as Cell;
use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::installation::Installation;
use crate::support::wire::{Reply, Wire};

/// A daemon on a copy of a gateway's database.
pub(crate) struct Api {
    daemon: Daemon,
    pub(crate) world: Installation,
}

/// Somebody who calls.
pub(crate) struct User<'a> {
    api: &'a Api,
    /// Sent with each call, each line ended.
    pub(crate) headers: String,
}

impl Api {
    pub(crate) fn new(fixture: &str) -> Self {
        Self::with(fixture, "")
    }

    /// The same with more lines below `[api]`.
    pub(crate) fn with(fixture: &str, lines: &str) -> Self {
        let world = Installation::new(fixture);
        world.edit("locale = \"en\"", "locale = \"zh-CN\"");
        world.edit(
            "listen = \"127.0.0.1:0\"\n",
            &format!("listen = \"127.0.0.1:0\"\n{lines}"),
        );
        Self::of(world)
    }

    pub(crate) fn of(world: Installation) -> Self {
        Self {
            daemon: world.serve(),
            world,
        }
    }

    /// Who calls with this access token or bearer.
    pub(crate) fn user(&self, token: &str) -> User<'_> {
        self.caller(&format!("Authorization: Bearer {token}\r\n"))
    }

    /// Who calls with these headers, each ended by a line break.
    pub(crate) fn caller(&self, headers: &str) -> User<'_> {
        User {
            api: self,
            headers: headers.to_owned(),
        }
    }

    /// What the daemon logged so far.
    pub(crate) fn log(&self) -> String {
        self.daemon.log()
    }

    /// Every cell of `tokens`.
    pub(crate) fn rows(&self) -> Vec<Vec<Cell>> {
        let db = self.world.other();
        // The daemon looks after its channels meanwhile.
        db.busy_timeout(Duration::from_secs(10)).unwrap();
        let mut query = db.prepare("SELECT * FROM tokens ORDER BY id").unwrap();
        let width = query.column_count();
        let rows = query.query_map([], |row| (0..width).map(|column| row.get(column)).collect());
        rows.unwrap().map(Result::unwrap).collect()
    }
}

impl User<'_> {
    pub(crate) fn get(&self, path: &str) -> Reply {
        self.call("GET", path, "")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.call("POST", path, &body.to_string())
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Reply {
        self.call("PUT", path, &body.to_string())
    }

    pub(crate) fn delete(&self, path: &str) -> Reply {
        self.call("DELETE", path, "")
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> Reply {
        let headers = &self.headers;
        let length = body.len();
        Wire::new(self.api.daemon.address()).exchange(&format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Length: {length}\r\n{headers}\r\n{body}"
        ))
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        let json = Some("application/json; charset=utf-8");
        assert_eq!(self.header("content-type"), json, "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The data of a success.
    pub(crate) fn data(&self) -> Value {
        let mut json = self.json();
        assert_eq!(
            (self.status, &json["success"]),
            (200, &Value::Bool(true)),
            "{self:?}"
        );
        assert_eq!(json["message"], "", "{self:?}");
        json["data"].take()
    }

    /// The message of a refusal, which has HTTP status 200.
    pub(crate) fn refusal(&self) -> String {
        self.refused(200)
    }

    /// The message of a refusal.
    pub(crate) fn refused(&self, status: u16) -> String {
        let json = self.json();
        assert_eq!(
            (self.status, &json["success"]),
            (status, &Value::Bool(false)),
            "{self:?}"
        );
        assert!(json.get("data").is_none(), "{self:?}");
        json["message"].as_str().unwrap().to_owned()
    }
}
