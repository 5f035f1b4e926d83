//! The variables of the manifest that an update keeps in the code's items.

use std::collections::BTreeSet;

use forge_remote_schema::{KindSpec, identity_at};
use serde_yaml::Value;

use super::filled::FilledPart;
use super::items::same;
use super::variables::{Variables, has_reference, is_variable};

/// The variables to keep in the code's item of a kind.
pub(super) struct Kept<'a> {
    pub(super) variables: &'a Variables<'a>,
    /// Whether all variables are kept, or only the ones that may stand for the code's value.
    pub(super) all: bool,
    /// The kind of a module. Its row has the identities of the items of lists.
    pub(super) kind: Option<&'static KindSpec>,
}

impl Kept<'_> {
    /// Writes an item's variables into the code's item.
    pub(super) fn write(&self, item: FilledPart<'_>, code: &mut Value) {
        self.write_at(&mut Vec::new(), item, code);
    }

    fn write_at<'v>(&self, place: &mut Vec<&'v str>, part: FilledPart<'v>, code: &mut Value) {
        if !has_reference(part.written) {
            return;
        }
        match (part.written, code) {
            (Value::String(text), code) if self.all || self.variables.may_be(text, code) => {
                *code = part.written.clone();
            }
            (Value::Mapping(found), Value::Mapping(code)) => {
                for (name, _) in found {
                    if let (Some(code), Some(part)) = (code.get_mut(name), part.get(name)) {
                        place.push(name.as_str().unwrap_or_default());
                        self.write_at(place, part, code);
                        place.pop();
                    }
                }
            }
            (Value::Sequence(_), Value::Sequence(code)) => {
                let identity = self.kind.and_then(|kind| identity_at(kind, place));
                let items = Items {
                    kept: self,
                    identity,
                };
                items.write(place, part, code);
            }
            _ => {}
        }
    }
}

/// The variables to keep in the items of a list.
struct Items<'a> {
    kept: &'a Kept<'a>,
    /// The property that identifies an item; a text identifies itself.
    identity: Option<&'static str>,
}

impl Items<'_> {
    /// Writes the variables of a list's items into the code's items that they stand for. If all variables are kept, an
    /// item that may be any one in another environment stays too.
    fn write<'v>(&self, place: &mut Vec<&'v str>, list: FilledPart<'v>, code: &mut Vec<Value>) {
        let items = |list: &'v Value| list.as_sequence().map_or(&[][..], Vec::as_slice);
        let (written, values) = (items(list.written), items(list.value));
        let mut taken = BTreeSet::new();
        let mut left = Vec::new();
        for (at, (written, value)) in written.iter().zip(values).enumerate() {
            if !has_reference(written) {
                continue;
            }
            let part = FilledPart { written, value };
            if let Some(found) = self.partner(part, at, values, code, &taken) {
                taken.insert(found);
                match &mut code[found] {
                    // An event with a filter, which the code has as a name.
                    name @ Value::String(_) if self.kept.all => *name = written.clone(),
                    slot => self.kept.write_at(place, part, slot),
                }
            } else if self.kept.all {
                // It may be any item of the code, or one of several with this identity.
                let may_be_any = identity(written, self.identity).is_some_and(is_variable);
                if may_be_any || self.of_identity(code, value).next().is_some() {
                    left.push((at, written));
                }
            }
        }
        // The code has no item for these.
        for (at, written) in left {
            code.insert(at.min(code.len()), written.clone());
        }
    }

    /// Returns the index of the code's item that an item of a list stands for: one of the same identity. Only an item
    /// without an identity, or a text, may stand for the item at its position `at`: the variables of a mapping are about
    /// that mapping.
    fn partner(
        &self,
        item: FilledPart<'_>,
        at: usize,
        items: &[Value],
        code: &[Value],
        taken: &BTreeSet<usize>,
    ) -> Option<usize> {
        let free = || (0..code.len()).filter(|at| !taken.contains(at));
        if let Some(equal) = free().find(|at| same(item.value, &code[*at])) {
            return Some(equal);
        }
        let is_single = |list: &[Value]| self.of_identity(list, item.value).count() == 1;
        if is_single(items) && is_single(code) {
            let found = self.of_identity(code, item.value).next();
            return found.filter(|at| !taken.contains(at));
        }
        // Unless another item has the value that is at this place.
        let is_others = |code: &Value| {
            let name = identity(code, self.identity);
            items.iter().any(|item| {
                item == code || (name.is_some() && name == identity(item, self.identity))
            })
        };
        match identity(item.written, self.identity) {
            None => free().find(|one| {
                let is_alike = code[*one].is_mapping() == item.written.is_mapping();
                *one == at && is_alike && !is_others(&code[at])
            }),
            Some(_) if item.written.is_string() => {
                free().find(|one| *one == at && !code[at].is_mapping() && !is_others(&code[at]))
            }
            Some(own) if is_variable(own) => free().find(|at| {
                let other = &code[*at];
                let name = other
                    .as_mapping()
                    .and_then(|_| identity(other, self.identity));
                !is_others(other)
                    && name.is_some_and(|name| self.kept.variables.may_be(own, &name.into()))
            }),
            Some(_) => None,
        }
    }

    /// Returns the indices of the items of a list that have an item's identity.
    fn of_identity<'v>(
        &self,
        list: &'v [Value],
        item: &'v Value,
    ) -> impl Iterator<Item = usize> + use<'v> {
        let name = self.identity;
        let own = identity(item, name);
        let has_own = move |other: &Value| own.is_some() && identity(other, name) == own;
        (0..list.len()).filter(move |at| has_own(&list[*at]))
    }
}

/// Returns what identifies an item of a list: the text of this property, or the item's own.
pub(super) fn identity<'v>(item: &'v Value, property: Option<&str>) -> Option<&'v str> {
    match item {
        Value::Mapping(_) => item.get(property?)?.as_str(),
        item => item.as_str(),
    }
}
