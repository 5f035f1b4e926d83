//! The distinction between generated and hand-written items of a manifest. It depends only on the
//! file: there is no record of earlier edits.

use std::collections::{BTreeMap, BTreeSet};

use forge_remote_schema::{KindSpec, kinds};
use serde_yaml::Value;

use super::desired::{DesiredManifest, Entry};
use super::evidence::{Evidence, StaleModule, endpoints_of, is_generated};
use super::filled::{FilledManifest, FilledPart};
use super::items::{same, text};
use super::parts::{parts_of_user, texts_of_user};
use super::stale::{Becomes, Stale};
use super::uses::{keep_used, updated_item};

/// Returns the items that call this app's remotes and that the code does not declare: endpoints of its
/// remotes that are not foreign, and modules of a generated type that name such endpoints and no others.
///
/// Such an item may be another service's, because a remote's key does not show who serves an endpoint, and a service
/// may use a key that this code uses in another list. [`Evidence`] has the proofs that an item is of this code base.
/// The proof covers the item alone: items that name it are kept, and so is an item that a kept one names. An item with
/// a former key becomes the code's entry, so that its hand-written parts and comments stay. Any other item with
/// hand-written parts ([`parts_of_user`]) is removed only if `--prune` names its own key; its comments count as such
/// parts if it has a former key, because the user may want them at the current entry.
pub(super) fn stale_items<'a>(
    filled: &'a FilledManifest<'_>,
    wanted: &'a DesiredManifest,
) -> Vec<Stale<'a>> {
    let remotes: BTreeSet<&str> = wanted.remotes.iter().map(Entry::key).collect();
    let kept: BTreeSet<&str> = wanted.endpoints.iter().map(Entry::key).collect();
    let gone: Vec<(usize, FilledPart<'a>)> = filled
        .items(&ENDPOINTS)
        .enumerate()
        .filter(|(_, part)| {
            text(part.value, "remote").is_some_and(|remote| remotes.contains(remote))
                && part
                    .key()
                    .is_some_and(|key| !kept.contains(key) && !wanted.foreign.contains(key))
        })
        .collect();
    let gone_keys = gone.iter().filter_map(|(_, part)| part.key());
    let endpoints: BTreeSet<&str> = kept.iter().copied().chain(gone_keys).collect();
    let modules = stale_modules(filled, wanted, &remotes, &endpoints);

    let evidence = Evidence::new(wanted);
    let of_former = modules.iter().filter(|one| evidence.was_handlers(one));
    let of_former = of_former.flat_map(|one| one.endpoints.iter().copied());
    let of_former: BTreeSet<&str> = of_former.collect();
    let mut renames = Renames {
        filled,
        wanted,
        evidence: &evidence,
        indices: BTreeMap::new(),
    };
    let mut stale: Vec<Stale<'a>> = Vec::new();
    let mut proven: BTreeSet<&str> = BTreeSet::new();
    for (index, part) in gone {
        let mut one = Stale::new(ENDPOINTS, index, part);
        one.is_proven = evidence.of_endpoint(part, &of_former);
        one.becomes = renames.entry_of(ENDPOINTS, None, part);
        if one.is_proven {
            proven.extend(part.key());
        }
        if !evidence.is_named(part) {
            one.parts = texts_of_user(part.written);
            let successor = evidence.successor(ENDPOINTS[1], part, &[]);
            one.attachment = successor.and_then(|_| filled.attachment(&ENDPOINTS, index));
        }
        stale.push(one);
    }
    let of_modules = modules.into_iter().map(|module| {
        let StaleModule {
            kind, index, part, ..
        } = module;
        let path = ["modules", kind.module_type];
        let is_proven = evidence.of_module(&module);
        let goes_with = module.generated_for().filter(|_| !is_proven);
        let mut called = endpoints_of(part.value, kind).into_iter();
        let mut one = Stale {
            becomes: renames.entry_of(path, Some(kind), part),
            is_proven: is_proven || goes_with.is_some_and(|endpoint| proven.contains(endpoint)),
            goes_with,
            calls_handler: !kind.has_endpoint() || called.any(|one| kept.contains(one)),
            ..Stale::new(path, index, part)
        };
        if !evidence.is_named(part) {
            let successor = evidence.successor(kind.module_type, part, &module.endpoints);
            one.parts = parts_of_user(kind, part.written, successor);
            one.attachment = successor.and_then(|_| filled.attachment(&path, index));
        }
        one
    });
    let mut all: Vec<Stale<'a>> = of_modules.collect();
    all.append(&mut stale);
    decided(filled, wanted, &all)
}

