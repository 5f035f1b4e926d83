//! Differences between the manifest and the code as diagnostics.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_yaml::Value;

use super::compare::{Difference, Mismatch};
use super::desired::TOKEN_SCOPES;
use super::emit::to_yaml;
use super::file::ManifestFile;
use super::items::granted;
use super::parts::quoted;
use super::path::Step;
use super::stale::{Fate, User};
use super::values::{at, list};
use crate::diagnostic::{Diagnostic, Rule, Severity};

/// The rules of this file.
pub(super) const RULES: &[&Rule] = &[
    &MISSING,
    &DIFFERENT,
    &STALE,
    &MISSING_SCOPE,
    &IMPERSONATION_NOT_ALLOWED,
];

const MISSING: Rule = Rule::difference(
    "missing",
    "The code declares a module, an endpoint, a remote or a property that the manifest lacks. Forge would never call \
    the handler, or call it differently. `manifest --write` adds it.",
);

const DIFFERENT: Rule = Rule::difference(
    "different",
    "The manifest and the code have different values. The deployed app follows the manifest, your server follows the \
    code. `manifest --write` changes the manifest to the code's value, but never replaces a variable such as `${PATH}`, \
    because other environments may have other values: its declared default is compared.",
);

const STALE: Rule = Rule::difference(
    "stale",
    "The manifest has an endpoint of one of this app's remotes, or a module that names one, and no handler in this \
    binary declares it: Forge's calls would get 404. The handler was renamed or removed, or its crate is not linked \
    (link it with `forge_remote::link!`), or another service serves it (`App::foreign_endpoints`, `App::foreign_modules`), or it is not \
    written yet (`manifest --adopt` prints the handlers of a whole manifest). `manifest --write` removes the entry \
    only if `--prune KEY` or `also_key` names it, if its key is the one that is generated from such an endpoint's, or if \
    it calls a handler of this code that has become one of another kind, so that it does not delete the entries of \
    another service; and not while a part that stays names it, or may name it by a variable without a default. An entry that has parts which the code does not declare, \
    such as an action's `config` or a variable, is removed only if `--prune` names its own key (the values of options go \
    with it). An entry that `also_key` names gets the handler's key instead, with these parts and its comments, if the \
    manifest has no entry of that key, or one without anything hand-written; if it has another one, an entry with \
    comments is removed only by its key too.",
);

const MISSING_SCOPE: Rule = Rule::difference(
    "missing-scope",
    "A handler needs a scope that `permissions.scopes` lacks: Atlassian would reject its token, or Forge would create \
    no token. `manifest --write` adds the scope. After a new scope is deployed, each site's admin must consent. A deployed \
    app that gets tokens without the scopes that are named after them can leave them out: `App::without_token_scopes`.",
);

const IMPERSONATION_NOT_ALLOWED: Rule = Rule::difference(
    "impersonation-not-allowed",
    "`App::impersonation_scopes` lists this scope for acting as users who are not in session, and the manifest does not allow \
    it: Atlassian would not exchange the app's token for theirs. If one scope is written as `NAME: { \
    allowImpersonation: true }`, the others must be `NAME: {}`. `manifest --write` rewrites them all.",
);

/// Upper bound on the items that a message lists.
const MAX_USERS: usize = 3;

/// Returns which items name another, with their positions: "`modules.action[search]` (manifest.yml:3:7) names it".
pub(super) fn users(file: &ManifestFile, kept_by: &[Arc<User>]) -> String {
    let name = file.path().display();
    let (possible, certain): (Vec<&Arc<User>>, Vec<&Arc<User>>) =
        kept_by.iter().partition(|user| user.by_variable);
    let mut texts = Vec::new();
    for (users, verb) in [
        (certain, ["names it", "name it"]),
        (possible, ["may name it, by a variable"; 2]),
    ] {
        let verb = verb[usize::from(users.len() > 1)];
        let others = users.len().saturating_sub(MAX_USERS);
        let users = users.iter().take(MAX_USERS).map(|user| {
            let at = file.position(&user.path);
            format!("`{}` ({name}:{}:{})", user.path, at.line, at.column)
        });
        let others = (others > 0).then(|| format!("{others} more"));
        let users = users.chain(others).collect::<Vec<_>>().join(" and ");
        if !users.is_empty() {
            texts.push(format!("{users} {verb}"));
        }
    }
    texts.join(", and ")
}

