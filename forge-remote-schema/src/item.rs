//! The parts of a module's item that the code decides or may have written, from the kind's row.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::kind::KindSpec;
use crate::kinds::KINDS;
use crate::options::{Form, OptionSpec, ValueShape};
use crate::place::Place;

/// Returns the names of the properties of a module's item that the code decides: the names of the handler, and
/// the properties of the kind's options, except the ones that may be set in the manifest instead.
///
/// ```
/// use forge_remote_schema::kinds::MERGE_CHECK;
/// use forge_remote_schema::owned_names;
///
/// let names = owned_names(&MERGE_CHECK);
/// assert_eq!(names, ["key", "endpoint", "function", "name", "triggers", "description"]);
/// ```
pub fn owned_names(kind: &KindSpec) -> &'static [&'static str] {
    static NAMES: LazyLock<BTreeMap<&str, Vec<&str>>> = LazyLock::new(|| {
        let names = |kind: &'static KindSpec| (kind.attribute, names_of(kind));
        KINDS.iter().map(names).collect()
    });
    NAMES.get(kind.attribute).map_or(&[], Vec::as_slice)
}

fn names_of(kind: &'static KindSpec) -> Vec<&'static str> {
    let mut names = Vec::new();
    for (place, option) in written_places(kind) {
        let is_decided = option.is_none_or(|option| !option.or_by_hand);
        let name = place
            .first()
            .filter(|name| is_decided && !names.contains(*name));
        names.extend(name);
    }
    names
}

/// Returns every place of a module's item that the code may have written, with the option whose value it has. A property
/// elsewhere is hand-written.
///
/// ```
/// use forge_remote_schema::kinds::ACTION;
/// use forge_remote_schema::written_places;
///
/// let has = |name| written_places(&ACTION).any(|(place, _)| place == [name]);
/// assert!(has("key") && has("inputs"));
/// assert!(!has("icon"));
/// ```
pub fn written_places(
    kind: &'static KindSpec,
) -> impl Iterator<Item = (Place, Option<&'static OptionSpec>)> {
    let handler: &'static [Place] = match kind.has_endpoint() {
        true => &[&["key"], &["endpoint"], &["function"]],
        false => &[&["key"], &["remote"], &["path"]],
    };
    let nested = kind.nested.map_or(&[][..], |(_, set)| set.options);
    let options = kind.options.iter().chain(nested);
    let options = options.filter(|option| !option.place.is_empty());
    let options = options.map(|option| (option.place, Some(option)));
    let derived = kind.endpoint_places.iter().chain(kind.derived_places);
    let without_option = |place: &Place| (*place, None);
    handler
        .iter()
        .map(without_option)
        .chain(options)
        .chain(derived.map(without_option))
}

/// Returns the property that identifies an item of the list at a place of a module's item; `None` for a place without a
/// list of mappings.
///
/// ```
/// use forge_remote_schema::{identity_at, kinds};
///
/// assert_eq!(identity_at(&kinds::WEB_TRIGGER, &["response", "outputs"]), Some("key"));
/// assert_eq!(identity_at(&kinds::TRIGGER, &["events"]), Some("eventType"));
/// assert_eq!(identity_at(&kinds::MERGE_CHECK, &["triggers"]), None);
/// ```
pub fn identity_at(kind: &KindSpec, place: &[&str]) -> Option<&'static str> {
    let options = kind.options.iter().filter(|option| option.place == place);
    let mut identities = options.filter_map(|option| match (option.form, option.shape) {
        (Form::ByName, _) => None,
        (Form::Arguments, _) => Some("name"),
        (_, ValueShape::Groups(group)) => name_at(group.options.first()),
        (
            _,
            ValueShape::Entries {
                group, identity, ..
            },
        ) => name_at(group.options.iter().find(|one| one.name == identity)),
        _ => None,
    });
    identities.next()
}

fn name_at(option: Option<&OptionSpec>) -> Option<&'static str> {
    option?.place.first().copied()
}