/// Returns the items with what an update does with each. If several have former keys of one entry, the first one that
/// no other item keeps becomes it.
fn decided<'a>(
    filled: &FilledManifest<'_>,
    wanted: &DesiredManifest,
    stale: &[Stale<'a>],
) -> Vec<Stale<'a>> {
    let mut candidates: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (at, one) in stale.iter().enumerate() {
        if let Some(Becomes { entry, .. }) = one.becomes {
            let candidates = candidates.entry((one.path[1], entry.key())).or_default();
            candidates.push(at);
        }
    }
    let mut others: BTreeSet<usize> = BTreeSet::new();
    for candidates in candidates.values() {
        others.extend(&candidates[1..]);
    }
    loop {
        let mut decided = stale.to_vec();
        for at in &others {
            decided[*at].becomes = None;
        }
        decided.iter_mut().for_each(Stale::decide);
        keep_used(filled, wanted, &mut decided);
        let mut is_final = true;
        for candidates in candidates.values_mut() {
            // The last one stays the choice.
            if candidates.len() > 1 && !decided[candidates[0]].removable {
                others.insert(candidates.remove(0));
                others.remove(&candidates[0]);
                is_final = false;
            }
        }
        if is_final {
            return decided;
        }
    }
}

const ENDPOINTS: [&str; 2] = ["modules", "endpoint"];

/// Returns the modules of generated types that name these endpoints and that the code does not declare.
fn stale_modules<'a>(
    filled: &'a FilledManifest<'_>,
    wanted: &DesiredManifest,
    remotes: &BTreeSet<&str>,
    endpoints: &BTreeSet<&str>,
) -> Vec<StaleModule<'a>> {
    let is_foreign = |key: &str| {
        let mut lists = wanted.foreign_modules.iter();
        lists.any(|keys| keys.contains(key))
    };
    let mut modules = Vec::new();
    for kind in kinds::declared() {
        let wanted_keys: BTreeSet<&str> = wanted
            .modules
            .get(kind.module_type)
            .into_iter()
            .flatten()
            .map(Entry::key)
            .collect();
        let path = ["modules", kind.module_type];
        for (index, part) in filled.items(&path).enumerate() {
            let is_undeclared = part
                .key()
                .is_some_and(|key| !wanted_keys.contains(key) && !is_foreign(key));
            if is_undeclared && is_generated(part.value, kind, remotes, endpoints, wanted) {
                modules.push(StaleModule::new(kind, index, part));
            }
        }
    }
    modules
}

/// The items that get the key of the code's entry that they became.
struct Renames<'a, 'e> {
    filled: &'a FilledManifest<'a>,
    wanted: &'a DesiredManifest,
    evidence: &'e Evidence<'a>,
    /// The indices of the items of each key, for the lists that were searched.
    indices: BTreeMap<&'static str, BTreeMap<&'a str, Vec<usize>>>,
}

impl<'a> Renames<'a, '_> {
    /// Returns the code's entry of which an item has a former key, if the list has no item of this entry yet, or one
    /// without anything hand-written, which an earlier update has added. `kind` is a module's.
    fn entry_of(
        &mut self,
        path: [&'static str; 2],
        kind: Option<&'static KindSpec>,
        part: FilledPart<'_>,
    ) -> Option<Becomes<'a>> {
        let named = kind.map_or_else(Vec::new, |kind| endpoints_of(part.written, kind));
        let entry = self.evidence.successor(path[1], part, &named)?;
        let replaces = match self.indices_of(path, entry.key()) {
            [] => None,
            [at] => Some(*at),
            _ => return None,
        };
        if replaces.is_some_and(|at| !self.is_bare(path, at, entry)) {
            return None;
        }
        Some(Becomes { entry, replaces })
    }

    /// Returns the indices of the items of a list that have a key.
    fn indices_of(&mut self, path: [&'static str; 2], key: &str) -> &[usize] {
        let filled = self.filled;
        let indices = self.indices.entry(path[1]).or_insert_with(|| {
            let mut indices: BTreeMap<&'a str, Vec<usize>> = BTreeMap::new();
            for (index, part) in filled.items(&path).enumerate() {
                if let Some(key) = part.key() {
                    indices.entry(key).or_default().push(index);
                }
            }
            indices
        });
        indices.get(key).map_or(&[], Vec::as_slice)
    }

    /// Returns whether an item has nothing hand-written: no comment, and nothing that an update of the item keeps in
    /// addition to the code's entry or in place of its values, such as a variable or a translated text.
    fn is_bare(&self, path: [&'static str; 2], index: usize, entry: &Entry) -> bool {
        let Some(part) = self.filled.item(&path, index) else {
            return false;
        };
        let updated = updated_item(path[1], part, entry, self.filled, self.wanted);
        let is_code = |name: &Value, value: &Value| {
            let code = entry.item.get(name);
            code.is_some_and(|code| same(value, code))
        };
        let is_entry = updated.len() == entry.item.len()
            && updated.iter().all(|(name, value)| is_code(name, value));
        is_entry && self.filled.attachment(&path, index).is_none()
    }
}
