//! Tokens read and written, always as one owner's.
//!
//! Whoever calls has a [`Tables`], hence a transaction. A foreign or deleted row is as good as missing.
//! Only columns that change are written; the row that results is read back, for the gateway's database
//! may keep it otherwise (a trigger, a column that is too short).

use std::collections::BTreeSet;

use secrecy::{ExposeSecret as _, SecretString};

use super::column::{Cell, Misfit, Own};
use super::{Key, Native, NewToken, Token, TokenChange, Unfit};
use crate::clock::Timestamp;
use crate::database::{Columns, Fault, Halt, Value};
use crate::gateway::Tables;

/// The columns that every layout has, in the order in which they are read.
const SHARED: [&str; 11] = [
    "id",
    "user_id",
    "key",
    "status",
    "name",
    "created_time",
    "accessed_time",
    "expired_time",
    "remain_quota",
    "unlimited_quota",
    "used_quota",
];

/// Stands in `key` between the INSERT of a row whose key is made of its id and the UPDATE after it:
/// nobody outside the transaction ever sees it, and the column is unique.
const KEY_TO_FOLLOW: &str = "keyfresh: the key follows";

/// How many ids are tried for a key that is made of its id: with an alphabet that One-Hub itself has
/// trouble with, one of a few does (tests/fixtures/one-hub-keys.json).
const IDS_TRIED: u32 = 16;

/// Room for the names of all columns, in bytes.
const LISTED: usize = 512;

/// The most ids that one statement deletes.
const CHUNK: usize = 500;

