//! What an update changes in a manifest, with the consequences of the next deployment.

use std::fmt::Write as _;

use super::compare::{Difference, Mismatch, compare};
use super::desired::DesiredManifest;
use super::emit;
use super::file::ManifestFile;
use super::items::key;
use super::ownership::stale_items;
use super::path::Step;

/// Returns one line for each part that an update adds, changes or removes.
pub(crate) fn changes(
    before: &ManifestFile,
    after: &ManifestFile,
    wanted: &DesiredManifest,
) -> String {
    let left = compare(after.value(), wanted);
    let mut lines = String::new();
    let differences = compare(before.value(), wanted);
    for one in differences.iter().filter(|one| !left.contains(one)) {
        let Difference { path, mismatch, .. } = one;
        let _ = match mismatch {
            Mismatch::Missing { code } if is_scope(one) => {
                write!(lines, "  added    {path}: {}", emit::inline(code))
            }
            Mismatch::Missing { .. } => write!(lines, "  added    {path}"),
            Mismatch::Different { manifest, code } => {
                let (from, to) = (emit::inline(manifest), emit::inline(code));
                write!(lines, "  changed  {path}: {from} → {to}")
            }
            Mismatch::Stale { .. } => write!(lines, "  removed  {path}"),
        };
        let _ = match consequence(one) {
            Some(consequence) => writeln!(lines, " ({consequence})"),
            None => writeln!(lines),
        };
    }
    lines
}

/// Returns the keys of the items that call this app's remotes and that the code does not declare.
pub(crate) fn stale_keys(file: &ManifestFile, wanted: &DesiredManifest) -> Vec<String> {
    let stale = stale_items(file.value(), wanted).into_iter();
    stale
        .filter_map(|stale| key(stale.item).map(str::to_owned))
        .collect()
}

fn is_scope(difference: &Difference) -> bool {
    difference.path.starts_with(&["permissions", "scopes"])
}

/// Returns the consequence of a change at the next `forge deploy`.
///
/// Source: <https://developer.atlassian.com/platform/forge/versions/>
fn consequence(difference: &Difference) -> Option<&'static str> {
    const MAJOR: &str = "a new major version: each site's admin must consent to the upgrade";
    let is_whole = matches!(difference.path.steps().last(), Some(Step::Item(_)));
    if is_scope(difference) {
        return Some("a new scope: each site's admin is asked");
    }
    let is_endpoint = difference.path.starts_with(&["modules", "endpoint"]);
    match difference.mismatch {
        _ if difference.path.starts_with(&["remotes"]) => Some(MAJOR),
        Mismatch::Missing { .. } if is_endpoint && is_whole => None,
        _ if is_endpoint => Some(MAJOR),
        _ => None,
    }
}
