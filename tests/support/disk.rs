//! A small file system that can be filled up. Only root may mount one; without it the tests that need it
//! say so and pass, but in CI.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Holds a state and little more.
const OPTIONS: &str = "size=12m,mode=0700";

/// The file system; it is gone when dropped, with all that lies there.
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// Mounted at `folder`, which is made anew.
    pub(crate) fn at(folder: &Path) -> Self {
        if folder.exists() {
            fs::remove_dir_all(folder).unwrap();
        }
        fs::create_dir(folder).unwrap();
        assert!(mount(folder), "{}", folder.display());
        Self(folder.to_owned())
    }

    /// Takes all the room there is.
    pub(crate) fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
    }

    /// Gives it back.
    pub(crate) fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.unwrap().success());
    }
}

fn mount(folder: &Path) -> bool {
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", OPTIONS, "keyfresh-test"]);
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
    let mounted = mount(folder.path());
    if mounted {
        drop(Disk(folder.path().to_owned()));
    } else {
        println!("left out: a full disk (only root may mount one)");
    }
    let needed = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(mounted || !needed, "no file system can be mounted");
    mounted
}