/// Returns the step before an entry that these items name can be removed. `change` is the one for items that name it
/// without a variable.
pub(super) fn way_out(kept_by: &[Arc<User>], change: &str) -> String {
    let variables = kept_by.iter().flat_map(|user| &user.without_default);
    let variables: BTreeSet<&String> = variables.collect();
    let variables: BTreeSet<String> = variables.into_iter().cloned().collect();
    if variables.is_empty() {
        return change.to_owned();
    }
    let default = default_or_name(&variables);
    match kept_by.iter().all(|user| user.is_unknown()) {
        true => default,
        false => format!("{change}, and {default}"),
    }
}

/// Returns how to show which entry variables without a default name.
pub(super) fn default_or_name(variables: &BTreeSet<String>) -> String {
    let variables = quoted(&Vec::from_iter(variables.iter().cloned()));
    format!(
        "give {variables} a default in `environment.variables`, or write the name instead of the variable"
    )
}

/// Returns notes about an entry without a handler, and what an update does with it, or how to resolve it. `first` is a
/// step before, which ends with "then".
fn advice(file: &ManifestFile, fate: &Fate, first: &str) -> (Vec<String>, String) {
    const OTHER_CRATE: &str =
        "if the handler is in another crate, link that crate (`forge_remote::link!`)";
    match fate {
        Fate::Renamed { to, replaces, .. } => {
            let place = match replaces {
                Some(_) => ", in place of the entry there, which has nothing hand-written",
                None => "",
            };
            let note = format!("it is a former entry of `{to}`");
            let help = format!("{first}run `manifest --write`, which gives it this key{place}");
            (vec![note], help)
        }
        Fate::Removed => {
            let help = format!("{first}run `manifest --write`, which removes it");
            (Vec::new(), help)
        }
        Fate::KeptBy {
            users: kept_by,
            otherwise,
        } => {
            let way_out = way_out(kept_by, "change the parts that name it");
            let is_unknown = kept_by.iter().all(|user| user.is_unknown());
            let (mut notes, help) = match **otherwise {
                // `--prune` would reject its key.
                Fate::Unproven { calls_handler, .. } if !is_unknown => {
                    let foreign = foreign(calls_handler);
                    let help =
                        format!("{OTHER_CRATE}; {foreign}; if it is no longer served, {way_out}");
                    (Vec::new(), help)
                }
                ref fate => advice(file, fate, &format!("{way_out}, then ")),
            };
            let users = users(file, kept_by);
            notes.push(format!("{users}, so `manifest --write` keeps it"));
            (notes, help)
        }
        Fate::KeptWith { endpoint } => {
            let note = format!("`manifest --write` removes it with its endpoint `{endpoint}`");
            let help = "correct what keeps the endpoint in the manifest".to_owned();
            (vec![note], help)
        }
        Fate::HasParts { parts, prune } => {
            let parts = parts.join(", ");
            let note = format!(
                "it has parts that the code does not declare ({parts}), so `manifest --write` keeps it"
            );
            let keys = prune.keys();
            let help = format!(
                "{first}move them to an entry of the code, then remove it with `manifest --write --prune {keys}`"
            );
            (vec![note], help)
        }
        Fate::Unproven {
            prune,
            calls_handler,
        } => {
            let foreign = foreign(*calls_handler);
            let (keys, deleted) = (prune.keys(), prune.deleted());
            let help = format!(
                "{OTHER_CRATE}; {foreign}; if it is no longer served, {first}remove it with `manifest --write --prune \
                 {keys}`{deleted}"
            );
            (Vec::new(), help)
        }
    }
}

/// Returns how to declare that an entry is another service's.
fn foreign(calls_handler: bool) -> &'static str {
    match calls_handler {
        true => "if it is another service's, list its key in `App::foreign_modules`",
        false => "if another service serves it, list the endpoint in `App::foreign_endpoints`",
    }
}

