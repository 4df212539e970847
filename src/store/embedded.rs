//! `gateway.db` in the state folder: the users and tokens of the API where no gateway is configured.
//!
//! Only the file is this module's: made once by `init`, whole or not at all, private and its folder's
//! owner's. What stands in it is `gateway/embedded.rs`'s to say.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use super::Error;
use super::files::{check_owner, check_private, file, new_file, sync_dir};

/// The embedded database of the state in `dir`.
///
/// # Errors
/// [`Error::NoEmbedded`] when there is none; when it is not ours alone.
pub fn find(dir: &Path) -> Result<PathBuf, Error> {
    check_owner(dir)?;
    let path = path(dir);
    if !path.exists() {
        return Err(Error::NoEmbedded(path));
    }
    check_private(&path, 0o600)?;
    Ok(path)
}

/// Where it is, or would be.
#[must_use]
pub fn path(dir: &Path) -> PathBuf {
    dir.join("gateway.db")
}

/// Makes it in the state folder `dir`; `fill` writes its tables into the empty file that it is given.
/// `None`: there is one, which is left alone.
///
/// # Errors
/// When it cannot be made; those of `fill`.
pub fn create<E: From<Error>>(
    dir: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<Option<PathBuf>, E> {
    let path = path(dir);
    if path.exists() {
        return Ok(None);
    }
    // Under another name until it is whole, for what has its name is never made again.
    let draft = dir.join("gateway.db.new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(file(&draft)(error).into());
        }
        _ => {}
    }
    new_file(&draft, b"")?;
    fill(&draft)?;
    let folder = fs::metadata(dir).map_err(file(dir))?;
    if nix::unistd::geteuid().is_root() {
        chown(&draft, Some(folder.uid()), Some(folder.gid())).map_err(file(&draft))?;
    }
    fs::hard_link(&draft, &path).map_err(file(&path))?;
    fs::remove_file(&draft).map_err(file(&draft))?;
    sync_dir(dir)?;
    Ok(Some(path))
}
