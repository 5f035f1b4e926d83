//! The changes of an update to a manifest, with the consequences for the next deployment.

use std::fmt::Write as _;

use serde_yaml::Value;

use super::compare::{Difference, Mismatch, compare};
use super::desired::DesiredManifest;
use super::emit;
use super::file::ManifestFile;
use super::filled::FilledManifest;
use super::items::key;
use super::path::{ManifestPath, Step};
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
    let renamed = differences.iter().filter_map(|one| one.renamed.as_ref());
    let renamed: Vec<&ManifestPath> = renamed.collect();
    let updated = FilledManifest::new(after.value());
    for one in &differences {
        let Difference { path, mismatch, .. } = one;
        // A variable may be a part of the new value, which then still differs from the code's.
        let new_value = part_at(&updated, path);
        if let Mismatch::Different { manifest, .. } = mismatch {
            if new_value == Some(manifest) {
                continue;
            }
        } else if left
            .iter()
            .any(|one| one.path == *path && one.mismatch == *mismatch)
        {
            continue;
        }
        if matches!(mismatch, Mismatch::Missing { .. }) && renamed.contains(&path) {
            continue;
        }
        let _ = match mismatch {
            Mismatch::Missing { code } if is_scope(one) => {
                write!(lines, "  added    {path}: {}", emit::inline(code))
            }
            Mismatch::Missing { .. } => write!(lines, "  added    {path}"),
            Mismatch::Different { manifest, code } => {
                let to = emit::inline(new_value.unwrap_or(code));
                let from = emit::inline(manifest);
                write!(lines, "  changed  {path}: {from} → {to}")
            }
            Mismatch::Stale { .. } => match &one.renamed {
                Some(renamed) => write!(lines, "  renamed  {path} → {renamed}"),
                None => write!(lines, "  removed  {path}"),
            },
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

/// The entries without a handler that an update leaves.
#[derive(Default)]
pub(crate) struct Left {
    /// The keys of entries that may be another service's, or have hand-written parts.
    unproven: Vec<String>,
    /// The keys of entries that other parts name.
    used: Vec<String>,
}

impl Left {
    /// Returns the entries of an updated manifest's differences.
    pub(crate) fn of(differences: &[Difference]) -> Self {
        let mut left = Self::default();
        for one in differences {
            match (&one.mismatch, one.path.steps().last()) {
                // An entry without a key cannot be named.
                (Mismatch::Stale { .. }, Some(Step::Item(key))) if !key.is_empty() => {
                    let keys = match one.kept_by.is_empty() {
                        true => &mut left.unproven,
                        false => &mut left.used,
                    };
                    keys.push(key.clone());
                }
                _ => {}
            }
        }
        left
    }

    pub(crate) fn len(&self) -> usize {
        self.unproven.len() + self.used.len()
    }

    /// Returns the reasons why they are left; empty if there are none.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if !self.unproven.is_empty() {
            let _ = writeln!(
                text,
                "not removed, because they may be another service's or have hand-written parts: {}. Remove them with \
                 `--prune {}`, or list the endpoints in `App::foreign_endpoints`",
                self.unproven.join(", "),
                self.unproven.join(",")
            );
        }
        if !self.used.is_empty() {
            let _ = writeln!(
                text,
                "not removed, because other parts name them: {}. Change these parts first",
                self.used.join(", ")
            );
        }
        text
    }
}

fn is_scope(difference: &Difference) -> bool {
    difference.path.starts_with(&["permissions", "scopes"])
}

/// Returns a part of a manifest as it is written.
fn part_at<'a>(filled: &'a FilledManifest<'_>, path: &ManifestPath) -> Option<&'a Value> {
    let mut written = filled.written;
    let mut value: &Value = &filled.value;
    for step in path.steps() {
        match step {
            Step::Name(name) => {
                written = written.get(name)?;
                value = value.get(name)?;
            }
            Step::Item(of_key) => {
                let items = value.as_sequence()?;
                let at = items.iter().position(|item| key(item) == Some(of_key))?;
                written = written.get(at)?;
                value = items.get(at)?;
            }
            Step::Value(_) => return None,
        }
    }
    Some(written)
}
