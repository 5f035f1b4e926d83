//! The properties of a module's item that the code decides, from the kind's row.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::kind::KindSpec;
use crate::kinds::KINDS;

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
        let names = |kind: &KindSpec| (kind.attribute, names_of(kind));
        KINDS.iter().map(names).collect()
    });
    NAMES.get(kind.attribute).map_or(&[], Vec::as_slice)
}

fn names_of(kind: &KindSpec) -> Vec<&'static str> {
    let handler: &[&str] = match kind.has_endpoint() {
        true => &["key", "endpoint", "function"],
        false => &["key", "remote", "path"],
    };
    let mut names = handler.to_vec();
    let options = kind.options.iter().filter(|option| !option.or_by_hand);
    let places = options.map(|option| option.place);
    for place in places.chain(kind.other_places.iter().copied()) {
        let name = place.first().filter(|name| !names.contains(name));
        names.extend(name);
    }
    names
}
