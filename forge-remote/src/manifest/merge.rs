//! What has to change in a manifest for it to hold what the code wants, and the change itself:
//! once on values, as the expectation, once on the text.

use std::collections::{BTreeMap, BTreeSet};

use forge_remote_schema::KindSpec;
use serde_yaml::{Mapping, Value};

use super::compare::{Place, same};
use super::edit::{Editor, Unsafe};
use super::model::{ALLOW_IMPERSONATION, Entry, Scope, Sections, listed, scope_options};
use super::tree::Node;
use crate::kinds::endpoint_at;
use crate::registry::Owned;

/// The changes of one list of keyed items.
pub(super) struct ListPlan<'a> {
    path: Vec<&'a str>,
    /// By index: a key may stand twice, once by hand.
    remove: BTreeSet<usize>,
    set: Vec<(Mapping, Owned)>,
}

pub(super) struct Plan<'a> {
    lists: Vec<ListPlan<'a>>,
    scopes: Vec<Scope>,
}

/// A key that the code wants, and that something hand-written has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) place: Place,
    pub(super) key: String,
}

impl<'a> Plan<'a> {
    pub(super) fn new(manifest: &'a Value, wanted: &'a Sections) -> Result<Self, Taken> {
        check_taken(manifest, wanted)?;
        let mut lists: Vec<ListPlan<'a>> = Vec::new();
        let mut plan = |path: Vec<&'a str>, entries: &'a [Entry]| {
            let set = entries
                .iter()
                .map(|entry| (entry.item.clone(), entry.owned));
            lists.push(ListPlan {
                path,
                remove: BTreeSet::new(),
                set: set.collect(),
            });
        };
        for (module_type, entries) in &wanted.modules {
            plan(vec!["modules", module_type], entries);
        }
        plan(vec!["modules", "endpoint"], &wanted.endpoints);
        plan(vec!["remotes"], &wanted.remotes);
        for Stale { path, index, .. } in stale_items(manifest, wanted) {
            match lists.iter_mut().find(|list| list.path == path) {
                Some(list) => {
                    list.remove.insert(index);
                }
                None => lists.push(ListPlan {
                    path,
                    remove: [index].into(),
                    set: Vec::new(),
                }),
            }
        }
        for list in &mut lists {
            // The first of a key counts.
            let items = self::list(manifest, &list.path).iter().rev();
            let found: BTreeMap<&str, &Value> =
                items.filter_map(|item| Some((key(item)?, item))).collect();
            for (item, _) in &mut list.set {
                if let Some(found) = key_of(item).and_then(|wanted| found.get(wanted)) {
                    *item = wanted_of(&list.path, found, item);
                }
            }
        }
        Ok(Self {
            lists,
            scopes: wanted.scopes_given(&super::compare::scopes(manifest)),
        })
    }

