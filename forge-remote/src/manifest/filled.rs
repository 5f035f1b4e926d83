//! A manifest with the declared defaults of its variables, and as it is written.

use std::borrow::Cow;

use serde_yaml::Value;

use super::items::{key, same};
use super::values::list;
use super::variables::{Variables, has_reference};

/// A manifest as it is written, and with each variable replaced by its declared default. A variable without a
/// default stays.
pub(super) struct FilledManifest<'a> {
    pub(super) written: &'a Value,
    pub(super) value: Cow<'a, Value>,
    pub(super) variables: Variables<'a>,
}

/// A part of a manifest as it is written, and with the defaults of variables.
#[derive(Clone, Copy)]
pub(super) struct FilledPart<'a> {
    pub(super) written: &'a Value,
    pub(super) value: &'a Value,
}

impl<'a> FilledManifest<'a> {
    pub(super) fn new(written: &'a Value) -> Self {
        let variables = Variables::of(written);
        let value = match has_reference(written) {
            true => Cow::Owned(variables.with_defaults(written)),
            false => Cow::Borrowed(written),
        };
        Self {
            written,
            value,
            variables,
        }
    }

    /// Returns the items of the list at a path of names.
    pub(super) fn items(&self, path: &[&str]) -> impl Iterator<Item = FilledPart<'_>> {
        let items = list(self.written, path).iter().zip(list(&self.value, path));
        items.map(|(written, value)| FilledPart { written, value })
    }
}

impl<'a> FilledPart<'a> {
    pub(super) fn key(self) -> Option<&'a str> {
        key(self.value)
    }

    fn get(self, name: &Value) -> Option<Self> {
        Some(Self {
            written: self.written.get(name)?,
            value: self.value.get(name)?,
        })
    }

    /// Writes the part's variables into the code's value: all of them, or only the ones that may stand for it.
    pub(super) fn keep_variables(self, code: &mut Value, variables: &Variables<'_>, all: bool) {
        if !has_reference(self.written) {
            return;
        }
        match (self.written, code) {
            (Value::String(text), code) if all || variables.may_be(text, code) => {
                *code = self.written.clone();
            }
            (Value::Mapping(_), Value::Mapping(code)) => {
                for (name, code) in code.iter_mut() {
                    if let Some(part) = self.get(name) {
                        part.keep_variables(code, variables, all);
                    }
                }
            }
            (Value::Sequence(written), Value::Sequence(code)) => {
                let values = self.value.as_sequence().map_or(&[][..], Vec::as_slice);
                let mut left = Vec::new();
                for (at, (written, value)) in written.iter().zip(values).enumerate() {
                    let part = FilledPart { written, value };
                    let found = code.iter().position(|code| same(value, code));
                    match code.get_mut(found.unwrap_or(at)) {
                        // Unless another item has the value that is at this place.
                        Some(slot) if found.is_some() || !values.contains(slot) => {
                            part.keep_variables(slot, variables, all);
                        }
                        _ if all && has_reference(written) => left.push((at, written)),
                        _ => {}
                    }
                }
                // The code has no item for these.
                for (at, written) in left {
                    code.insert(at.min(code.len()), written.clone());
                }
            }
            _ => {}
        }
    }
}
