//! The properties and values that Atlassian's validation accepts, by the table of
//! [`forge_remote_schema::structure`].

mod rules;

use std::collections::HashMap;

use forge_remote_schema::structure::{
    self, DOCUMENT, ListShape, MappingShape, NumberRange, Shape, TextForm, TextShape,
};
use forge_remote_schema::{did_you_mean, kinds, one_of};
use serde_yaml::Value;

use self::rules::{
    CONFLICTING_PROPERTIES, MALFORMED_VALUE, MISPLACED_ENDPOINT, MISPLACED_SECTION,
    MISSING_PROPERTY, UNKNOWN_MODULE, UNKNOWN_PROPERTY, UNKNOWN_VALUE, WRONG_TYPE,
};
use super::findings::{Findings, Topic};
use super::place::{Name, Place, below};
use crate::diagnostic::Severity;
use crate::manifest::tree::{Node, NodeKind};

pub(super) const TOPIC: Topic = Topic {
    rules: &[
        &UNKNOWN_PROPERTY,
        &MISSING_PROPERTY,
        &CONFLICTING_PROPERTIES,
        &WRONG_TYPE,
        &UNKNOWN_VALUE,
        &MALFORMED_VALUE,
        &MISPLACED_SECTION,
        &MISPLACED_ENDPOINT,
        &UNKNOWN_MODULE,
    ],
    check: |findings| {
        if let Some(root) = findings.written.root().filter(|root| !root.is_null()) {
            document(root, findings);
        }
    },
};

fn document(root: &Node, findings: &mut Findings<'_>) {
    let place = Place {
        at: root.entries().first().map_or(root, |entry| &entry.key),
        name: Name::Document,
    };
    properties(root, &DOCUMENT, &place, findings);
    let connect = root.get("app").and_then(|app| app.get("connect"));
    if let Some(entry) = connect.and_then(|connect| connect.entry("authentication"))
        && root.get("connectModules").is_none()
    {
        let message = "`authentication` of a Connect app needs `connectModules`";
        findings.error_at(
            &MISSING_PROPERTY,
            &entry.key,
            message,
            "add `connectModules`, or remove `authentication`",
        );
    }
    let modules = root.get("modules").map(Node::entries).unwrap_or_default();
    for entry in modules {
        module_type(
            entry.key.scalar().unwrap_or_default(),
            &entry.key,
            &entry.value,
            findings,
        );
    }
}

fn module_type(name: &str, key: &Node, items: &Node, findings: &mut Findings<'_>) {
    if structure::root_sections().any(|section| section == name) {
        let message = format!("`{name}` belongs at the root of the manifest, not under `modules`");
        findings.error_at(&MISPLACED_SECTION, key, message, "move it out of `modules`");
        return;
    }
    if !structure::is_module_type(name) {
        let message = format!("Forge has no module type `{name}`");
        let help = did_you_mean(name, structure::module_types()).unwrap_or_else(|| {
            "see https://developer.atlassian.com/platform/forge/manifest-reference/modules/"
                .to_owned()
        });
        findings.error_at(&UNKNOWN_MODULE, key, message, help);
        return;
    }
    let shape = structure::module(name);
    let is_hand_written = !kinds::declared().any(|kind| kind.module_type == name);
    let required_of_page = structure::required_of_page(name);
    for item in items.items() {
        let key = item.get("key");
        let place = Place {
            at: key
                .filter(|key| key.scalar().is_some())
                .unwrap_or_else(|| first(item)),
            name: Name::Module {
                module_type: name,
                key: key.and_then(Node::scalar),
            },
        };
        if let Some(shape) = shape {
            value(item, &Shape::Mapping(shape), &place, findings);
        }
        if is_hand_written {
            endpoints(item, shape, &place, findings);
        }
        for required in required_of_page {
            if item.is_mapping() && item.get(required).is_none() {
                missing(required, &place, "", findings);
            }
        }
    }
}

/// Checks the endpoints that a hand-written module names outside of the properties of its shape: Atlassian's
/// validation of pages' modules accepts properties that it does not know.
fn endpoints(
    node: &Node,
    shape: Option<&MappingShape>,
    place: &Place<'_>,
    findings: &mut Findings<'_>,
) {
    for entry in node.entries() {
        let name = entry.key.scalar().unwrap_or_default();
        let place = below(place, &entry.key);
        match shape.and_then(|shape| shape.property(name)) {
            Some(property) if matches!(property.shape, Shape::Any) => {
                misplaced_endpoints(&entry.value, &place, findings);
            }
            Some(_) => {}
            None if name == "resolver" => {
                value(&entry.value, &structure::RESOLVER, &place, findings);
            }
            None if name == "endpoint" => misplaced_endpoint(&entry.key, &place, findings),
            None => endpoints(&entry.value, None, &place, findings),
        }
    }
}

