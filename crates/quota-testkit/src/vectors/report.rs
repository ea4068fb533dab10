//! What a run found.

use std::fmt;

use serde_json::Value;

/// How many failures are shown.
const SHOWN: usize = 10;

/// A step or a window that was answered otherwise than expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The scenario's name, or the line of the window.
    pub name: String,
    /// The step, from 1; none for a window.
    pub step: Option<usize>,
    /// What was asked.
    pub asked: Value,
    /// What should have been answered.
    pub expected: Value,
    /// What was answered.
    pub actual: Value,
}

/// How many scenarios or windows passed, and why others did not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    passed: usize,
    failed: usize,
    failures: Vec<(usize, Failure)>,
}

impl Report {
    pub(super) const fn pass(&mut self) {
        self.passed = self.passed.saturating_add(1);
    }

    /// Keeps the first failures by their line.
    pub(super) fn fail(&mut self, line: usize, failure: Failure) {
        self.failed = self.failed.saturating_add(1);
        self.failures.push((line, failure));
        self.failures.sort_by_key(|(line, _)| *line);
        self.failures.truncate(SHOWN);
    }

    /// How many passed.
    #[must_use]
    pub const fn passed(&self) -> usize {
        self.passed
    }

    /// How many failed.
    #[must_use]
    pub const fn failed(&self) -> usize {
        self.failed
    }

    /// The first ten failures, in the order of the file.
    pub fn failures(&self) -> impl Iterator<Item = &Failure> {
        self.failures.iter().map(|(_, failure)| failure)
    }
}

/// The first ten failures, then `N passed, N failed`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in self.failures() {
            writeln!(f, "{failure}\n")?;
        }
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if let Some(step) = self.step {
            write!(f, ", step {step}")?;
        }
        write!(f, "\n  asked    {}\n  expected {}\n  actual   {}", self.asked, self.expected, self.actual)
    }
}
