//! An owner's tokens listed and searched, piece by piece: no read may hold a gateway's file for long.
//!
//! A piece is a range of ids that holds a number of rows: the owner's own where an index on `user_id`
//! finds them, else anybody's. Each is a read of its own, so rows that others add or delete meanwhile may
//! be missed; nobody sees a row twice. What is gathered ends at [`BYTES_MOST`], for others may have stored
//! rows of any size. Pieces shrink when one takes too long, and grow while they are
//! quick.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::{Native, Page, Token};
use crate::clock::Clock;
use crate::database::{self, Fault, Value};
use crate::gateway::{Error, Gateway, Tables};

/// The most tokens that a search gives.
pub const FOUND_MOST: usize = 1000;

/// What a search or a page may hold before it ends: rows are in memory, and once more as JSON, for each
/// caller at once. The rows that the API itself writes reach it in a search alone.
const BYTES_MOST: usize = 4 * 1024 * 1024;

/// Rows of the first piece: an owner's rows lie scattered in a large table, and each may cost a page
/// (measured: 8 µs a row among a million). The bounds of what follows.
const ROWS: i64 = 2000;
const ROWS_LEAST: i64 = 100;
const ROWS_MOST: i64 = 80_000;

/// A piece that took less is followed by one of twice its size.
const QUICK: Duration = Duration::from_millis(20);

/// A point read that took more ends with its piece: it was not all remembered counts.
const SHORT: Duration = Duration::from_millis(2);

/// What is looked for.
struct Wanted {
    owner: i64,
    /// Patterns of name and key; nothing if every row will do.
    likes: Option<[String; 2]>,
    /// Rows to pass over; only together with `total`.
    offset: i64,
    /// Rows to give.
    limit: usize,
    /// Whether to count all there are.
    total: bool,
}

impl Wanted {
    fn page(owner: i64, offset: u64, limit: usize) -> Self {
        Self {
            owner,
            likes: None,
            offset: i64::try_from(offset).unwrap_or(i64::MAX),
            limit,
            total: true,
        }
    }
}

/// What to read next.
#[derive(Clone, Copy)]
struct Cut {
    /// Only ids below this one.
    before: i64,
    /// So many rows are looked at.
    rows: i64,
    /// Rows that would do and are passed over.
    offset: i64,
    /// Rows to give.
    limit: usize,
    /// What those hold that are given already.
    bytes: usize,
}

/// What a piece held.
struct Piece {
    /// Rows that would do; 0 if nobody asked for the total.
    counted: i64,
    tokens: Vec<Token>,
    /// What all rows hold that are given so far, and whether no other has room.
    bytes: usize,
    is_full: bool,
    /// What is left has ids below this one.
    rest: Option<i64>,
}

/// How far it has come. Pure: [`Gateway::gather`] reads the pieces.
struct Walk {
    wanted: Arc<Wanted>,
    page: Page,
    bytes: usize,
    is_full: bool,
    rows: i64,
    before: Option<i64>,
}

impl Walk {
    fn new(wanted: Wanted) -> Self {
        Self {
            wanted: Arc::new(wanted),
            page: Page {
                tokens: Vec::new(),
                total: 0,
            },
            bytes: 0,
            is_full: false,
            rows: ROWS,
            before: Some(i64::MAX),
        }
    }

    fn next(&self) -> Option<Cut> {
        let given = self.page.tokens.len();
        let missing = if self.is_full {
            0
        } else {
            self.wanted.limit.saturating_sub(given)
        };
        if missing == 0 && !self.wanted.total {
            return None;
        }
        let passed = if given == 0 {
            self.page.total
        } else {
            i64::MAX
        };
        Some(Cut {
            before: self.before?,
            rows: self.rows,
            offset: self.wanted.offset.saturating_sub(passed).max(0),
            limit: missing,
            bytes: self.bytes,
        })
    }

    fn took(&mut self, piece: Piece, time: Duration) {
        self.page.total += piece.counted;
        self.page.tokens.extend(piece.tokens);
        (self.bytes, self.is_full) = (piece.bytes, piece.is_full);
        self.before = piece.rest;
        if time < QUICK {
            self.rows = (self.rows * 2).min(ROWS_MOST);
        }
    }

    /// After a piece that took too long; false if there is no smaller one.
    fn shrink(&mut self) -> bool {
        let can = self.rows > ROWS_LEAST;
        self.rows = (self.rows / 2).max(ROWS_LEAST);
        can
    }
}

impl Gateway {
    /// The own tokens from `offset` on, newest id first, and how many there are, however long that
    /// takes; try [`Tables::page`] first.
    ///
    /// # Errors
    /// When the database fails or stays locked.
    pub async fn page(&self, owner: i64, offset: u64, limit: usize) -> Result<Page, Error> {
        self.gather(Wanted::page(owner, offset, limit)).await
    }

    /// The own tokens whose name contains `name` and whose key contains `key`, newest id first, at most
    /// [`FOUND_MOST`] and about 4 MiB, but for a single row. Both are literal text; whether case counts is the engine's way (`SQLite`: not for
    /// ASCII letters).
    ///
    /// # Errors
    /// When the database fails or stays locked.
    pub async fn search(&self, owner: i64, name: &str, key: &str) -> Result<Vec<Token>, Error> {
        // No text has a NUL in it, and a pattern would end there.
        if name.contains('\0') || key.contains('\0') {
            return Ok(Vec::new());
        }
        let found = self.gather(Wanted {
            owner,
            likes: Some([containing(name), containing(key)]),
            offset: 0,
            limit: FOUND_MOST,
            total: false,
        });
        Ok(found.await?.tokens)
    }

