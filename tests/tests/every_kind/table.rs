//! The table of kinds, against Atlassian's schema and the kinds themselves.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use forge_remote::App;
use forge_remote::kinds::*;
use forge_remote::manifest::OwnedProperties;
use forge_remote::registry::{Handler, Registry};
use forge_remote_schema::KindSpec;
use forge_remote_schema::kinds::KINDS;
use forge_remote_schema::names::Names;
use forge_remote_schema::options::OptionSpec;
use serde_json::Value;

/// Every module with an endpoint in Atlassian's schema has an attribute here. The test needs
/// `FORGE_MANIFEST_PACKAGE`, the directory of `@forge/manifest`, which `.ci/conformance` sets.
#[test]
fn every_module_with_an_endpoint_in_atlassians_schema_has_an_attribute() {
    let Some(package) = std::env::var_os("FORGE_MANIFEST_PACKAGE") else {
        println!("skipped: FORGE_MANIFEST_PACKAGE names no directory of @forge/manifest");
        return;
    };
    let schema = PathBuf::from(package).join("out/schema/manifest-schema.json");
    let schema: Value = serde_json::from_str(&fs::read_to_string(schema).unwrap()).unwrap();
    let modules = followed(&schema, &schema["properties"]["modules"]);
    let mut found = BTreeSet::new();
    for (module_type, definition) in modules["properties"].as_object().unwrap() {
        places(
            &schema,
            definition,
            &mut Vec::new(),
            &mut Vec::new(),
            &mut |place| {
                found.insert((module_type.clone(), place.to_owned()));
            },
        );
    }
    assert!(found.len() > 90, "{}", found.len());
    let here: BTreeSet<(String, String)> = forge_remote::kinds::endpoint_places()
        .into_iter()
        .map(|(module_type, place)| (module_type.to_owned(), place))
        .collect();
    let missing: Vec<_> = found.difference(&here).collect();
    assert!(missing.is_empty(), "no attribute exists for {missing:?}");
    let gone: Vec<_> = here.difference(&found).collect();
    assert!(gone.is_empty(), "Atlassian's schema has no {gone:?}");
    // The docs name each type: in the table, and pages in a list.
    let table = include_str!("../../../forge-remote/src/kinds/mod.rs");
    let pages = include_str!("../../../forge-remote/src/kinds/pages.md");
    for (module_type, place) in &here {
        let named = if place == "resolver.endpoint" {
            pages.contains(&format!("`{module_type}`"))
        } else {
            table.contains(&format!("| `{module_type}`"))
        };
        assert!(named, "{module_type} ({place})");
    }
}

fn followed<'a>(schema: &'a Value, mut node: &'a Value) -> &'a Value {
    while let Some(path) = node["$ref"]
        .as_str()
        .and_then(|path| path.strip_prefix('#'))
        .filter(|path| path.starts_with('/'))
    {
        match schema.pointer(path) {
            Some(next) if !std::ptr::eq(next, node) => node = next,
            _ => return &Value::Null,
        }
    }
    node
}

fn places<'a>(
    schema: &'a Value,
    node: &'a Value,
    path: &mut Vec<&'a str>,
    above: &mut Vec<*const Value>,
    found: &mut impl FnMut(&str),
) {
    let node = followed(schema, node);
    let here: *const Value = node;
    if above.contains(&here) {
        return;
    }
    above.push(here);
    for name in ["anyOf", "oneOf", "allOf"] {
        for part in node[name].as_array().into_iter().flatten() {
            places(schema, part, path, above, found);
        }
    }
    if node.get("items").is_some() {
        places(schema, &node["items"], path, above, found);
    }
    for (name, part) in node["properties"].as_object().into_iter().flatten() {
        path.push(name);
        if name == "endpoint" {
            found(&path.join("."));
        } else {
            places(schema, part, path, above, found);
        }
        path.pop();
    }
    above.pop();
}

#[test]
fn handlers_can_be_added_one_by_one_in_any_order() {
    let linked = Registry::linked();
    let (mut app, mut count) = (App::empty(), 0);
    for handler in linked.handlers().iter().rev().step_by(2) {
        app = app.handler(handler.registration().clone());
        count += 1;
    }
    assert!(app.registry().handlers().len() >= count);
    for handler in linked.handlers() {
        app = app.handler(handler.registration().clone());
    }
    let identity = |handler: &Handler| {
        let place = handler.registration().location.to_string();
        (handler.key().to_owned(), handler.path().to_owned(), place)
    };
    let [added, linked] = [app.registry(), &linked]
        .map(|registry| registry.handlers().iter().map(identity).collect::<Vec<_>>());
    assert_eq!(added, linked);
}

