//! The manifest against the code, both ways.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_yaml::{Mapping, Value};

use super::emit;
use super::merge::{self, is_empty_auth, key, list, wanted_of};
use super::model::{ALLOW_IMPERSONATION, Entry, Sections, scope_options};
use crate::registry::Owned;

/// One disagreement between the manifest and the code.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// Where in the manifest.
    #[serde(serialize_with = "Place::as_text")]
    pub place: Place,
    /// What the disagreement is.
    #[serde(flatten)]
    pub finding: Finding,
    /// Where in the code: `file:line:column`; empty for what no handler wants.
    pub origins: Vec<String>,
    /// Why the code wants it, for scopes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// A place in a manifest by names, e.g. `modules.scheduledTrigger[refresh-index-trigger].interval`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place(pub(super) Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A mapping's key.
    Name(String),
    /// The item of a list with this `key`.
    Item(String),
    /// A name in a list of names, or in a mapping of them.
    Value(String),
}

impl Place {
    pub(super) fn of(names: &[&str]) -> Self {
        Self(
            names
                .iter()
                .map(|name| Step::Name((*name).to_owned()))
                .collect(),
        )
    }

    pub(super) fn name(mut self, name: &str) -> Self {
        self.0.push(Step::Name(name.to_owned()));
        self
    }

    pub(super) fn item(mut self, key: &str) -> Self {
        self.0.push(Step::Item(key.to_owned()));
        self
    }

    pub(super) fn value(mut self, name: &str) -> Self {
        self.0.push(Step::Value(name.to_owned()));
        self
    }

    fn as_text<S: serde::Serializer>(place: &Self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(place)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Name(name) if at == 0 => f.write_str(name)?,
                Step::Name(name) => write!(f, ".{name}")?,
                Step::Item(key) | Step::Value(key) => write!(f, "[{key}]")?,
            }
        }
        Ok(())
    }
}

/// The kinds of disagreement.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Finding {
    /// The code wants it, the manifest lacks it.
    Missing { code: Value },
    /// Both have it, with different values.
    Different { manifest: Value, code: Value },
    /// The manifest has it, nothing in the code wants it any more.
    Stale { manifest: Value },
}

impl Difference {
    /// What the disagreement is, in one line where its values have one.
    pub(super) fn headline(&self) -> String {
        let place = &self.place;
        match &self.finding {
            Finding::Missing { code } if !self.reasons.is_empty() => {
                format!("{place} lacks {}", show(code))
            }
            Finding::Missing { .. } => format!("{place} is missing"),
            Finding::Different { manifest, code } => {
                format!(
                    "{place} is {} in the manifest, but {} in the code",
                    show(manifest),
                    show(code)
                )
            }
            Finding::Stale { .. } if matches!(self.place.0.last(), Some(Step::Item(_))) => {
                format!("{place} has no handler in this binary")
            }
            Finding::Stale { manifest } => {
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

/// A value in back-ticks, on one line.
fn show(value: &Value) -> String {
    format!("`{}`", emit::inline(value))
}

/// Every disagreement between a manifest and what the code wants.
pub fn compare(manifest: &Value, wanted: &Sections) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (module_type, entries) in &wanted.modules {
        compare_list(
            &["modules", module_type],
            manifest,
            entries,
            &mut differences,
        );
    }
    compare_list(
        &["modules", "endpoint"],
        manifest,
        &wanted.endpoints,
        &mut differences,
    );
    compare_list(&["remotes"], manifest, &wanted.remotes, &mut differences);

    let granted = scopes(manifest);
    for scope in wanted.scopes_given(&granted) {
        let place = Place::of(&["permissions", "scopes"]);
        let (place, code) = if !granted.contains(scope.name.as_str()) {
            (place, Value::from(scope.name.as_str()))
        } else if scope.impersonation && !allows_impersonation(manifest, &scope.name) {
            (place.value(&scope.name), scope_options(true))
        } else {
            continue;
        };
        differences.push(Difference {
            place,
            finding: Finding::Missing { code },
            origins: Vec::new(),
            reasons: scope.reasons,
        });
    }
    for merge::Stale { path, item, .. } in merge::stale_items(manifest, wanted) {
        differences.push(Difference {
            place: Place::of(&path).item(key(item).unwrap_or_default()),
            finding: Finding::Stale {
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
    differences: &mut Vec<Difference>,
) {
    let found: BTreeMap<&str, &Value> = list(manifest, path)
        .iter()
        .rev()
        .filter_map(|item| Some((key(item)?, item)))
        .collect();
    for entry in wanted {
        let place = Place::of(path).item(entry.key());
        let Some(item) = found.get(entry.key()) else {
            differences.push(Difference {
                place,
                finding: Finding::Missing {
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
        let wanted = wanted_of(path, item, &entry.item);
        compare_mapping(&place, found, &wanted, entry.owned, differences);
        for difference in &mut differences[before..] {
            difference.origins.clone_from(&entry.origins);
        }
    }
}

/// Key by key; what isn't owned is nothing to the code.
fn compare_mapping(
    place: &Place,
    found: &Mapping,
    wanted: &Mapping,
    owned: Owned,
    differences: &mut Vec<Difference>,
) {
    let push = |name: &Value, finding: Finding, differences: &mut Vec<Difference>| {
        let place = place.clone().name(name.as_str().unwrap_or_default());
        differences.push(Difference {
            place,
            finding,
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
                if let (Owned::Parts(_), Value::Mapping(found), Value::Mapping(wanted)) =
                    (inside, manifest, code)
                {
                    let place = place.clone().name(text);
                    compare_mapping(&place, found, wanted, inside, differences);
                    continue;
                }
                let finding = Finding::Different {
                    manifest: manifest.clone(),
                    code: code.clone(),
                };
                push(name, finding, differences);
            }
            None => push(name, Finding::Missing { code: code.clone() }, differences),
        }
    }
    for (name, manifest) in found.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
        if owned.has(name.as_str().unwrap_or_default()) && !is_empty_auth(name, manifest) {
            let finding = Finding::Stale {
                manifest: manifest.clone(),
            };
            push(name, finding, differences);
        }
    }
}

/// Equal for Forge: a token that isn't enabled is no token, and `2.0` is `2`.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    fn enabled(value: &Value) -> Option<BTreeSet<&str>> {
        let mut names = BTreeSet::new();
        for (name, token) in value.as_mapping()? {
            let name = name.as_str()?;
            if !matches!(name, "appSystemToken" | "appUserToken") {
                return None;
            }
            if token.as_mapping()?.get("enabled")?.as_bool()? {
                names.insert(name);
            }
        }
        Some(names)
    }
    a == b
        || matches!((enabled(a), enabled(b)), (Some(a), Some(b)) if a == b)
        || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b)
}

/// Whether a granted scope may be used for users who aren't in session.
pub(super) fn allows_impersonation(manifest: &Value, scope: &str) -> bool {
    let path = ["permissions", "scopes", scope, ALLOW_IMPERSONATION];
    let found = path
        .iter()
        .try_fold(manifest, |value, name| value.get(*name));
    found.and_then(Value::as_bool) == Some(true)
}

/// The granted scopes, in list or in map form.
pub(super) fn scopes(manifest: &Value) -> BTreeSet<&str> {
    match manifest
        .get("permissions")
        .and_then(|permissions| permissions.get("scopes"))
    {
        Some(Value::Sequence(names)) => names.iter().filter_map(Value::as_str).collect(),
        Some(Value::Mapping(names)) => names.keys().filter_map(Value::as_str).collect(),
        _ => BTreeSet::new(),
    }
}
