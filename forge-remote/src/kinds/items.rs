//! Helpers for manifest items, and validation of options.

use forge_remote_schema::lists::{ListItem, ListRules};
use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, Mistake, owned_names};
use serde_yaml::{Mapping, Value};

use crate::manifest::OwnedProperties;
use crate::registry::Module;

/// Creates an item with its key and endpoint.
pub(super) fn item(names: &Names) -> Mapping {
    let mut item = Mapping::new();
    item.insert("key".into(), names.key.as_str().into());
    item.insert("endpoint".into(), names.endpoint.as_str().into());
    item
}

/// Returns the one module of a kind, with the properties that the kind's row says the code decides.
pub(super) fn module(kind: &KindSpec, item: Mapping) -> Vec<Module> {
    vec![Module {
        module_type: kind.module_type,
        item,
        owned: match kind.owns_item {
            true => OwnedProperties::All,
            false => OwnedProperties::Only(owned_names(kind)),
        },
    }]
}

pub(super) fn texts(texts: &[&str]) -> Value {
    Value::Sequence(texts.iter().map(|text| Value::from(*text)).collect())
}

/// Sets a property if the option is set.
pub(super) fn set(item: &mut Mapping, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        item.insert(name.into(), text.into());
    }
}

/// Sets the description of a module that needs none.
pub(super) fn set_description(item: &mut Mapping, text: &str) {
    set(
        item,
        "description",
        Some(text).filter(|text| !text.is_empty()),
    );
}

/// Returns the mistakes in a list of texts and parentheses.
pub(super) fn item_mistakes<'a>(
    option: &str,
    rules: &ListRules,
    items: impl Iterator<Item = ListItem<'a>>,
) -> Vec<Mistake> {
    let items: Vec<Option<ListItem<'a>>> = items.map(Some).collect();
    let mistakes = rules.mistakes_of_items(option, &items).into_iter();
    mistakes.map(|(_, mistake)| mistake).collect()
}

/// Returns the mistakes in the lists of these options.
pub(super) fn list_mistakes(lists: &[(&str, &ListRules, &[&str])]) -> Vec<Mistake> {
    let mistakes = lists.iter().flat_map(|(option, rules, texts)| {
        let texts: Vec<Option<&str>> = texts.iter().copied().map(Some).collect();
        rules.mistakes(option, &texts)
    });
    mistakes.map(|(_, mistake)| mistake).collect()
}

pub(super) fn nested(name: &str, value: Value) -> Value {
    let mut mapping = Mapping::new();
    mapping.insert(name.into(), value);
    Value::Mapping(mapping)
}
