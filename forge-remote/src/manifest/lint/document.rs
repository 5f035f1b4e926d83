//! The document as a whole: its size, its app id, and names that must be unique.

use std::collections::BTreeMap;

use super::findings::{Findings, Topic, text_of};
use crate::diagnostic::{Rule, Severity};
use crate::fit::AppId;
use crate::manifest::path::ManifestPath;
use crate::manifest::variables::Variables;

pub(super) const TOPIC: Topic = Topic {
    rules: &[
        &MANIFEST_TOO_LARGE,
        &INVALID_APP_ID,
        &OTHER_APP_ID,
        &DUPLICATE_MODULE_KEY,
        &DUPLICATE_VARIABLE,
        &SEVERAL_REQUIRED_PRODUCTS,
    ],
    check: |findings| {
        size(findings);
        app_id(findings);
        other_app_id(findings);
        module_keys(findings);
        variables(findings);
        products(findings);
    },
};

/// The largest manifest, in bytes.
/// Source: <https://developer.atlassian.com/platform/forge/platform-quotas-and-limits/>
const MAX_SIZE: usize = 200 * 1024;

const MANIFEST_TOO_LARGE: Rule = Rule::lint(
    "manifest-too-large",
    "Forge accepts manifests of at most 200 KB. Atlassian's validation does not measure the file. Translations can be \
    moved to files of `translations.resources`.",
);

fn size(findings: &mut Findings<'_>) {
    let size = findings.file.text().len();
    if size > MAX_SIZE {
        let message =
            format!("the manifest has {size} bytes, and Forge accepts at most {MAX_SIZE}");
        let help = "shorten it: move translations to files, and remove modules that nothing uses";
        findings.error(&MANIFEST_TOO_LARGE, &ManifestPath::default(), message, help);
    }
}

const INVALID_APP_ID: Rule = Rule::lint(
    "invalid-app-id",
    "`app.id` must be `ari:cloud:ecosystem::app/` and the app's UUID, as `forge register` writes it. Atlassian's validation \
    accepts any text after the slash, and the app does not start with it.",
);

fn app_id(findings: &mut Findings<'_>) {
    let Some(node) = findings.written_node(&["app", "id"]) else {
        return;
    };
    // Only the environment knows a variable's value.
    let Some(id) = node
        .scalar()
        .filter(|id| !id.is_empty() && !id.contains("${"))
    else {
        return;
    };
    if !id.starts_with("ari:") || id.parse::<AppId>().is_err() {
        let message = format!("`{id}` is not a Forge app id");
        let help = "write `ari:cloud:ecosystem::app/` and the app's UUID, as `forge register` does";
        findings.error_at(&INVALID_APP_ID, node, message, help);
    }
}

const OTHER_APP_ID: Rule = Rule::lint(
    "other-app-id",
    "FORGE_REMOTE_APP_ID, `App::app_id` or `App::app_ids` sets the ids of the apps whose calls are accepted, and the \
    manifest's `app.id` is not among them. If this manifest is deployed, each of its app's calls gets 401.",
);

fn other_app_id(findings: &mut Findings<'_>) {
    let Some(node) = findings.written_node(&["app", "id"]) else {
        return;
    };
    let variables = Variables::of(findings.written.value());
    let id = node.scalar().and_then(|id| variables.resolve(id).ok());
    let id = id.and_then(|id| id.parse::<AppId>().ok());
    let accepted = findings.wanted.app_ids.iter().map(|id| id.parse());
    // Invalid ids are reported elsewhere.
    let (Some(id), Ok(accepted)) = (id, accepted.collect::<Result<Vec<AppId>, _>>()) else {
        return;
    };
    if !accepted.is_empty() && !accepted.contains(&id) {
        let accepted: Vec<&str> = accepted.iter().map(AppId::as_str).collect();
        let message = format!("the app accepts calls of {} only", accepted.join(", "));
        let help = "correct FORGE_REMOTE_APP_ID, `App::app_id` or `App::app_ids`, or add this id to it, with a comma";
        findings.add_at(Severity::Warning, &OTHER_APP_ID, node, message, help);
    }
}

const DUPLICATE_MODULE_KEY: Rule = Rule::lint(
    "duplicate-module-key",
    "All modules, including endpoints and functions, share one namespace for keys; `forge deploy` rejects a second \
    module with the same key. Rename one of them.",
);

fn module_keys(findings: &mut Findings<'_>) {
    let mut seen: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    for (module_type, item) in findings.modules() {
        let Some(key) = item.get("key") else { continue };
        let Some(name) = key.scalar().filter(|name| !name.is_empty()) else {
            continue;
        };
        match seen.get(name) {
            Some((first, line)) => {
                let message =
                    format!("the key `{name}` is taken by a module `{first}` in line {line}");
                findings.error_at(
                    &DUPLICATE_MODULE_KEY,
                    key,
                    message,
                    "give one of them another key",
                );
            }
            None => {
                seen.insert(name, (module_type, key.at.line));
            }
        }
    }
}

const DUPLICATE_VARIABLE: Rule = Rule::lint(
    "duplicate-variable",
    "`environment.variables` declares the variable twice. Forge uses the first declaration, and its default. \
    Remove one of the two.",
);

fn variables(findings: &mut Findings<'_>) {
    let mut lines = BTreeMap::new();
    for variable in findings.items(&["environment", "variables"]) {
        let node = variable.get("key").unwrap_or(variable);
        let Some(name) = node.scalar().or_else(|| text_of(variable, "key")) else {
            continue;
        };
        if let Some(first) = lines.get(name) {
            let message = format!("the variable `{name}` is declared twice, first in line {first}");
            findings.add_at(
                Severity::Warning,
                &DUPLICATE_VARIABLE,
                node,
                message,
                "remove one of the two",
            );
        } else {
            lines.insert(name, node.at.line);
        }
    }
}

const SEVERAL_REQUIRED_PRODUCTS: Rule = Rule::lint(
    "several-required-products",
    "At most one product of `app.compatibility` can be required; `forge deploy` rejects a second one. \
    Remove `required: true` from the others.",
);

fn products(findings: &mut Findings<'_>) {
    let products = findings.node(&["app", "compatibility"]);
    let products = products
        .map(|node| node.entries())
        .unwrap_or_default()
        .iter();
    let mut required =
        products.filter(|product| text_of(&product.value, "required") == Some("true"));
    if let (Some(_), Some(second)) = (required.next(), required.next()) {
        let message = "a second product is required";
        let help = "write `required: true` for one product only";
        findings.error_at(&SEVERAL_REQUIRED_PRODUCTS, &second.key, message, help);
    }
}
