//! The embedded database, for who has no gateway: users and tokens in New API's layout, nothing else.
//!
//! Its columns are those of New API v0.9.5 and `cross_group_retry`, its indexes New API's own. [`create`]
//! makes it, once; `Gateway::open_embedded` opens it and no gateway's database. Only here are users
//! added.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::NamedTempFile;

use super::layout::Layout;
use super::{Kind, Tables, User, new_api};
use crate::database::{Fault, Form, Halt, Value};

pub(super) static LAYOUT: Layout = Layout {
    kind: Kind::Embedded,
    form: Form {
        name: "embedded",
        present: &[
            (
                "tokens",
                &["id", "user_id", "key", "cross_group_retry", "deleted_at"],
            ),
            ("users", &["id", "username", "access_token", "deleted_at"]),
        ],
        absent: &[("channels", "id")],
    },
    sync_interval: Duration::ZERO,
    telling: None,
    abilities: false,
    multi_key: false,
    soft_delete: &["users", "tokens"],
    deleted_user: None,
    json_type: None,
    tokens: &new_api::TOKENS,
};

pub(super) static FORMS: [&Form; 1] = [&LAYOUT.form];

const SCHEMA: &str = r#"
BEGIN;
CREATE TABLE "tokens" ("id" integer,"user_id" integer,"key" char(48),"status" integer DEFAULT 1,"name" text,"created_time" integer,"accessed_time" integer,"expired_time" integer DEFAULT -1,"remain_quota" integer DEFAULT 0,"unlimited_quota" numeric,"model_limits_enabled" numeric,"model_limits" varchar(1024) DEFAULT '',"allow_ips" text DEFAULT '',"used_quota" integer DEFAULT 0,"group" text DEFAULT '',"cross_group_retry" numeric,"deleted_at" datetime,PRIMARY KEY ("id"));
CREATE TABLE "users" ("id" integer,"username" text UNIQUE,"password" text NOT NULL,"display_name" text,"role" integer DEFAULT 1,"status" integer DEFAULT 1,"email" text,"github_id" text,"oidc_id" text,"wechat_id" text,"telegram_id" text,"access_token" char(32),"quota" integer DEFAULT 0,"used_quota" integer DEFAULT 0,"request_count" integer DEFAULT 0,"group" varchar(64) DEFAULT 'default',"aff_code" varchar(32),"aff_count" integer DEFAULT 0,"aff_quota" integer DEFAULT 0,"aff_history" integer DEFAULT 0,"inviter_id" integer,"deleted_at" datetime,"linux_do_id" text,"setting" text,"remark" varchar(255),"stripe_customer" varchar(64),PRIMARY KEY ("id"));
CREATE INDEX "idx_tokens_deleted_at" ON "tokens"("deleted_at");
CREATE INDEX "idx_tokens_name" ON "tokens"("name");
CREATE UNIQUE INDEX "idx_tokens_key" ON "tokens"("key");
CREATE INDEX "idx_tokens_user_id" ON "tokens"("user_id");
CREATE UNIQUE INDEX "idx_users_aff_code" ON "users"("aff_code");
CREATE UNIQUE INDEX "idx_users_access_token" ON "users"("access_token");
CREATE INDEX "idx_users_we_chat_id" ON "users"("wechat_id");
CREATE INDEX "idx_users_oidc_id" ON "users"("oidc_id");
CREATE INDEX "idx_users_email" ON "users"("email");
CREATE INDEX "idx_users_linux_do_id" ON "users"("linux_do_id");
CREATE INDEX "idx_users_inviter_id" ON "users"("inviter_id");
CREATE INDEX "idx_users_telegram_id" ON "users"("telegram_id");
CREATE INDEX "idx_users_git_hub_id" ON "users"("github_id");
CREATE INDEX "idx_users_display_name" ON "users"("display_name");
CREATE INDEX "idx_users_username" ON "users"("username");
CREATE INDEX "idx_users_stripe_customer" ON "users"("stripe_customer");
CREATE INDEX "idx_users_deleted_at" ON "users"("deleted_at");
COMMIT;
"#;

/// No password's hash: nobody logs in with it.
const NO_PASSWORD: &str = "!";

/// Why the database could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file or its folder.
    #[error("{path} cannot be made", path = .path.display())]
    File {
        /// Where it was to stand.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite.
    #[error("{path} cannot be made", path = .path.display())]
    Database {
        /// Where it was to stand.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

/// Makes the database, whole or not at all, private to its owner; a file that stands there stays.
///
/// # Errors
/// When something stands at `path`, or the folder cannot be written.
pub fn create(path: &Path) -> Result<(), Error> {
    let file = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let database = |source| Error::Database {
        path: path.to_owned(),
        source,
    };
    let path = std::path::absolute(path).map_err(file)?;
    let folder = path.parent().unwrap_or(&path);
    let fresh = NamedTempFile::new_in(folder).map_err(file)?;
    let connection = Connection::open(fresh.path()).map_err(database)?;
    connection.execute_batch(SCHEMA).map_err(database)?;
    connection.close().map_err(|(_, error)| database(error))?;
    fresh
        .persist_noclobber(&path)
        .map_err(|refused| file(refused.error))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(file)
}

/// Why a user was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdded {
    /// The users are the gateway's: it adds them.
    Gateways,
    /// The name is taken.
    Taken,
}

impl Tables<'_> {
    /// Adds an enabled user of the role 1 and the group `default`, who has no password and no access
    /// token.
    ///
    /// # Errors
    /// When the database is a gateway's, the name is taken, or the database fails.
    pub fn add_user(&self, name: &str) -> Result<User, Halt<NotAdded>> {
        if self.layout.kind != Kind::Embedded {
            return Err(Halt::Refused(NotAdded::Gateways));
        }
        // Whose row is deleted keeps the name: the column is unique.
        let named = r#"SELECT COUNT(*) FROM "users" WHERE "username" = ?"#;
        if self.session.count(named, &[Value::Text(name.into())])? > 0 {
            return Err(Halt::Refused(NotAdded::Taken));
        }
        let texts = [
            ("username", name),
            ("password", NO_PASSWORD),
            ("display_name", name),
            ("group", "default"),
        ];
        let numbers = [("role", 1), ("status", 1)];
        let texts = texts.map(|(column, text)| (column, Value::Text(text.into())));
        let numbers = numbers.map(|(column, number)| (column, Value::Int(number)));
        self.insert_into("users", texts.into_iter().chain(numbers).collect())?;
        Ok(self.user_by_name(name)?.ok_or_else(Fault::not_kept)?)
    }
}
