//! Values in a manifest that mean the same as the code's in another form: an edit leaves them alone.

use std::borrow::Cow;
use std::collections::BTreeSet;

use forge_remote_schema::options::{Form, ValueShape};
use forge_remote_schema::{KindSpec, identity_at, kinds};
use serde_yaml::{Mapping, Value};

use super::desired::DesiredManifest;
use super::filled::FilledPart;
use super::kept::{Kept, identity};
use super::values::{at, list};
use super::variables::{Variables, has_reference};

/// The manifest's variables that the code's item gets.
#[derive(Clone, Copy)]
pub(super) enum KeptVariables<'a> {
    /// The ones that may stand for the code's value.
    WithValueOfCode(&'a Variables<'a>),
    /// All of them: an update never replaces a variable.
    All(&'a Variables<'a>),
}

/// Returns the code's item, in the form that the manifest's item has: with its variables where they may have the
/// code's value, or, to be written, with all of them.
pub(super) fn wanted_of<'a>(
    path: &[&str],
    item: FilledPart<'_>,
    wanted: &'a Mapping,
    desired: &DesiredManifest,
    variables: KeptVariables<'_>,
) -> Cow<'a, Mapping> {
    let found = item.value;
    let mut wanted = Cow::Borrowed(wanted);
    let kind = match path {
        ["modules", module_type] => kinds::declared().find(|kind| kind.module_type == *module_type),
        _ => None,
    };
    if let Some(kind) = kind {
        keep_disabled_flags(kind, found, &mut wanted);
    }
    match path {
        ["modules", "endpoint"] if is_route_without_slash(found, &wanted) => {
            if let Some(route) = found.get("route") {
                wanted.to_mut().insert("route".into(), route.clone());
            }
        }
        ["modules", "endpoint"]
            if wanted
                .get("key")
                .and_then(Value::as_str)
                .is_some_and(|key| desired.resolvers.contains(key)) =>
        {
            keep_page_route(found, &mut wanted);
        }
        ["modules", "webtrigger"] => keep_default_response(found, wanted.to_mut()),
        ["remotes"] => {
            let wanted = wanted.to_mut();
            let key = wanted.get("key").and_then(Value::as_str);
            if key.is_some_and(|key| desired.with_added_operations.contains(key)) {
                keep_operations(found, wanted);
            }
            keep_tokens(found, wanted);
            keep_remote(item.written, wanted);
        }
        ["modules", "trigger"] => keep_events(item, wanted.to_mut()),
        ["modules", "action"] => keep_inputs(found, wanted.to_mut()),
        // In Atlassian's schema, only this module's endpoint form accepts translated texts.
        ["modules", "jira:workflowPostFunction"] => keep_translations(found, wanted.to_mut()),
        _ => {}
    }
    if has_reference(item.written) {
        let mut code = Value::Mapping(wanted.into_owned());
        let (variables, all) = match variables {
            KeptVariables::WithValueOfCode(variables) => (variables, false),
            KeptVariables::All(variables) => (variables, true),
        };
        Kept {
            variables,
            all,
            kind,
        }
        .write(item, &mut code);
        wanted = Cow::Owned(code.as_mapping().cloned().unwrap_or_default());
    }
    wanted
}

/// Keeps `false`, which means the same as an absent flag.
fn keep_disabled_flags(kind: &KindSpec, found: &Value, wanted: &mut Cow<'_, Mapping>) {
    let nested = kind.nested.map_or(&[][..], |(_, set)| set.options);
    for option in kind.options.iter().chain(nested) {
        let is_flag = matches!(option.shape, ValueShape::Flag) && option.form == Form::Same;
        if is_flag && at(found, option.place) == Some(&Value::Bool(false)) {
            insert_absent(wanted.to_mut(), option.place, false.into());
        }
    }
}

/// Inserts a value at a place that has none.
fn insert_absent(mapping: &mut Mapping, place: &[&str], value: Value) {
    let Some((name, inner)) = place.split_first() else {
        return;
    };
    if inner.is_empty() {
        mapping.entry((*name).into()).or_insert(value);
        return;
    }
    let next = mapping.entry((*name).into());
    let next = next.or_insert_with(|| Value::Mapping(Mapping::new()));
    if let Some(next) = next.as_mapping_mut() {
        insert_absent(next, inner, value);
    }
}

