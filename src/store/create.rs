//! A state made anew, which only `init` does, the demo and the tests (I11).
//!
//! The key id is entered last, in the transaction of the first rows: what a kill leaves before that is
//! no state, and [`super::Store::open`] says so. Nothing is overwritten.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::files::{check_private, file, new_file, sync_dir};
use super::{Error, migrate, prepare, slot};
use crate::secret::StateKey;

/// What a state is made of and, once it is lost, never made anew.
const PIECES: [&str; 3] = ["state.db", "state.key", "slots"];

/// User and group id of the owner of the folder `dir`.
///
/// # Errors
/// When the system refuses.
pub fn owner_of(dir: &Path) -> Result<(u32, u32), Error> {
    let folder = fs::metadata(dir).map_err(file(dir))?;
    Ok((folder.uid(), folder.gid()))
}

/// Whether `dir` holds a state, every piece of it.
#[must_use]
pub fn exists(dir: &Path) -> bool {
    PIECES.iter().all(|name| dir.join(name).exists())
}

/// Makes the state in `dir`: database, key, lock and slots, all 0600 in a folder of 0700.
///
/// # Errors
/// When any of it exists already (nothing is overwritten) or cannot be written.
pub fn create(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    create_with(dir, |_, _| Ok(()))
}

/// The same with the first rows, which `fill` writes: without them there is no state.
///
/// # Errors
/// Those of [`create`] and of `fill`.
pub fn create_with(
    dir: &Path,
    fill: impl FnOnce(&Connection, &StateKey) -> Result<(), Error>,
) -> Result<Vec<PathBuf>, Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(file(dir))?;
    check_private(dir, 0o700)?;
    let [database, key, slots] = PIECES.map(|name| dir.join(name));
    let lock = dir.join("state.lock");
    for path in [&database, &key, &slots] {
        if path.exists() {
            return Err(Error::Exists(path.clone()));
        }
    }
    let bytes = StateKey::generate()?;
    new_file(&key, &*bytes)?;
    new_file(&lock, b"")?;
    slot::create(&slots)?;
    new_file(&database, b"")?;
    let mut connection = Connection::open_with_flags(&database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    prepare(&connection)?;
    migrate(&mut connection)?;
    let seal = StateKey::new(&bytes);
    let transaction = connection.transaction()?;
    fill(&transaction, &seal)?;
    transaction.execute(
        "INSERT INTO meta (name, value) VALUES ('key_id', ?1)",
        [seal.id()],
    )?;
    transaction.commit()?;
    connection.close().map_err(|(_, source)| source)?;
    sync_dir(dir)?;
    Ok(vec![database, key, lock, slots])
}

/// Hands `path`, and what is in it, to `owner` (user and group id): root makes a state for others.
///
/// # Errors
/// When the system refuses.
pub fn give(path: &Path, owner: (u32, u32)) -> Result<(), Error> {
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(file(path))? {
            give(&entry.map_err(file(path))?.path(), owner)?;
        }
    }
    std::os::unix::fs::lchown(path, Some(owner.0), Some(owner.1)).map_err(file(path))
}
