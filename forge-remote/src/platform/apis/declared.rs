//! The declarations in an app's code and manifest that the fake APIs enforce.

use std::collections::BTreeMap;

use serde_json::Value;

/// An app's declarations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Declared {
    /// Whether scopes have `allowImpersonation: true`.
    pub(super) impersonates: bool,
    /// `app.storage.entities`, by name; `None` if entities are not declared.
    entities: Option<BTreeMap<String, Entity>>,
}

/// An entity: its attributes' types, and its indexes.
#[derive(Clone, Debug, Default)]
pub(super) struct Entity {
    attributes: BTreeMap<String, String>,
    indexes: BTreeMap<String, Index>,
}

/// The attributes of an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) partition: Vec<String>,
    pub(super) range: Option<String>,
}

impl Declared {
    /// Combines the declarations of the code and of the manifest, if there is one.
    pub(crate) fn new(impersonates: bool, manifest: Option<&Value>) -> Self {
        let scopes = manifest.and_then(|manifest| manifest.pointer("/permissions/scopes"));
        let scopes = scopes.and_then(Value::as_object);
        let allows = |scope: &Value| scope.get("allowImpersonation") == Some(&Value::Bool(true));
        let mut this = Self {
            impersonates: impersonates || scopes.is_some_and(|scopes| scopes.values().any(allows)),
            entities: manifest.map(|_| BTreeMap::new()),
        };
        let entities = manifest.and_then(|manifest| manifest.pointer("/app/storage/entities"));
        for entity in entities.and_then(Value::as_array).into_iter().flatten() {
            this.add_entity(entity.clone());
        }
        this
    }

    pub(super) fn add_entity(&mut self, entity: Value) {
        let name = entity.get("name").and_then(Value::as_str);
        let Some(name) = name.map(str::to_owned) else {
            return;
        };
        let entities = self.entities.get_or_insert_default();
        entities.insert(name, Entity::read(&entity));
    }

    /// Returns the entity of this name; `Ok(None)` if entities are not declared.
    pub(super) fn entity(&self, name: &str) -> Result<Option<&Entity>, &'static str> {
        match &self.entities {
            None => Ok(None),
            Some(entities) => entities.get(name).map(Some).ok_or(
                "the entity is not declared: add it to `app.storage.entities` in the manifest (in tests, \
                 with `FakeApis::declare_entity`)",
            ),
        }
    }
}

impl Entity {
    fn read(entity: &Value) -> Self {
        let mut this = Self::default();
        let attributes = entity.get("attributes").and_then(Value::as_object);
        for (name, attribute) in attributes.into_iter().flatten() {
            let kind = attribute.get("type").and_then(Value::as_str);
            let kind = kind.unwrap_or("any").to_owned();
            this.attributes.insert(name.clone(), kind);
        }
        let names = |index: &Value, part: &str| -> Vec<String> {
            let names = index.get(part).and_then(Value::as_array);
            let names = names.into_iter().flatten();
            names
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect()
        };
        let indexes = entity.get("indexes").and_then(Value::as_array);
        for index in indexes.into_iter().flatten() {
            let (name, index) = match index {
                Value::String(attribute) => (attribute.clone(), Index::simple(attribute)),
                _ => {
                    let name = index.get("name").and_then(Value::as_str);
                    let index = Index {
                        partition: names(index, "partition"),
                        range: names(index, "range").into_iter().next(),
                    };
                    (name.unwrap_or_default().to_owned(), index)
                }
            };
            this.indexes.insert(name, index);
        }
        this
    }

    pub(super) fn index(&self, name: &str) -> Option<&Index> {
        self.indexes.get(name)
    }

    pub(super) fn type_of(&self, attribute: &str) -> Option<&str> {
        self.attributes.get(attribute).map(String::as_str)
    }

    /// Returns the first attribute whose value does not have the declared type.
    pub(super) fn misfit(&self, value: &Value) -> Option<&str> {
        let fits = |(name, kind): &(&String, &String)| match (value.get(name), kind.as_str()) {
            (None, _) | (Some(_), "any") => true,
            (Some(Value::String(text)), "string") => !text.trim().is_empty(),
            (Some(Value::Number(number)), "integer") => number
                .as_i64()
                .is_some_and(|number| i32::try_from(number).is_ok()),
            (Some(Value::Number(_)), "float") | (Some(Value::Bool(_)), "boolean") => true,
            _ => false,
        };
        let misfit = self.attributes.iter().find(|attribute| !fits(attribute));
        misfit.map(|(name, _)| name.as_str())
    }
}

impl Index {
    pub(super) fn simple(attribute: &str) -> Self {
        Self {
            partition: Vec::new(),
            range: Some(attribute.to_owned()),
        }
    }
}
