//! The items of a manifest that the code does not declare.

use std::collections::BTreeSet;

use serde_yaml::Value;

use super::desired::Entry;
use super::items::key;
use super::path::ManifestPath;

/// An item that calls this app's remotes and that the code does not declare.
#[derive(Clone)]
pub(super) struct Stale<'a> {
    pub(super) path: [&'static str; 2],
    pub(super) index: usize,
    pub(super) item: &'a Value,
    /// Whether an update removes it, or gives it the new key: it is proven to be of this code base, and no item that stays
    /// names it.
    pub(super) removable: bool,
    /// The code's entry that it becomes: its key is a former one of this entry, which the manifest lacks.
    pub(super) becomes: Option<&'a Entry>,
    /// The items that name it and stay, so that neither an update nor `--prune` removes it.
    pub(super) kept_by: Vec<ManifestPath>,
    /// The keys with which `--prune` removes it: its own, and those of the stale items that name it.
    pub(super) prune: BTreeSet<String>,
    /// The endpoint that it goes with: its key was generated from the endpoint's.
    pub(super) goes_with: Option<&'a str>,
}

impl<'a> Stale<'a> {
    /// Returns the entry whose key an update gives to the item.
    pub(super) fn renamed(&self) -> Option<&'a Entry> {
        self.becomes.filter(|_| self.removable)
    }

    pub(super) fn manifest_path(&self) -> ManifestPath {
        ManifestPath::of(&self.path).item(key(self.item).unwrap_or_default())
    }
}
