//! `state.lock`: whoever refreshes holds it for life (I9).
//!
//! An flock on a file of its own, never on a database, never unlinked; the kernel releases it when
//! its holder dies, however it dies. The file's text only names the holder for people.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use super::Error;
use super::files::{check_owner, existing, file};
use crate::clock::Clock;

/// How often the lock is tried against those who only ask who holds it, which takes them an instant, and
/// against a holder that has not yet written its name.
const PROBES: u32 = 1_000;

/// From one try to the next: whoever is about to write its name needs the processor.
const PAUSE: Duration = Duration::from_millis(1);

/// The right to refresh with this state; released when dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Who holds the lock, as its file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The process id.
    pub pid: u32,
    /// The host's name.
    pub host: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

impl Holder {
    /// Whether that process may still run: one on another host may.
    fn may_live(&self) -> bool {
        self.pid != 0 && (self.host != host() || Path::new(&format!("/proc/{}", self.pid)).exists())
    }
}

impl Lock {
    /// Takes the lock of the state in `dir`.
    ///
    /// # Errors
    /// [`Error::Held`] with the holder's name when another process has it.
    pub fn take(dir: &Path) -> Result<Self, Error> {
        check_owner(dir)?;
        let path = existing(dir.join("state.lock"), 0o600)?;
        let mut lock = open(&path)?;
        for patience in (0..PROBES).rev() {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {
                    let holder = read(&mut lock, &path)?;
                    if patience == 0 || holder.may_live() {
                        return Err(Error::Held(holder));
                    }
                    Clock::system().rest(PAUSE);
                }
                Err(TryLockError::Error(source)) => return Err(Error::File { path, source }),
            }
        }
        let name = format!("{} {}\n", std::process::id(), host());
        lock.set_len(0)
            .and_then(|()| lock.write_all(name.as_bytes()))
            .map_err(file(&path))?;
        Ok(Self { _file: lock })
    }

    /// Who holds the lock of the state in `dir`, if anybody does.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn holder(dir: &Path) -> Result<Option<Holder>, Error> {
        check_owner(dir)?;
        let path = existing(dir.join("state.lock"), 0o600)?;
        let mut lock = open(&path)?;
        match lock.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => read(&mut lock, &path).map(Some),
            Err(TryLockError::Error(source)) => Err(Error::File { path, source }),
        }
    }
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

fn open(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(file(path))
}

fn read(lock: &mut File, path: &Path) -> Result<Holder, Error> {
    let mut name = String::new();
    lock.rewind()
        .and_then(|()| lock.read_to_string(&mut name))
        .map_err(file(path))?;
    let (pid, host) = name
        .trim()
        .split_once(' ')
        .unwrap_or(("0", "an unknown host"));
    Ok(Holder {
        pid: pid.parse().unwrap_or_default(),
        host: host.to_owned(),
    })
}
