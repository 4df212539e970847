//! The table that the run prints: each measurement beside its target.

#![allow(dead_code, reason = "each benchmark uses only some of it")]

use std::fmt;

/// What a measurement is held against.
pub(crate) enum Target {
    /// It passes up to here.
    Most(f64),
    /// It passes from here on.
    Least(f64),
    /// Nothing: it is printed for comparison.
    Shown,
}

/// The measurements in the order of measuring.
#[derive(Default)]
pub(crate) struct Table(Vec<Line>);

struct Line {
    what: String,
    result: Result<(f64, Target, &'static str), String>,
}

impl Table {
    /// `measured` and its target, both in `unit`.
    pub(crate) fn line(
        &mut self,
        what: impl Into<String>,
        measured: f64,
        target: Target,
        unit: &'static str,
    ) {
        let result = Ok((measured, target, unit));
        self.note(Line {
            what: what.into(),
            result,
        });
    }

    /// What could not be measured, and why.
    pub(crate) fn unmeasured(&mut self, what: impl Into<String>, reason: impl Into<String>) {
        let result = Err(reason.into());
        self.note(Line {
            what: what.into(),
            result,
        });
    }

    /// A run takes minutes: each line is shown as it comes, too.
    fn note(&mut self, line: Line) {
        println!("{line}");
        self.0.push(line);
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<58} ", self.what)?;
        match &self.result {
            Ok((measured, Target::Most(target) | Target::Least(target), unit)) => {
                let is_least = matches!(self.result, Ok((_, Target::Least(_), _)));
                let passes = if is_least {
                    measured >= target
                } else {
                    measured <= target
                };
                let verdict = if passes { "PASS" } else { "MISS" };
                let share = measured / target * 100.0;
                write!(
                    f,
                    "{measured:>9.3} {target:>9.3} {unit:<11} {share:>5.0} %  {verdict}"
                )
            }
            Ok((measured, Target::Shown, unit)) => write!(f, "{measured:>9.3} {:>9} {unit}", ""),
            Err(reason) => write!(f, "not measured: {reason}"),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<58} {:>9} {:>9} {:<11} {:>7}",
            "", "measured", "target", "unit", "of it"
        )?;
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