/// Keeps an action's inputs without `required`, which is false by default.
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/rovo-action/>
fn keep_inputs(found: &Value, wanted: &mut Mapping) {
    let inputs = wanted.get_mut("inputs").and_then(Value::as_mapping_mut);
    for (name, input) in inputs.into_iter().flatten() {
        let found = found.get("inputs").and_then(|inputs| inputs.get(name));
        let lacks = found.is_some_and(|found| found.get("required").is_none());
        if let Some(input) = input.as_mapping_mut()
            && lacks
            && input.get("required") == Some(&Value::Bool(false))
        {
            input.shift_remove("required");
        }
    }
}

/// Returns whether a route is the code's without its leading slash, as Atlassian's pages about Rovo write it.
fn is_route_without_slash(found: &Value, wanted: &Mapping) -> bool {
    let found = at(found, &["route", "path"]).and_then(Value::as_str);
    let code = wanted.get("route").and_then(|route| route.get("path"));
    let code = code.and_then(Value::as_str).unwrap_or_default();
    found.is_some() && code.strip_prefix('/') == found
}

/// Keeps a page's endpoint with or without its route: a page's call names its own path.
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/endpoint/>
fn keep_page_route(found: &Value, wanted: &mut Cow<'_, Mapping>) {
    match (found.get("route"), wanted.contains_key("route")) {
        (None, true) => {
            wanted.to_mut().shift_remove("route");
        }
        (Some(route), false) => {
            wanted.to_mut().insert("route".into(), route.clone());
        }
        _ => {}
    }
}

/// Keeps a web trigger without `response`: the default is a dynamic one.
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/web-trigger/>
fn keep_default_response(found: &Value, wanted: &mut Mapping) {
    let response = wanted.get("response");
    let is_default =
        response.is_some_and(|one| at(one, &["type"]).and_then(Value::as_str) == Some("dynamic"));
    if is_default && found.get("response").is_none() {
        wanted.shift_remove("response");
    }
}

/// Keeps translated texts: `{i18n: KEY}` stands for the text in the code.
fn keep_translations(found: &Value, wanted: &mut Mapping) {
    for name in ["name", "description"] {
        let translated = found.get(name).filter(|text| text.get("i18n").is_some());
        if let (Some(translated), Some(Value::String(_))) = (translated, wanted.get(name)) {
            wanted.insert(name.into(), translated.clone());
        }
    }
}

/// Keeps a remote's `operations`, to which the code adds.
fn keep_operations(found: &Value, wanted: &mut Mapping) {
    let Some(Value::Sequence(added)) = wanted.get_mut("operations") else {
        return;
    };
    let mut operations = list(found, &["operations"]).to_vec();
    for operation in std::mem::take(added) {
        if !operations.contains(&operation) {
            operations.push(operation);
        }
    }
    *added = operations;
}

/// Keeps a remote's tokens, to which the code adds: a call may reach a function's handler of another service.
fn keep_tokens(found: &Value, wanted: &mut Mapping) {
    if let (Some(Value::Mapping(found)), Some(Value::Mapping(added))) =
        (found.get("auth"), wanted.get_mut("auth"))
    {
        let mut auth = found.clone();
        for (token, enabled) in std::mem::take(added) {
            auth.insert(token, enabled);
        }
        *added = auth;
    }
}

/// Keeps a remote's addresses that are manifest variables, the regions of a remote for which the code has
/// only the default, and the order of regions and operations.
fn keep_remote(found: &Value, wanted: &mut Mapping) {
    if let (Some(found), Some(code)) = (found.get("baseUrl"), wanted.get_mut("baseUrl")) {
        match found {
            Value::Mapping(found) => *code = wanted_urls(found, code),
            url if has_reference(url) && code.is_string() => *code = url.clone(),
            _ => {}
        }
    }
    let names = |list: Option<&Value>| -> Option<BTreeSet<String>> {
        let names = list?.as_sequence()?.iter();
        names.map(|name| name.as_str().map(str::to_owned)).collect()
    };
    if let Some(operations) = found.get("operations")
        && names(Some(operations))
            .is_some_and(|found| names(wanted.get("operations")) == Some(found))
    {
        wanted.insert("operations".into(), operations.clone());
    }
}

