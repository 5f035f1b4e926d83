//! Functions that read and create a manifest's values.

use serde_yaml::{Mapping, Value};

/// A scope's option that lets the app act for users who are not in session.
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/permissions/>
pub(crate) const ALLOW_IMPERSONATION: &str = "allowImpersonation";

/// Returns the value at a path of names.
pub(super) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

/// Returns the list at a path, or an empty one.
pub(super) fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path)
        .and_then(Value::as_sequence)
        .map_or(&[], Vec::as_slice)
}

/// Returns a mapping of one key.
pub(crate) fn mapping(key: &str, value: Value) -> Value {
    let mut mapping = Mapping::new();
    mapping.insert(key.into(), value);
    Value::Mapping(mapping)
}

/// Returns a scope's value in a mapping of scopes.
pub(super) fn scope_options(impersonation: bool) -> Value {
    let mut options = Mapping::new();
    if impersonation {
        options.insert(ALLOW_IMPERSONATION.into(), true.into());
    }
    Value::Mapping(options)
}
