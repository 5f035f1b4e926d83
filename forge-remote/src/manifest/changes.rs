//! The changes of an update to a manifest, with the consequences for the next deployment.

use std::collections::{HashMap, HashSet};
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
    let renamed: HashSet<&ManifestPath> = renamed.collect();
    let mut left_at: HashMap<&ManifestPath, Vec<&Mismatch>> = HashMap::new();
    for one in left {
        left_at.entry(&one.path).or_default().push(&one.mismatch);
    }
    let updated = FilledManifest::new(after.value());
    let mut parts = Parts::new(&updated);
    for one in &differences {
        let Difference { path, mismatch, .. } = one;
        // A variable may be a part of the new value, which then still differs from the code's.
        let new_value = match mismatch {
            Mismatch::Different { .. } => parts.at(path),
            _ => None,
        };
        let is_left = match mismatch {
            Mismatch::Different { manifest, .. } => new_value == Some(manifest),
            Mismatch::Missing { .. } if renamed.contains(path) => true,
            _ => left_at
                .get(path)
                .is_some_and(|left| left.contains(&mismatch)),
        };
        if is_left {
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

/// The parts of a manifest as it is written, by their paths.
struct Parts<'a> {
    filled: &'a FilledManifest<'a>,
    /// The items of each list by their keys, so that the time does not grow with the square of the items.
    items: HashMap<&'a [Step], HashMap<&'a str, usize>>,
}

impl<'a> Parts<'a> {
    fn new(filled: &'a FilledManifest<'_>) -> Self {
        Self {
            filled,
            items: HashMap::new(),
        }
    }

    fn at(&mut self, path: &'a ManifestPath) -> Option<&'a Value> {
        let mut written = self.filled.written;
        let mut value: &Value = &self.filled.value;
        for (depth, step) in path.steps().iter().enumerate() {
            match step {
                Step::Name(name) => {
                    written = written.get(name)?;
                    value = value.get(name)?;
                }
                Step::Item(of_key) => {
                    let items = value.as_sequence()?;
                    let keys = self.items.entry(path.steps().get(..depth)?);
                    let keys = keys.or_insert_with(|| first_of_each_key(items));
                    let at = *keys.get(of_key.as_str())?;
                    written = written.get(at)?;
                    value = items.get(at)?;
                }
                Step::Value(_) => return None,
            }
        }
        Some(written)
    }
}

/// Returns the index of the first item with each key.
fn first_of_each_key(items: &[Value]) -> HashMap<&str, usize> {
    let indexed = items.iter().enumerate().rev();
    let keyed = indexed.filter_map(|(at, item)| Some((key(item)?, at)));
    keyed.collect()
}