    /// The change on values: what the changed text has to say.
    pub(super) fn apply_to_value(&self, document: &mut Mapping) {
        let mut removed = false;
        for list in self
            .lists
            .iter()
            .filter(|list| !(list.set.is_empty() && list.remove.is_empty()))
        {
            let Some((name, parents)) = list.path.split_last() else {
                continue;
            };
            let parent = parents
                .iter()
                .fold(&mut *document, |parent, name| child(parent, name));
            let slot = parent.entry((*name).into()).or_insert(Value::Null);
            let mut items = match std::mem::take(slot) {
                Value::Sequence(items) => items,
                _ => Vec::new(),
            };
            let mut index = 0..;
            items.retain(|_| {
                index
                    .next()
                    .is_none_or(|index| !list.remove.contains(&index))
            });
            removed |= !list.remove.is_empty();
            let places: BTreeMap<String, usize> = items
                .iter()
                .enumerate()
                .rev()
                .filter_map(|(at, item)| Some((key(item)?.to_owned(), at)))
                .collect();
            for (wanted, owned) in &list.set {
                let found = key_of(wanted)
                    .and_then(|key| places.get(key))
                    .and_then(|at| items.get_mut(*at));
                match found {
                    Some(Value::Mapping(found)) => reconcile(found, wanted, *owned),
                    _ => items.push(Value::Mapping(wanted.clone())),
                }
            }
            // Forge takes no empty list.
            if items.is_empty() {
                parent.shift_remove(*name);
            } else {
                *slot = Value::Sequence(items);
            }
        }
        if removed
            && document
                .get("modules")
                .and_then(Value::as_mapping)
                .is_some_and(Mapping::is_empty)
        {
            document.shift_remove("modules");
        }
        if self.scopes.is_empty() {
            return;
        }
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
            _ => *scopes = listed(&self.scopes),
        }
    }

    /// The change on the text; `new` is what a text without a value gets besides.
    pub(super) fn apply_to_text(
        &self,
        text: &str,
        root: Option<&Node>,
        new: Mapping,
    ) -> Result<String, Unsafe> {
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
                for list in lists() {
                    list.edit(editor, modules, list.path[1], &mut remove, &mut add)?;
                }
                if add.is_empty() && remove.len() == modules.entries().len() {
                    let at = root
                        .entries()
                        .iter()
                        .position(|one| one.key.at == entry.key.at)
                        .unwrap_or_default();
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
        let names = || listed(&self.scopes);
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
        let held: BTreeSet<&str> = scopes.items().iter().filter_map(Node::scalar).collect();
        let missing = self
            .scopes
            .iter()
            .filter(|scope| !held.contains(scope.name.as_str()));
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

impl ListPlan<'_> {
    fn items(&self) -> Value {
        let items = self
            .set
            .iter()
            .map(|(item, _)| Value::Mapping(item.clone()));
        Value::Sequence(items.collect())
    }

    /// Edits one list; what becomes of it as a whole is left to the parent's `remove` and `add`.
    fn edit(
        &self,
        editor: &mut Editor<'_>,
        parent: &Node,
        name: &str,
        remove: &mut Vec<usize>,
        add: &mut Vec<(String, Value)>,
    ) -> Result<(), Unsafe> {
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
        let gone: Vec<usize> = self.remove.iter().copied().collect();
        let mut new = Vec::new();
        let kept = node.items().iter().enumerate().rev();
        let places: BTreeMap<&str, &Node> = kept
            .filter(|(index, _)| !self.remove.contains(index))
            .filter_map(|(_, item)| Some((item.get("key")?.scalar()?, item)))
            .collect();
        for (wanted, owned) in &self.set {
            match places.get(key_of(wanted).unwrap_or_default()) {
                Some(item) => editor.reconcile(item, wanted, *owned)?,
                None => new.push(Value::Mapping(wanted.clone())),
            }
        }
        if gone.len() == node.items().len() && new.is_empty() {
            if node.marked {
                return Err(Unsafe::new(
                    node.at,
                    "an anchor, alias or tag marks the part to remove",
                ));
            }
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

/// The same as `Editor::reconcile`, on values.
fn reconcile(found: &mut Mapping, wanted: &Mapping, owned: Owned) {
    found.retain(|name, value| {
        wanted.contains_key(name)
            || !owned.has(name.as_str().unwrap_or_default())
            || is_empty_auth(name, value)
    });
    for (name, value) in wanted {
        match found.get_mut(name) {
            Some(old) if same(old, value) => {}
            Some(Value::Mapping(old)) if !old.is_empty() && value.is_mapping() => {
                reconcile(
                    old,
                    value.as_mapping().unwrap_or(&Mapping::new()),
                    owned.inside(name.as_str().unwrap_or_default()),
                );
            }
            Some(old) => *old = value.clone(),
            None => {
                found.insert(name.clone(), value.clone());
            }
        }
    }
}

/// `auth` without an enabled token says what no `auth` says.
pub(super) fn is_empty_auth(name: &Value, value: &Value) -> bool {
    name.as_str() == Some("auth") && same(value, &Value::Mapping(Mapping::new()))
}

/// What is wanted of an item, given the one that is there.
pub(super) fn wanted_of(path: &[&str], found: &Value, wanted: &Mapping) -> Mapping {
    match path {
        ["remotes"] => wanted_of_remote(found, wanted),
        ["modules", "trigger"] => crate::kinds::wanted_of_trigger(found, wanted),
        // Only its endpoint form takes translated texts, by Atlassian's schema.
        ["modules", "jira:workflowPostFunction"] => wanted_of_texts(found, wanted),
        _ => wanted.clone(),
    }
}

/// Texts that are translated: `{i18n: KEY}` stands for the text that the code has.
fn wanted_of_texts(found: &Value, wanted: &Mapping) -> Mapping {
    let mut wanted = wanted.clone();
    for name in ["name", "description"] {
        let translated = found.get(name).filter(|text| text.get("i18n").is_some());
        if let (Some(translated), Some(Value::String(_))) = (translated, wanted.get(name)) {
            wanted.insert(name.into(), translated.clone());
        }
    }
    wanted
}

/// A remote's address that the code can't know better: a manifest variable, or one for each region.
fn wanted_of_remote(found: &Value, wanted: &Mapping) -> Mapping {
    let mut wanted = wanted.clone();
    let kept = match found.get("baseUrl") {
        Some(Value::String(url)) => url.contains("${"),
        Some(Value::Mapping(_)) => true,
        _ => false,
    };
    if kept {
        wanted.shift_remove("baseUrl");
    }
    wanted
}

/// A wanted key that something else in the file has: an edit would take it away.
fn check_taken(manifest: &Value, wanted: &Sections) -> Result<(), Taken> {
    let remotes: BTreeSet<&str> = wanted.remotes.iter().map(Entry::key).collect();
    let declared: BTreeSet<&str> = list(manifest, &["remotes"])
        .iter()
        .filter_map(key)
        .collect();
    // By key, with the type.
    let mut wanted_keys: BTreeMap<&str, &str> = BTreeMap::new();
    for (module_type, entries) in &wanted.modules {
        wanted_keys.extend(entries.iter().map(|entry| (entry.key(), *module_type)));
    }
    wanted_keys.extend(
        wanted
            .endpoints
            .iter()
            .map(|entry| (entry.key(), "endpoint")),
    );

    // What goes anyway leaves its key free: a handler that became one of another kind.
    let goes: BTreeSet<(&str, usize)> = stale_items(manifest, wanted)
        .iter()
        .filter_map(|stale| Some((*stale.path.last()?, stale.index)))
        .collect();
    let modules = manifest.get("modules").and_then(Value::as_mapping);
    for (module_type, items) in modules.into_iter().flatten() {
        let module_type = module_type.as_str().unwrap_or_default();
        for (index, item) in items.as_sequence().into_iter().flatten().enumerate() {
            let Some(key) = key(item).filter(|_| !goes.contains(&(module_type, index))) else {
                continue;
            };
            let Some(wanted_type) = wanted_keys.get(key) else {
                continue;
            };
            let ours = *wanted_type == module_type
                && item.get("function").is_none()
                && item.get("service").is_none()
                && item
                    .get("remote")
                    .and_then(Value::as_str)
                    .is_none_or(|remote| {
                        !matches!(module_type, "endpoint" | "migration:dataResidency")
                            || remotes.contains(remote)
                            || !declared.contains(remote)
                    });
            if !ours {
                let place = Place::of(&["modules", module_type]).item(key);
                return Err(Taken {
                    place,
                    key: key.to_owned(),
                });
            }
        }
    }
    Ok(())
}

/// An item that was generated once and is wanted no more.
pub(super) struct Stale<'a> {
    pub(super) path: Vec<&'a str>,
    pub(super) index: usize,
    pub(super) item: &'a Value,
}

/// What was generated once and is wanted no more. Ownership is read from the file itself: an
/// endpoint of one of our remotes is ours, and so is a module of a generated kind that names
/// nothing but such an endpoint.
pub(super) fn stale_items<'a>(manifest: &'a Value, wanted: &Sections) -> Vec<Stale<'a>> {
    let remotes: BTreeSet<&str> = wanted.remotes.iter().map(Entry::key).collect();
    let kept: BTreeSet<&str> = wanted.endpoints.iter().map(Entry::key).collect();
    let gone: BTreeMap<usize, &Value> = list(manifest, &["modules", "endpoint"])
        .iter()
        .enumerate()
        .filter(|(_, item)| {
            let remote = item.get("remote").and_then(Value::as_str);
            remote.is_some_and(|remote| remotes.contains(remote))
                && key(item).is_some_and(|key| !kept.contains(key))
        })
        .collect();
    let ours: BTreeSet<&str> = kept
        .into_iter()
        .chain(gone.values().filter_map(|item| key(item)))
        .collect();

    let pages = &wanted.pages;
    let mut stale = Vec::new();
    for kind in forge_remote_schema::kinds::declared() {
        let module_type = kind.module_type;
        let wanted: BTreeSet<&str> = wanted
            .modules
            .get(module_type)
            .into_iter()
            .flatten()
            .map(Entry::key)
            .collect();
        for (index, item) in list(manifest, &["modules", module_type]).iter().enumerate() {
            let ours = if !kind.has_endpoint() {
                // It names a remote alone, as a hand-written one may: its key tells.
                let remote = item.get("remote").and_then(Value::as_str);
                remote.is_some_and(|remote| remotes.contains(remote))
                    && key(item) == kind.shared_key
            } else {
                let mut endpoints = endpoints_of(kind, item).peekable();
                let names_one = endpoints.peek().is_some();
                // A provider names several: with one of somebody else's it isn't ours to remove.
                names_one
                    && endpoints.all(|endpoint| {
                        // An action, say, that calls a page's handler is hand-written, unless its
                        // key is one that we make.
                        let made = || {
                            let rest = key(item).and_then(|key| key.strip_prefix(endpoint));
                            rest.and_then(|rest| rest.strip_prefix('-')) == kind.key_suffix
                        };
                        ours.contains(endpoint) && (!pages.contains(endpoint) || made())
                    })
            };
            if ours && key(item).is_some_and(|key| !wanted.contains(key)) {
                let path = vec!["modules", module_type];
                stale.push(Stale { path, index, item });
            }
        }
    }
    stale.extend(gone.into_iter().map(|(index, item)| Stale {
        path: vec!["modules", "endpoint"],
        index,
        item,
    }));
    stale
}

/// The endpoints that a module's item names.
fn endpoints_of<'a>(kind: &'static KindSpec, item: &'a Value) -> impl Iterator<Item = &'a str> {
    let places = kind.endpoint_places.iter();
    places.filter_map(|place| endpoint_at(item, place))
}

pub(super) fn key(item: &Value) -> Option<&str> {
    item.get("key")?.as_str()
}

fn key_of(item: &Mapping) -> Option<&str> {
    item.get("key")?.as_str()
}

/// The list at a path; empty where there is none.
pub(super) fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    let found = path.iter().try_fold(value, |value, name| value.get(name));
    found
        .and_then(Value::as_sequence)
        .map_or(&[], Vec::as_slice)
}

/// The mapping under a key; made where there is none.
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
