//! The differences between two manifests, while they are collected.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde_yaml::Value;

use super::normal_form;
use super::rules::{VersionLevel, VersionRule};
use crate::diagnostic::{Diagnostic, Position, Rule, Severity};
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
    /// The bytes to underline in the new manifest.
    #[serde(skip)]
    span: Range<usize>,
}

/// The endpoints that an older major version calls and the new manifest no longer has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Former {
    #[default]
    Nothing,
    /// An endpoint or a module: its key if it was removed, and the paths that are no longer its own.
    Item {
        key: Option<String>,
        paths: Vec<FormerPath>,
    },
    /// Base URLs of a remote.
    BaseUrls {
        /// The paths of endpoints and modules that are still there.
        paths: Vec<FormerPath>,
        /// The scheme and the host, if no base URL has them any more.
        origins: Vec<String>,
    },
}

/// The path of an endpoint or a module in an older major version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FormerPath {
    /// The key of the endpoint or the module.
    pub(crate) item: String,
    /// The key of its remote.
    pub(crate) remote: String,
    /// The path of the remote's base URL; empty if it has none.
    pub(crate) base: String,
    /// The path in the manifest.
    pub(crate) route: String,
    /// The hook whose path is appended; empty for an endpoint.
    pub(crate) hook: &'static str,
}

impl FormerPath {
    /// Returns the path of the calls, beneath the base URL's path.
    pub(crate) fn called_route(&self) -> String {
        match self.hook {
            "" => self.route.clone(),
            hook => format!("{}/{hook}", self.route),
        }
    }

    /// Returns the path of the calls.
    pub(crate) fn called(&self) -> String {
        format!("{}{}", self.base, self.called_route())
    }
}

impl VersionChange {
    /// Returns the change as a diagnostic, with the version instead of the severity.
    pub(crate) fn diagnostic(&self) -> Diagnostic {
        let (severity, name) = match self.level {
            VersionLevel::Major => (Severity::Warning, "major"),
            VersionLevel::Minor => (Severity::Note, "minor"),
        };
        let rule = Rule::version(self.code, self.reason);
        let diagnostic = Diagnostic::new(&rule, severity, self.message.as_str())
            .titled(name)
            .in_manifest((self.manifest, self.span.clone()))
            .notes([self.reason.to_owned(), format!("source: {}", self.source)]);
        match &self.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }
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
        let (manifest, span) = self.file.locate(&path);
        self.found.push(VersionChange {
            code: rule.rule.code,
            level: rule.level,
            message: message.into(),
            reason: rule.rule.explanation,
            source: rule.source,
            manifest,
            path,
            help: None,
            former: Former::default(),
            span,
        });
        &mut self.found[at]
    }
}

/// An item before and after.
pub(super) type Pair<'a> = (Option<&'a Value>, Option<&'a Value>);

/// Returns two lists of items side by side, by key. If several items of a list have one key, the first counts,
/// as for `manifest --check`.
pub(super) fn paired<'a>(before: &'a [Value], after: &'a [Value]) -> BTreeMap<String, Pair<'a>> {
    let name =
        |at: usize, item: &Value| key(item).map_or_else(|| format!("#{}", at + 1), str::to_owned);
    let mut pairs: BTreeMap<String, Pair<'a>> = BTreeMap::new();
    for (at, item) in before.iter().enumerate() {
        let pair = pairs.entry(name(at, item)).or_default();
        pair.0.get_or_insert(item);
    }
    for (at, item) in after.iter().enumerate() {
        let pair = pairs.entry(name(at, item)).or_default();
        pair.1.get_or_insert(item);
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
        let is_same = same(old, new)
            || absent(old) && absent(new)
            || same(&normal_form::of_value(old), &normal_form::of_value(new));
        if !is_same && !changed.contains(&name) {
            changed.push(name);
        }
    }
    (!changed.is_empty()).then(|| format!("`{}`", changed.join("`, `")))
}
