//! The differences between a manifest and the code, in both directions.

use std::collections::{BTreeMap, BTreeSet};

use serde_yaml::{Mapping, Value};

use super::desired::{DesiredManifest, Entry};
use super::emit;
use super::equivalent::{KeptVariables, wanted_of};
use super::file::ManifestFile;
use super::filled::{FilledManifest, FilledPart};
use super::items::{allows_impersonation, granted, is_empty_auth, same};
use super::owned::OwnedProperties;
use super::ownership::stale_items;
use super::path::{ManifestPath, Step};
use super::stale::Fate;
use super::values::scope_options;
use super::variables::{Variables, has_reference, is_variable};
use crate::diagnostic::Location;

/// One difference between the manifest and the code.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    /// The path in the manifest.
    pub(super) path: ManifestPath,
    /// The kind of the difference, with the values.
    pub(super) mismatch: Mismatch,
    /// The positions of the handlers that declare it; empty if no handler does.
    pub(super) origins: Vec<Location>,
    /// The reasons why the code needs it, for scopes.
    pub(super) reasons: Vec<String>,
    /// The fate of a stale item; `None` for other differences.
    pub(super) fate: Option<Fate>,
    /// The variables of a value that differs, which an update keeps or removes.
    pub(super) variables: VariablesOfValue,
}

/// The variables of a value in the manifest that differs from the code's.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct VariablesOfValue {
    /// Whether an update keeps any of them.
    pub(super) has_kept: bool,
    /// The texts with variables that an update removes, because the code lacks what they are part of.
    pub(super) removed: BTreeSet<String>,
}

impl VariablesOfValue {
    fn new(before: &Value, after: Option<&Value>) -> Self {
        let mut kept = BTreeSet::new();
        after
            .into_iter()
            .for_each(|after| add_texts(after, &mut kept));
        let mut removed = BTreeSet::new();
        add_texts(before, &mut removed);
        let has_kept = removed.intersection(&kept).next().is_some();
        removed.retain(|text| !kept.contains(text));
        Self { has_kept, removed }
    }
}

/// Adds the texts of a value that have variables.
fn add_texts(value: &Value, texts: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if is_variable(text) => {
            texts.insert(text.clone());
        }
        Value::Sequence(items) => items.iter().for_each(|item| add_texts(item, texts)),
        Value::Mapping(parts) => parts.values().for_each(|part| add_texts(part, texts)),
        _ => {}
    }
}

/// The kind of a difference between a manifest and the code.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mismatch {
    /// Only the code has it.
    Missing { code: Value },
    /// Both have it, with different values.
    Different { manifest: Value, code: Value },
    /// Only the manifest has it.
    Stale { manifest: Value },
}

impl Difference {
    fn new(path: ManifestPath, mismatch: Mismatch) -> Self {
        Self {
            path,
            mismatch,
            origins: Vec::new(),
            reasons: Vec::new(),
            fate: None,
            variables: VariablesOfValue::default(),
        }
    }

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

impl ManifestFile {
    /// Returns every difference from the code, for tests.
    #[doc(hidden)]
    pub fn differences(&self, wanted: &DesiredManifest) -> Vec<String> {
        let differences = compare(self, wanted);
        differences.iter().map(Difference::headline).collect()
    }

