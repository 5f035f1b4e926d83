//! The differences between two manifests, while they are collected.

use std::collections::BTreeMap;
use std::fmt;

use serde_yaml::Value;

use super::rules::{VersionLevel, VersionRule};
use crate::diagnostic::Position;
use crate::manifest::file::ManifestFile;
use crate::manifest::items::{key, same};
use crate::manifest::path::ManifestPath;

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
    /// The effect on installations on the older version: the handlers and paths that they still
    /// call.
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

/// The two manifests, and the differences found so far.
pub(super) struct Changes<'a> {
    pub(super) before: &'a Value,
    pub(super) after: &'a Value,
    pub(super) file: &'a ManifestFile,
    pub(super) found: Vec<VersionChange>,
}

impl Changes<'_> {
    /// Adds a difference, and returns it for more details.
    pub(super) fn add(
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
pub(super) fn paired<'a>(
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
pub(super) fn changed_properties(before: &Value, after: &Value, except: &[&str]) -> Option<String> {
    const NOTHING: &Value = &Value::Null;
    let mappings = [before, after].map(|value| value.as_mapping().into_iter().flatten());
    let names = mappings
        .into_iter()
        .flatten()
        .filter_map(|(name, _)| name.as_str());
    // An `auth` without an enabled token means the same as none.
    let empty = Value::Mapping(serde_yaml::Mapping::new());
    let mut changed: Vec<&str> = Vec::new();
    for name in names.filter(|name| !except.contains(name)) {
        let [old, new] = [before, after].map(|item| item.get(name).unwrap_or(NOTHING));
        let absent = |one: &Value| name == "auth" && (one.is_null() || same(one, &empty));
        let is_same = same(old, new) || (absent(old) && absent(new));
        if !is_same && !changed.contains(&name) {
            changed.push(name);
        }
    }
    (!changed.is_empty()).then(|| format!("`{}`", changed.join("`, `")))
}
