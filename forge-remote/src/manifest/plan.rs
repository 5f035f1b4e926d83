//! The changes that update a manifest to the code. They are applied twice: to values, which gives the
//! expected result, and to the text.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_yaml::{Mapping, Value};

use super::desired::{DesiredManifest, Entry, Scope, scopes_value};
use super::edit::{Edited, EditedText, Editor, Unsafe};
use super::equivalent::{KeptVariables, wanted_of};
use super::file::ManifestFile;
use super::filled::{FilledManifest, FilledPart};
use super::items::granted;
use super::owned::OwnedProperties;
use super::ownership::stale_items;
use super::reconciled::reconcile;
use super::stale::{Becomes, Stale};
use super::taken::{Taken, check_taken};
use super::tree::Node;
use super::values::{ALLOW_IMPERSONATION, scope_options};

/// The changes of one list of keyed items.
struct ListPlan<'a> {
    path: Vec<&'static str>,
    /// The indices of the items to remove: a hand-written item may have the same key.
    remove: BTreeSet<usize>,
    /// The items to add or to change.
    set: Vec<PlannedItem<'a>>,
}

/// An item that the code declares.
struct PlannedItem<'a> {
    item: Cow<'a, Mapping>,
    /// The properties the code decides.
    owned: OwnedProperties,
    /// The index of the manifest's item to change; `None` to add one.
    at: Option<usize>,
}

impl ListPlan<'_> {
    /// Removes, changes and adds items of the list in the manifest's value.
    fn apply_to_value(&self, document: &mut Mapping) {
        let Some((name, parents)) = self.path.split_last() else {
            return;
        };
        if self.set.is_empty() && self.remove.is_empty() {
            return;
        }
        let parent = parents
            .iter()
            .fold(document, |parent, name| child(parent, name));
        let slot = parent.entry((*name).into()).or_insert(Value::Null);
        let mut items = match std::mem::take(slot) {
            Value::Sequence(items) => items,
            _ => Vec::new(),
        };
        let mut added = Vec::new();
        for planned in &self.set {
            match planned.at.and_then(|at| items.get_mut(at)) {
                Some(Value::Mapping(found)) => reconcile(found, &planned.item, planned.owned),
                _ => added.push(planned.value()),
            }
        }
        let mut index = 0..;
        items.retain(|_| {
            index
                .next()
                .is_none_or(|index| !self.remove.contains(&index))
        });
        items.extend(added);
        // Forge rejects an empty list.
        if items.is_empty() {
            parent.shift_remove(*name);
        } else {
            *slot = Value::Sequence(items);
        }
    }
}

/// The changes of a whole manifest.
pub(super) struct Plan<'a> {
    lists: Vec<ListPlan<'a>>,
    scopes: Vec<Scope>,
}

