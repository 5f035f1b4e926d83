//! The app version that deploying a manifest creates: its differences from the deployed manifest, each
//! with Atlassian's rule.
//!
//! Every rule is in the table of `rules.rs`, with its source; the other files find the differences.

mod app;
mod modules;
mod permissions;
mod remotes;
mod rules;
mod variables;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use serde_yaml::Value;

use super::file::ManifestFile;
use super::items::{key, same};
use super::path::ManifestPath;
use crate::diagnostic::{Position, Rule};
use rules::VersionRule;

/// The version that `forge deploy` creates for a change.
/// Source: <https://developer.atlassian.com/platform/forge/versions/>
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VersionLevel {
    /// Forge upgrades every installation automatically.
    Minor,
    /// The admin of each installation must consent to the upgrade. Until then the installation stays
    /// on its version.
    Major,
}

impl fmt::Display for VersionLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Minor => "minor",
            Self::Major => "major",
        })
    }
}

/// One difference between the deployed manifest and a new one.
///
/// As JSON it has the keys `code`, `version` (`"major"` or `"minor"`), `path`, `message`, `reason`,
/// `source`, `manifest` (`{line, column}`) and `help`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct VersionChange {
    /// The code of Atlassian's rule, for the command `explain`.
    pub code: &'static str,
    /// The version that the rule demands.
    #[serde(rename = "version")]
    pub level: VersionLevel,
    /// The path of the changed part.
    pub path: ManifestPath,
    /// The difference.
    pub message: String,
    /// The reason for the version.
    pub reason: &'static str,
    /// The page with the rule.
    pub source: &'static str,
    /// The position in the new manifest: of the part, or of the closest one around it.
    pub manifest: Position,
    /// Advice.
    pub help: Option<String>,
    /// What installations on the older version still call.
    #[serde(skip)]
    pub(crate) former: Former,
}

/// The key and the path that an older major version calls and the new manifest no longer has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Former {
    pub(crate) key: Option<String>,
    pub(crate) path: Option<String>,
}

impl fmt::Display for VersionChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            code,
            level,
            message,
            ..
        } = self;
        write!(f, "{level}[{code}]: {message}")
    }
}

/// Compares a manifest with the deployed one. Major changes come first.
///
/// Manifest variables count with their declared defaults. Comments, order and notation don't count.
///
/// ```
/// use forge_remote::manifest::{ManifestFile, VersionLevel, version_changes};
///
/// let parse = |text: &str| ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap();
/// let deployed = parse("permissions: {scopes: ['read:jira-work']}");
/// let new = parse("permissions: {scopes: ['read:jira-work', 'write:jira-work']}");
/// let changes = version_changes(&deployed, &new);
/// assert_eq!(changes[0].level, VersionLevel::Major);
/// assert_eq!(changes[0].message, "the scope `write:jira-work` was added");
/// ```
pub fn version_changes(deployed: &ManifestFile, new: &ManifestFile) -> Vec<VersionChange> {
    let before = variables::resolved(deployed.value());
    let after = variables::resolved(new.value());
    let mut changes = Changes {
        before: &before,
        after: &after,
        file: new,
        found: Vec::new(),
    };
    remotes::compare(&mut changes);
    modules::compare(&mut changes);
    permissions::compare(&mut changes);
    app::compare(&mut changes);
    let mut found = changes.found;
    found.sort_by_key(|one| (Reverse(one.level), one.manifest));
    found
}

/// Returns the rules about versions.
pub(super) fn rules() -> impl Iterator<Item = &'static Rule> {
    rules::RULES.iter().map(|one| &one.rule)
}

/// The two manifests, and the differences found so far.
struct Changes<'a> {
    before: &'a Value,
    after: &'a Value,
    file: &'a ManifestFile,
    found: Vec<VersionChange>,
}

impl Changes<'_> {
    /// Adds a difference, and returns it for more details.
    fn add(
        &mut self,
        rule: &'static VersionRule,
        path: ManifestPath,
        message: impl Into<String>,
    ) -> &mut VersionChange {
        let at = self.found.len();
        self.found.push(VersionChange {
            code: rule.rule.code,
            level: rule.level,
            message: message.into(),
            reason: rule.rule.explanation,
            source: rule.source,
            manifest: self.file.position(&path),
            path,
            help: None,
            former: Former::default(),
        });
        &mut self.found[at]
    }
}

/// Two lists of items side by side: each key with the item before and after.
fn paired<'a>(
    before: &'a [Value],
    after: &'a [Value],
) -> BTreeMap<String, (Option<&'a Value>, Option<&'a Value>)> {
    let name =
        |at: usize, item: &Value| key(item).map_or_else(|| format!("#{}", at + 1), str::to_owned);
    let mut pairs: BTreeMap<String, (Option<&Value>, Option<&Value>)> = BTreeMap::new();
    for (at, item) in before.iter().enumerate() {
        pairs.entry(name(at, item)).or_default().0 = Some(item);
    }
    for (at, item) in after.iter().enumerate() {
        pairs.entry(name(at, item)).or_default().1 = Some(item);
    }
    pairs
}

/// Returns the names of the properties that differ, as text; `None` if no property differs.
fn changed_properties(before: &Value, after: &Value, except: &[&str]) -> Option<String> {
    let nothing = Value::Null;
    let mappings = [before, after].map(|value| value.as_mapping().into_iter().flatten());
    let names = mappings
        .into_iter()
        .flatten()
        .filter_map(|(name, _)| name.as_str());
    let mut changed: Vec<String> = Vec::new();
    for name in names {
        let value = |item: &Value| item.get(name).cloned().unwrap_or(nothing.clone());
        let (old, new) = (value(before), value(after));
        // An `auth` without an enabled token means the same as none.
        let empty = Value::Mapping(serde_yaml::Mapping::new());
        let absent = |one: &Value| name == "auth" && (one.is_null() || same(one, &empty));
        let is_same = same(&old, &new) || (absent(&old) && absent(&new));
        let shown = format!("`{name}`");
        if !is_same && !except.contains(&name) && !changed.contains(&shown) {
            changed.push(shown);
        }
    }
    (!changed.is_empty()).then(|| changed.join(", "))
}
