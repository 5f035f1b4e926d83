//! The context of a topic's check, and its findings.

use std::ops::Range;

use serde_yaml::Value;

use crate::diagnostic::{Diagnostic, Position, Rule, Severity};
use crate::manifest::desired::DesiredManifest;
use crate::manifest::file::ManifestFile;
use crate::manifest::path::ManifestPath;

/// Some rules, and the function that checks them.
pub(super) struct Topic {
    pub(super) rules: &'static [&'static Rule],
    pub(super) check: fn(&mut Findings<'_>),
}

/// The file and the code that the checks compare, and the findings so far.
pub(super) struct Findings<'a> {
    pub(super) file: &'a ManifestFile,
    pub(super) wanted: &'a DesiredManifest,
    pub(super) found: Vec<Diagnostic>,
}

impl<'a> Findings<'a> {
    /// Returns the manifest's value.
    pub(super) fn manifest(&self) -> &'a Value {
        self.file.value()
    }

    pub(super) fn add(
        &mut self,
        severity: Severity,
        rule: &Rule,
        path: &ManifestPath,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let finding = Diagnostic::new(rule, severity, message)
            .in_manifest(self.file.locate(path))
            .help(help);
        self.found.push(finding);
    }

    pub(super) fn error(
        &mut self,
        rule: &Rule,
        path: &ManifestPath,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Error, rule, path, message, help);
    }

    /// Adds an error at a position, for texts that no path names.
    pub(super) fn error_at(
        &mut self,
        rule: &Rule,
        place: (Position, Range<usize>),
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let finding = Diagnostic::error(rule, message, help).in_manifest(place);
        self.found.push(finding);
    }

    pub(super) fn warning(
        &mut self,
        rule: &Rule,
        path: &ManifestPath,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Warning, rule, path, message, help);
    }

    pub(super) fn note(
        &mut self,
        rule: &Rule,
        path: &ManifestPath,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Note, rule, path, message, help);
    }
}
