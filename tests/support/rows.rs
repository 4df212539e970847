//! A gateway's tokens seen past the program: whole rows, and the tables as the fixture has them again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use serde_json::{Map, Value, json};

/// Rows of `tokens` by id, each column as SQLite holds it.
pub(crate) type Rows = BTreeMap<i64, Map<String, Value>>;

/// The database that a running program uses as well.
pub(crate) struct Beside {
    /// A connection of its own, which waits for its turn.
    pub(crate) db: Connection,
}

impl Beside {
    /// Opens the database at `path`, which is a copy of that at `original`.
    pub(crate) fn open(path: &Path, original: &Path) -> Self {
        let db = Connection::open(path).unwrap();
        db.busy_timeout(Duration::from_mins(1)).unwrap();
        // What a crash would lose is only a test's.
        db.pragma_update(None, "synchronous", "OFF").unwrap();
        let url = format!("file:{}?mode=ro&immutable=1", original.display());
        db.execute("ATTACH ?1 AS original", [url]).unwrap();
        Self { db }
    }

    /// Gives the tables the original's rows again, then runs `more`, all in one transaction.
    pub(crate) fn put_back(&self, tables: &[&str], more: &[String]) {
        let mut sql = "BEGIN IMMEDIATE;\n".to_owned();
        for table in tables {
            let (here, there) = (format!("main.{table}"), format!("original.{table}"));
            writeln!(
                sql,
                "DELETE FROM {here}; INSERT INTO {here} SELECT * FROM {there};"
            )
            .unwrap();
        }
        for statement in more {
            writeln!(sql, "{statement};").unwrap();
        }
        self.db.execute_batch(&(sql + "COMMIT;")).unwrap();
    }

    /// The tokens as they are now.
    pub(crate) fn tokens(&self) -> Rows {
        let sql = "SELECT * FROM main.tokens ORDER BY id";
        let mut statement = self.db.prepare_cached(sql).unwrap();
        let names: Vec<_> = statement.column_names().map(str::to_owned).collect();
        let read = statement.query_map([], |row| {
            let cells = names.iter().enumerate();
            let cells = cells.map(|(place, name)| Ok((name.clone(), cell(row.get(place)?))));
            Ok((
                row.get("id")?,
                cells.collect::<Result<_, rusqlite::Error>>()?,
            ))
        });
        read.unwrap().collect::<Result<_, _>>().unwrap()
    }
}

fn cell(cell: Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Integer(number) => json!(number),
        Cell::Real(number) => json!(number),
        Cell::Text(text) => json!(text),
        Cell::Blob(_) => panic!("a gateway's tokens hold no bytes"),
    }
}
