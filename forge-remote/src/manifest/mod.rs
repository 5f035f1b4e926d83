//! `manifest.yml`: the items that the code declares, the file, the differences between the two, and
//! the lints. This module imports neither HTTP nor handlers.
//!
//! Without the feature `cli`, only the desired items and the value of the file are available.

#[cfg(feature = "cli")]
mod adopt;
mod base_url;
#[cfg(feature = "cli")]
mod bindings;
#[cfg(feature = "cli")]
mod changes;
#[cfg(feature = "cli")]
mod check;
#[cfg(feature = "cli")]
mod comments;
#[cfg(feature = "cli")]
mod compare;
mod desired;
#[cfg(feature = "cli")]
mod differences;
#[cfg(feature = "cli")]
mod draft;
#[cfg(feature = "cli")]
mod edit;
#[cfg(feature = "cli")]
mod emit;
#[cfg(feature = "cli")]
mod equivalent;
mod error;
#[cfg(feature = "cli")]
mod evidence;
#[cfg(feature = "cli")]
mod file;
#[cfg(feature = "cli")]
mod filled;
#[cfg(feature = "cli")]
mod flow_style;
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
mod items;
#[cfg(feature = "cli")]
mod kept;
#[cfg(feature = "cli")]
mod layout;
#[cfg(feature = "cli")]
mod lines;
#[cfg(feature = "cli")]
mod lint;
mod owned;
#[cfg(feature = "cli")]
mod ownership;
#[cfg(feature = "cli")]
mod parallel;
#[cfg(feature = "cli")]
mod parts;
#[cfg(feature = "cli")]
mod path;
#[cfg(feature = "cli")]
mod plan;
mod properties;
#[cfg(feature = "cli")]
mod prune;
mod read;
#[cfg(feature = "cli")]
mod reconcile;
#[cfg(feature = "cli")]
mod reconciled;
mod remote;
#[cfg(feature = "cli")]
mod stale;
#[cfg(feature = "cli")]
mod taken;
mod text;
#[allow(
    missing_docs,
    unreachable_pub,
    reason = "public for the fuzz targets alone"
)]
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
pub(crate) mod tree;
#[cfg(feature = "cli")]
mod uses;
mod values;
mod variables;
#[cfg(feature = "cli")]
mod versions;
#[cfg(feature = "cli")]
mod write;

#[cfg(test)]
#[cfg(feature = "cli")]
mod emit_tests;
#[cfg(test)]
#[cfg(feature = "cli")]
mod merge_tests;

#[cfg(feature = "cli")]
pub(crate) use adopt::{Adopted, adopt};
pub(crate) use base_url::path as base_path;
#[cfg(feature = "cli")]
pub(crate) use bindings::bindings;
#[cfg(feature = "cli")]
pub(crate) use changes::{Left, changes};
#[cfg(feature = "cli")]
pub(crate) use check::check_compared;
#[cfg(feature = "cli")]
pub(crate) use compare::{Difference, compare};
pub use desired::{DesiredManifest, Entry, Scope, ScopeAlternatives};
pub(crate) use desired::{FormerKey, TOKEN_SCOPES};
#[cfg(feature = "cli")]
pub(crate) use draft::Draft;
#[cfg(feature = "cli")]
pub use error::CheckError;
pub use error::ManifestError;
#[cfg(feature = "cli")]
pub use file::ManifestFile;
pub(crate) use items::{ForeignModules, keys_of_endpoints};
pub use owned::OwnedProperties;
#[cfg(feature = "cli")]
pub(crate) use parallel::in_parallel;
#[cfg(feature = "cli")]
pub use path::ManifestPath;
pub(crate) use properties::{MAX_PROPERTIES, TOO_MANY_PROPERTIES, included_paths};
#[cfg(feature = "cli")]
pub(crate) use prune::prune_problem;
#[cfg(not(feature = "cli"))]
pub(crate) use read::ManifestFile;
pub(crate) use read::ManifestReader;
pub use remote::{Remote, RemoteOperation, RemoteRegion};
pub(crate) use values::mapping;
pub(crate) use variables::{VariableError, Variables};

#[cfg(feature = "cli")]
pub use check::{check, find_rule, render, rules};
#[cfg(feature = "cli")]
pub(crate) use versions::{
    Former, FormerPath, are_of_different_apps, is_app_managed, variables_without_default,
};
#[cfg(feature = "cli")]
pub use versions::{VersionChange, VersionLevel, version_changes};

pub use crate::diagnostic::{Diagnostic, Position, Rule, Severity};
