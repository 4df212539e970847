//! Slots: where the raw answer of an exchange goes before anything else happens with it (I2).
//!
//! A slot is a file of zeros, made by `init` and opened at start: overwriting it needs neither free
//! space nor SQLite. Its two halves are written in turn, each time with everything received so far,
//! sealed under (credential, attempt, serial); so a torn write leaves the one before it readable, and
//! what an earlier attempt left does not open. `refresh.rs` alone writes them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::Error;
use super::files::{existing, file, new_file, sync_dir};
use crate::credential::CredentialId;
use crate::secret::{self, Nonce, OVERHEAD, Place, StateKey};

/// How many exchanges can be in flight.
pub(super) const SLOTS: u8 = 64;

const HALF: usize = 64 * 1024;

/// The open slots of a state.
#[derive(Debug)]
pub struct Slots {
    files: Vec<Arc<File>>,
    key: Arc<StateKey>,
}

/// The slot of one claim.
#[derive(Debug)]
pub struct Slot {
    file: Arc<File>,
    key: Arc<StateKey>,
    credential: CredentialId,
    attempt: u64,
    serial: u32,
    /// Drawn when the slot is taken; its last four bytes count the writes.
    nonce: Nonce,
    /// The record written last, for [`keep_elsewhere`](Self::keep_elsewhere).
    record: Vec<u8>,
    /// Why the last record may not be in the file.
    failed: Option<io::Error>,
    /// What went wrong last, mended meanwhile or not.
    trouble: Option<io::ErrorKind>,
}

pub(super) fn create(dir: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .mode(0o700)
        .create(dir)
        .map_err(file(dir))?;
    let zeros = vec![0; 2 * HALF];
    for number in 0..SLOTS {
        new_file(&path(dir, number), &zeros)?;
    }
    sync_dir(dir)
}

impl Slots {
    /// Opens the slots of the state in `dir`.
    ///
    /// # Errors
    /// When one is missing, short or readable by others.
    pub fn open(dir: &Path, key: Arc<StateKey>) -> Result<Self, Error> {
        let dir = existing(dir.join("slots"), 0o700)?;
        let open = |number| {
            let path = existing(path(&dir, number), 0o600)?;
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(&path)
                .map_err(file(&path))?;
            let length = file.metadata().map_err(super::files::file(&path))?.len();
            if length != 2 * HALF as u64 {
                return Err(Error::Incomplete(path));
            }
            Ok(Arc::new(file))
        };
        let files = (0..SLOTS).map(open).collect::<Result<_, Error>>()?;
        Ok(Self { files, key })
    }

    /// Slot `number`, for one attempt's answer.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn slot(
        &self,
        number: u8,
        credential: CredentialId,
        attempt: u64,
    ) -> Result<Slot, secret::Error> {
        Ok(Slot {
            file: Arc::clone(&self.files[usize::from(number % SLOTS)]),
            key: Arc::clone(&self.key),
            credential,
            attempt,
            serial: 0,
            nonce: secret::nonce()?,
            record: Vec::new(),
            failed: None,
            trouble: None,
        })
    }
}

impl Slot {
    /// Makes room for an answer of `length` bytes, so that writing it needs no memory from the system.
    pub fn make_room(&mut self, length: usize) {
        let needed = 2 * size_of::<u32>() + OVERHEAD + length;
        self.record
            .reserve_exact(needed.saturating_sub(self.record.len()));
    }

    /// Writes `received`, all of the answer so far, over the older half: one system call.
    ///
    /// A failure is kept for [`sync`](Self::sync); a later write that succeeds holds everything and
    /// clears it.
    pub fn write(&mut self, received: &[u8]) {
        self.serial += 1;
        self.failed = match self.seal(received) {
            Ok(()) => self.put().err(),
            Err(error) => Some(io::Error::other(error)),
        };
        self.note_trouble();
    }

    fn note_trouble(&mut self) {
        let trouble = self.failed.as_ref().map(io::Error::kind);
        self.trouble = trouble.or(self.trouble);
    }

    /// What went wrong with a write or a sync since this was last asked, also if a later one mended it.
    pub fn take_trouble(&mut self) -> Option<io::Error> {
        self.trouble.take().map(io::Error::from)
    }

    fn put(&self) -> Result<(), io::Error> {
        let half = u64::from(self.serial % 2) * HALF as u64;
        self.file.write_all_at(&self.record, half)
    }

    fn seal(&mut self, received: &[u8]) -> Result<(), secret::Error> {
        let serial = self.serial.to_be_bytes();
        let counter = self.nonce.len() - serial.len();
        self.nonce[counter..].copy_from_slice(&serial);
        let length = u32::try_from(received.len() + OVERHEAD).map_err(|_| secret::Error::Sealed)?;
        let column = column(self.attempt, self.serial);
        let place = place(self.credential, &column);
        self.record.clear();
        self.record.extend_from_slice(&serial);
        self.record.extend_from_slice(&length.to_be_bytes());
        self.key
            .seal_onto(&mut self.record, place, self.nonce, received)
    }

    /// Makes what was written durable. After a failure the record is written again first: the system
    /// may have dropped it, and would then sync nothing with success.
    ///
    /// # Errors
    /// When the write or the sync failed: the answer is then in memory alone.
    pub fn sync(&mut self) -> Result<(), io::Error> {
        let written = match self.failed.take() {
            Some(_) => self.put(),
            None => Ok(()),
        };
        let synced = written.and_then(|()| self.file.sync_data());
        self.failed = synced.as_ref().err().map(|error| error.kind().into());
        self.note_trouble();
        synced
    }

