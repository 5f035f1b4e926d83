//! The app version that deploying a manifest creates: its differences from the deployed manifest, each
//! with Atlassian's rule.
//!
//! Every rule is in the table of `rules.rs`, with its source; the other files find the differences.

mod addresses;
mod app;
mod changes;
mod modules;
mod normal_form;
mod permissions;
mod remotes;
mod rules;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde_yaml::Value;

use super::file::ManifestFile;
use super::values::at;
use super::variables::{Variables, references};
use crate::diagnostic::Rule;
use crate::fit::AppId;
use changes::Changes;
pub use changes::VersionChange;
pub(crate) use changes::{Former, FormerPath};
pub use rules::VersionLevel;

/// Compares a manifest with the deployed one. Major changes come first.
///
/// Both are manifests of one app. Manifest variables count with their declared defaults. Comments and notation
/// don't count, nor does the order of properties, of items that have a `key`, and of events, actions and scopes.
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
    let before = with_defaults(deployed);
    let after = with_defaults(new);
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

/// Returns a manifest's value with the declared defaults of its variables.
fn with_defaults(file: &ManifestFile) -> Cow<'_, Value> {
    let value = file.value();
    match file.has_reference() {
        true => Cow::Owned(Variables::of(value).with_defaults(value)),
        false => Cow::Borrowed(value),
    }
}

/// Returns the variables without a declared default that either manifest uses. Their values are known at the
/// deployment, so a difference there is in no [`VersionChange`]. An app's id makes no version.
pub(crate) fn variables_without_default(
    deployed: &ManifestFile,
    new: &ManifestFile,
) -> BTreeSet<String> {
    fn collect(value: &Value, names: &mut BTreeSet<String>) {
        match value {
            Value::String(text) => names.extend(references(text).map(str::to_owned)),
            Value::Sequence(items) => items.iter().for_each(|item| collect(item, names)),
            Value::Mapping(parts) => parts.iter().for_each(|(_, part)| collect(part, names)),
            _ => {}
        }
    }
    let mut names = BTreeSet::new();
    for file in [deployed, new] {
        let mut manifest = with_defaults(file).into_owned();
        if let Some(app) = manifest.get_mut("app").and_then(Value::as_mapping_mut) {
            app.shift_remove("id");
        }
        if let Some(sections) = manifest.as_mapping_mut() {
            sections.shift_remove("environment");
        }
        collect(&manifest, &mut names);
    }
    names
}

/// Returns whether two manifests are of different apps; a variable without a default may be any app.
pub(crate) fn are_of_different_apps(deployed: &ManifestFile, new: &ManifestFile) -> bool {
    let id = |file: &ManifestFile| {
        let id = Variables::of(file.value()).resolve_defaults(file.app_id()?);
        id.ok()?.parse::<AppId>().ok()
    };
    matches!((id(deployed), id(new)), (Some(deployed), Some(new)) if deployed != new)
}

/// Returns whether permissions wait for an admin's consent, but the app's code does not.
/// Source: <https://developer.atlassian.com/platform/forge/rolling-releases/>
pub(crate) fn is_app_managed(file: &ManifestFile) -> bool {
    let enforcement = at(file.value(), &["permissions", "enforcement"]);
    enforcement.and_then(Value::as_str) == Some("app-managed")
}

/// Returns the rules about versions.
pub(super) fn rules() -> impl Iterator<Item = &'static Rule> {
    rules::RULES.iter().map(|one| &one.rule)
}
