//! The items of a manifest that the code does not declare, and their fates.

use std::collections::BTreeSet;

use super::desired::Entry;
use super::filled::FilledPart;
use super::path::ManifestPath;

/// An item that calls this app's remotes and that the code does not declare.
#[derive(Clone)]
pub(super) struct Stale<'a> {
    pub(super) path: [&'static str; 2],
    pub(super) index: usize,
    pub(super) part: FilledPart<'a>,
    /// Whether an update removes it, or gives it the new key: it is proven to be of this code base, nothing hand-written
    /// would be lost, and no item that stays names it.
    pub(super) removable: bool,
    /// Whether it is proven to be of this code base.
    pub(super) is_proven: bool,
    /// The code's entry that it becomes.
    pub(super) becomes: Option<Becomes<'a>>,
    /// The hand-written parts that a removal would lose, if its key is not named.
    pub(super) parts: Vec<String>,
    /// The items that name it and stay, so that neither an update nor `--prune` removes it.
    pub(super) kept_by: Vec<User>,
    /// The keys with which `--prune` removes it: its own, and those of the stale items that name it.
    pub(super) prune: BTreeSet<String>,
    /// The endpoint that it goes with: its key was generated from the endpoint's.
    pub(super) goes_with: Option<&'a str>,
    /// Whether it calls a handler of this code, so that its endpoint cannot be declared as another service's.
    pub(super) calls_handler: bool,
}

/// The code's entry that an item with a former key becomes.
#[derive(Clone, Copy)]
pub(super) struct Becomes<'a> {
    pub(super) entry: &'a Entry,
    /// The index of the manifest's item of this entry, which has nothing hand-written and is removed.
    pub(super) replaces: Option<usize>,
}

/// An item that stays and names a stale one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct User {
    pub(super) path: ManifestPath,
    /// Whether it names the item by a variable, which may have another value.
    pub(super) by_variable: bool,
}

/// The change that an update makes to a stale item, or the reason why it leaves it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fate {
    /// It gets the key of the code's entry that it was: this path.
    Renamed {
        to: ManifestPath,
        /// The index of the item of this key, which it replaces.
        replaces: Option<usize>,
    },
    Removed,
    /// It stays, because these items name it.
    KeptBy(Vec<User>),
    /// It stays, because these hand-written parts would be lost. `--prune` with these keys removes it.
    HasParts {
        parts: Vec<String>,
        prune: BTreeSet<String>,
    },
    /// It stays, because it may be another service's. `--prune` with these keys removes it.
    Unproven {
        prune: BTreeSet<String>,
        /// Whether it calls a handler of this code.
        calls_handler: bool,
    },
}

impl<'a> Stale<'a> {
    /// Returns the entry whose key an update gives to the item.
    pub(super) fn renamed(&self) -> Option<Becomes<'a>> {
        self.becomes.filter(|_| self.removable)
    }

    /// Returns the item's key, with the defaults of its variables.
    pub(super) fn key(&self) -> &'a str {
        self.part.key().unwrap_or_default()
    }

    pub(super) fn manifest_path(&self) -> ManifestPath {
        ManifestPath::of(&self.path).item(self.key())
    }

    pub(super) fn fate(&self) -> Fate {
        let prune = || self.prune.clone();
        match self.renamed() {
            Some(Becomes { entry, replaces }) => Fate::Renamed {
                to: ManifestPath::of(&self.path).item(entry.key()),
                replaces,
            },
            None if self.removable => Fate::Removed,
            None if !self.kept_by.is_empty() => Fate::KeptBy(self.kept_by.clone()),
            None if self.is_proven && !self.parts.is_empty() => Fate::HasParts {
                parts: self.parts.clone(),
                prune: prune(),
            },
            None => Fate::Unproven {
                prune: prune(),
                calls_handler: self.calls_handler,
            },
        }
    }
}
