//! The scopes of the manifest, as calls of `App`'s builder.

use std::collections::BTreeSet;

use forge_remote_schema::{events, scopes};
use serde_yaml::Value;

use super::chain::Link;
use super::functions::Functions;
use super::gap::Gap;
use super::literal::{Literal, Setting, string};
use crate::manifest::desired::{DesiredManifest, Scope, ScopeAlternatives, TOKEN_SCOPES};
use crate::manifest::items::{allows_impersonation, granted};
use crate::manifest::path::ManifestPath;
use crate::manifest::values::at;

/// The scope of the token that an app exchanges for users' tokens.
const SYSTEM: &str = TOKEN_SCOPES[0];
const USER: &str = TOKEN_SCOPES[1];

/// Returns the calls that declare the scopes that do not follow from the attributes. Scopes that the
/// manifest lacks are gaps.
pub(super) fn calls(manifest: &Value, functions: &Functions, gaps: &mut Vec<Gap>) -> Vec<Link> {
    let granted: BTreeSet<&str> = granted(manifest).collect();
    let mut needed = needed(functions).scopes_given(&granted);
    // With another scope, Forge creates tokens without them too.
    let without_token_scopes = granted.iter().any(|scope| !TOKEN_SCOPES.contains(scope))
        && needed.iter().any(|scope| {
            let name = scope.name.as_str();
            TOKEN_SCOPES.contains(&name) && !granted.contains(name)
        });
    if without_token_scopes {
        needed.retain(|scope| !TOKEN_SCOPES.contains(&scope.name.as_str()));
    }
    let missing = needed
        .iter()
        .filter(|scope| !granted.contains(scope.name.as_str()));
    gaps.extend(missing.map(|scope| {
        let path = ManifestPath::of(&["permissions", "scopes"]);
        let reason = format!("`{}` is missing, and the handlers need it", scope.name);
        Gap::new(path, reason)
    }));
    let follows = |name: &&str| needed.iter().any(|scope| scope.name == **name);
    let names = granted
        .iter()
        .copied()
        .filter(|name| scopes::check(name).is_ok());
    let (impersonated, others): (Vec<&str>, Vec<&str>) = names.partition(|name| {
        (granted.contains(SYSTEM) || without_token_scopes) && allows_impersonation(manifest, name)
    });
    let others: Vec<&str> = others.into_iter().filter(|name| !follows(name)).collect();
    let link = |method, names: Vec<&str>| {
        let names: Vec<String> = names.into_iter().map(string).collect();
        (!names.is_empty()).then(|| Link::list(method, names))
    };
    let enforcement = at(manifest, &["permissions", "enforcement"]).and_then(Value::as_str);
    let links = [
        link("scopes", others),
        link("impersonation_scopes", impersonated),
        without_token_scopes.then(|| Link::new("without_token_scopes", "")),
        (enforcement == Some("app-managed")).then(|| Link::new("app_managed_permissions", "")),
    ];
    links.into_iter().flatten().collect()
}

/// Returns the scopes that follow from the attributes.
fn needed(functions: &Functions) -> DesiredManifest {
    let mut needed = DesiredManifest::default();
    for attribute in functions.all.iter().flat_map(|one| &one.attributes) {
        let sets = attribute.kind.scopes;
        if !sets.is_empty() {
            let reason = String::new();
            needed.alternatives.push(ScopeAlternatives { sets, reason });
        }
        for setting in &attribute.settings {
            read(setting, &mut needed);
        }
    }
    needed
}

/// Adds the scopes of an option: of its events, or of its tokens.
fn read(setting: &Setting, needed: &mut DesiredManifest) {
    match (setting.name, &setting.value) {
        ("events" | "filtered_events", Literal::List(items)) => {
            for item in items {
                match item {
                    Literal::Text(event) => add_event(event, needed),
                    Literal::Group(settings) => {
                        settings.iter().for_each(|inner| read(inner, needed));
                    }
                    _ => {}
                }
            }
        }
        ("event", Literal::Text(event)) => add_event(event, needed),
        ("auth", Literal::List(words)) => words.iter().for_each(|word| add_token(word, needed)),
        ("auth", word) => add_token(word, needed),
        _ => {}
    }
}

fn add_event(event: &str, needed: &mut DesiredManifest) {
    if let Some(event) = events::find(event) {
        needed.events.entry(event.name).or_default();
    }
}

fn add_token(word: &Literal, needed: &mut DesiredManifest) {
    let name = match word {
        Literal::Word(word) if word == "user" => USER,
        _ => SYSTEM,
    };
    if !needed.scopes.iter().any(|scope| scope.name == name) {
        needed.scopes.push(Scope::new(name, Vec::new()));
    }
}