    /// The newest answer written for this attempt, if one opens.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self) -> Result<Option<Zeroizing<Vec<u8>>>, io::Error> {
        let mut halves = [0, HALF as u64].map(|offset| {
            let mut half = vec![0; HALF];
            self.file
                .read_exact_at(&mut half, offset)
                .map(|()| self.open(&half))
        });
        halves.sort_by_key(|half| {
            half.as_ref()
                .ok()
                .and_then(|half| half.as_ref().map(|(serial, _)| *serial))
        });
        let [older, newer] = halves;
        Ok(newer?.or(older?).map(|(_, received)| received))
    }

    /// Keeps the last answer given to [`write`](Self::write) in a file of its own in `dir`, for a slot
    /// that cannot be written.
    ///
    /// # Errors
    /// When it cannot be made durable there either.
    pub fn keep_elsewhere(&self, dir: &Path) -> Result<(), Error> {
        let path = self.elsewhere(dir);
        let fresh = path.with_extension("new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file(&fresh)(error));
            }
            _ => {}
        }
        new_file(&fresh, &self.record)?;
        fs::rename(&fresh, &path).map_err(file(&path))?;
        sync_dir(dir)
    }

    /// What [`keep_elsewhere`](Self::keep_elsewhere) left in `dir` for this attempt.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read_elsewhere(&self, dir: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, io::Error> {
        match fs::read(self.elsewhere(dir)) {
            Ok(record) => Ok(self.open(&record).map(|(_, received)| received)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes what was kept in `dir`, once it is settled.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn forget_elsewhere(&self, dir: &Path) -> Result<(), io::Error> {
        match fs::remove_file(self.elsewhere(dir)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn elsewhere(&self, dir: &Path) -> PathBuf {
        dir.join(format!("answer-{}-{}", self.credential.0, self.attempt))
    }

    fn open(&self, half: &[u8]) -> Option<(u32, Zeroizing<Vec<u8>>)> {
        let (serial, rest) = half.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let serial = u32::from_be_bytes(*serial);
        let sealed = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let column = column(self.attempt, serial);
        let place = place(self.credential, &column);
        let received = self.key.open(place, sealed).ok()?;
        Some((serial, received))
    }
}

fn column(attempt: u64, serial: u32) -> String {
    format!("{attempt}.{serial}")
}

fn place(credential: CredentialId, column: &str) -> Place<'_> {
    Place {
        table: "slot",
        row: credential.0,
        column,
    }
}

fn path(dir: &Path, number: u8) -> PathBuf {
    dir.join(format!("{number:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots() -> (tempfile::TempDir, Slots) {
        let dir = tempfile::tempdir().unwrap();
        create(&dir.path().join("slots")).unwrap();
        let slots = Slots::open(dir.path(), Arc::new(StateKey::new(&[7; 32]))).unwrap();
        (dir, slots)
    }

    fn read(slot: &Slot) -> Option<Vec<u8>> {
        slot.read().unwrap().map(|received| received.to_vec())
    }

    #[test]
    fn the_newest_write_is_read_back_by_its_own_attempt_alone() {
        let (_dir, slots) = slots();
        let mut slot = slots.slot(3, CredentialId(1), 1).unwrap();
        assert_eq!(read(&slot), None);
        for received in [
            &b"HTTP/1.1"[..],
            b"HTTP/1.1 200 OK",
            b"HTTP/1.1 200 OK\r\n\r\n{}",
        ] {
            slot.write(received);
            assert_eq!(read(&slot).unwrap(), received);
        }
        slot.sync().unwrap();
        assert_eq!(read(&slots.slot(3, CredentialId(1), 2).unwrap()), None);
        assert_eq!(read(&slots.slot(3, CredentialId(2), 1).unwrap()), None);
    }

    #[test]
    fn a_torn_write_leaves_the_one_before_it() {
        let (_dir, slots) = slots();
        let mut slot = slots.slot(0, CredentialId(1), 1).unwrap();
        slot.write(b"first");
        slot.write(b"first and second");
        let second = u64::from(slot.serial % 2) * HALF as u64;
        slot.file.write_all_at(b"torn", second + 40).unwrap();
        assert_eq!(read(&slot).unwrap(), b"first");
    }

    #[test]
    fn an_answer_that_was_not_written_is_never_called_durable() {
        let (dir, slots) = slots();
        let mut slot = slots.slot(0, CredentialId(1), 1).unwrap();
        let writable = Arc::clone(&slot.file);
        slot.file = Arc::new(File::open(path(&dir.path().join("slots"), 0)).unwrap());
        slot.write(b"answer");
        slot.sync().unwrap_err();
        slot.sync().unwrap_err();
        slot.file = writable;
        slot.sync().unwrap();
        assert_eq!(read(&slot).unwrap(), b"answer");
    }

    #[test]
    fn an_answer_kept_elsewhere_is_found_and_forgotten() {
        let (dir, slots) = slots();
        let mut slot = slots.slot(0, CredentialId(1), 1).unwrap();
        slot.write(b"answer");
        slot.keep_elsewhere(dir.path()).unwrap();
        slot.keep_elsewhere(dir.path()).unwrap();
        let found = slot.read_elsewhere(dir.path()).unwrap().unwrap();
        assert_eq!(&**found, b"answer");
        slot.forget_elsewhere(dir.path()).unwrap();
        slot.forget_elsewhere(dir.path()).unwrap();
        assert!(slot.read_elsewhere(dir.path()).unwrap().is_none());
    }
}
