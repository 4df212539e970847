//! Files that only their owner may read: the configuration, `.env`, secrets and seeds.
//!
//! The open file is what is checked, so that nobody can swap it in between. Files that systemd put
//! into `$CREDENTIALS_DIRECTORY` are exempt: it guards them itself, with modes of its own.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Where a file named in the configuration is looked for.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// systemd's `$CREDENTIALS_DIRECTORY`.
    pub(super) credentials_directory: Option<PathBuf>,
    /// The directory of the configuration file; the working directory if there is none.
    pub(super) base: PathBuf,
}

impl Places {
    /// The file called `name`: absolute, among systemd's credentials, or else beside the configuration.
    pub(super) fn locate(&self, name: &str) -> PathBuf {
        self.credentials_directory
            .iter()
            .map(|directory| directory.join(name))
            .find(|path| path.exists())
            .unwrap_or_else(|| self.base.join(name))
    }

    /// The directories that [`locate`](Self::locate) looks into, for people.
    pub(super) fn shown(&self) -> String {
        let base = self.base.display();
        match &self.credentials_directory {
            Some(directory) => format!("{} or {base}", directory.display()),
            None => base.to_string(),
        }
    }

    /// The content of a file that others may read too.
    pub(super) fn read_public(path: &Path) -> Result<String, Refusal> {
        Ok(std::fs::read_to_string(path)?)
    }

    /// The content of a file that must be closed to others.
    pub(super) fn read(&self, path: &Path) -> Result<Zeroizing<String>, Refusal> {
        let mut file = File::open(path)?;
        let guarded = self
            .credentials_directory
            .as_ref()
            .is_some_and(|directory| path.starts_with(directory));
        if !guarded && file.metadata()?.permissions().mode() & 0o077 != 0 {
            return Err(Refusal::OpenToOthers);
        }
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text)?;
        Ok(text)
    }
}

/// Why a file is not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// There is none.
    Missing,
    /// Its mode lets the group or everybody at it.
    OpenToOthers,
    /// It is not UTF-8.
    NotText,
    /// Any other failure of the operating system.
    Unreadable(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::InvalidData => Self::NotText,
            _ => Self::Unreadable(error),
        }
    }
}

impl Refusal {
    /// What is wrong and what to do. `path` is shown only if there is such a file, since a secret may
    /// have been typed for a path.
    pub(super) fn explain(&self, path: &Path) -> (String, String) {
        let shown = match path.symlink_metadata() {
            Ok(_) => path.display().to_string(),
            Err(_) => "the file".to_owned(),
        };
        match self {
            Self::Missing => (
                "the file does not exist".to_owned(),
                "create it or correct its name".to_owned(),
            ),
            Self::OpenToOthers => (
                format!("{shown} can be read by others than its owner"),
                format!("run: chmod 600 {shown}"),
            ),
            Self::NotText => (
                format!("{shown} is not UTF-8 text"),
                "write it again as plain text".to_owned(),
            ),
            Self::Unreadable(error) => (
                format!("{shown} cannot be read ({})", error.kind()),
                "run keyfresh as the file's owner (sudo -u USER), or give it to the user who runs keyfresh"
                    .to_owned(),
            ),
        }
    }
}
