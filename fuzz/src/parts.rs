//! The promise that an update removes hand-written properties only with a module that it names. The properties are found
//! independently of the library's plan.

use std::collections::BTreeSet;

use forge_remote::fuzzing::yaml::value;
use forge_remote::manifest::{DesiredManifest, ManifestFile};
use forge_remote_schema::kinds;
use serde_yaml::Value;

/// Returns the first hand-written property that is lost with a module whose key the update does not name.
pub(crate) fn lost_part(
    file: &ManifestFile,
    wanted: &DesiredManifest,
    app_id: &str,
) -> Option<String> {
    let new = file.merged_with(wanted, Some(app_id)).ok()?;
    let new = ManifestFile::parse("manifest.yml", Some(new)).ok()?;
    let items = |file, list: &str| {
        let modules = value(file).get("modules");
        let list = modules.and_then(|modules| modules.get(list)?.as_sequence());
        list.map_or(&[][..], Vec::as_slice)
    };
    for kind in kinds::declared().filter(|kind| !kind.owns_item) {
        let options = kind.options.iter().map(|option| option.place);
        let places = options.chain(kind.endpoint_places.iter().copied());
        let names = places.filter_map(|place| place.first().copied());
        let names: BTreeSet<&str> = names.chain(["key", "function", "remote", "path"]).collect();
        for item in items(file, kind.module_type) {
            let key = item.get("key").and_then(Value::as_str);
            if key.is_some_and(|key| wanted.removable.contains(key)) {
                continue;
            }
            for (name, part) in item.as_mapping().into_iter().flatten() {
                let is_by_hand = !names.contains(name.as_str().unwrap_or_default());
                let mut after = items(&new, kind.module_type).iter();
                if is_by_hand && !after.any(|item| item.get(name) == Some(part)) {
                    return Some(format!("{name:?} of {item:?}"));
                }
            }
        }
    }
    None
}
