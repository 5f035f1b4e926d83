//! The variables of a manifest: `${NAME}`, which the Forge CLI replaces.
//!
//! A variable must be listed in `environment.variables`. Its value is the process environment's, else
//! the declared default.
//! Source: <https://developer.atlassian.com/platform/forge/manifest-reference/variables/>

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_yaml::Value;

use super::values::list;
use crate::environment;

/// The reason why a text with variables has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VariableError {
    /// `environment.variables` does not list it.
    #[error("`${{{0}}}` is not declared in `environment.variables`")]
    Undeclared(String),
    /// It has no value in the environment, and no default.
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
    /// Reads the declarations of a manifest.
    pub(crate) fn of(manifest: &'a Value) -> Self {
        let declared = list(manifest, &["environment", "variables"]).iter();
        let declared = declared.filter_map(|one| match one.as_str() {
            Some(name) => Some((name, None)),
            None => {
                let name = one.get("key")?.as_str()?;
                Some((name, one.get("default").and_then(plain_text)))
            }
        });
        Self(declared.collect())
    }

    /// Returns whether a variable is declared.
    #[cfg(feature = "cli")]
    pub(super) fn is_declared(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns the text with each variable replaced as the Forge CLI would replace it here and now.
    pub(crate) fn resolve<'t>(&self, text: &'t str) -> Result<Cow<'t, str>, VariableError> {
        self.resolve_in(text, environment::variable)
    }

    /// Returns the text with each variable replaced by its default, whatever the environment has.
    #[cfg(feature = "cli")]
    pub(crate) fn resolve_defaults<'t>(
        &self,
        text: &'t str,
    ) -> Result<Cow<'t, str>, VariableError> {
        self.resolve_in(text, |_| None)
    }

    fn resolve_in<'t>(
        &self,
        text: &'t str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Cow<'t, str>, VariableError> {
        let mut resolved = String::new();
        let mut rest = text;
        while let Some((before, name, after)) = next_reference(rest) {
            let Some(default) = self.0.get(name) else {
                return Err(VariableError::Undeclared(name.to_owned()));
            };
            resolved.push_str(before);
            match (environment(name), default) {
                (Some(value), _) => resolved.push_str(&value),
                (None, Some(default)) => resolved.push_str(default),
                (None, None) => return Err(VariableError::Unset(name.to_owned())),
            }
            rest = after;
        }
        if rest.len() == text.len() {
            return Ok(Cow::Borrowed(text));
        }
        resolved.push_str(rest);
        Ok(Cow::Owned(resolved))
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

/// Returns the first `${NAME}` of a text: the text before it, the name, and the text after it.
fn next_reference(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(start) = text[from..].find("${").map(|at| from + at) {
        let inside = &text[start + 2..];
        let length = inside
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            .count();
        let (name, after) = inside.split_at(length);
        match after.strip_prefix('}') {
            Some(after) if !name.is_empty() => return Some((&text[..start], name, after)),
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

    #[test]
    fn the_environment_precedes_the_default() {
        let manifest = "environment: {variables: [A, {key: B, default: b}, {key: C, default: 3}]}";
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
