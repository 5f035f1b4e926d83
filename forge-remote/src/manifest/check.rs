//! The check of a manifest: its differences from the code, and the findings of the lints.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::{Difference, compare};
use super::desired::DesiredManifest;
use super::file::ManifestFile;
use super::{differences, lint, versions};
use crate::diagnostic::{self, Diagnostic, Rule, SourceText};

/// Returns every rule that [`check`] and [`version_changes`](super::version_changes) can report.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    let differences = differences::RULES.iter().copied();
    differences.chain(lint::rules()).chain(versions::rules())
}

/// Returns the manifest's rule with this code.
pub fn find_rule(code: &str) -> Option<&'static Rule> {
    rules().find(|rule| rule.code == code)
}

/// Checks a manifest: its differences from the code and the findings of the lints, ordered by line.
///
/// A lint's finding is left out if its code is in `allowed`, or if its line or the line above has a
/// comment `# forge-remote: allow(CODE)`.
pub fn check(
    file: &ManifestFile,
    wanted: &DesiredManifest,
    allowed: &BTreeSet<String>,
) -> Vec<Diagnostic> {
    check_compared(file, wanted, allowed, &compare(file, wanted))
}

/// Checks a manifest whose differences from the code are known.
pub(crate) fn check_compared(
    file: &ManifestFile,
    wanted: &DesiredManifest,
    allowed: &BTreeSet<String>,
    compared: &[Difference],
) -> Vec<Diagnostic> {
    let filled = file.with_defaults();
    let mut findings = lint::lint(file, wanted);
    let comments = allowed_in_file(file.text());
    let has_comment = |one: &Diagnostic| {
        // On the finding's line or the line above.
        one.manifest.is_some_and(|at| {
            let mut near = comments.range(at.line.saturating_sub(1)..=at.line);
            near.any(|(_, codes)| codes.contains(one.code))
        })
    };
    findings.retain(|one| !allowed.contains(one.code) && !has_comment(one));
    let compared = compared.iter();
    findings.extend(compared.map(|one| differences::diagnostic(&filled, one)));
    findings.sort_by_key(|one| (one.manifest, std::cmp::Reverse(one.severity)));
    findings
}

/// Renders findings in rustc's style, with excerpts of the manifest.
pub fn render(file: &ManifestFile, findings: &[Diagnostic], color: bool) -> String {
    let path = file.path().display().to_string();
    let manifest = SourceText {
        path: &path,
        text: file.text(),
    };
    diagnostic::render(Some(manifest), findings, color)
}

/// Returns the codes that comments `# forge-remote: allow(CODE, …)` allow, by line.
fn allowed_in_file(text: &str) -> BTreeMap<usize, BTreeSet<&str>> {
    const START: &str = "# forge-remote: allow(";
    let mut allowed: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
    let (mut line, mut counted) = (1, 0);
    for (at, _) in text.match_indices(START) {
        line += text[counted..at].matches('\n').count();
        counted = at;
        let rest = text[at + START.len()..].lines().next().unwrap_or_default();
        let codes = rest.split(')').next().unwrap_or_default().split(',');
        allowed
            .entry(line)
            .or_default()
            .extend(codes.map(str::trim));
    }
    allowed
}
