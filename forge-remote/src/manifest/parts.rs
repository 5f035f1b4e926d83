//! The hand-written parts of items that the code does not declare.

use forge_remote_schema::{KindSpec, Place, written_places};
use serde_yaml::{Mapping, Value};

use super::desired::Entry;
use super::values::at;

/// Returns the hand-written parts of a module, such as `config` or `protocols.agent2Agent.extensions`: the ones that no
/// option of its kind writes. `successor` is the code's entry of which the module has a former key: a property that may
/// be set by hand instead of by its option is hand-written if this entry lacks it. A translated text is hand-written
/// everywhere, because options are plain texts.
///
/// An update that removes the module would lose them, so it removes the module only if its key is named. All parts of an
/// endpoint, and of a module whose kind decides the whole item, are the code's.
pub(super) fn parts_of_user(
    kind: &'static KindSpec,
    item: &Value,
    successor: Option<&Entry>,
) -> Vec<String> {
    let mut parts = Vec::new();
    if kind.owns_item {
        return parts;
    }
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
        if written.iter().any(|one| one.starts_with(place)) {
            match value {
                Value::Mapping(inner) if !written.contains(&place.as_slice()) => {
                    add_parts(inner, place, written, parts);
                }
                value if value.get("i18n").is_some_and(Value::is_string) => {
                    parts.push(place.join("."));
                }
                _ => {}
            }
        } else if !written.iter().any(|one| place.starts_with(one)) {
            parts.push(place.join("."));
        }
        place.pop();
    }
}
