//! A manifest with the declared defaults of its variables, and as it is written.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_yaml::Value;

use super::items::{key, same};
use super::values::list;
use super::variables::{Variables, has_reference, is_variable};

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
            (Value::Sequence(_), Value::Sequence(code)) => {
                self.keep_variables_of_items(code, variables, all);
            }
            _ => {}
        }
    }

    /// Writes the variables of a list's items into the code's items that they stand for. If all variables are kept, an
    /// item that may be any one in another environment stays too.
    fn keep_variables_of_items(self, code: &mut Vec<Value>, variables: &Variables<'_>, all: bool) {
        let items = |list: &'a Value| list.as_sequence().map_or(&[][..], Vec::as_slice);
        let (written, values) = (items(self.written), items(self.value));
        let mut taken = BTreeSet::new();
        let mut left = Vec::new();
        for (at, (written, value)) in written.iter().zip(values).enumerate() {
            if !has_reference(written) {
                continue;
            }
            let part = FilledPart { written, value };
            if let Some(found) = part.partner(at, values, code, &taken, variables) {
                taken.insert(found);
                match &mut code[found] {
                    // An event with a filter, which the code has as a name.
                    name @ Value::String(_) if all => *name = written.clone(),
                    slot => part.keep_variables(slot, variables, all),
                }
            } else if all {
                // It may be any item of the code, or one of several with this identity.
                let may_be_any = identity(written).is_some_and(is_variable);
                if may_be_any || of_identity(code, value).next().is_some() {
                    left.push((at, written));
                }
            }
        }
        // The code has no item for these.
        for (at, written) in left {
            code.insert(at.min(code.len()), written.clone());
        }
    }

    /// Returns the index of the code's item that this item of a list stands for: one of the same identity. Only a text
    /// may stand for the item at its position `at`: the variables of a mapping are about that mapping.
    fn partner(
        self,
        at: usize,
        items: &[Value],
        code: &[Value],
        taken: &BTreeSet<usize>,
        variables: &Variables<'_>,
    ) -> Option<usize> {
        let free = || (0..code.len()).filter(|at| !taken.contains(at));
        if let Some(equal) = free().find(|at| same(self.value, &code[*at])) {
            return Some(equal);
        }
        let is_single = |list: &[Value]| of_identity(list, self.value).count() == 1;
        if is_single(items) && is_single(code) {
            let found = of_identity(code, self.value).next();
            return found.filter(|at| !taken.contains(at));
        }
        // Unless another item has the value that is at this place.
        let is_others = |code: &Value| {
            let name = identity(code);
            items
                .iter()
                .any(|item| item == code || (name.is_some() && name == identity(item)))
        };
        match self.written {
            Value::String(_) => {
                free().find(|one| *one == at && !code[at].is_mapping() && !is_others(&code[at]))
            }
            Value::Mapping(_) => {
                let own = identity(self.written).filter(|name| is_variable(name))?;
                free().find(|at| {
                    let other = &code[*at];
                    let name = other.as_mapping().and_then(|_| identity(other));
                    !is_others(other)
                        && name.is_some_and(|name| variables.may_be(own, &name.into()))
                })
            }
            _ => None,
        }
    }
}

/// Returns the indices of the items of a list that have an item's identity.
fn of_identity<'a>(list: &'a [Value], item: &'a Value) -> impl Iterator<Item = usize> + 'a {
    let own = identity(item);
    let has_own = move |other: &Value| own.is_some() && identity(other) == own;
    (0..list.len()).filter(move |at| has_own(&list[*at]))
}

/// Returns what identifies an item of a list: the key of an output, the name of an event.
pub(super) fn identity(item: &Value) -> Option<&str> {
    let name = item.get("key").or_else(|| item.get("eventType"));
    name.unwrap_or(item).as_str()
}