/// Reports each endpoint that is named below a node.
fn misplaced_endpoints(node: &Node, place: &Place<'_>, findings: &mut Findings<'_>) {
    for entry in node.entries() {
        let place = below(place, &entry.key);
        if entry.key.scalar() == Some("endpoint") {
            misplaced_endpoint(&entry.key, &place, findings);
        } else {
            misplaced_endpoints(&entry.value, &place, findings);
        }
    }
}

fn misplaced_endpoint(key: &Node, place: &Place<'_>, findings: &mut Findings<'_>) {
    let message = format!("Forge does not call the endpoint in {}", place.name);
    let help = "a page's module names its endpoint in `resolver.endpoint`";
    findings.error_at(&MISPLACED_ENDPOINT, key, message, help);
}

/// Returns the first node of a collection: the place to point at.
fn first(node: &Node) -> &Node {
    node.entries().first().map_or(node, |entry| &entry.key)
}

fn value(node: &Node, shape: &Shape, place: &Place<'_>, findings: &mut Findings<'_>) {
    match shape {
        Shape::Any => {}
        Shape::Either(shapes) => {
            let fitting: Vec<&Shape> = shapes.iter().filter(|one| has_type(node, one)).collect();
            match fitting.as_slice() {
                [] => wrong_type(node, shape, place, findings),
                [one] => value(node, one, place, findings),
                several => one_mapping(node, several, place, findings),
            }
        }
        _ if !has_type(node, shape) => wrong_type(node, shape, place, findings),
        Shape::Flag => {}
        Shape::Number(range) => number(node, range, place, findings),
        Shape::Text(shape) => text(node, shape, place, findings),
        Shape::Choice(values) => choice(node, values, place, findings),
        Shape::List(shape) => list(node, shape, place, findings),
        Shape::Mapping(shape) => properties(node, shape, place, findings),
        Shape::Names(shape) => {
            if node.entries().len() > shape.max {
                let message = format!(
                    "{} has {} names, and Forge accepts at most {}",
                    place.name,
                    node.entries().len(),
                    shape.max
                );
                findings.error_at(&MALFORMED_VALUE, place.at, message, "remove some");
            }
            for entry in node.entries() {
                let place = below(place, &entry.key);
                value(&entry.value, shape.value, &place, findings);
            }
        }
    }
}

/// Checks a node that may be one of several mappings: the first whose required properties it has.
fn one_mapping(node: &Node, shapes: &[&Shape], place: &Place<'_>, findings: &mut Findings<'_>) {
    let required = |shape: &Shape| -> Vec<&'static str> {
        let Shape::Mapping(shape) = shape else {
            return Vec::new();
        };
        let properties = shape.properties.iter().filter(|one| one.required);
        properties.map(|one| one.name).collect()
    };
    let has_all = |shape: &&&Shape| required(shape).iter().all(|name| node.get(name).is_some());
    match shapes.iter().find(has_all) {
        Some(shape) => value(node, shape, place, findings),
        None => {
            let names: Vec<&str> = shapes.iter().flat_map(|shape| required(shape)).collect();
            none_of(&names, place, findings);
        }
    }
}

/// Returns whether a node has the YAML type of a shape.
fn has_type(node: &Node, shape: &Shape) -> bool {
    match shape {
        Shape::Any => true,
        Shape::Flag => node.to_value().is_bool(),
        Shape::Number(_) => node.to_value().is_number(),
        Shape::Text(_) | Shape::Choice(_) => node.is_text(),
        Shape::List(_) => matches!(node.kind, NodeKind::Sequence { .. }),
        Shape::Mapping(_) | Shape::Names(_) => node.is_mapping(),
        Shape::Either(shapes) => shapes.iter().any(|shape| has_type(node, shape)),
    }
}

fn wrong_type(node: &Node, shape: &Shape, place: &Place<'_>, findings: &mut Findings<'_>) {
    let at = if node.scalar().is_some_and(|text| !text.is_empty()) {
        node
    } else {
        place.at
    };
    let message = match node.to_value() {
        Value::Null => format!("{} has no value", place.name),
        Value::Sequence(_) => format!("{} is a list", place.name),
        Value::Mapping(_) => format!("{} is a mapping", place.name),
        Value::String(_) => format!("{} is a text", place.name),
        // A boolean or a number.
        _ => format!("{} is `{}`", place.name, node.scalar().unwrap_or_default()),
    };
    let help = match (shape, node.scalar()) {
        (Shape::Mapping(mapping), Some(flag @ ("true" | "false")))
            if mapping.property("enabled").is_some() =>
        {
            let name = place.at.scalar().unwrap_or_default();
            format!("write `{name}: {{ enabled: {flag} }}`")
        }
        (Shape::Text(_), Some(text)) if !text.is_empty() => {
            format!("write a text, in quotes: \"{text}\"")
        }
        _ => format!("write {}", shape.describe()),
    };
    findings.error_at(&WRONG_TYPE, at, message, help);
}

