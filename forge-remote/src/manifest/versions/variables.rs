//! Manifest variables, replaced by their declared defaults.
//! Source: <https://developer.atlassian.com/platform/forge/manifest-reference/variables/>

use std::collections::BTreeMap;

use serde_yaml::{Mapping, Value};

use crate::manifest::values::list;

/// Returns the manifest with each `${NAME}` replaced by the variable's declared default. A variable
/// without a default stays: the value that a deployment had is not known.
pub(super) fn resolved(manifest: &Value) -> Value {
    let variables = list(manifest, &["environment", "variables"]);
    let defaults: BTreeMap<&str, &str> = variables
        .iter()
        .filter_map(|one| Some((one.get("key")?.as_str()?, one.get("default")?.as_str()?)))
        .collect();
    replaced(manifest, &defaults)
}

fn replaced(value: &Value, defaults: &BTreeMap<&str, &str>) -> Value {
    match value {
        Value::String(text) => Value::String(filled(text, defaults)),
        Value::Sequence(items) => items.iter().map(|item| replaced(item, defaults)).collect(),
        Value::Mapping(parts) => {
            let parts = parts.iter();
            let parts = parts.map(|(name, part)| (name.clone(), replaced(part, defaults)));
            Value::Mapping(parts.collect::<Mapping>())
        }
        other => other.clone(),
    }
}

fn filled(text: &str, defaults: &BTreeMap<&str, &str>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        filled.push_str(before);
        match after.split_once('}') {
            Some((name, after)) => {
                match defaults.get(name.trim()) {
                    Some(default) => filled.push_str(default),
                    None => filled.push_str(&format!("${{{name}}}")),
                }
                rest = after;
            }
            None => {
                filled.push_str("${");
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}
