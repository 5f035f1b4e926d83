//! The hand-written parts of items that the code does not declare.

use forge_remote_schema::{KindSpec, Place, written_places};
use serde_yaml::{Mapping, Value};

use super::desired::Entry;
use super::values::at;
use super::variables::has_reference;

/// Returns the hand-written parts of a module, such as `config` or `protocols.agent2Agent.extensions`: the ones that no
/// option of its kind writes. `successor` is the code's entry of which the module has a former key: a property that may
/// be set by hand instead of by its option is hand-written if this entry lacks it. Variables and translated texts are
/// hand-written everywhere, because options are plain texts. `item` is the module as it is written.
///
/// An update that removes the module would lose them, so it removes the module only if its key is named. All other parts
/// of a module whose kind decides the whole item are the code's.
pub(super) fn parts_of_user(
    kind: &'static KindSpec,
    item: &Value,
    successor: Option<&Entry>,
) -> Vec<String> {
    if kind.owns_item {
        return texts_of_user(item);
    }
    let mut parts = Vec::new();
    let is_by_hand = |place: Place, or_by_hand: bool| {
        or_by_hand && successor.is_some_and(|entry| at_place(&entry.item, place).is_none())
    };
    let written = written_places(kind).filter(|(place, option)| {
        let or_by_hand = option.is_some_and(|option| option.or_by_hand);
        !is_by_hand(place, or_by_hand)
    });
    let written: Vec<Place> = written.map(|(place, _)| place).collect();
    if let Some(item) = item.as_mapping() {
        add_parts(item, &mut Vec::new(), &written, &mut parts);
    }
    parts
}

/// Returns the variables and translated texts of an item that the code decides as a whole, such as an endpoint: the only
/// parts of it that are hand-written.
pub(super) fn texts_of_user(item: &Value) -> Vec<String> {
    let mut parts = Vec::new();
    for (name, value) in item.as_mapping().into_iter().flatten() {
        add_texts(
            value,
            &mut vec![name.as_str().unwrap_or_default()],
            &mut parts,
        );
    }
    parts
}

fn named(place: &[&str]) -> String {
    format!("`{}`", place.join("."))
}

/// Returns names in back-ticks.
pub(super) fn quoted(names: &[String]) -> String {
    let names = names.iter().map(|name| format!("`{name}`"));
    names.collect::<Vec<_>>().join(", ")
}

fn at_place(item: &Mapping, place: Place) -> Option<&Value> {
    let (first, rest) = place.split_first()?;
    at(item.get(*first)?, rest)
}

/// Adds the parts of a mapping at a place that are at none of the written places.
fn add_parts<'a>(
    mapping: &'a Mapping,
    place: &mut Vec<&'a str>,
    written: &[Place],
    parts: &mut Vec<String>,
) {
    for (name, value) in mapping {
        place.push(name.as_str().unwrap_or_default());
        let is_above = || written.iter().any(|one| one.starts_with(place));
        match value {
            _ if written.iter().any(|one| place.starts_with(one)) => {
                add_texts(value, place, parts);
            }
            Value::Mapping(inner) if is_above() => add_parts(inner, place, written, parts),
            _ if is_above() => add_texts(value, place, parts),
            _ => parts.push(named(place)),
        }
        place.pop();
    }
}

/// Adds the variables and the translated texts of the value at a place. The variable of a key is no loss: it stands for
/// the key alone.
fn add_texts<'a>(value: &'a Value, place: &mut Vec<&'a str>, parts: &mut Vec<String>) {
    match value {
        Value::Mapping(inner) if !inner.get("i18n").is_some_and(Value::is_string) => {
            for (name, value) in inner {
                place.push(name.as_str().unwrap_or_default());
                add_texts(value, place, parts);
                place.pop();
            }
        }
        Value::Mapping(_) => parts.push(named(place)),
        value if has_reference(value) && *place != ["key"] => parts.push(named(place)),
        _ => {}
    }
}