    async fn gather(&self, wanted: Wanted) -> Result<Page, Error> {
        let mut walk = Walk::new(wanted);
        while let Some(cut) = walk.next() {
            let wanted = Arc::clone(&walk.wanted);
            let started = Clock::system().stopwatch();
            let piece = self.scan(move |tables| tables.piece(&wanted, cut)).await;
            match piece {
                Ok(piece) => walk.took(piece, started.elapsed()),
                Err(Error::Database(database::Error::Overrun { .. })) if walk.shrink() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(walk.page)
    }
}

impl Tables<'_> {
    /// Whether an owner's rows are found without looking at those of others.
    fn is_indexed(&self) -> bool {
        self.session.has_index("tokens", "user_id")
    }

    /// The own tokens from `offset` on, newest id first, and how many there are; nothing where one
    /// short read cannot tell, and [`Gateway::page`] has to.
    ///
    /// # Errors
    /// When the database fails.
    pub fn page(&self, owner: i64, offset: u64, limit: usize) -> Result<Option<Page>, Fault> {
        if !self.is_indexed() {
            return Ok(None);
        }
        let mut walk = Walk::new(Wanted::page(owner, offset, limit));
        let watch = Clock::system().stopwatch();
        while let Some(cut) = walk.next() {
            let piece = match self.piece(&walk.wanted, cut) {
                Err(fault) if fault.is_overrun() => return Ok(None),
                piece => piece?,
            };
            let time = watch.elapsed();
            walk.took(piece, time);
            if time > SHORT {
                break;
            }
        }
        Ok(walk.before.is_none().then_some(walk.page))
    }

    fn piece(&self, wanted: &Wanted, cut: Cut) -> Result<Piece, Fault> {
        let owner = Value::Int(wanted.owner);
        let lowest = self.lowest(&owner, cut)?;
        let mut filter = r#""user_id" = ? AND "id" >= ? AND "id" < ?"#.to_owned();
        let mut values = vec![owner, Value::Int(lowest), Value::Int(cut.before)];
        if let Some(likes) = &wanted.likes {
            for column in ["name", "key"] {
                let like = format!(r#" AND COALESCE("{column}", '') LIKE ? ESCAPE '!'"#);
                filter.push_str(&like);
            }
            values.extend(likes.iter().map(super::column::text));
        }
        let counted = if wanted.total {
            let alive = self.layout.alive("tokens");
            let sql = format!(r#"SELECT COUNT(*) FROM "tokens" WHERE {filter}{alive}"#);
            self.session.count(&sql, &values)?
        } else {
            0
        };
        let (mut bytes, mut is_full) = (cut.bytes, cut.limit == 0);
        let tokens = if is_full || wanted.total && counted <= cut.offset {
            Vec::new()
        } else {
            let limit = i64::try_from(cut.limit).unwrap_or(i64::MAX);
            values.extend([Value::Int(limit), Value::Int(cut.offset)]);
            let order = r#" ORDER BY "id" DESC LIMIT ? OFFSET ?"#;
            self.select_while(&filter, order, &values, |token| {
                // One row is shown whatever it holds.
                is_full = bytes > 0 && bytes + held(token) > BYTES_MOST;
                bytes += held(token);
                !is_full
            })?
        };
        Ok(Piece {
            counted,
            tokens,
            bytes,
            is_full,
            rest: (lowest > i64::MIN).then_some(lowest),
        })
    }

    /// The lowest id of the next piece; the lowest of all numbers if it is the last one.
    fn lowest(&self, owner: &Value, cut: Cut) -> Result<i64, Fault> {
        let (filter, owner) = if self.is_indexed() {
            (r#""user_id" = ? AND "#, Some(owner.clone()))
        } else {
            ("", None)
        };
        let sql = format!(
            r#"SELECT COALESCE((SELECT "id" FROM "tokens" WHERE {filter}"id" < ? ORDER BY "id" DESC LIMIT 1 OFFSET ?), ?)"#
        );
        let last = cut.rows - 1;
        let numbers = [cut.before, last, i64::MIN].map(Value::Int);
        let values: Vec<Value> = owner.into_iter().chain(numbers).collect();
        self.session.count(&sql, &values)
    }
}

/// The bytes of a row's texts, and somewhat for the rest.
fn held(token: &Token) -> usize {
    let native = |value: &Native| match value {
        Native::Bool(_) => 0,
        Native::Text(text) | Native::Json(text) => text.as_ref().map_or(0, String::len),
    };
    let more = token
        .more
        .iter()
        .map(|(name, value)| name.len() + native(value));
    let texts = [&token.name, &token.model_limits, &token.group];
    texts.iter().map(|text| text.len()).sum::<usize>()
        + more.sum::<usize>()
        + token.allow_ips.as_ref().map_or(0, String::len)
        + token.key.expose_secret().len()
        + size_of::<Token>()
}

/// The pattern of texts that contain this one, for LIKE with `!` before what is meant literally.
fn containing(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in text.chars() {
        if matches!(letter, '!' | '%' | '_') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests;
