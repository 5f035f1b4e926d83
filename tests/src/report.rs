//! A table of cases that all run, and one failure that names every wrong one.

use std::fmt::Display;

/// Collects what went wrong in a table of cases.
#[derive(Debug)]
pub struct Report {
    title: &'static str,
    cases: usize,
    failures: Vec<String>,
}

impl Report {
    /// Nothing tried yet.
    pub fn new(title: &'static str) -> Self {
        Self {
            title,
            cases: 0,
            failures: Vec::new(),
        }
    }

    /// One case's outcome.
    pub fn case(&mut self, name: impl Into<String>, outcome: Result<(), String>) {
        self.cases += 1;
        if let Err(reason) = outcome {
            self.failures.push(format!("{}: {reason}", name.into()));
        }
    }

    /// One case that is a condition, and what to say where it doesn't hold.
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

    /// Fails when any case did.
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
            "{title}: {} of {cases} cases are wrong:\n  {}",
            failures.len(),
            failures.join("\n  ")
        );
    }
}
