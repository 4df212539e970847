//! The shell script that keyfresh replaces, reduced to what it does to a login: POST, `jq`, UPDATE.
//!
//! A player of the tour with a login and a channel of its own, so that its second week can be seen. It
//! keeps no rotated refresh token and looks at no error, as the original.

use anyhow::{Context as _, Result};
use rusqlite::Connection;
use secrecy::SecretString;
use serde_json::Value;

use super::stage::Stage;
use crate::http::Http;

const CHANNEL: i64 = 2;

pub(super) struct Script {
    refresh_token: SecretString,
    http: Http,
}

impl Script {
    /// A person logs in for it.
    pub(super) fn new(stage: &Stage) -> Result<Self> {
        Ok(Self {
            refresh_token: stage.authority.seed()?,
            http: Http::new()?,
        })
    }

    /// One Monday's run; returns what it pasted into its channel.
    pub(super) async fn run(&self, stage: &Stage) -> Result<SecretString> {
        let credential = stage.config.credentials.first();
        let client = &credential.context("the demo has a credential")?.client;
        let answer = self.http.send(client.request(&self.refresh_token)).await?;
        let answer: Value = serde_json::from_slice(&answer.body)?;
        // What `jq -r .access_token` prints for an answer without one.
        let key = answer["access_token"].as_str().unwrap_or("null");
        Connection::open(stage.database())?.execute(
            "UPDATE channels SET key = ?1 WHERE id = ?2",
            rusqlite::params![key, CHANNEL],
        )?;
        Ok(key.into())
    }
}