/// Returns a difference as a diagnostic.
pub(super) fn diagnostic(file: &ManifestFile, difference: &Difference) -> Diagnostic {
    let last = difference.path.steps().last();
    let is_whole_item = matches!(last, Some(Step::Item(_)));
    let rule = match &difference.mismatch {
        Mismatch::Missing { .. } if matches!(last, Some(Step::Value(_))) => {
            &IMPERSONATION_NOT_ALLOWED
        }
        Mismatch::Missing { .. } if !difference.reasons.is_empty() => &MISSING_SCOPE,
        Mismatch::Missing { .. } => &MISSING,
        Mismatch::Stale { .. } if is_whole_item => &STALE,
        Mismatch::Stale { .. } | Mismatch::Different { .. } => &DIFFERENT,
    };
    let reasons = difference.reasons.iter();
    let mut diagnostic = Diagnostic::new(rule, Severity::Error, difference.headline())
        .in_manifest(file.locate(&difference.path))
        .at(difference.origins.iter().copied())
        .notes(reasons.map(|reason| format!("needed because {reason}")));
    if let Some(hint) = auth_hint(file, difference) {
        diagnostic = diagnostic.help(hint);
    }
    if is_first_operation(difference) {
        diagnostic = diagnostic.notes([
            "a remote without `operations` counts as one that stores end-user data, and one with `compute` alone as one \
             that does not: if it does, declare it with `Remote::operations` and `Remote::in_scope_eud`"
                .to_owned(),
        ]);
    }
    if difference.variables.has_kept {
        diagnostic = diagnostic.help(
            "`manifest --write` does not replace variables: change the default in `environment.variables`, or write the \
             code's value here",
        );
    }
    let removed = Vec::from_iter(difference.variables.removed.iter().cloned());
    if !removed.is_empty() {
        let removed = quoted(&removed);
        let help = format!(
            "`manifest --write` removes {removed}, because the code does not declare what the variable is part of"
        );
        diagnostic = diagnostic.help(help);
    }
    if let Some(fate) = &difference.fate {
        let (notes, help) = advice(file, fate, "");
        diagnostic = diagnostic.notes(notes).help(help);
    }
    if rule == &MISSING_SCOPE
        && let Mismatch::Missing { code } = &difference.mismatch
        && requests_without_scope(file.value(), code)
    {
        diagnostic = diagnostic.help(
            "if the app is deployed without it and its calls bring tokens, leave the manifest as it is, and call \
             `App::without_token_scopes`",
        );
    }
    if let Mismatch::Missing { code } = &difference.mismatch
        && difference.reasons.is_empty()
        // An update's diff and `--stdout` have whole items.
        && !is_whole_item
    {
        let wanted = format!("the code declares\n{}", to_yaml(code).trim_end());
        diagnostic = diagnostic.notes([wanted]);
    }
    diagnostic
}

/// Returns whether a remote gets `operations`, which it lacks, only for functions' calls.
fn is_first_operation(difference: &Difference) -> bool {
    let is_operations = matches!(
        difference.path.steps(),
        [Step::Name(list), Step::Item(_), Step::Name(name)] if list == "remotes" && name == "operations"
    );
    let compute = || Value::Sequence(vec!["compute".into()]);
    matches!(&difference.mismatch, Mismatch::Missing { code } if is_operations && *code == compute())
}

/// Returns the hint that a token is requested at a remote instead of the endpoint.
fn auth_hint(file: &ManifestFile, difference: &Difference) -> Option<&'static str> {
    let is_auth = difference.path.to_string();
    let is_auth = is_auth.starts_with("modules.endpoint[") && is_auth.contains("].auth");
    let mut remotes = list(file.value(), &["remotes"]).iter();
    (is_auth && remotes.any(|remote| remote.get("auth").is_some())).then_some(
        "`auth` of a remote is only for calls of the app's functions; an endpoint's calls get the tokens of the \
         endpoint's `auth`",
    )
}

/// Returns whether the file requests a token and has scopes, but not the one that is named after the token.
fn requests_without_scope(manifest: &Value, scope: &Value) -> bool {
    let tokens = TOKEN_SCOPES.iter().zip(["appSystemToken", "appUserToken"]);
    let mut token = tokens.filter(|(name, _)| scope == *name);
    let Some((_, token)) = token.next() else {
        return false;
    };
    let endpoints = list(manifest, &["modules", "endpoint"]).iter();
    let mut items = endpoints.chain(list(manifest, &["remotes"]));
    let is_requested = items.any(|item| {
        let enabled = at(item, &["auth", token, "enabled"]);
        enabled.and_then(Value::as_bool) == Some(true)
    });
    is_requested && granted(manifest).any(|name| !TOKEN_SCOPES.contains(&name))
}
