//! The differences between a manifest and the code, in both directions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_yaml::{Mapping, Value};

use super::desired::{DesiredManifest, Entry};
use super::emit;
use super::equivalent::wanted_of;
use super::items::{allows_impersonation, granted, is_empty_auth, key, same};
use super::owned::OwnedProperties;
use super::ownership::{Stale, stale_items};
use super::path::{ManifestPath, Step};
use super::values::{list, scope_options};
use crate::diagnostic::Location;

/// One difference between the manifest and the code.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// The path in the manifest.
    pub path: ManifestPath,
    /// The kind of the difference, with the values.
    #[serde(flatten)]
    pub mismatch: Mismatch,
    /// The positions of the handlers that declare it; empty if no handler does.
    pub origins: Vec<Location>,
    /// The reasons why the code needs it, for scopes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// The kind of a difference between a manifest and the code.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Mismatch {
    /// Only the code has it.
    Missing { code: Value },
    /// Both have it, with different values.
    Different { manifest: Value, code: Value },
    /// Only the manifest has it.
    Stale { manifest: Value },
}

impl Difference {
    /// Returns a description, on one line if the values are.
    pub(super) fn headline(&self) -> String {
        let place = &self.path;
        match &self.mismatch {
            Mismatch::Missing { code } if !self.reasons.is_empty() => {
                format!("{place} lacks {}", show(code))
            }
            Mismatch::Missing { .. } => format!("{place} is missing"),
            Mismatch::Different { manifest, code } => {
                format!(
                    "{place} is {} in the manifest, but {} in the code",
                    show(manifest),
                    show(code)
                )
            }
            Mismatch::Stale { .. } if matches!(self.path.steps().last(), Some(Step::Item(_))) => {
                format!("{place} has no handler in this binary")
            }
            Mismatch::Stale { manifest } => {
                format!(
                    "{place} is {} in the manifest, but not in the code",
                    show(manifest)
                )
            }
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        for reason in &self.reasons {
            write!(f, "\n    because {reason}")?;
        }
        for origin in &self.origins {
            write!(f, "\n    --> {origin}")?;
        }
        Ok(())
    }
}

/// Returns a value in back-ticks, on one line.
fn show(value: &Value) -> String {
    format!("`{}`", emit::inline(value))
}

/// Returns every difference between a manifest and the code.
#[doc(hidden)]
pub fn compare(manifest: &Value, wanted: &DesiredManifest) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (module_type, entries) in &wanted.modules {
        compare_list(
            &["modules", module_type],
            manifest,
            entries,
            wanted,
            &mut differences,
        );
    }
    compare_list(
        &["modules", "endpoint"],
        manifest,
        &wanted.endpoints,
        wanted,
        &mut differences,
    );
    compare_list(
        &["remotes"],
        manifest,
        &wanted.remotes,
        wanted,
        &mut differences,
    );

    let granted: BTreeSet<&str> = granted(manifest).collect();
    for scope in wanted.scopes_given(&granted) {
        let place = ManifestPath::of(&["permissions", "scopes"]);
        let (place, code) = if !granted.contains(scope.name.as_str()) {
            (place, Value::from(scope.name.as_str()))
        } else if scope.impersonation && !allows_impersonation(manifest, &scope.name) {
            (place.value(&scope.name), scope_options(true))
        } else {
            continue;
        };
        differences.push(Difference {
            path: place,
            mismatch: Mismatch::Missing { code },
            origins: Vec::new(),
            reasons: scope.reasons,
        });
    }
    for Stale { path, item, .. } in stale_items(manifest, wanted) {
        differences.push(Difference {
            path: ManifestPath::of(&path).item(key(item).unwrap_or_default()),
            mismatch: Mismatch::Stale {
                manifest: item.clone(),
            },
            origins: Vec::new(),
            reasons: Vec::new(),
        });
    }
    differences
}

fn compare_list(
    path: &[&str],
    manifest: &Value,
    wanted: &[Entry],
    desired: &DesiredManifest,
    differences: &mut Vec<Difference>,
) {
    let found: BTreeMap<&str, &Value> = list(manifest, path)
        .iter()
        .rev()
        .filter_map(|item| Some((key(item)?, item)))
        .collect();
    for entry in wanted {
        let place = ManifestPath::of(path).item(entry.key());
        let Some(item) = found.get(entry.key()) else {
            differences.push(Difference {
                path: place,
                mismatch: Mismatch::Missing {
                    code: Value::Mapping(entry.item.clone()),
                },
                origins: entry.origins.clone(),
                reasons: Vec::new(),
            });
            continue;
        };
        let before = differences.len();
        let empty = Mapping::new();
        let found = item.as_mapping().unwrap_or(&empty);
        let wanted = wanted_of(path, item, &entry.item, desired);
        compare_mapping(&place, found, &wanted, entry.owned, differences);
        for difference in &mut differences[before..] {
            difference.origins.clone_from(&entry.origins);
        }
    }
}

/// Compares property by property; properties the code does not own are skipped.
fn compare_mapping(
    place: &ManifestPath,
    found: &Mapping,
    wanted: &Mapping,
    owned: OwnedProperties,
    differences: &mut Vec<Difference>,
) {
    let push = |name: &Value, mismatch: Mismatch, differences: &mut Vec<Difference>| {
        let place = place.clone().name(name.as_str().unwrap_or_default());
        differences.push(Difference {
            path: place,
            mismatch,
            origins: Vec::new(),
            reasons: Vec::new(),
        });
    };
    for (name, code) in wanted {
        match found.get(name) {
            Some(manifest) if same(manifest, code) => {}
            Some(manifest) => {
                let text = name.as_str().unwrap_or_default();
                let inside = owned.inside(text);
                if let (OwnedProperties::Parts(_), Value::Mapping(found), Value::Mapping(wanted)) =
                    (inside, manifest, code)
                {
                    let place = place.clone().name(text);
                    compare_mapping(&place, found, wanted, inside, differences);
                    continue;
                }
                let mismatch = Mismatch::Different {
                    manifest: manifest.clone(),
                    code: code.clone(),
                };
                push(name, mismatch, differences);
            }
            None => push(name, Mismatch::Missing { code: code.clone() }, differences),
        }
    }
    for (name, manifest) in found.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
        if owned.has(name.as_str().unwrap_or_default()) && !is_empty_auth(name, manifest) {
            let mismatch = Mismatch::Stale {
                manifest: manifest.clone(),
            };
            push(name, mismatch, differences);
        }
    }
}
