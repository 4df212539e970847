//! What `tests/peer/` needs of Node.js: a new enough `node`, and the modules of its lock file, which `npm`
//! installs below `target/`, once for all test programs. Where there is none, the tests that need it are
//! left out and say so; in CI that is a failure.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The first that `oidc-provider` 9 runs on.
const OLDEST: u32 = 20;

/// How long `npm` may take, in seconds.
const LIMIT: &str = "300";

/// The source of the server.
pub(crate) const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peer");

/// The folder whose `node_modules` are those of the lock file; `None`: left out.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "CI and people have a say"
)]
pub(crate) fn modules() -> Option<&'static Path> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FOUND.get_or_init(|| node().and_then(|()| install())) {
        Ok(folder) => Some(folder),
        Err(missing) => {
            let needed = std::env::var_os("CI").is_some_and(|value| value == "true");
            assert!(!needed, "{missing}");
            println!("left out: {missing}");
            None
        }
    }
}

fn node() -> Result<(), String> {
    let missing = format!("node {OLDEST} or newer is missing (package nodejs)");
    let Ok(told) = Command::new("node").arg("--version").output() else {
        return Err(missing);
    };
    let version = String::from_utf8_lossy(&told.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next();
    let fits = major.and_then(|major| major.parse::<u32>().ok());
    fits.filter(|major| *major >= OLDEST)
        .map(|_| ())
        .ok_or(format!("{missing}, not {version}"))
}

/// Whoever comes second waits for the first and finds the modules there.
fn install() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peer");
    fs::create_dir_all(&folder).unwrap();
    let guard = fs::File::create(folder.join("guard")).unwrap();
    guard.lock().unwrap();
    let lock = fs::read(Path::new(SOURCE).join("package-lock.json")).unwrap();
    let installed = folder.join("installed");
    if fs::read(&installed).is_ok_and(|those| those == lock) {
        return Ok(folder);
    }
    for name in ["package.json", "package-lock.json"] {
        fs::copy(Path::new(SOURCE).join(name), folder.join(name)).unwrap();
    }
    let ran = Command::new("timeout")
        .args(["--kill-after=10", LIMIT, "npm", "ci"])
        .args(["--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&folder)
        .output()
        .map_err(|_| "timeout is missing (package coreutils)".to_owned())?;
    match ran.status.code() {
        Some(0) => {
            fs::write(installed, lock).unwrap();
            Ok(folder)
        }
        Some(124) | None => Err(format!(
            "npm took longer than {LIMIT} seconds and was stopped (no registry?)"
        )),
        Some(127) => Err("npm is missing (package npm)".to_owned()),
        _ => {
            let why = String::from_utf8_lossy(&ran.stderr).into_owned();
            Err(format!("npm could not install tests/peer: {why}"))
        }
    }
}