fn number(node: &Node, range: &NumberRange, place: &Place<'_>, findings: &mut Findings<'_>) {
    let Some(number) = node.to_value().as_f64() else {
        return;
    };
    let help = if number < range.min || number > range.max {
        format!("write a number from {} to {}", range.min, range.max)
    } else if range.step > 0.0 && number % range.step != 0.0 {
        format!("write a multiple of {}", range.step)
    } else {
        return;
    };
    let message = format!("Forge does not accept {number} for {}", place.name);
    findings.error_at(&MALFORMED_VALUE, node, message, help);
}

/// Returns a scalar's text, unless a variable is part of it: only `forge deploy` knows its value.
fn known_text(node: &Node) -> Option<&str> {
    node.scalar().filter(|text| !text.contains("${"))
}

fn text(node: &Node, shape: &TextShape, place: &Place<'_>, findings: &mut Findings<'_>) {
    let Some(text) = known_text(node) else {
        return;
    };
    let at = if text.is_empty() { place.at } else { node };
    let length = text.chars().count();
    let (message, help) = if length < shape.min {
        (
            format!("{} is empty", place.name),
            "write a value".to_owned(),
        )
    } else if length > shape.max {
        let message = format!(
            "{} has {length} characters, and Forge accepts at most {}",
            place.name, shape.max
        );
        (message, "shorten it".to_owned())
    } else if shape.form != TextForm::Any && !shape.form.accepts(text) {
        let message = format!("`{text}` is not a valid value for {}", place.name);
        (message, format!("Forge accepts {}", shape.form.describe()))
    } else {
        return;
    };
    findings.error_at(&MALFORMED_VALUE, at, message, help);
}

fn choice(
    node: &Node,
    values: &'static [&'static str],
    place: &Place<'_>,
    findings: &mut Findings<'_>,
) {
    let Some(text) = known_text(node).filter(|text| !values.contains(text)) else {
        return;
    };
    let at = if text.is_empty() { place.at } else { node };
    let all = one_of(values.iter().copied());
    let help = match did_you_mean(text, values.iter().copied()) {
        Some(help) => format!("{help} Forge accepts {all}"),
        None => format!("Forge accepts {all}"),
    };
    let message = format!(
        "`{text}` is not a value that Forge knows for {}",
        place.name
    );
    findings.error_at(&UNKNOWN_VALUE, at, message, help);
}

fn list(node: &Node, shape: &ListShape, place: &Place<'_>, findings: &mut Findings<'_>) {
    let items = node.items();
    if items.len() < shape.min {
        let message = format!("{} is an empty list", place.name);
        let help = "add an item, or remove the property";
        findings.error_at(&MALFORMED_VALUE, place.at, message, help);
    } else if items.len() > shape.max {
        let message = format!(
            "{} has {} items, and Forge accepts at most {}",
            place.name,
            items.len(),
            shape.max
        );
        findings.error_at(&MALFORMED_VALUE, place.at, message, "remove some items");
    }
    let mut lines: HashMap<Value, usize> = HashMap::new();
    for item in items {
        let earlier = shape
            .unique
            .then(|| lines.insert(item.to_value(), item.at.line));
        if let Some(line) = earlier.flatten() {
            let message = format!(
                "`{}` stands twice in {}, before in line {line}",
                item.scalar().unwrap_or_default(),
                place.name
            );
            findings.error_at(&MALFORMED_VALUE, item, message, "remove one of the two");
        }
        let key = item.get("key").filter(|key| key.scalar().is_some());
        let place = Place {
            at: key.unwrap_or_else(|| first(item)),
            name: Name::Item {
                of: &place.name,
                key: key.and_then(Node::scalar),
            },
        };
        value(item, shape.item, &place, findings);
    }
    if shape.uniform {
        report_mixed_forms(items, place, findings);
    }
}

/// Reports the first item that has another form than the first one of its list: a name or a mapping.
fn report_mixed_forms(items: &[Node], place: &Place<'_>, findings: &mut Findings<'_>) {
    let form = |item: &Node| std::mem::discriminant(&item.kind);
    let first_form = items.first().map(form);
    let mut others = items.iter().filter(|item| Some(form(item)) != first_form);
    if let Some(other) = others.next() {
        let message = format!("{} has items of two forms", place.name);
        let help = "write all of them in one form, or a second module";
        findings.error_at(&WRONG_TYPE, first(other), message, help);
    }
}