/// Returns the code's base URLs by region, in the order of the file; regions of the code alone are last.
fn wanted_urls(found: &Mapping, code: &Value) -> Value {
    let declares_regions = code.is_mapping();
    let mut code = match code {
        Value::Mapping(urls) => urls.clone(),
        url => [("default".into(), url.clone())].into_iter().collect(),
    };
    let mut urls = Mapping::new();
    for (region, url) in found {
        let kept = match code.shift_remove(region) {
            Some(own) if !has_reference(url) => own,
            None if declares_regions => continue,
            _ => url.clone(),
        };
        urls.insert(region.clone(), kept);
    }
    urls.extend(code);
    Value::Mapping(urls)
}

/// Keeps a trigger's events in their form (names or objects) and order if they mean the same.
fn keep_events(item: FilledPart<'_>, wanted: &mut Mapping) {
    let found = item.value;
    let whole = Value::Mapping(wanted.clone());
    let same = match (meaning(found), meaning(&whole)) {
        (Some(found), Some(wanted)) => found == wanted,
        _ => false,
    };
    if same {
        for name in ["events", "filter", "payload"] {
            match found.get(name) {
                Some(value) => wanted.insert(name.into(), value.clone()),
                None => wanted.shift_remove(name),
            };
        }
        return;
    }
    // The order has no meaning: events that stay keep their places.
    let events = found.get("events").and_then(Value::as_sequence);
    let wanted_events = wanted.get_mut("events").and_then(Value::as_sequence_mut);
    if let (Some(found), Some(events)) = (events, wanted_events) {
        let written = list(item.written, &["events"]);
        let place = |event: &Value| {
            let equal = found.iter().position(|one| one == event);
            equal.or_else(|| {
                // With its variables, it may be the same event.
                let name = identity_at(&kinds::TRIGGER, &["events"]);
                let is_same = |one: &Value| {
                    has_reference(one) && identity(one, name) == identity(event, name)
                };
                written.iter().position(is_same)
            })
        };
        // An event without a place may be one that a variable stands for.
        let mut places: Vec<Option<usize>> = events.iter().map(place).collect();
        let by_variable = (0..written.len()).filter(|at| has_reference(&written[*at]));
        let free = by_variable.filter(|at| !places.contains(&Some(*at)));
        let mut free = Vec::from_iter(free).into_iter();
        for place in places.iter_mut().filter(|place| place.is_none()) {
            *place = free.next();
        }
        let mut placed: Vec<(usize, Value)> = places
            .into_iter()
            .map(|place| place.unwrap_or(usize::MAX))
            .zip(std::mem::take(events))
            .collect();
        placed.sort_by_key(|(place, _)| *place);
        events.extend(placed.into_iter().map(|(_, event)| event));
    }
}

/// Returns each event of a trigger's item, in either form, with its filter and payload; `None` if
/// Atlassian does not document the item's meaning.
pub(super) fn meaning(item: &Value) -> Option<Vec<(&str, Mapping, &Value)>> {
    // Forge's defaults mean the same as an absent property.
    let explicit = |filter: &Value| -> Mapping {
        let parts = filter.as_mapping().into_iter().flatten();
        let parts = parts.filter(|(name, value)| {
            **value != Value::Bool(false)
                && !(*name == "onError" && value.as_str() == Some("IGNORE_AND_LOG"))
        });
        parts
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    const NOTHING: &Value = &Value::Null;
    let events = item.get("events")?.as_sequence()?;
    let mut all = Vec::new();
    for event in events {
        let (name, of) = match event {
            Value::String(name) => (name.as_str(), item),
            event => {
                // Whether the trigger's own filter counts too is not documented.
                if item.get("filter").is_some() || item.get("payload").is_some() {
                    return None;
                }
                (event.get("eventType")?.as_str()?, event)
            }
        };
        let filter = explicit(of.get("filter").unwrap_or(NOTHING));
        all.push((name, filter, of.get("payload").unwrap_or(NOTHING)));
    }
    all.sort_by_key(|(name, ..)| *name);
    // Twice means the same as once.
    all.dedup();
    Some(all)
}
