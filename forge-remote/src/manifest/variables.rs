//! The variables of a manifest: `${NAME}`, which the Forge CLI replaces.
//!
//! A variable must be listed in `environment.variables`. Its value is the process environment's, else
//! the declared default.
//! Source: <https://developer.atlassian.com/platform/forge/manifest-reference/variables/>

use std::borrow::Cow;
use std::collections::BTreeMap;
#[cfg(feature = "cli")]
use std::convert::Infallible;

use serde_yaml::Value;

use super::values::list;
use crate::environment;

/// The reason why a text with variables has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VariableError {
    /// `environment.variables` does not list it.
    #[error("`${{{0}}}` is not declared in `environment.variables`")]
    Undeclared(String),
    /// The variable has no value in the environment, and no default.
    #[error("the manifest variable `{0}` is not set and has no default")]
    Unset(String),
}

impl VariableError {
    /// Returns the variable's name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Undeclared(name) | Self::Unset(name) => name,
        }
    }
}

/// The variables that a manifest declares, with their defaults.
pub(crate) struct Variables<'a>(BTreeMap<&'a str, Option<Cow<'a, str>>>);

impl<'a> Variables<'a> {
    /// Reads the declarations of a manifest. As for Forge, the first one of a name counts.
    pub(crate) fn of(manifest: &'a Value) -> Self {
        let mut variables = BTreeMap::new();
        for one in list(manifest, &["environment", "variables"]) {
            let name = one.as_str().or_else(|| one.get("key")?.as_str());
            if let Some(name) = name {
                let default = one.get("default").and_then(plain_text);
                variables.entry(name).or_insert(default);
            }
        }
        Self(variables)
    }

    /// Returns whether a variable is declared.
    #[cfg(feature = "cli")]
    pub(super) fn is_declared(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns the text with each variable replaced as the Forge CLI would replace it here and now.
    pub(crate) fn resolve<'t>(&self, text: &'t str) -> Result<Cow<'t, str>, VariableError> {
        self.resolve_in(text, environment::value)
    }

    /// Returns the text with each variable replaced by its default, regardless of the environment.
    pub(crate) fn resolve_defaults<'t>(
        &self,
        text: &'t str,
    ) -> Result<Cow<'t, str>, VariableError> {
        self.resolve_in(text, |_| None)
    }

    /// Returns a text with each variable replaced by its default; a variable without a default stays.
    #[cfg(feature = "cli")]
    pub(super) fn with_default<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let default = |name: &str| Ok(self.0.get(name).cloned().flatten());
        let filled = replaced::<Infallible>(text, default);
        filled.unwrap_or_else(|never| match never {})
    }

    /// Returns a value with each variable in its texts replaced by its default; a variable without a default
    /// stays.
    #[cfg(feature = "cli")]
    pub(super) fn with_defaults(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.with_default(text).into_owned()),
            Value::Sequence(items) => items.iter().map(|item| self.with_defaults(item)).collect(),
            Value::Mapping(parts) => {
                let parts = parts.iter();
                let parts = parts.map(|(name, part)| (name.clone(), self.with_defaults(part)));
                Value::Mapping(parts.collect())
            }
            other => other.clone(),
        }
    }

    /// Returns whether a text with variables may stand for this value: by the declared defaults, by the
    /// environment here, or because only `forge deploy` knows its value.
    #[cfg(feature = "cli")]
    pub(super) fn may_be(&self, text: &str, value: &Value) -> bool {
        let Some(value) = plain_text(value) else {
            return false;
        };
        match self.resolve_defaults(text) {
            Ok(default) => default == value || self.resolve(text).is_ok_and(|here| here == value),
            Err(_) => true,
        }
    }

    /// Returns whether a text may stand for this value, if each of its variables may have any value.
    pub(super) fn may_name(text: &str, value: &str) -> bool {
        let mut rest = text;
        let mut value = value;
        let mut is_first = true;
        while let Some((literal, _, after)) = next_reference(rest) {
            let found = match is_first {
                true => value.strip_prefix(literal),
                false => value.split_once(literal).map(|(_, behind)| behind),
            };
            let Some(behind) = found else {
                return false;
            };
            (value, rest, is_first) = (behind, after, false);
        }
        match is_first {
            true => value == rest,
            false => value.ends_with(rest),
        }
    }

    /// Returns the variables of a text that have no declared default.
    #[cfg(feature = "cli")]
    pub(super) fn without_default<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        references(text).filter(|name| !matches!(self.0.get(*name), Some(Some(_))))
    }

    /// Returns whether a text has a variable without a default: only `forge deploy` knows its value.
    #[cfg(feature = "cli")]
    pub(super) fn is_unknown(&self, text: &str) -> bool {
        matches!(self.resolve_defaults(text), Err(VariableError::Unset(_)))
    }

    fn resolve_in<'t>(
        &self,
        text: &'t str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Cow<'t, str>, VariableError> {
        replaced(text, |name| {
            let Some(default) = self.0.get(name) else {
                return Err(VariableError::Undeclared(name.to_owned()));
            };
            let value = environment(name)
                .map(Cow::Owned)
                .or_else(|| default.clone());
            match value {
                Some(value) => Ok(Some(value)),
                None => Err(VariableError::Unset(name.to_owned())),
            }
        })
    }
}

