//! `keyfresh init`, the part above the state: a first configuration and fresh secrets.
//!
//! Makes what is missing, overwrites nothing. The state itself is `store.rs`'s to make, in the
//! directory that the configuration names, and the commands print what was made.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown, fchown};
use std::path::{Path, PathBuf};

use nix::unistd::{User, geteuid};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::{Config, Environment, Problem, Problems, load};
use crate::secret::random_text;

const EXAMPLE: &str = include_str!("../../config.example.toml");

/// The line of the example that says where the state is.
const STATE: &str = "#dir = \"/var/lib/keyfresh\"";

/// The API's secrets and how many random bytes each is made of: 43 and 32 characters.
const SECRETS: [(&str, usize); 2] = [("token_secret", 32), ("hashids_salt", 24)];

/// What [`init`] leaves behind.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The configuration in force.
    pub config: Config,
    /// Files made and kept, in the order of making.
    pub pieces: Vec<Piece>,
    /// Whom root gives all to: user and group id. Without root everything is the caller's anyway.
    pub owner: Option<(u32, u32)>,
}

impl Installation {
    /// Whether there was one before: this run made neither the configuration nor one of its secrets.
    #[must_use]
    pub fn is_older(&self) -> bool {
        self.pieces.iter().all(|piece| !piece.made)
    }
}

/// A file of the installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it is.
    pub path: PathBuf,
    /// Made just now; else it was there and is kept as it is.
    pub made: bool,
}

/// Makes a configuration and the API's secrets where they are missing, mode 0600. As root they go to
/// `/etc/keyfresh` and to `owner`, with the state in `/var/lib/keyfresh`; else into the working directory,
/// with the state in `state` beside them, and `owner` is not looked at.
///
/// # Errors
/// When `owner` is unknown, something cannot be made, or the configuration that is there has problems.
pub fn init(environment: &Environment, owner: &str) -> Result<Installation, Problems> {
    if !geteuid().is_root() {
        let directory = &environment.working_directory;
        return install(environment, directory, "dir = \"state\"", None);
    }
    let Ok(Some(user)) = User::from_name(owner) else {
        return Err(Problems(vec![Problem {
            source: "--owner".to_owned(),
            key: String::new(),
            fault: format!("there is no user {owner}"),
            remedy: "create it (`systemd-sysusers`), or name the user that will run keyfresh: \
                     keyfresh init --owner USER"
                .to_owned(),
        }]));
    };
    let ids = (user.uid.as_raw(), user.gid.as_raw());
    let directory = &environment.system_directory;
    install(environment, directory, &STATE[1..], Some(ids))
}

fn install(
    environment: &Environment,
    directory: &Path,
    state: &str,
    owner: Option<(u32, u32)>,
) -> Result<Installation, Problems> {
    let path = environment
        .file()
        .unwrap_or_else(|| directory.join("config.toml"));
    let text = Zeroizing::new(EXAMPLE.replacen(STATE, state, 1));
    let mut pieces = vec![make(&path, &text, owner)?];
    let environment = Environment {
        config: Some(path),
        ..environment.clone()
    };
    let config = load(&environment)?;
    let given = [&config.api.token_secret, &config.api.hashids_salt];
    for ((name, length), given) in SECRETS.into_iter().zip(given) {
        let path = environment
            .file()
            .and_then(|path| Some(path.parent()?.join(name)))
            .unwrap_or_else(|| name.into());
        if given.is_none() || path.exists() {
            let secret = random_text(length).map_err(|error| refused(&path, &error.to_string()))?;
            pieces.push(make(&path, &line(&secret), owner)?);
        }
    }
    Ok(Installation {
        config: load(&environment)?,
        pieces,
        owner,
    })
}

fn line(secret: &SecretString) -> Zeroizing<String> {
    Zeroizing::new(format!("{}\n", secret.expose_secret()))
}

/// Writes `text` into a new file, and makes its directory if need be.
fn make(path: &Path, text: &str, owner: Option<(u32, u32)>) -> Result<Piece, Problems> {
    let made = write_new(path, text, owner)
        .map_err(|error| refused(path, &format!("cannot be made ({})", error.kind())))?;
    Ok(Piece {
        path: path.to_owned(),
        made,
    })
}

fn refused(path: &Path, fault: &str) -> Problems {
    Problems(vec![Problem {
        source: path.display().to_string(),
        key: String::new(),
        fault: fault.to_owned(),
        remedy: "run as a user that may write there, or name another place with --config"
            .to_owned(),
    }])
}

/// `false`: there is one already.
fn write_new(path: &Path, text: &str, owner: Option<(u32, u32)>) -> io::Result<bool> {
    let (user, group) = owner.unzip();
    if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        chown(directory, user, group)?;
    }
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error),
    };
    let written = fchown(&file, user, group)
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a secret must not be kept by the next run.
        fs::remove_file(path)?;
    }
    written.map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::getegid;
    use std::os::unix::fs::PermissionsExt;

    fn nobody_told_anything(directory: &Path) -> Environment {
        Environment {
            config: None,
            variables: Vec::new(),
            credentials_directory: None,
            working_directory: directory.to_owned(),
            system_directory: directory.join("etc"),
            runtime_dir: None,
            journal: false,
        }
    }

    #[test]
    fn what_is_missing_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let environment = nobody_told_anything(directory.path());
        let run = || {
            install(
                &environment,
                &directory.path().join("new"),
                "dir = \"state\"",
                Some((geteuid().as_raw(), getegid().as_raw())),
            )
        };
        let first = run().unwrap();
        assert!(!first.is_older());
        let names: Vec<_> = first
            .pieces
            .iter()
            .map(|piece| piece.path.file_name().unwrap())
            .collect();
        assert_eq!(names, ["config.toml", "token_secret", "hashids_salt"]);
        for piece in &first.pieces {
            assert!(piece.made);
            assert_eq!(
                piece.path.metadata().unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
        assert_eq!(
            directory
                .path()
                .join("new")
                .metadata()
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o700
        );
        assert_eq!(first.config.state_dir, directory.path().join("new/state"));
        let secrets = first.config.api_secrets().unwrap();

        let again = run().unwrap();
        assert_eq!((again.pieces.len(), again.is_older()), (3, true));
        assert_eq!(
            again
                .config
                .api_secrets()
                .unwrap()
                .token_secret
                .expose_secret(),
            secrets.token_secret.expose_secret()
        );
    }

    #[test]
    fn secrets_given_otherwise_are_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let mut environment = nobody_told_anything(directory.path());
        environment.variables = vec![("TOKEN_SECRET".into(), "x".repeat(40))];
        let made = install(&environment, directory.path(), STATE, None).unwrap();
        assert_eq!(made.pieces.len(), 2);
        assert!(!directory.path().join("token_secret").exists());
    }

    #[test]
    fn the_example_says_where_the_state_is() {
        assert_eq!(EXAMPLE.matches(STATE).count(), 1);
    }
}
