//! The files of a state: there, private and their owner's, or refused with the remedy; made durably.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Error;
use crate::secret::StateKey;

pub(super) fn read_key(path: &Path) -> Result<StateKey, Error> {
    let path = existing(path.to_owned(), 0o600)?;
    let bytes = Zeroizing::new(fs::read(&path).map_err(file(&path))?);
    let bytes: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| Error::WrongKey)?;
    Ok(StateKey::new(bytes))
}

pub(super) fn existing(path: PathBuf, mode: u32) -> Result<PathBuf, Error> {
    match fs::metadata(&path) {
        Ok(_) => check_private(&path, mode).map(|()| path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Incomplete(path)),
        Err(source) => Err(Error::File { path, source }),
    }
}

pub(super) fn check_private(path: &Path, mode: u32) -> Result<(), Error> {
    let found = fs::metadata(path).map_err(file(path))?.mode();
    if found & 0o077 != 0 {
        return Err(Error::Readable {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

pub(super) fn check_owner(dir: &Path) -> Result<(), Error> {
    match existing(dir.to_owned(), 0o700) {
        Err(Error::Incomplete(path)) => return Err(Error::Missing(path)),
        found => found?,
    };
    let owner = fs::metadata(dir).map_err(file(dir))?.uid();
    if owner != nix::unistd::geteuid().as_raw() {
        return Err(Error::Owner {
            path: dir.to_owned(),
            owner,
        });
    }
    Ok(())
}

pub(super) fn new_file(path: &Path, content: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(file(path))
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(file(dir))
}

pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}
