//! A table of cases that all run, reported as one failure that names every failed case.

use std::fmt::Display;

/// A collector of the failures in a table of cases.
#[derive(Debug)]
pub struct Report {
    title: &'static str,
    cases: usize,
    failures: Vec<String>,
}

impl Report {
    /// Returns an empty report.
    pub fn new(title: &'static str) -> Self {
        Self {
            title,
            cases: 0,
            failures: Vec::new(),
        }
    }

    /// Records the outcome of a case.
    pub fn case(&mut self, name: impl Into<String>, outcome: Result<(), String>) {
        self.cases += 1;
        if let Err(reason) = outcome {
            self.failures.push(format!("{}: {reason}", name.into()));
        }
    }

    /// Records a case that is a condition, with the message for its failure.
    pub fn holds(&mut self, name: impl Into<String>, condition: bool, otherwise: impl Display) {
        self.case(
            name,
            if condition {
                Ok(())
            } else {
                Err(otherwise.to_string())
            },
        );
    }

    /// Panics if a case failed.
    #[track_caller]
    pub fn finish(self) {
        let Self {
            title,
            cases,
            failures,
        } = self;
        assert!(cases > 0, "{title}: no case ran");
        assert!(
            failures.is_empty(),
            "{title}: {} of {cases} cases failed:\n  {}",
            failures.len(),
            failures.join("\n  ")
        );
    }
}

/// Names what a test skips because a program is missing. In CI, where nobody would read the message,
/// the test fails.
pub fn skipped(what: &str) {
    let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!is_ci, "CI has to run the skipped test: {what}");
    eprintln!("skipped: {what}");
}
