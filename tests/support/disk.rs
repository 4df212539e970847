//! A small file system that can be filled up, and the end of whatever a test mounted. Only root may mount
//! one, and not in every container; where it cannot be the tests that need it say so and pass, but in CI.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

/// Holds a state and little more.
const OPTIONS: &str = "size=12m,mode=0700";

/// The file system; it is gone when dropped, with all that lies there.
pub(crate) struct Disk {
    folder: PathBuf,
    _mounts: Mounts,
}

impl Disk {
    /// Mounted at `folder`, which is made anew.
    pub(crate) fn at(folder: &Path) -> Self {
        if folder.exists() {
            fs::remove_dir_all(folder).unwrap();
        }
        fs::create_dir(folder).unwrap();
        let mounts = Mounts::below(folder);
        assert!(mount(folder, OPTIONS), "{}", folder.display());
        Self {
            folder: folder.to_owned(),
            _mounts: mounts,
        }
    }

    /// Takes all the room there is.
    pub(crate) fn fill(&self) {
        let mut file = fs::File::create(self.folder.join("filler")).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
    }

    /// Gives it back.
    pub(crate) fn free(&self) {
        fs::remove_file(self.folder.join("filler")).unwrap();
    }
}

/// What is mounted at a folder and below it; unmounted when dropped, after a failure as well.
pub(crate) struct Mounts(PathBuf);

impl Mounts {
    /// What is mounted there from now on; the folder exists.
    pub(crate) fn below(folder: &Path) -> Self {
        Self(folder.canonicalize().unwrap())
    }

    /// Unmounts all of it, the deepest first.
    pub(crate) fn undo(&self) {
        // Looked up each time: one may go along with another.
        while let Some(folder) = self.deepest() {
            let unmounted = Command::new("umount").arg("-l").arg(&folder).status();
            if !unmounted.is_ok_and(|status| status.success()) {
                // To panic while panicking would end the other tests too.
                assert!(thread::panicking(), "{} stays mounted", folder.display());
                return;
            }
        }
    }

    fn deepest(&self) -> Option<PathBuf> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let places = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        places
            .map(unescaped)
            .filter(|place| place.starts_with(&self.0))
            .max_by_key(|place| place.components().count())
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        self.undo();
    }
}

/// A path as `/proc` writes it (see `proc_pid_mountinfo(5)`).
fn unescaped(path: &str) -> PathBuf {
    let escapes = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    let plain = |path: String, (escape, it)| path.replace(escape, it);
    escapes.into_iter().fold(path.to_owned(), plain).into()
}

/// Mounts an empty file system of its own at `folder`; `false`: that cannot be.
pub(crate) fn mount(folder: &Path, options: &str) -> bool {
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", options, "keyfresh-test"]);
    let ran = mount.arg(folder).output();
    ran.is_ok_and(|ran| ran.status.success())
}

/// `false`: no file system can be mounted, and that may be so.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "CI and people have a say"
)]
pub(crate) fn can_be_mounted() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let mounts = Mounts::below(folder.path());
    let mounted = mount(folder.path(), OPTIONS);
    drop(mounts);
    if !mounted {
        println!("left out: a full or read-only disk (only root may mount one)");
    }
    let needed = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(mounted || !needed, "no file system can be mounted");
    mounted
}
