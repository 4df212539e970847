//! What the runs of each class came to, and all classes as people read them.

use std::fmt;
use std::time::Duration;

use crate::judge::{End, Verdict};

/// One class of runs.
#[derive(Debug, Default)]
pub(crate) struct Row {
    name: String,
    runs: usize,
    held: usize,
    unconfirmed: usize,
    lost: usize,
    duplicates: usize,
    wrong: usize,
    kills: usize,
    seconds: f64,
    findings: Vec<String>,
}

impl Row {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    pub(crate) fn took(&mut self, time: Duration) {
        self.seconds = time.as_secs_f64();
    }

    /// Adds what a run came to.
    pub(crate) fn count(&mut self, run: &impl fmt::Display, verdict: &Verdict) {
        self.runs += 1;
        match verdict.end {
            End::Held => self.held += 1,
            End::Unconfirmed => self.unconfirmed += 1,
            End::Lost => self.lost += 1,
        }
        self.duplicates += verdict.duplicates;
        self.wrong += usize::from(!verdict.wrong.is_empty());
        self.kills += verdict.kills;
        if !verdict.is_sound() {
            self.findings.push(format!("{run}: {verdict}"));
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<32} {:>5} {:>5} {:>11} {:>5} {:>10} {:>6} {:>7.0}",
            self.name,
            self.runs,
            self.held,
            self.unconfirmed,
            self.lost,
            self.duplicates,
            self.wrong,
            self.seconds,
        )
    }
}

/// The rows of all classes.
#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    pub(crate) fn add(&mut self, row: Row) {
        self.0.push(row);
    }

    pub(crate) fn print(&self) {
        println!(
            "\n{:<32} {:>5} {:>5} {:>11} {:>5} {:>10} {:>6} {:>7}",
            "", "runs", "held", "unconfirmed", "lost", "duplicates", "wrong", "seconds"
        );
        for row in &self.0 {
            println!("{row}");
        }
        println!("{} processes killed", self.kills());
    }

    /// How many kills hit a living process.
    pub(crate) fn kills(&self) -> usize {
        self.0.iter().map(|row| row.kills).sum()
    }

    pub(crate) fn must_be_sound(&self) {
        let findings: Vec<&str> = self
            .0
            .iter()
            .flat_map(|row| row.findings.iter().map(String::as_str))
            .collect();
        assert!(findings.is_empty(), "\n{}", findings.join("\n\n"));
    }
}
