//! Reading a manifest as a value, without positions.

use std::fs;
use std::path::Path;

use serde_yaml::Value;

/// Returns a manifest's value; `None` if the file is missing or not valid YAML.
pub(crate) fn read_value(path: &Path) -> Option<Value> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    serde_yaml::from_str(text).ok()
}
