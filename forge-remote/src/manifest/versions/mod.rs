//! The app version that deploying a manifest creates: its differences from the deployed manifest, each
//! with Atlassian's rule.
//!
//! Every rule is in the table of `rules.rs`, with its source; the other files find the differences.

mod addresses;
mod app;
mod changes;
mod modules;
mod permissions;
mod remotes;
mod rules;
mod variables;

use std::cmp::Reverse;

use super::file::ManifestFile;
use crate::diagnostic::Rule;
use changes::Changes;
pub(crate) use changes::Former;
pub use changes::VersionChange;
pub use rules::VersionLevel;

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
