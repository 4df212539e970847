//! What stands at a database's path, and whose it is: by `stat` alone, for only SQLite may open a live
//! database file (I12).
//!
//! `sqlite.rs` compares identities before each transaction and words its refusals from here.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Error;

/// Device and inode: another file under the same path has another.
pub(super) type Identity = (u64, u64);

/// The identity of what stands at `path`.
pub(super) fn identity(path: &Path) -> Result<Identity, Error> {
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Error::Denied {
            path: path.to_owned(),
            who: who(path),
        },
        _ => Error::Missing(path.to_owned()),
    })?;
    if !metadata.is_file() {
        return Err(Error::NotFile(path.to_owned()));
    }
    Ok((metadata.dev(), metadata.ino()))
}

pub(super) fn read_only_folder(path: &Path) -> Error {
    let folder = path.parent().unwrap_or(path);
    Error::Folder {
        folder: folder.to_owned(),
        who: who(folder),
    }
}

/// Who we are and whose `path` is, for messages about permissions.
pub(super) fn who(path: &Path) -> String {
    let us = nix::unistd::geteuid();
    match fs::metadata(path) {
        Ok(metadata) => format!(
            "we are user id {us}; it belongs to user id {}, group id {}, mode {:04o}",
            metadata.uid(),
            metadata.gid(),
            metadata.mode() & 0o7777,
        ),
        Err(error) => format!("we are user id {us}; {error}"),
    }
}