/// Every row of the table has a handler here. The module that the handler declares has the row's
/// type and names its endpoint where the row says.
#[test]
fn every_row_of_the_table_matches_its_kind() {
    let registry = Registry::linked();
    let mut seen = BTreeSet::new();
    for handler in registry.handlers() {
        let kind = handler.registration().kind;
        let spec = kind.spec();
        seen.insert(spec.attribute);
        let modules = kind.modules(handler.names());
        assert_eq!(modules.len(), usize::from(spec.has_module()));
        for module in modules {
            assert_eq!(module.module_type, spec.module_type);
            let owns_item = module.owned == OwnedProperties::All;
            assert_eq!(owns_item, spec.owns_item, "{}", spec.attribute);
            let item = module.to_json();
            let named = spec.endpoint_places.iter().filter(|place| {
                let found = place.iter().try_fold(&item, |value, name| value.get(name));
                found.and_then(|found| found.as_str()) == Some(handler.endpoint())
            });
            let expected = usize::from(spec.has_endpoint());
            assert_eq!(named.count(), expected, "{}", spec.attribute);
        }
    }
    let all = KINDS.iter().map(|kind| kind.attribute);
    assert_eq!(
        all.filter(|one| !seen.contains(one)).collect::<Vec<_>>(),
        [""; 0]
    );
}

/// Options that no handler here has.
const WITH_RARE_OPTIONS: &[&dyn Kind] = &[
    &Trigger {
        events: &["avi:jira:created:issue"],
        unknown_events: &[],
        filtered_events: &[],
        conditions: Conditions {
            licensed_only: true,
            fields: &["issue.fields.summary"],
            ..Conditions::NONE
        },
    },
    &DynamicPipelinesProvider {
        name: "name",
        description: "description",
        icon: Some("icon"),
    },
    &DesignInfoProvider {
        function: "checkAuth",
        name: None,
        home_url: None,
        logo_url: Some("logo"),
        handled_domain_name: Some("domain"),
        documentation_url: Some("docs"),
    },
    &SecurityInfoProvider {
        function: "fetchWorkspaces",
        name: None,
        home_url: None,
        logo_url: Some("logo"),
        documentation_url: Some("docs"),
    },
    &AgentConnector {
        name: "name",
        products: &["jira"],
        description: "description",
        icon: Some("icon"),
        conversation_starters: &[],
        version: None,
        streaming: false,
    },
];

/// The options write their properties where the row says, from which the build script and
/// `manifest --adopt` read them.
#[test]
fn options_that_are_properties_of_the_module_are_named_by_their_row() {
    fn options(kind: &KindSpec) -> impl Iterator<Item = &'static OptionSpec> {
        let nested = kind.nested.map_or(&[][..], |(_, set)| set.options);
        let options = kind.options.iter().chain(nested);
        options.filter(|option| !option.place.is_empty())
    }
    let registry = Registry::linked();
    let mut seen = BTreeSet::new();
    let handlers = registry.handlers().iter();
    let handlers = handlers.map(|handler| (handler.registration().kind, handler.names().clone()));
    let names = || Names {
        key: "key".to_owned(),
        endpoint: "endpoint".to_owned(),
        path: "/path".to_owned(),
    };
    for (kind, names) in handlers.chain(WITH_RARE_OPTIONS.iter().map(|kind| (*kind, names()))) {
        for module in kind.modules(&names) {
            let item = module.to_json();
            for option in options(kind.spec()) {
                let mut place = option.place.iter();
                if place
                    .try_fold(&item, |value, name| value.get(name))
                    .is_some()
                {
                    seen.insert((kind.spec().attribute, option.name));
                }
            }
        }
    }
    let all = KINDS
        .iter()
        .flat_map(|kind| options(kind).map(|option| (kind.attribute, option.name)));
    let unseen: Vec<_> = all.filter(|one| !seen.contains(one)).collect();
    assert_eq!(unseen, [], "no handler writes these options");
}
