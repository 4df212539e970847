//! Databases filled by real gateways: fresh copies of the fixtures, and a comparison cell by cell.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;

/// The SQLite fixtures, one for each gateway and generation.
pub(crate) const FIXTURES: [&str; 5] = [
    "one-api.db",
    "one-hub.db",
    "new-api-v0.9.5.db",
    "new-api-2026-02.db",
    "new-api-2026-08.db",
];

/// Every cell (`table[rowid].column`) with its type and value, every schema text, and the settings
/// that live in the file.
pub(crate) type Dump = BTreeMap<String, String>;

/// A copy of a fixture in a folder of its own.
pub(crate) fn copy(fixture: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(fixture);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fs::copy(source.join(fixture), &path).unwrap();
    (folder, path)
}

/// The whole content of the file at `path`; fails if its integrity check does.
pub(crate) fn dump(path: &Path) -> Dump {
    let connection = Connection::open(path).unwrap();
    let mut dump = Dump::new();
    for pragma in ["journal_mode", "user_version", "integrity_check"] {
        let value: rusqlite::types::Value = connection
            .pragma_query_value(None, pragma, |row| row.get(0))
            .unwrap();
        dump.insert(format!("PRAGMA {pragma}"), format!("{value:?}"));
    }
    assert_eq!(dump["PRAGMA integrity_check"], r#"Text("ok")"#);
    let mut tables = connection
        .prepare("SELECT name, COALESCE(sql, ''), type FROM sqlite_master")
        .unwrap();
    let mut rows = tables.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let name: String = row.get(0).unwrap();
        dump.insert(format!("schema {name}"), row.get(1).unwrap());
        if row.get::<_, String>(2).unwrap() == "table" {
            dump_table(&connection, &name, &mut dump);
        }
    }
    dump
}

fn dump_table(connection: &Connection, table: &str, dump: &mut Dump) {
    let columns: Vec<String> = connection
        .prepare(&format!("SELECT * FROM \"{table}\""))
        .unwrap()
        .column_names()
        .map(str::to_owned)
        .collect();
    let cells: Vec<String> = columns
        .iter()
        .map(|column| format!("typeof(\"{column}\") || ' ' || CASE typeof(\"{column}\") WHEN 'blob' THEN CAST(\"{column}\" AS TEXT) ELSE quote(\"{column}\") END"))
        .collect();
    let sql = format!("SELECT rowid, {} FROM \"{table}\"", cells.join(", "));
    let mut statement = connection.prepare(&sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let id: i64 = row.get(0).unwrap();
        for (number, column) in columns.iter().enumerate() {
            dump.insert(
                format!("{table}[{id}].{column}"),
                row.get(number + 1).unwrap(),
            );
        }
    }
}

/// Each cell that differs, one line each: `name: before → after`.
pub(crate) fn difference(before: &Dump, after: &Dump) -> String {
    let shown = |dump: &Dump, name: &str| dump.get(name).map_or("absent", |cell| cell).to_owned();
    let names = before
        .keys()
        .chain(after.keys().filter(|name| !before.contains_key(*name)));
    let mut lines = String::new();
    for name in names.filter(|name| before.get(*name) != after.get(*name)) {
        let (before, after) = (shown(before, name), shown(after, name));
        writeln!(lines, "{name}: {before} → {after}").unwrap();
    }
    lines
}
