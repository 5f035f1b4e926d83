//! The items of a manifest that the code does not declare.

use serde_yaml::Value;

use super::items::key;
use super::path::ManifestPath;

/// An item that calls this app's remotes and that the code does not declare.
pub(super) struct Stale<'a> {
    pub(super) path: [&'static str; 2],
    pub(super) index: usize,
    pub(super) item: &'a Value,
    /// Whether an update removes it: it is proven to be of this code base, and no item that stays names it.
    pub(super) removable: bool,
    /// The items that name it and stay, if only they keep it from being removed.
    pub(super) kept_by: Vec<ManifestPath>,
    /// The endpoint that it goes with: its key was generated from the endpoint's.
    pub(super) goes_with: Option<&'a str>,
}

impl Stale<'_> {
    pub(super) fn manifest_path(&self) -> ManifestPath {
        ManifestPath::of(&self.path).item(key(self.item).unwrap_or_default())
    }
}
