//! The changes of an update to a manifest, with the consequences for the next deployment.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use serde_yaml::Value;

use super::compare::{Difference, Mismatch, compare, compare_filled};
use super::desired::DesiredManifest;
use super::differences::default_or_name;
use super::emit;
use super::file::ManifestFile;
use super::filled::FilledManifest;
use super::items::key;
use super::path::{ManifestPath, Step};
use super::stale::{Fate, Prune};
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
    let differences = differences_by_item(before, wanted);
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
            Mismatch::Stale { .. } => match &one.fate {
                Some(Fate::Renamed {
                    to, replaces: None, ..
                }) => {
                    write!(lines, "  renamed  {path} → {to}")
                }
                Some(Fate::Renamed { to, .. }) => write!(
                    lines,
                    "  renamed  {path} → {to}, in place of the entry there"
                ),
                _ => write!(lines, "  removed  {path}"),
            },
        };
        lines.push('\n');
    }
    lines + &consequences(before, after)
}

/// Returns the differences before an update. A renamed entry is compared with the code's under its new key.
fn differences_by_item(before: &ManifestFile, wanted: &DesiredManifest) -> Vec<Difference> {
    let mut differences = compare(before, wanted);
    let is_renamed = |one: &Difference| matches!(one.fate, Some(Fate::Renamed { .. }));
    if !differences.iter().any(is_renamed) {
        return differences;
    }
    // By list: the indices of the items with their new keys, and of replaced items.
    let mut keys: BTreeMap<&str, BTreeMap<usize, &str>> = BTreeMap::new();
    let mut replaced: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for one in &differences {
        if let (
            Some(Fate::Renamed {
                to,
                index,
                replaces,
            }),
            [_, Step::Name(list), _],
        ) = (&one.fate, one.path.steps())
        {
            let keys = keys.entry(list).or_default();
            keys.insert(*index, to.key().unwrap_or_default());
            replaced.entry(list).or_default().extend(replaces);
        }
    }
    let mut value = before.value().clone();
    for (list, keys) in keys {
        let items = value.get_mut("modules").and_then(|all| all.get_mut(list));
        let Some(items) = items.and_then(Value::as_sequence_mut) else {
            continue;
        };
        for (index, new_key) in keys {
            let item = items.get_mut(index).and_then(Value::as_mapping_mut);
            if let Some(item) = item {
                item.insert("key".into(), new_key.into());
            }
        }
        let mut index = 0..;
        let replaced = replaced.remove(list).unwrap_or_default();
        items.retain(|_| index.next().is_none_or(|index| !replaced.contains(&index)));
    }
    let renamed = compare_filled(&FilledManifest::new(&value), wanted);
    let stale = differences.extract_if(.., |one| one.fate.is_some());
    let stale: Vec<Difference> = stale.collect();
    let others = renamed.into_iter().filter(|one| one.fate.is_none());
    others.chain(stale).collect()
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
    /// The keys of entries that may be another service's.
    unproven: Vec<String>,
    /// The ones among them that call a handler of this code.
    modules: Vec<String>,
    /// The keys of entries with hand-written parts, and these parts.
    with_parts: Vec<(String, String)>,
    /// The keys with which `--prune` removes the entries with parts.
    of_parts: Prune,
    /// The keys of entries that other parts name.
    used: Vec<String>,
    /// The keys of modules that go with an endpoint that is left.
    with_endpoint: Vec<String>,
    /// The keys of entries that only variables without a default may name, and these variables.
    by_variable: (Vec<String>, BTreeSet<String>),
    /// The keys with which `--prune` removes the unproven entries.
    of_unproven: Prune,
}

impl Left {
    /// Returns the entries of an updated manifest's differences.
    pub(crate) fn of(differences: &[Difference]) -> Self {
        let mut left = Self::default();
        for one in differences {
            // An entry without a key cannot be named.
            let Some(key) = one.path.key().filter(|key| !key.is_empty()) else {
                continue;
            };
            match &one.fate {
                None => {}
                Some(Fate::KeptBy { users, .. }) if users.iter().all(|user| user.is_unknown()) => {
                    let (keys, variables) = &mut left.by_variable;
                    keys.push(key.to_owned());
                    let names = users.iter().flat_map(|user| &user.without_default);
                    variables.extend(names.cloned());
                }
                Some(Fate::KeptBy { .. }) => left.used.push(key.to_owned()),
                Some(Fate::KeptWith { .. }) => left.with_endpoint.push(key.to_owned()),
                Some(Fate::HasParts { parts, prune }) => {
                    left.of_parts.extend(prune);
                    left.with_parts.push((key.to_owned(), parts.join(", ")));
                }
                Some(Fate::Unproven {
                    prune,
                    calls_handler,
                }) => {
                    left.of_unproven.extend(prune);
                    if *calls_handler {
                        left.modules.push(key.to_owned());
                    }
                    left.unproven.push(key.to_owned());
                }
                Some(Fate::Renamed { .. } | Fate::Removed) => {
                    left.of_unproven.add(key, &[]);
                    left.unproven.push(key.to_owned());
                }
            }
        }
        left
    }

    pub(crate) fn len(&self) -> usize {
        let lists = [
            &self.unproven,
            &self.used,
            &self.with_endpoint,
            &self.by_variable.0,
        ];
        lists.map(Vec::len).iter().sum::<usize>() + self.with_parts.len()
    }

    /// Returns the reasons why they are left; empty if there are none.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if !self.unproven.is_empty() {
            let all = self.unproven.join(", ");
            let foreign = match self.modules.len() {
                0 => "list the endpoints in `App::foreign_endpoints`".to_owned(),
                all if all == self.unproven.len() => {
                    "list them in `App::foreign_modules`".to_owned()
                }
                _ => format!(
                    "list the endpoints in `App::foreign_endpoints`, and {} in `App::foreign_modules`",
                    self.modules.join(", ")
                ),
            };
            let (keys, deleted) = (self.of_unproven.keys(), self.of_unproven.deleted());
            let _ = writeln!(
                text,
                "not removed, because they may be another service's: {all}. Remove them with `--prune {keys}`{deleted}, or {foreign}"
            );
        }
        if !self.with_parts.is_empty() {
            let keys = self.of_parts.keys();
            let entries = self.with_parts.iter();
            let entries = entries.map(|(key, parts)| format!("{key} ({parts})"));
            let entries = Vec::from_iter(entries).join(", ");
            let _ = writeln!(
                text,
                "not removed, because they have parts that the code does not declare: {entries}. Move these to entries of \
                 the code, then remove the old ones with `--prune {keys}`"
            );
        }
        if !self.used.is_empty() {
            let _ = writeln!(
                text,
                "not removed, because other parts name them: {}. Change these parts first",
                self.used.join(", ")
            );
        }
        if !self.with_endpoint.is_empty() {
            let _ = writeln!(
                text,
                "not removed, because their endpoints are not: {}",
                self.with_endpoint.join(", ")
            );
        }
        let (keys, variables) = &self.by_variable;
        if !keys.is_empty() {
            let _ = writeln!(
                text,
                "not removed, because a variable without a default may name them: {}. To see which they are, {}",
                keys.join(", "),
                default_or_name(variables)
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