fn properties(
    node: &Node,
    shape: &'static MappingShape,
    place: &Place<'_>,
    findings: &mut Findings<'_>,
) {
    for entry in node.entries() {
        let name = entry.key.scalar().unwrap_or_default();
        match shape.property(name) {
            Some(property) => value(
                &entry.value,
                &property.shape,
                &below(place, &entry.key),
                findings,
            ),
            None if shape.open => {}
            None => unknown(&entry.key, shape, place, findings),
        }
    }
    for property in shape.properties.iter().filter(|property| property.required) {
        if node.get(property.name).is_none() {
            missing(property.name, place, &property.shape.describe(), findings);
        }
    }
    let has = |name: &str| node.get(name).is_some();
    for group in shape.exactly_one {
        let written: Vec<&str> = group.iter().copied().filter(|name| has(name)).collect();
        match written.as_slice() {
            [_] => {}
            [] => none_of(group, place, findings),
            [.., last] => {
                let at = node.entry(last).map_or(place.at, |entry| &entry.key);
                let message = format!(
                    "{} has `{}`, and Forge accepts only one of them",
                    place.name,
                    written.join("` and `")
                );
                findings.error_at(
                    &CONFLICTING_PROPERTIES,
                    at,
                    message,
                    "remove one of the two",
                );
            }
        }
    }
    if !shape.at_least_one.is_empty() && !shape.at_least_one.iter().any(|name| has(name)) {
        none_of(shape.at_least_one, place, findings);
    }
}

fn none_of(names: &[&'static str], place: &Place<'_>, findings: &mut Findings<'_>) {
    let message = match names {
        [one] => format!("{} has no `{one}`", place.name),
        [first, second] => format!("{} has neither `{first}` nor `{second}`", place.name),
        _ => format!("{} has none of `{}`", place.name, names.join("`, `")),
    };
    let help = format!("add {}", one_of(names.iter().copied()));
    findings.error_at(&MISSING_PROPERTY, place.at, message, help);
}

fn missing(name: &str, place: &Place<'_>, expected: &str, findings: &mut Findings<'_>) {
    let message = format!("{} has no `{name}`", place.name);
    match (name, expected) {
        // Nothing of the remote depends on it, and a build step may add it.
        ("runtime", _) => {
            let help = "add `runtime: { name: nodejs22.x }`: `forge deploy` requires it, even without functions";
            findings.add_at(
                Severity::Warning,
                &MISSING_PROPERTY,
                place.at,
                message,
                help,
            );
        }
        (_, "") => findings.error_at(
            &MISSING_PROPERTY,
            place.at,
            message,
            format!("add `{name}`"),
        ),
        _ => findings.error_at(
            &MISSING_PROPERTY,
            place.at,
            message,
            format!("add `{name}`: {expected}"),
        ),
    }
}

fn unknown(
    key: &Node,
    shape: &'static MappingShape,
    place: &Place<'_>,
    findings: &mut Findings<'_>,
) {
    let name = key.scalar().unwrap_or_default();
    let is_root = matches!(place.name, Name::Document);
    let as_module = name
        .strip_suffix('s')
        .filter(|_| name == "functions" || name == "endpoints");
    let as_module = as_module.unwrap_or(name);
    if is_root && structure::is_module_type(as_module) {
        let message =
            format!("`{name}` belongs under `modules`: Forge does not read it at the root");
        let help = format!("move it under `modules`, as `{as_module}`");
        findings.error_at(&MISPLACED_SECTION, key, message, help);
        return;
    }
    let help = match hint(name, shape) {
        Some(help) => help,
        None => did_you_mean(name, shape.names()).unwrap_or_else(|| {
            format!(
                "its properties are: {}",
                shape.names().collect::<Vec<_>>().join(", ")
            )
        }),
    };
    let message = format!("`{name}` is not a property of {}", place.name);
    findings.error_at(&UNKNOWN_PROPERTY, key, message, help);
}

/// Returns the fix for a name that people write in the place of another one.
fn hint(name: &str, shape: &MappingShape) -> Option<String> {
    let has = |property: &str| shape.property(property).is_some();
    match name {
        "url" if has("baseUrl") => Some("did you mean `baseUrl`?".to_owned()),
        "url" | "path" if has("route") => Some("write `route: { path: /… }`".to_owned()),
        "endpoint" if has("function") && !has("endpoint") => {
            Some("Atlassian's validation accepts only a `function` here".to_owned())
        }
        "unlicensedAccess" => Some("Forge accepts it only for functions".to_owned()),
        _ => None,
    }
}
