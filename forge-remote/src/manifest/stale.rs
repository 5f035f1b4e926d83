//! The items of a manifest that the code does not declare, and their fates.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
    /// The comments that a removal would delete, or what prevents it, if it has a former key of an entry and its key is
    /// not named.
    pub(super) attachment: Option<&'static str>,
    /// The items that name it and stay, so that neither an update nor `--prune` removes it.
    pub(super) kept_by: Vec<Arc<User>>,
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

impl User {
    /// Returns whether only `forge deploy` knows if it names the item.
    pub(super) fn is_unknown(&self) -> bool {
        !self.without_default.is_empty()
    }
}

/// The keys with which `--prune` removes an item, each with the hand-written parts that this deletes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Prune(BTreeMap<String, Vec<String>>);

impl Prune {
    pub(super) fn add(&mut self, key: &str, parts: &[String]) {
        let of_key = self.0.entry(key.to_owned()).or_default();
        for part in parts {
            if !of_key.contains(part) {
                of_key.push(part.clone());
            }
        }
    }

    /// Adds the keys of another entry's removal.
    pub(super) fn extend(&mut self, other: &Self) {
        for (key, parts) in &other.0 {
            self.add(key, parts);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
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
        /// The index of the item in its list.
        index: usize,
        /// The index of the item of this key, which it replaces.
        replaces: Option<usize>,
    },
    Removed,
    /// It stays, because these items name it.
    KeptBy {
        users: Vec<Arc<User>>,
        /// Its fate if they did not name it.
        otherwise: Box<Fate>,
    },
    /// It stays, because the endpoint of this key does, with which it would be removed.
    KeptWith {
        endpoint: String,
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
    /// Creates an item without a proof.
    pub(super) fn new(path: [&'static str; 2], index: usize, part: FilledPart<'a>) -> Self {
        Self {
            path,
            index,
            part,
            removable: false,
            is_proven: false,
            becomes: None,
            parts: Vec::new(),
            attachment: None,
            kept_by: Vec::new(),
            prune: Prune::default(),
            goes_with: None,
            calls_handler: false,
        }
    }

    /// Decides whether an update removes the item, or gives it the new key, unless another item names it. If it does not
    /// become its entry, its comments are parts that a removal would delete.
    pub(super) fn decide(&mut self) {
        if self.becomes.is_none() {
            self.parts.extend(self.attachment.map(str::to_owned));
        }
        self.removable = self.is_proven && self.has_no_loss();
    }

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
        Fate::KeptBy {
            users: self.kept_by.clone(),
            otherwise: Box::new(self.unless_kept(self.is_proven && self.has_no_loss())),
        }
    }

    /// Returns whether an update that removes it, or gives it the new key, loses nothing hand-written.
    fn has_no_loss(&self) -> bool {
        self.becomes.is_some() || self.parts.is_empty()
    }

    /// Returns the fate of an item that no item names.
    fn unless_kept(&self, removable: bool) -> Fate {
        let prune = || self.prune.clone();
        match self.becomes {
            Some(Becomes { entry, replaces }) if removable => Fate::Renamed {
                to: ManifestPath::of(&self.path).item(entry.key()),
                index: self.index,
                replaces,
            },
            _ if removable => Fate::Removed,
            _ if self.is_proven && !self.parts.is_empty() => Fate::HasParts {
                parts: self.parts.clone(),
                prune: prune(),
            },
            _ => match self.goes_with.filter(|_| self.is_proven) {
                Some(endpoint) => Fate::KeptWith {
                    endpoint: endpoint.to_owned(),
                },
                None => Fate::Unproven {
                    prune: prune(),
                    calls_handler: self.calls_handler,
                },
            },
        }
    }
}
