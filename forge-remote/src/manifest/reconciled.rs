//! An item's value after an update.

use serde_yaml::{Mapping, Value};

use super::items::{is_empty_auth, same};
use super::owned::OwnedProperties;

/// Reconciles values as `Editor::reconcile` does text.
pub(super) fn reconcile(found: &mut Mapping, wanted: &Mapping, owned: OwnedProperties) {
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

impl OwnedProperties {
    /// Returns whether the code decides a property even if it declares no value for it.
    pub(crate) fn has(self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(&name),
            Self::Parts(parts) => parts.iter().any(|(part, _)| *part == name),
            Self::Present => false,
        }
    }

    /// Returns the properties inside a property that the code decides.
    pub(crate) fn inside(self, name: &str) -> Self {
        match self {
            Self::Parts(parts) => {
                let found = parts.iter().find(|(part, _)| *part == name);
                found.map_or(Self::All, |(_, inside)| *inside)
            }
            _ => Self::All,
        }
    }
}
