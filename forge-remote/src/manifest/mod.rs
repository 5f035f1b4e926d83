//! `manifest.yml`: the sections the code declares, the file that should hold them, and the
//! differences between the two. This room never knows HTTP.

use std::collections::BTreeSet;

mod bindings;
mod compare;
mod diagnostic;
mod edit;
mod emit;
mod file;
mod lint;
mod merge;
mod model;
mod tree;
mod triggers;

#[cfg(test)]
mod merge_tests;

pub use crate::registry::Owned;
pub(crate) use bindings::bindings;
pub use compare::{Difference, Finding, Place, compare};
pub use diagnostic::{Diagnostic, Level, render};
pub use emit::to_yaml;
pub use file::{ManifestError, ManifestFile};
pub use lint::{RULES, Rule, rule};
pub use model::{Alternatives, Entry, Remote, Scope, Sections};
pub use tree::Position;
pub(crate) use triggers::{MAX_PROPERTIES, included_paths};

/// Every finding about a manifest: where it disagrees with the code, and what the rules say, in
/// the order of its lines.
///
/// A rule's finding is left out when its code is among `allowed`, or when the line it is about, or
/// the one above, has a comment `# forge-remote: allow(CODE)`.
pub fn check(
    file: &ManifestFile,
    wanted: &Sections,
    allowed: &BTreeSet<String>,
) -> Vec<Diagnostic> {
    let mut findings: Vec<Diagnostic> = lint::lint(file, wanted);
    findings.extend(lint::schedules_reset(file, wanted));
    findings.retain(|one| !allowed.contains(one.code) && !allowed_in_file(file, one));
    findings.extend(
        compare(file.value(), wanted)
            .iter()
            .map(|one| Diagnostic::difference(file, one)),
    );
    findings.sort_by_key(|one| (one.manifest, std::cmp::Reverse(one.level)));
    findings
}

fn allowed_in_file(file: &ManifestFile, finding: &Diagnostic) -> bool {
    let Some(at) = finding.manifest else {
        return false;
    };
    let lines = file
        .text()
        .lines()
        .skip(at.line.saturating_sub(2))
        .take(2.min(at.line));
    lines
        .filter_map(|line| line.split_once("# forge-remote: allow("))
        .any(|(_, rest)| {
            let codes = rest.split(')').next().unwrap_or_default();
            codes.split(',').any(|code| code.trim() == finding.code)
        })
}