    /// Returns every difference but the entries that another part names, which no update removes, for tests.
    #[doc(hidden)]
    pub fn unkept_differences(&self, wanted: &DesiredManifest) -> Vec<String> {
        let differences = compare(self, wanted);
        let is_used = |one: &&Difference| matches!(one.fate, Some(Fate::KeptBy { .. }));
        let unused = differences.iter().filter(|one| !is_used(one));
        unused.map(Difference::headline).collect()
    }
}

/// Returns a value in back-ticks, on one line.
fn show(value: &Value) -> String {
    format!("`{}`", emit::inline(value))
}

/// Returns every difference between a manifest and the code.
pub(crate) fn compare(file: &ManifestFile, wanted: &DesiredManifest) -> Vec<Difference> {
    compare_filled(&FilledManifest::of(file), wanted)
}

/// Returns the differences of a manifest whose variables are known.
pub(super) fn compare_filled(
    filled: &FilledManifest<'_>,
    wanted: &DesiredManifest,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (module_type, entries) in &wanted.modules {
        compare_list(
            &["modules", module_type],
            filled,
            entries,
            wanted,
            &mut differences,
        );
    }
    compare_list(
        &["modules", "endpoint"],
        filled,
        &wanted.endpoints,
        wanted,
        &mut differences,
    );
    compare_list(
        &["remotes"],
        filled,
        &wanted.remotes,
        wanted,
        &mut differences,
    );

    let granted: BTreeSet<&str> = granted(&filled.value).collect();
    for scope in wanted.scopes_given(&granted) {
        let place = ManifestPath::of(&["permissions", "scopes"]);
        let (place, code) = if !granted.contains(scope.name.as_str()) {
            (place, Value::from(scope.name.as_str()))
        } else if scope.impersonation && !allows_impersonation(&filled.value, &scope.name) {
            (place.value(&scope.name), scope_options(true))
        } else {
            continue;
        };
        differences.push(Difference {
            reasons: scope.reasons,
            ..Difference::new(place, Mismatch::Missing { code })
        });
    }
    for stale in stale_items(filled, wanted) {
        let mismatch = Mismatch::Stale {
            manifest: stale.part.value.clone(),
        };
        differences.push(Difference {
            fate: Some(stale.fate()),
            ..Difference::new(stale.manifest_path(), mismatch)
        });
    }
    differences
}

fn compare_list(
    path: &[&str],
    filled: &FilledManifest<'_>,
    wanted: &[Entry],
    desired: &DesiredManifest,
    differences: &mut Vec<Difference>,
) {
    let found = by_key(filled, path);
    for entry in wanted {
        let place = ManifestPath::of(path).item(entry.key());
        let Some(part) = found.get(entry.key()) else {
            let mismatch = Mismatch::Missing {
                code: Value::Mapping(entry.item.clone()),
            };
            differences.push(Difference {
                origins: entry.origins.clone(),
                ..Difference::new(place, mismatch)
            });
            continue;
        };
        let before = differences.len();
        let empty = Mapping::new();
        let found = part.written.as_mapping().unwrap_or(&empty);
        let kept = KeptVariables::WithValueOfCode(&filled.variables);
        let wanted = wanted_of(path, *part, &entry.item, desired, kept);
        compare_mapping(&place, found, &wanted, entry.owned, differences);
        let mut updated = None;
        for difference in &mut differences[before..] {
            difference.origins.clone_from(&entry.origins);
            if let Mismatch::Different { manifest, .. } = &difference.mismatch
                && has_reference(manifest)
            {
                let all = KeptVariables::All(&filled.variables);
                let updated = updated
                    .get_or_insert_with(|| wanted_of(path, *part, &entry.item, desired, all));
                let names = difference.path.steps().iter().skip(place.steps().len());
                let mut names = names.map(|step| match step {
                    Step::Name(name) => Some(name.as_str()),
                    _ => None,
                });
                let first = names.next().flatten().and_then(|name| updated.get(name));
                let value = names.try_fold(first, |value, name| Some(value?.get(name?)));
                difference.variables = VariablesOfValue::new(manifest, value.flatten());
            }
        }
    }
}

/// Returns the items of a list by their keys. If several have the same key, the first counts.
fn by_key<'a>(filled: &'a FilledManifest<'_>, path: &[&str]) -> BTreeMap<&'a str, FilledPart<'a>> {
    let mut found = BTreeMap::new();
    for part in filled.items(path) {
        if let Some(key) = part.key() {
            found.entry(key).or_insert(part);
        }
    }
    found
}

/// Returns the properties that the code decides and whose value only `forge deploy` knows, because they have a
/// variable without a default: each with its text and the code's value. Base URLs are left out.
pub(super) fn unknown_values(
    manifest: &Value,
    wanted: &DesiredManifest,
) -> Vec<(ManifestPath, String, Value)> {
    let filled = FilledManifest::new(manifest);
    let mut unknown = Vec::new();
    if !has_reference(&filled.value) {
        return unknown;
    }
    let modules = wanted.modules.iter();
    let modules = modules.map(|(module_type, entries)| (*module_type, entries));
    for (module_type, entries) in modules.chain([("endpoint", &wanted.endpoints)]) {
        let path = ["modules", module_type];
        let found = by_key(&filled, &path);
        for entry in entries {
            if let Some(part) = found.get(entry.key()) {
                let place = ManifestPath::of(&path).item(entry.key());
                let code = Value::Mapping(entry.item.clone());
                add_unknown(place, part.written, &code, &filled.variables, &mut unknown);
            }
        }
    }
    unknown
}

fn add_unknown(
    place: ManifestPath,
    written: &Value,
    code: &Value,
    variables: &Variables<'_>,
    unknown: &mut Vec<(ManifestPath, String, Value)>,
) {
    match (written, code) {
        (Value::String(text), _) if variables.is_unknown(text) => {
            unknown.push((place, text.clone(), code.clone()));
        }
        (Value::Mapping(_), Value::Mapping(code)) => {
            for (name, code) in code {
                if let (Some(text), Some(written)) = (name.as_str(), written.get(name)) {
                    add_unknown(place.clone().name(text), written, code, variables, unknown);
                }
            }
        }
        (Value::Sequence(items), _) => {
            let mut texts = items.iter().filter_map(Value::as_str);
            if let Some(text) = texts.find(|text| variables.is_unknown(text)) {
                unknown.push((place, text.to_owned(), code.clone()));
            }
        }
        _ => {}
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
        differences.push(Difference::new(place, mismatch));
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