/// Returns the text with each reference replaced by its value; one without a value stays.
fn replaced<'t, 'v, E>(
    text: &'t str,
    value: impl Fn(&str) -> Result<Option<Cow<'v, str>>, E>,
) -> Result<Cow<'t, str>, E> {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some((before, name, after)) = next_reference(rest) {
        replaced.push_str(before);
        match value(name)? {
            Some(value) => replaced.push_str(&value),
            None => replaced.push_str(&rest[before.len()..rest.len() - after.len()]),
        }
        rest = after;
    }
    if rest.len() == text.len() {
        return Ok(Cow::Borrowed(text));
    }
    replaced.push_str(rest);
    Ok(Cow::Owned(replaced))
}

/// Returns whether a text refers to a variable.
pub(super) fn is_variable(text: &str) -> bool {
    next_reference(text).is_some()
}

/// Returns whether a value has a text with a variable.
#[cfg(feature = "cli")]
pub(super) fn has_reference(value: &Value) -> bool {
    match value {
        Value::String(text) => is_variable(text),
        Value::Sequence(items) => items.iter().any(has_reference),
        Value::Mapping(parts) => parts.values().any(has_reference),
        _ => false,
    }
}

/// Returns the names of the variables that a text refers to, in their order.
#[cfg(feature = "cli")]
pub(super) fn references(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, name, after) = next_reference(rest)?;
        rest = after;
        Some(name)
    })
}

/// Returns the first `${NAME}` of a text: the text before it, the name, and the text after it. A name has
/// letters, digits and `_`, and starts with no digit.
fn next_reference(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    // Most texts have no `$`, for which one character is found faster than two.
    while let Some(start) = text[from..].find('$').map(|at| from + at) {
        let Some(inside) = text[start + 1..].strip_prefix('{') else {
            from = start + 1;
            continue;
        };
        let length = inside
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            .count();
        let (name, after) = inside.split_at(length);
        let starts_with_digit = name.starts_with(|c: char| c.is_ascii_digit());
        match after.strip_prefix('}') {
            Some(after) if !name.is_empty() && !starts_with_digit => {
                return Some((&text[..start], name, after));
            }
            _ => from = start + 2,
        }
    }
    None
}

/// Returns a scalar's text.
fn plain_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(flag) => Some(Cow::Owned(flag.to_string())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[cfg(feature = "cli")]
    #[test]
    fn a_text_may_name_the_values_that_have_its_other_parts() {
        for (text, value, expected) in [
            ("tick", "tick", true),
            ("tick", "ticks", false),
            ("${A}", "", true),
            ("${A}", "tick", true),
            ("${A}-x", "tick-x", true),
            ("${A}-x", "tick", false),
            ("x-${A}", "x-tick", true),
            ("x-${A}", "tick-x-", false),
            ("a${A}b${B}c", "abc", true),
            ("a${A}b${B}c", "a-b-c", true),
            ("a${A}b${B}c", "acb", false),
            ("a${A}a", "a", false),
            ("${A}b${B}b", "b", false),
            ("${A}${B}", "any", true),
        ] {
            assert_eq!(Variables::may_name(text, value), expected, "{text} {value}");
        }
    }

    #[test]
    fn the_environment_precedes_the_default() {
        let manifest = "environment: {variables: [A, {key: B, default: b}, {key: C, default: 3}, {key: C, default: 4}]}";
        let manifest: Value = serde_yaml::from_str(manifest).unwrap();
        let variables = Variables::of(&manifest);
        let environment = |name: &str| (name == "B" || name == "A").then(|| name.repeat(2));
        let resolve = |text| {
            let resolved = variables.resolve_in(text, environment);
            resolved.map(Cow::into_owned)
        };
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("${A}", "AA"),
            ("x/${B}/${C}y", "x/BB/3y"),
            ("${} $A ${a.b} ${", "${} $A ${a.b} ${"),
            ("${ ${B}", "${ BB"),
            ("${1} ${1B} ${B1", "${1} ${1B} ${B1"),
        ] {
            assert_eq!(resolve(text).as_deref(), Ok(expected), "{text}");
        }
        let error = resolve("${C}${D}").unwrap_err();
        assert_eq!(error, VariableError::Undeclared("D".to_owned()));
        let defaults = |text| variables.resolve_defaults(text).map(Cow::into_owned);
        assert_eq!(defaults("${B}").as_deref(), Ok("b"));
        assert_eq!(defaults("${A}"), Err(VariableError::Unset("A".to_owned())));
    }
}