impl Tables<'_> {
    /// One own token.
    ///
    /// # Errors
    /// When the database fails.
    pub fn token(&self, owner: i64, id: i64) -> Result<Option<Token>, Fault> {
        let values = [Value::Int(owner), Value::Int(id)];
        let mut found = self.select(r#""user_id" = ? AND "id" = ?"#, "", &values)?;
        Ok(found.pop())
    }

    /// Makes a row as the gateway itself would, and gives it back.
    ///
    /// # Errors
    /// When the gateway cannot hold a field, the key is refused, or the database fails.
    pub fn insert<R: From<Unfit>>(
        &self,
        owner: i64,
        new: &NewToken,
        key: Key<'_, R>,
    ) -> Result<Token, Halt<R>> {
        let own = self.own();
        let wish = TokenChange::from(new);
        self.check(&own, &wish)?;
        let first = match key {
            Key::Made(key) => key.clone(),
            Key::OfId(_) => KEY_TO_FOLLOW.into(),
        };
        let mut cells = vec![
            ("user_id", Value::Int(owner)),
            ("key", Value::Text(first.clone())),
            ("status", Value::Int(1)),
            ("created_time", Value::Int(new.now)),
            ("accessed_time", Value::Int(new.now)),
            ("used_quota", Value::Int(0)),
        ];
        cells.extend(wish.shared());
        cells.extend(self.cells(&own, None, &wish)?);
        match key {
            Key::Made(key) => {
                self.insert_into("tokens", cells)?;
                Ok(self.by_key(owner, key)?)
            }
            Key::OfId(key) => self.insert_signed(owner, &cells, key),
        }
    }

    /// Makes a row whose key is made of its id. An id whose key is refused is left behind, or the next
    /// one who creates would get it again: a refusal takes the sequence back.
    fn insert_signed<R>(
        &self,
        owner: i64,
        cells: &[(&'static str, Value)],
        key: &dyn Fn(i64) -> Result<SecretString, R>,
    ) -> Result<Token, Halt<R>> {
        let mut tries = IDS_TRIED;
        loop {
            self.insert_into("tokens", cells.to_vec())?;
            let made = self.by_key(owner, &KEY_TO_FOLLOW.into())?;
            let id = Value::Int(made.id);
            tries -= 1;
            match key(made.id) {
                Ok(key) => {
                    self.session.execute(
                        r#"UPDATE "tokens" SET "key" = ? WHERE "id" = ?"#,
                        &[Value::Text(key.clone()), id],
                    )?;
                    return Ok(self.by_key(owner, &key)?);
                }
                Err(refusal) if tries == 0 => return Err(Halt::Refused(refusal)),
                Err(_) => {
                    let sql = r#"DELETE FROM "tokens" WHERE "id" = ?"#;
                    self.session.execute(sql, &[id])?;
                }
            }
        }
    }

    /// Writes what of `change` differs from `stored`, which this transaction has read; gives the row.
    ///
    /// # Errors
    /// When the gateway cannot hold a field, or the database fails.
    pub fn update<R: From<Unfit>>(
        &self,
        stored: &Token,
        change: &TokenChange,
    ) -> Result<Token, Halt<R>> {
        let own = self.own();
        let news = change.news(stored);
        self.check(&own, &news)?;
        let mut cells = news.shared();
        cells.extend(self.cells(&own, Some(stored), &news)?);
        if cells.is_empty() {
            return Ok(stored.clone());
        }
        let (names, mut values): (Vec<_>, Vec<_>) = cells.into_iter().unzip();
        values.extend([Value::Int(stored.id), Value::Int(stored.user_id)]);
        let sql = format!(
            r#"UPDATE "tokens" SET {} WHERE "id" = ? AND "user_id" = ?{}"#,
            listed(names.iter().copied(), " = ?"),
            self.layout.alive("tokens")
        );
        self.session.execute(&sql, &values)?;
        let kept = self.token(stored.user_id, stored.id)?;
        Ok(kept.ok_or_else(Fault::not_kept)?)
    }

    /// Deletes own tokens, as the gateway does: the row is marked where the layout has `deleted_at`,
    /// else it goes. Foreign, missing and repeated ids count for nothing; gives how many there were.
    ///
    /// # Errors
    /// When the database fails.
    pub fn delete(&self, owner: i64, ids: &[i64], now: Timestamp) -> Result<usize, Fault> {
        let soft = self.layout.deletes_softly("tokens");
        let act = if soft {
            r#"UPDATE "tokens" SET "deleted_at" = ?"#
        } else {
            r#"DELETE FROM "tokens""#
        };
        // In the order in which they lie in the file.
        let ids: BTreeSet<i64> = ids.iter().copied().collect();
        let ids: Vec<i64> = ids.into_iter().collect();
        let mut deleted = 0;
        for ids in ids.chunks(CHUNK) {
            let places = vec!["?"; ids.len()].join(", ");
            let sql = format!(
                r#"{act} WHERE "user_id" = ?{} AND "id" IN ({places})"#,
                self.layout.alive("tokens")
            );
            let marked = soft.then(|| Value::Text(moment(now).into()));
            let owner = [Value::Int(owner)];
            let ids = ids.iter().map(|id| Value::Int(*id));
            let values: Vec<Value> = marked.into_iter().chain(owner).chain(ids).collect();
            deleted += self.session.execute(&sql, &values)?;
        }
        Ok(deleted)
    }

    /// The columns of the layout's own that this database has.
    fn own(&self) -> Vec<&'static Own> {
        let there = |own: &&Own| self.session.has("tokens", own.name);
        self.layout.tokens.own.iter().filter(there).collect()
    }

    /// The living rows that `filter` admits.
    fn select(&self, filter: &str, order: &str, values: &[Value]) -> Result<Vec<Token>, Fault> {
        self.select_while(filter, order, values, |_| true)
    }

    /// The same up to the first that is not wanted.
    pub(super) fn select_while(
        &self,
        filter: &str,
        order: &str,
        values: &[Value],
        mut wants: impl FnMut(&Token) -> bool,
    ) -> Result<Vec<Token>, Fault> {
        let own = self.own();
        let names = SHARED.into_iter().chain(own.iter().map(|own| own.name));
        let sql = format!(
            r#"SELECT {} FROM "tokens" WHERE {filter}{}{order}"#,
            listed(names, ""),
            self.layout.alive("tokens")
        );
        self.session.rows_while(&sql, values, |row| {
            let token = read(&own, row);
            wants(&token).then_some(token)
        })
    }

    /// The row that was just written with this key.
    fn by_key(&self, owner: i64, key: &SecretString) -> Result<Token, Fault> {
        let values = [Value::Int(owner), Value::Text(key.clone())];
        let found = self.select(r#""user_id" = ? AND "key" = ?"#, "", &values)?;
        // MySQL's collations find keys in the wrong case, too.
        let same = |token: &Token| token.key.expose_secret() == key.expose_secret();
        found.into_iter().find(same).ok_or_else(Fault::not_kept)
    }

    /// Refuses what no column of this database could hold.
    fn check<R: From<Unfit>>(&self, own: &[&Own], change: &TokenChange) -> Result<(), Halt<R>> {
        let held = |field: &str| own.iter().any(|own| own.holds.contains(&field));
        match change.asked().find(|field| !held(field)) {
            Some(field) => Err(self.unfit(Misfit::of(field))),
            None => Ok(()),
        }
    }

    fn unfit<R: From<Unfit>>(&self, misfit: Misfit) -> Halt<R> {
        let unfit = Unfit {
            field: misfit.field,
            partner: misfit.partner,
            gateway: self.layout.kind,
        };
        Halt::Refused(unfit.into())
    }

    /// What the layout's own columns shall hold.
    fn cells<R: From<Unfit>>(
        &self,
        own: &[&Own],
        stored: Option<&Token>,
        change: &TokenChange,
    ) -> Result<Vec<(&'static str, Value)>, Halt<R>> {
        let mut cells = Vec::new();
        for own in own {
            let value = (own.write)(stored, change).map_err(|misfit| self.unfit(misfit))?;
            cells.extend(value.map(|value| (own.name, value)));
        }
        Ok(cells)
    }

    pub(in crate::gateway) fn insert_into(
        &self,
        table: &str,
        cells: Vec<(&'static str, Value)>,
    ) -> Result<(), Fault> {
        let (names, values): (Vec<_>, Vec<_>) = cells.into_iter().unzip();
        let sql = format!(
            r#"INSERT INTO "{table}" ({}) VALUES ({})"#,
            listed(names.iter().copied(), ""),
            vec!["?"; names.len()].join(", ")
        );
        self.session.execute(&sql, &values)?;
        Ok(())
    }
}

/// Names in double quotes, each with `after`, joined by commas.
fn listed<'n>(names: impl Iterator<Item = &'n str>, after: &str) -> String {
    let mut list = String::with_capacity(LISTED);
    for name in names {
        let comma = if list.is_empty() { "\"" } else { ", \"" };
        for part in [comma, name, "\"", after] {
            list.push_str(part);
        }
    }
    list
}

fn read(own: &[&Own], row: &Columns<'_>) -> Token {
    let mut token = Token {
        id: row.int(0),
        user_id: row.int(1),
        key: unpadded(row.text(2)).into(),
        status: row.int(3),
        name: row.text(4).to_owned(),
        created_time: row.int(5),
        accessed_time: row.int(6),
        expired_time: row.int(7),
        remain_quota: row.int(8),
        unlimited_quota: row.flag(9),
        model_limits_enabled: false,
        model_limits: String::new(),
        allow_ips: Some(String::new()),
        used_quota: row.int(10),
        group: String::new(),
        more: Vec::new(),
    };
    for (place, own) in (SHARED.len()..).zip(own) {
        (own.read)(&mut token, Cell { row, place });
    }
    token
}

/// PostgreSQL gives `char(n)` back filled with blanks.
pub(in crate::gateway) fn unpadded(text: &str) -> &str {
    text.trim_end_matches(' ')
}

/// `deleted_at` as the gateways write it into SQLite: no zeros at the end of the fraction.
fn moment(now: Timestamp) -> String {
    let fraction = format!(".{:09}", now.timestamp_subsec_nanos());
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    format!("{}{fraction}+00:00", now.format("%Y-%m-%d %H:%M:%S"))
}

impl Token {
    /// One of [`Token::more`].
    pub(in crate::gateway) fn native(&self, name: &str) -> Option<&Native> {
        let mut more = self.more.iter();
        more.find(|(other, _)| *other == name)
            .map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests;