impl<'a> Plan<'a> {
    /// Compares a manifest with the code; fails if a hand-written item has the key of a generated one.
    pub(super) fn new(
        manifest: &'a ManifestFile,
        wanted: &'a DesiredManifest,
    ) -> Result<Self, Taken> {
        let filled = FilledManifest::of(manifest);
        let stale = stale_items(&filled, wanted);
        check_taken(&filled.value, wanted, &stale)?;
        let mut removed_items: BTreeMap<[&'static str; 2], BTreeSet<usize>> = BTreeMap::new();
        let mut renamed_items: BTreeMap<[&'static str; 2], BTreeMap<usize, &str>> = BTreeMap::new();
        for one in stale.iter().filter(|stale| stale.removable) {
            let Stale { path, index, .. } = one;
            let removed = match one.renamed() {
                Some(Becomes { entry, replaces }) => {
                    let renamed = renamed_items.entry(*path).or_default();
                    renamed.insert(*index, entry.key());
                    replaces
                }
                None => Some(*index),
            };
            if let Some(index) = removed {
                removed_items.entry(*path).or_default().insert(index);
            }
        }
        let mut lists: Vec<ListPlan<'a>> = Vec::new();
        let mut plan = |path: Vec<&'static str>, entries: &'a [Entry]| {
            let module_list = <[&str; 2]>::try_from(path.as_slice()).ok();
            let remove = module_list.and_then(|path| removed_items.remove(&path));
            let remove = remove.unwrap_or_default();
            let renamed = module_list.and_then(|path| renamed_items.remove(&path));
            let renamed = renamed.unwrap_or_default();
            let set = planned_items(&filled, &path, entries, wanted, &remove, &renamed);
            lists.push(ListPlan { path, remove, set });
        };
        for (module_type, entries) in &wanted.modules {
            plan(vec!["modules", *module_type], entries);
        }
        plan(vec!["modules", "endpoint"], &wanted.endpoints);
        plan(vec!["remotes"], &wanted.remotes);
        lists.extend(removed_items.into_iter().map(|(path, remove)| ListPlan {
            path: path.to_vec(),
            remove,
            set: Vec::new(),
        }));
        let granted: BTreeSet<&str> = granted(&filled.value).collect();
        let mut scopes = wanted.scopes_given(&granted);
        scopes.retain(|scope| scope.impersonation || !granted.contains(scope.name.as_str()));
        Ok(Self { lists, scopes })
    }

    /// Applies the changes to the manifest's value.
    pub(super) fn apply_to_value(&self, document: &mut Mapping) {
        for list in &self.lists {
            list.apply_to_value(document);
        }
        let is_empty = |modules: &Value| modules.as_mapping().is_some_and(Mapping::is_empty);
        if self.lists.iter().any(|list| !list.remove.is_empty())
            && document.get("modules").is_some_and(is_empty)
        {
            document.shift_remove("modules");
        }
        if !self.scopes.is_empty() {
            self.add_scopes(document);
        }
    }

    fn add_scopes(&self, document: &mut Mapping) {
        let permissions = child(document, "permissions");
        let scopes = permissions.entry("scopes".into()).or_insert(Value::Null);
        let impersonation = self.scopes.iter().any(|scope| scope.impersonation);
        if let Value::Sequence(names) = scopes
            && impersonation
        {
            let names = std::mem::take(names).into_iter();
            *scopes = Value::Mapping(names.map(|name| (name, scope_options(false))).collect());
        }
        match scopes {
            Value::Mapping(names) => {
                for scope in &self.scopes {
                    let options = names.entry(scope.name.as_str().into());
                    let options = options.or_insert_with(|| scope_options(false));
                    if scope.impersonation {
                        if !options.is_mapping() {
                            *options = scope_options(true);
                        }
                        if let Value::Mapping(options) = options {
                            options.insert(ALLOW_IMPERSONATION.into(), true.into());
                        }
                    }
                }
            }
            Value::Sequence(names) => {
                for scope in &self.scopes {
                    let name = Value::from(scope.name.as_str());
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
            _ => *scopes = scopes_value(&self.scopes),
        }
    }

    /// Applies the changes to the manifest's text. `new` is added to a document without a value.
    pub(super) fn apply_to_text(
        &self,
        text: &str,
        root: Option<&Node>,
        new: Mapping,
    ) -> Result<EditedText, Unsafe> {
        let mut editor = Editor::new(text, root);
        let Some(root) = root.filter(|root| !root.is_null()) else {
            let mut document = new;
            self.apply_to_value(&mut document);
            if !document.is_empty() {
                editor.append_document(&Value::Mapping(document));
            }
            return Ok(editor.finish());
        };
        let mut sections: Vec<(String, Value)> = Vec::new();
        self.edit_modules(&mut editor, root, &mut sections)?;
        self.edit_scopes(&mut editor, root, &mut sections)?;
        for list in self.lists.iter().filter(|list| list.path == ["remotes"]) {
            let mut remove = Vec::new();
            list.edit(&mut editor, root, "remotes", &mut remove, &mut sections)?;
        }
        editor.edit_entries(root, &[], sections)?;
        Ok(editor.finish())
    }

    fn edit_modules(
        &self,
        editor: &mut Editor<'_>,
        root: &Node,
        sections: &mut Vec<(String, Value)>,
    ) -> Result<(), Unsafe> {
        let lists = || {
            self.lists
                .iter()
                .filter(|list| list.path.first() == Some(&"modules"))
        };
        let entry = root.entry("modules");
        match entry {
            Some(entry) if !entry.value.entries().is_empty() => {
                let modules = &entry.value;
                let mut add = Vec::new();
                let mut remove = Vec::new();
                editor.edit_inside(modules, |editor| {
                    let mut lists = lists();
                    lists.try_for_each(|list| {
                        list.edit(editor, modules, list.path[1], &mut remove, &mut add)
                    })
                })?;
                if add.is_empty() && remove.len() == modules.entries().len() {
                    let at = root
                        .entries()
                        .iter()
                        .position(|one| one.key.at == entry.key.at)
                        .unwrap_or_default();
                    editor.check_comments_between_lists(entry)?;
                    return editor.edit_entries(root, &[at], Vec::new());
                }
                editor.edit_entries(modules, &remove, add)
            }
            _ => {
                let mut modules = Mapping::new();
                for list in lists().filter(|list| !list.set.is_empty()) {
                    modules.insert(list.path[1].into(), list.items());
                }
                let value = Value::Mapping(modules);
                match entry {
                    _ if value.as_mapping().is_some_and(Mapping::is_empty) => Ok(()),
                    Some(entry) => editor.fill(root, entry, &value),
                    None => {
                        sections.push(("modules".to_owned(), value));
                        Ok(())
                    }
                }
            }
        }
    }

    fn edit_scopes(
        &self,
        editor: &mut Editor<'_>,
        root: &Node,
        sections: &mut Vec<(String, Value)>,
    ) -> Result<(), Unsafe> {
        if self.scopes.is_empty() {
            return Ok(());
        }
        let names = || scopes_value(&self.scopes);
        let Some(entry) = root.entry("permissions") else {
            let mut permissions = Mapping::new();
            permissions.insert("scopes".into(), names());
            sections.push(("permissions".to_owned(), Value::Mapping(permissions)));
            return Ok(());
        };
        let permissions = &entry.value;
        if permissions.entries().is_empty() {
            let mut value = Mapping::new();
            value.insert("scopes".into(), names());
            return editor.fill(root, entry, &Value::Mapping(value));
        }
        let Some(entry) = permissions.entry("scopes") else {
            return editor.edit_entries(permissions, &[], vec![("scopes".to_owned(), names())]);
        };
        let scopes = &entry.value;
        if !scopes.entries().is_empty() {
            let mut add = Vec::new();
            for scope in &self.scopes {
                match scopes.entry(&scope.name) {
                    None => add.push((scope.name.clone(), scope_options(scope.impersonation))),
                    Some(entry) if scope.impersonation => {
                        editor.set_option(scopes, entry, ALLOW_IMPERSONATION, &true.into())?;
                    }
                    Some(_) => {}
                }
            }
            return editor.edit_entries(scopes, &[], add);
        }
        if scopes.items().is_empty() {
            let is_map = matches!(scopes.to_value(), Value::Mapping(_));
            let value = match names() {
                Value::Sequence(names) if is_map => {
                    let names = names.into_iter();
                    Value::Mapping(names.map(|name| (name, scope_options(false))).collect())
                }
                other => other,
            };
            return editor.fill(permissions, entry, &value);
        }
        let present: BTreeSet<&str> = scopes.items().iter().filter_map(Node::scalar).collect();
        let missing = self
            .scopes
            .iter()
            .filter(|scope| !present.contains(scope.name.as_str()));
        if self.scopes.iter().any(|scope| scope.impersonation) {
            let allowed = |name: &str| {
                let mut scopes = self.scopes.iter();
                scope_options(scopes.any(|scope| scope.name == name && scope.impersonation))
            };
            let add = missing.map(|scope| (scope.name.clone(), allowed(&scope.name)));
            return editor.list_to_mapping(entry, allowed, add.collect());
        }
        let add: Vec<Value> = missing
            .map(|scope| Value::from(scope.name.as_str()))
            .collect();
        editor.edit_items(scopes, &[], &add)
    }
}

impl PlannedItem<'_> {
    fn value(&self) -> Value {
        Value::Mapping(self.item.clone().into_owned())
    }
}

/// Returns the code's items with the items of the manifest's list that they change. If several items have the same
/// key, the first counts. `renamed` has the new keys of items with a former one.
fn planned_items<'a>(
    filled: &FilledManifest<'_>,
    path: &[&str],
    entries: &'a [Entry],
    wanted: &'a DesiredManifest,
    remove: &BTreeSet<usize>,
    renamed: &BTreeMap<usize, &str>,
) -> Vec<PlannedItem<'a>> {
    let mut found: BTreeMap<&str, (usize, FilledPart<'_>)> = BTreeMap::new();
    for (at, part) in filled.items(path).enumerate() {
        let key = renamed.get(&at).copied().or_else(|| part.key());
        if let Some(key) = key.filter(|_| !remove.contains(&at)) {
            found.entry(key).or_insert((at, part));
        }
    }
    let variables = KeptVariables::All(&filled.variables);
    let planned = entries.iter().map(|entry| {
        let found = found.get(entry.key());
        PlannedItem {
            item: match found {
                Some((_, part)) => wanted_of(path, *part, &entry.item, wanted, variables),
                None => Cow::Borrowed(&entry.item),
            },
            owned: entry.owned,
            at: found.map(|(at, _)| *at),
        }
    });
    planned.collect()
}

impl ListPlan<'_> {
    fn items(&self) -> Value {
        Value::Sequence(self.set.iter().map(PlannedItem::value).collect())
    }

    /// Edits one list. If the whole list is added or removed, it goes into the parent's `add` or
    /// `remove`.
    fn edit(
        &self,
        editor: &mut Editor<'_>,
        parent: &Node,
        name: &str,
        remove: &mut Vec<usize>,
        add: &mut Vec<(String, Value)>,
    ) -> Edited {
        let Some(entry) = parent.entry(name) else {
            if !self.set.is_empty() {
                add.push((name.to_owned(), self.items()));
            }
            return Ok(());
        };
        let node = &entry.value;
        if node.items().is_empty() {
            return if self.set.is_empty() {
                Ok(())
            } else {
                editor.fill(parent, entry, &self.items())
            };
        }
        let mut new = Vec::new();
        editor.edit_inside(node, |editor| {
            for planned in &self.set {
                match planned.at.and_then(|at| node.items().get(at)) {
                    Some(item) => editor.reconcile(item, &planned.item, planned.owned)?,
                    None => new.push(planned.value()),
                }
            }
            Ok(())
        })?;
        let gone: Vec<usize> = self.remove.iter().copied().collect();
        if gone.len() == node.items().len() && new.is_empty() {
            if node.marked {
                return Err(Unsafe::new(
                    node.at,
                    "the part to remove has an anchor, alias or tag",
                ));
            }
            editor.check_comments(entry)?;
            let at = parent
                .entries()
                .iter()
                .position(|one| one.key.at == entry.key.at);
            remove.extend(at);
            return Ok(());
        }
        editor.edit_items(node, &gone, &new)
    }
}

/// Returns the mapping under a key; inserts an empty one if it is missing.
fn child<'a>(parent: &'a mut Mapping, name: &str) -> &'a mut Mapping {
    let slot = parent.entry(name.into()).or_insert(Value::Null);
    if !slot.is_mapping() {
        *slot = Value::Mapping(Mapping::new());
    }
    match slot {
        Value::Mapping(mapping) => mapping,
        _ => unreachable!("made a mapping above"),
    }
}
