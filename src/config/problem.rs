//! What is wrong with a configuration: found one by one, reported all at once.
//!
//! Made by every file below `config/`, printed by the commands, which exit with 78. A problem never
//! repeats a value, only names: what was typed at the wrong place may be a secret.

use std::fmt;

/// One thing to put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file or the variable it was found in.
    pub source: String,
    /// The dotted key; empty if it is about the whole file.
    pub key: String,
    /// What is wrong, or what was expected.
    pub fault: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.source)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; {}", self.fault, self.remedy)
    }
}

/// Every problem of a configuration, one per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// Keys longer than this are not shown: no key of ours is, and a secret may stand where a key should.
const SHOWN: usize = 24;

/// A name as a problem may show it.
pub(super) fn shown(name: &str) -> &str {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if name.len() <= SHOWN && name.chars().all(plain) {
        name
    } else {
        "(a name not shown)"
    }
}
