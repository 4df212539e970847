//! The process that is killed: this very program, started again to make one pass.
//!
//! It is ended by SIGKILL, which no program can hear; should the tour fail before that, dropping the
//! [`Victim`] does the same.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

pub(super) struct Victim(Child);

impl Victim {
    /// Starts `keyfresh demo --child DIR`.
    pub(super) fn start(dir: &Path) -> Result<Self> {
        let program = std::env::current_exe().context("this program's file is not known")?;
        let child = Command::new(program)
            .args(["demo", "--child"])
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("this program cannot be started a second time")?;
        Ok(Self(child))
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Ends it by SIGKILL in whatever it is doing.
    pub(super) fn kill(mut self) -> Result<()> {
        ensure!(
            self.0.try_wait()?.is_none(),
            "the process ended before it could be killed"
        );
        self.0.kill()?;
        let status = self.0.wait()?;
        ensure!(
            status.signal() == Some(Signal::SIGKILL as i32),
            "the process was not killed: {status}"
        );
        Ok(())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Already ended in the usual case; there is nobody to tell otherwise.
        if self.0.kill().is_ok() {
            drop(self.0.wait());
        }
    }
}
