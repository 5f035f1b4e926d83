//! The items of a manifest that the code does not declare, and their fates.

use std::collections::{BTreeMap, BTreeSet};

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
    /// The hand-written parts that a removal would delete, if its key is not named: names in back-ticks, or words.
    pub(super) parts: Vec<String>,
    /// The items that name it and stay, so that neither an update nor `--prune` removes it.
    pub(super) kept_by: Vec<User>,
    /// The keys with which `--prune` removes it: its own, and those of the stale items that name it.
    pub(super) prune: Prune,
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
    /// The variables without a default in this name: any item may be named.
    pub(super) without_default: BTreeSet<String>,
}

/// The keys with which `--prune` removes an item, each with the hand-written parts that this deletes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Prune(BTreeMap<String, Vec<String>>);

impl Prune {
    pub(super) fn add(&mut self, key: &str, parts: &[String]) {
        let of_key = self.0.entry(key.to_owned()).or_default();
        of_key.extend_from_slice(parts);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the parts that are deleted with the entry of a key.
    pub(super) fn parts_of(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// Returns the keys as `--prune` accepts them.
    pub(super) fn keys(&self) -> String {
        Vec::from_iter(self.0.keys().map(String::as_str)).join(",")
    }

    /// Returns the end of a recommendation of these keys: which parts are deleted; empty if there are none.
    pub(super) fn deleted(&self) -> String {
        let with_parts = self.0.iter().filter(|(_, parts)| !parts.is_empty());
        let texts = with_parts.map(|(key, parts)| format!("{} of `{key}`", parts.join(", ")));
        let texts: Vec<String> = texts.collect();
        match texts.is_empty() {
            true => String::new(),
            false => format!(" (this deletes {})", texts.join(" and ")),
        }
    }
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
    KeptBy {
        users: Vec<User>,
        /// Its fate if no variable without a default named it, if only such variables do.
        otherwise: Option<Box<Fate>>,
    },
    /// It stays, because these hand-written parts would be lost. `--prune` with these keys removes it.
    HasParts {
        parts: Vec<String>,
        prune: Prune,
    },
    /// It stays, because it may be another service's. `--prune` with these keys removes it.
    Unproven {
        prune: Prune,
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
        if self.removable || self.kept_by.is_empty() {
            return self.unless_kept(self.removable);
        }
        let is_unknown = |user: &User| !user.without_default.is_empty();
        let otherwise = self.kept_by.iter().all(is_unknown).then(|| {
            let has_no_loss = self.becomes.is_some() || self.parts.is_empty();
            Box::new(self.unless_kept(self.is_proven && has_no_loss))
        });
        Fate::KeptBy {
            users: self.kept_by.clone(),
            otherwise,
        }
    }

    /// Returns the fate of an item that no item names.
    fn unless_kept(&self, removable: bool) -> Fate {
        let prune = || self.prune.clone();
        match self.becomes {
            Some(Becomes { entry, replaces }) if removable => Fate::Renamed {
                to: ManifestPath::of(&self.path).item(entry.key()),
                replaces,
            },
            _ if removable => Fate::Removed,
            _ if self.is_proven && !self.parts.is_empty() => Fate::HasParts {
                parts: self.parts.clone(),
                prune: prune(),
            },
            _ => Fate::Unproven {
                prune: prune(),
                calls_handler: self.calls_handler,
            },
        }
    }
}
