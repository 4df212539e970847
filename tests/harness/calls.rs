//! The library of `calls.c`: built, loaded into the program, told where to strike, and its list read.
//!
//! The control file has the layout of the C side. It is read and written here as a file, mapped there.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use nix::errno::Errno;

/// Offsets and sizes of `struct control`, in bytes.
const ARMED: u64 = 0;
const COUNT: u64 = 48;
const FIRED: u64 = 56;
const MARK: u64 = 72;
const HEAD: u64 = 136;
const RECORDS: u64 = 65536;
const RECORD: usize = 160;

/// The result of a call that has not returned.
const PENDING: i64 = i32::MIN as i64;

/// What marks a kind as that of the call that was struck.
const HIT: u64 = 1 << 16;

/// Kinds of calls, as bits.
pub(crate) mod kind {
    pub(crate) const OPEN: u64 = 1;
    pub(crate) const READ: u64 = 2;
    pub(crate) const WRITE: u64 = 4;
    pub(crate) const SYNC: u64 = 8;
    pub(crate) const TRUNCATE: u64 = 16;
    pub(crate) const NAME: u64 = 32;
    pub(crate) const CONNECT: u64 = 128;
    pub(crate) const SEND: u64 = 256;
    pub(crate) const RECEIVE: u64 = 512;
    /// Whatever changes something outside the process, or hears of a change there.
    pub(crate) const CUTS: u64 = OPEN | WRITE | SYNC | TRUNCATE | NAME | CONNECT | SEND | RECEIVE;
    /// Those on files.
    pub(crate) const FILES: u64 = OPEN | WRITE | SYNC | TRUNCATE | NAME;
    /// Those that take room on the disk.
    pub(crate) const ROOM: u64 = WRITE | TRUNCATE;
    /// Those on connections.
    pub(crate) const SOCKETS: u64 = CONNECT | SEND | RECEIVE;
}

/// Around which side of a call something is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// It has not happened.
    Before,
    /// It has.
    After,
}

/// What is done at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Nothing: the calls are listed.
    List,
    /// The process is killed.
    Kill(Side),
    /// It fails with this error; after it: though it happened.
    Fail(Errno, Side),
    /// A read of a file fails with EIO.
    FailToRead,
    /// It fails without happening, and so does every later one.
    FailFromNow(Errno),
}

/// An order to the library.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// At which call, counted from 1.
    pub(crate) number: u64,
    pub(crate) deed: Deed,
    /// The kinds that count.
    pub(crate) kinds: u64,
    /// What ends the target of the call after which counting begins; empty: [`Control::arm`] says.
    pub(crate) mark: String,
}

/// One call, as the library saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) thread: u32,
    pub(crate) kind: u64,
    /// Whether it was struck.
    pub(crate) is_hit: bool,
    /// None: it has not returned.
    pub(crate) result: Option<i64>,
    /// The kernel's name.
    pub(crate) name: String,
    /// A path below the installation's folder, or `port …`.
    pub(crate) target: String,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} = ", self.thread, self.name, self.target)?;
        match self.result {
            Some(result) => write!(f, "{result}"),
            None => write!(f, "?"),
        }
    }
}

/// The control file of one installation.
pub(crate) struct Control {
    path: PathBuf,
    file: File,
}

impl Control {
    /// In `folder`, the installation's; nothing outside it is counted.
    pub(crate) fn new(folder: &Path) -> Self {
        let path = folder.join("control");
        let file = fresh(&path);
        Self { path, file }
    }

    /// Gives the next process an order; one that still runs keeps its own.
    pub(crate) fn order(&mut self, order: &Order) {
        fs::remove_file(&self.path).unwrap();
        self.file = fresh(&self.path);
        let (mode, error, lasting) = match order.deed {
            Deed::List => (0, 0, 0),
            Deed::Kill(Side::Before) => (1, 0, 0),
            Deed::Kill(Side::After) => (2, 0, 0),
            Deed::Fail(error, Side::Before) => (3, error as u32, 0),
            Deed::Fail(error, Side::After) => (4, error as u32, 0),
            Deed::FailToRead => (3, Errno::EIO as u32, 0),
            Deed::FailFromNow(error) => (3, error as u32, 1),
        };
        let words = [order.kinds, mode, order.number, u64::from(error), lasting];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.file.write_all_at(&bytes, ARMED + 8).unwrap();
        self.file.write_all_at(order.mark.as_bytes(), MARK).unwrap();
    }

    /// Lets a command be run under the order.
    pub(crate) fn load(&self, command: &mut Command) {
        command.envs(self.environment());
    }

    /// The variables that load the library and lead it here.
    pub(crate) fn environment(&self) -> [(&'static str, &Path); 2] {
        [("LD_PRELOAD", library()), ("CALLS_CONTROL", &self.path)]
    }

    /// Counting begins now.
    pub(crate) fn arm(&self) {
        self.file.write_all_at(&1_u64.to_ne_bytes(), ARMED).unwrap();
    }

    /// No call fails any more.
    pub(crate) fn relent(&self) {
        self.file.write_all_at(&[0; 8], ARMED + 16).unwrap();
    }

    /// Whether the call of the order came.
    pub(crate) fn has_fired(&self) -> bool {
        self.word(FIRED) != 0
    }

    /// The calls that were counted, in order.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let count = self.word(COUNT);
        assert!(count <= RECORDS, "{count} calls: the list is too short");
        let mut bytes = vec![0; RECORD * usize::try_from(count).unwrap()];
        self.file.read_exact_at(&mut bytes, HEAD).unwrap();
        bytes.chunks(RECORD).map(call).collect()
    }

    fn word(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, at).unwrap();
        u64::from_ne_bytes(bytes)
    }
}

fn fresh(path: &Path) -> File {
    let mut options = File::options();
    let file = options
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .unwrap();
    file.set_len(HEAD + RECORDS * RECORD as u64).unwrap();
    file
}

fn call(bytes: &[u8]) -> Call {
    let number = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
    let text = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte == 0);
        String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
    };
    let result = i64::from_ne_bytes(bytes[8..16].try_into().unwrap());
    Call {
        thread: number(0),
        kind: u64::from(number(4)) & !HIT,
        is_hit: u64::from(number(4)) & HIT != 0,
        result: (result != PENDING).then_some(result),
        name: text(&bytes[16..32]),
        target: text(&bytes[32..]),
    }
}

/// The library, compiled once for each test process.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/harness/calls.c");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        // Under a name of its own first, so that nobody loads half of it.
        let part = folder.join(format!("calls-{}.so", std::process::id()));
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-o"])
            .args([part.as_os_str(), source.as_ref()])
            .status();
        assert!(made.expect("a C compiler").success(), "{source}");
        let library = folder.join("calls.so");
        fs::rename(&part, &library).unwrap();
        library
    })
}
