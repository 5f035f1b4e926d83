//! The changes of an update to a manifest, with the consequences for the next deployment.

use std::fmt::Write as _;

use super::compare::{Difference, Mismatch, compare};
use super::desired::DesiredManifest;
use super::emit;
use super::file::ManifestFile;
use super::items::key;
use super::ownership::stale_items;
use super::path::Step;
use super::versions::{VersionLevel, is_app_managed, version_changes};

/// Returns one line for each part that an update adds, changes or removes, and the version that deploying it
/// creates. `left` are the differences after it.
pub(crate) fn changes(
    before: &ManifestFile,
    after: &ManifestFile,
    wanted: &DesiredManifest,
    left: &[Difference],
) -> String {
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
        lines.push('\n');
    }
    lines + &consequences(before, after)
}

/// Returns the version that deploying the update creates, with the changes that make it a major one. An app without an
/// id was never deployed.
fn consequences(before: &ManifestFile, after: &ManifestFile) -> String {
    if before.app_id().is_none_or(str::is_empty) {
        return String::new();
    }
    let changes = version_changes(before, after);
    let Some(level) = changes.iter().map(|change| change.level).max() else {
        return String::new();
    };
    let meaning = level.consequence(is_app_managed(after));
    let mut lines = format!("deploying this update creates a {level} version: {meaning}\n");
    for change in changes
        .iter()
        .filter(|one| one.level == VersionLevel::Major)
    {
        let _ = writeln!(lines, "  {change}");
    }
    lines
}

/// Returns the keys of the items that call this app's remotes and that the code does not declare.
pub(crate) fn stale_keys(file: &ManifestFile, wanted: &DesiredManifest) -> Vec<String> {
    let file = file.with_defaults();
    let stale = stale_items(file.value(), wanted);
    stale
        .into_iter()
        .filter_map(|stale| key(stale.item).map(str::to_owned))
        .collect()
}

/// Returns the keys of the items that call this app's remotes and that the code does not declare, of a manifest's
/// differences.
pub(crate) fn keys_left(differences: &[Difference]) -> Vec<String> {
    let stale = differences
        .iter()
        .filter(|one| matches!(one.mismatch, Mismatch::Stale { .. }));
    let keys = stale.filter_map(|one| match one.path.steps().last() {
        // An item without a key cannot be named.
        Some(Step::Item(key)) if !key.is_empty() => Some(key.clone()),
        _ => None,
    });
    keys.collect()
}

fn is_scope(difference: &Difference) -> bool {
    difference.path.starts_with(&["permissions", "scopes"])
}
