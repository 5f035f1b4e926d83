//! Paths in a manifest by names and keys.

use std::fmt;

use serde_yaml::Value;

use super::items::key;

/// A path in a manifest, e.g. `modules.scheduledTrigger[refresh-index-trigger].interval`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ManifestPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// A mapping's key.
    Name(String),
    /// The item of a list with this `key`.
    Item(String),
    /// A name in a list of names, or in a mapping of them.
    Value(String),
}

impl ManifestPath {
    pub(crate) fn of(names: &[&str]) -> Self {
        Self(
            names
                .iter()
                .map(|name| Step::Name((*name).to_owned()))
                .collect(),
        )
    }

    /// Returns the path of a module.
    pub(super) fn of_module(module_type: &str, item: &Value) -> Self {
        Self::of(&["modules", module_type]).item(key(item).unwrap_or_default())
    }

    pub(super) fn name(mut self, name: &str) -> Self {
        self.0.push(Step::Name(name.to_owned()));
        self
    }

    pub(super) fn item(mut self, key: &str) -> Self {
        self.0.push(Step::Item(key.to_owned()));
        self
    }

    pub(super) fn value(mut self, name: &str) -> Self {
        self.0.push(Step::Value(name.to_owned()));
        self
    }

    /// Returns the key of the item that the path ends with.
    pub(super) fn key(&self) -> Option<&str> {
        match self.0.last() {
            Some(Step::Item(key)) => Some(key),
            _ => None,
        }
    }

    /// Returns whether the path starts with these names.
    pub(super) fn starts_with(&self, names: &[&str]) -> bool {
        let mut steps = self.0.iter();
        let is =
            |step: Option<&Step>, name: &str| matches!(step, Some(Step::Name(own)) if own == name);
        names.iter().all(|name| is(steps.next(), name))
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }
}

impl fmt::Display for ManifestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Name(name) if at == 0 => f.write_str(name)?,
                Step::Name(name) => write!(f, ".{name}")?,
                Step::Item(key) | Step::Value(key) => write!(f, "[{key}]")?,
            }
        }
        Ok(())
    }
}

impl serde::Serialize for ManifestPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
