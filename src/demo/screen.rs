//! How the tour looks: numbered acts, steps with the time since their act began, notices as received.
//!
//! Written to standard output by the other files of the demo; colours on a terminal only. No secret
//! comes here unmasked.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use crate::clock::Clock;

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const YELLOW: &str = "33";

/// Enough to glance over an act.
const PAUSE: Duration = Duration::from_millis(1200);

pub(super) struct Screen {
    out: io::Stdout,
    clock: Clock,
    terminal: bool,
    acts: usize,
}

impl Screen {
    pub(super) fn new() -> Self {
        let out = io::stdout();
        Self {
            terminal: out.is_terminal(),
            out,
            clock: Clock::system(),
            acts: 0,
        }
    }

    /// A line of prose; empty: a blank line.
    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// The next act's title, in English and Chinese; people are given time to read the act before.
    pub(super) async fn act(&mut self, english: &str, chinese: &str) -> io::Result<()> {
        if self.terminal && self.acts > 0 {
            self.clock.pause(PAUSE).await;
        }
        self.acts += 1;
        let title = self.paint(BOLD, &format!("{}  {english}", self.acts));
        let chinese = self.paint(DIM, chinese);
        writeln!(self.out, "\n{title}  {chinese}")
    }

    /// Something that happened `at` after the act began.
    pub(super) fn step(&mut self, at: Duration, word: &str, text: &str) -> io::Result<()> {
        let at = self.paint(DIM, &format!("{:>6} ms", at.as_millis()));
        let word = self.paint(GREEN, &format!("{word:<11}"));
        writeln!(self.out, "{at}  {word} {text}")?;
        self.out.flush()
    }

    /// What the act meant to show.
    pub(super) fn remark(&mut self, text: &str) -> io::Result<()> {
        let text = self.paint(YELLOW, text);
        writeln!(self.out, "{:>9}  {text}", "")
    }

    /// A notice, line by line.
    pub(super) fn notice(&mut self, title: &str, body: &str) -> io::Result<()> {
        let bar = self.paint(DIM, "│");
        let title = self.paint(BOLD, title);
        writeln!(self.out, "{:>11}{bar}\n{:>11}{bar} {title}", "", "")?;
        for line in body.lines().filter(|line| !line.trim().is_empty()) {
            writeln!(self.out, "{:>11}{bar} {line}", "")?;
        }
        Ok(())
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.terminal {
            format!("\u{1b}[{colour}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}
