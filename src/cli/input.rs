//! One secret from standard input, which shows in no process list and no shell history.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use anyhow::{Result, bail};
use zeroize::Zeroizing;

use crate::secret::SecretString;

/// The longest line that is read, in bytes; the longest token known has a few thousand.
const LONGEST: u64 = 64 * 1024;

/// The first line of standard input without the blanks around it; `wanted` is what a person is asked for.
///
/// # Errors
/// When it cannot be read, is empty, or holds anything but visible ASCII.
pub(super) fn secret(wanted: &str) -> Result<SecretString> {
    let mut input = io::stdin().lock().take(LONGEST);
    if io::stdin().is_terminal() {
        eprintln!("paste {wanted} and press Enter:");
    }
    let mut line = Zeroizing::new(String::new());
    input.read_line(&mut line)?;
    let text = line.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("{wanted} was expected on standard input: one line of visible ASCII");
    }
    Ok(text.into())
}
