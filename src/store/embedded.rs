//! `gateway.db` in the state folder: the users and tokens of the API where no gateway is configured.
//!
//! Here it is only found, or missed with the remedy: `init` makes it, and what stands in it is
//! `gateway/embedded.rs`'s to say.

use std::path::{Path, PathBuf};

use super::Error;
use super::files::{check_owner, check_private};

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
