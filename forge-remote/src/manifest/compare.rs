//! The manifest against the code, both ways.

use std::collections::BTreeSet;
use std::fmt;

use serde_yaml::{Mapping, Value};

use super::emit;
use super::model::{Entry, Sections};

/// One disagreement between the manifest and the code.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// Where in the manifest, e.g. `modules.scheduledTrigger[refresh-index-trigger].interval`.
    pub path: String,
    /// What the disagreement is.
    #[serde(flatten)]
    pub finding: Finding,
    /// Where in the code: `file:line:column`; empty for what no handler wants.
    pub origins: Vec<String>,
    /// Why the code wants it, for scopes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// The kinds of disagreement.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Finding {
    /// The code wants it, the manifest lacks it.
    Missing { code: Value },
    /// Both have it, with different values.
    Different { manifest: Value, code: Value },
    /// The manifest has it, nothing in the code wants it any more.
    Stale { manifest: Value },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.finding {
            Finding::Missing { code } => {
                write!(f, "{path} is missing: the code wants {}", show(code))?
            }
            Finding::Different { manifest, code } => {
                write!(
                    f,
                    "{path} is {} in the manifest, but {} in the code",
                    show(manifest),
                    show(code)
                )?;
            }
            Finding::Stale { manifest } => {
                write!(
                    f,
                    "{path} is {} in the manifest, but no handler in this binary wants it",
                    show(manifest)
                )?;
            }
        }
        for reason in &self.reasons {
            write!(f, "\n    because {reason}")?;
        }
        for origin in &self.origins {
            write!(f, "\n    --> {origin}")?;
        }
        Ok(())
    }
}

fn show(value: &Value) -> String {
    let yaml = emit::to_yaml(value);
    match yaml.trim_end().lines().collect::<Vec<_>>().as_slice() {
        [line] => format!("`{line}`"),
        lines => lines.iter().map(|line| format!("\n      {line}")).collect(),
    }
}

/// Every disagreement between a manifest and what the code wants, in the manifest's order.
pub fn compare(manifest: &Value, wanted: &Sections) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (module_type, entries) in &wanted.modules {
        let path = format!("modules.{module_type}");
        compare_list(
            &path,
            list(manifest, &["modules", module_type]),
            entries,
            &mut differences,
        );
    }
    compare_list(
        "modules.endpoint",
        list(manifest, &["modules", "endpoint"]),
        &wanted.endpoints,
        &mut differences,
    );
    compare_list(
        "remotes",
        list(manifest, &["remotes"]),
        &wanted.remotes,
        &mut differences,
    );

    let granted = scopes(manifest);
    for scope in wanted
        .scopes
        .iter()
        .filter(|scope| !granted.contains(scope.name.as_str()))
    {
        differences.push(Difference {
            path: "permissions.scopes".to_owned(),
            finding: Finding::Missing {
                code: scope.name.as_str().into(),
            },
            origins: Vec::new(),
            reasons: scope.reasons.clone(),
        });
    }
    stale(manifest, wanted, &mut differences);
    differences
}

fn compare_list(path: &str, found: &[Value], wanted: &[Entry], differences: &mut Vec<Difference>) {
    for entry in wanted {
        let at = format!("{path}[{}]", entry.key());
        match found.iter().find(|item| key(item) == Some(entry.key())) {
            None => differences.push(Difference {
                path: at,
                finding: Finding::Missing {
                    code: Value::Mapping(entry.item.clone()),
                },
                origins: entry.origins.clone(),
                reasons: Vec::new(),
            }),
            Some(item) => {
                let before = differences.len();
                let empty = Mapping::new();
                let found = item.as_mapping().unwrap_or(&empty);
                compare_mapping(&at, found, &entry.item, path == "remotes", differences);
                for difference in &mut differences[before..] {
                    difference.origins.clone_from(&entry.origins);
                }
            }
        }
    }
}

/// Key by key; what is `open` may have more than the code says.
fn compare_mapping(
    path: &str,
    found: &Mapping,
    wanted: &Mapping,
    open: bool,
    differences: &mut Vec<Difference>,
) {
    let mut push = |name: &Value, finding: Finding| {
        differences.push(Difference {
            path: format!("{path}.{}", name.as_str().unwrap_or_default()),
            finding,
            origins: Vec::new(),
            reasons: Vec::new(),
        });
    };
    for (name, code) in wanted {
        match found.get(name) {
            Some(manifest) if same(manifest, code) => {}
            Some(manifest) => {
                push(
                    name,
                    Finding::Different {
                        manifest: manifest.clone(),
                        code: code.clone(),
                    },
                );
            }
            None => push(name, Finding::Missing { code: code.clone() }),
        }
    }
    if !open {
        for (name, manifest) in found.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
            // `enabled: false` and no token at all mean the same.
            if name.as_str() != Some("auth") || !same(manifest, &Value::Mapping(Mapping::new())) {
                push(
                    name,
                    Finding::Stale {
                        manifest: manifest.clone(),
                    },
                );
            }
        }
    }
}

/// Equal for Forge: a token that isn't enabled is no token.
fn same(a: &Value, b: &Value) -> bool {
    fn enabled(value: &Value) -> Option<BTreeSet<&str>> {
        let mut names = BTreeSet::new();
        for (name, token) in value.as_mapping()? {
            let name = name.as_str()?;
            if !matches!(name, "appSystemToken" | "appUserToken") {
                return None;
            }
            if token.as_mapping()?.get("enabled")?.as_bool()? {
                names.insert(name);
            }
        }
        Some(names)
    }
    a == b || matches!((enabled(a), enabled(b)), (Some(a), Some(b)) if a == b)
}

/// What was generated once and is wanted no more: endpoints of our remotes without a handler, and
/// the modules of our kinds that point at them.
fn stale(manifest: &Value, wanted: &Sections, differences: &mut Vec<Difference>) {
    for (path, item) in super::file::stale_items(manifest, wanted) {
        differences.push(Difference {
            path: format!("{path}[{}]", key(item).unwrap_or_default()),
            finding: Finding::Stale {
                manifest: item.clone(),
            },
            origins: Vec::new(),
            reasons: Vec::new(),
        });
    }
}

pub(super) fn key(item: &Value) -> Option<&str> {
    item.get("key")?.as_str()
}

/// The list at a path; empty where there is none.
pub(super) fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    let found = path.iter().try_fold(value, |value, name| value.get(name));
    found
        .and_then(Value::as_sequence)
        .map_or(&[], Vec::as_slice)
}

/// The granted scopes, in list or in map form.
fn scopes(manifest: &Value) -> BTreeSet<&str> {
    match manifest
        .get("permissions")
        .and_then(|permissions| permissions.get("scopes"))
    {
        Some(Value::Sequence(names)) => names.iter().filter_map(Value::as_str).collect(),
        Some(Value::Mapping(names)) => names.keys().filter_map(Value::as_str).collect(),
        _ => BTreeSet::new(),
    }
}
