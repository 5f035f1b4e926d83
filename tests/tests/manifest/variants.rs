//! Single mistakes in a valid manifest: each is found at its line and by its name, or explained in
//! `unreported.txt`.
//!
//! The mistakes are derived from Atlassian's schema if `FORGE_MANIFEST_PACKAGE` names the directory of
//! `@forge/manifest` (`.ci/conformance` sets it), otherwise from the table of `forge-remote-schema`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use forge_remote_schema::structure::{self, MappingShape, Shape};
use serde_json::{Map, Value, json};

use crate::mistakes::{Found, emit, findings};

/// A valid manifest, as JSON, with every module type that names an endpoint or a remote.
const VALID: &str = include_str!("valid.json");
/// The mistakes that are not reported, each with the reason.
const UNREPORTED: &str = include_str!("unreported.txt");

/// A mistake: the path of the changed value, its description, the manifest, and the name that the
/// report must have.
struct Variant {
    path: String,
    change: String,
    manifest: Value,
    name: String,
}

#[test]
fn every_single_mistake_is_found_or_explained() {
    let valid: Value = serde_json::from_str(VALID).unwrap();
    assert_eq!(
        findings(&emit(&valid).0),
        [],
        "the manifest without a mistake"
    );

    let schema = Schema::open();
    let mut variants = Vec::new();
    schema.mistakes(
        &schema.root,
        &valid,
        String::new(),
        &mut |path, change, value, name| {
            let mut manifest = valid.clone();
            *manifest.pointer_mut(&path).unwrap() = value;
            variants.push(Variant {
                path,
                change,
                manifest,
                name,
            });
        },
    );
    assert!(variants.len() >= 200, "{} mistakes", variants.len());

    let unreported: BTreeMap<&str, &str> = UNREPORTED
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(" = ").unwrap())
        .collect();
    let mut used = BTreeSet::new();
    let mut unexplained = Vec::new();
    for variant in &variants {
        let (text, lines) = emit(&variant.manifest);
        let near = near(variant, &lines);
        let found = findings(&text);
        if found.iter().any(|one| is_about(one, variant, &near)) {
            continue;
        }
        let row = format!("{} {}", variant.path, variant.change);
        let explains = |known: &&&str| match known.strip_suffix('*') {
            Some(start) => row.starts_with(start),
            None => row == **known,
        };
        match unreported.keys().find(explains) {
            Some(known) => {
                used.insert(*known);
            }
            None => unexplained.push(format!(
                "{row} (names {:?}, lines {near:?}): {found:?}",
                variant.name
            )),
        }
    }
    println!("{} mistakes, {} explained", variants.len(), used.len());
    assert!(
        unexplained.is_empty(),
        "{} of {}:\n{}",
        unexplained.len(),
        variants.len(),
        unexplained.join("\n")
    );
    if schema.is_atlassians {
        let stale: Vec<_> = unreported
            .keys()
            .filter(|known| !used.contains(*known))
            .collect();
        assert!(stale.is_empty(), "reported by now: {stale:?}");
    }
}

/// Returns whether a finding is about a mistake: at its place, with its name, and with a code for such a mistake.
fn is_about(found: &Found, variant: &Variant, near: &BTreeSet<usize>) -> bool {
    let Found {
        line,
        code,
        message,
    } = found;
    // A file that cannot be read at all.
    let is_unreadable = code.is_empty() && message.contains(&variant.name);
    let is_between = |c: char| c.is_whitespace() || "`.[],".contains(c);
    let mut names = message.split(is_between);
    // Its message names the event, not the list.
    let is_event = variant.name == "events" && *code == "unknown-event";
    near.contains(line)
        && (is_unreadable
            || is_event
            || codes(&variant.change).contains(code) && names.any(|name| name == variant.name))
}

/// Returns the codes with which a kind of mistake is reported.
fn codes(change: &str) -> &'static [&'static str] {
    let starts = |start: &str| change.starts_with(start);
    if starts("lacks") {
        return &["missing-property"];
    }
    if starts("has unexpected") {
        // A mapping whose author chooses the names has values of a type.
        return &["unknown-property", "wrong-type"];
    }
    if starts("has ") && change.contains(" and ") {
        return &["conflicting-properties", "unknown-property", "two-callees"];
    }
    &[
        "wrong-type",
        "unknown-value",
        "malformed-value",
        "missing-property",
        "unknown-property",
        "conflicting-properties",
        // Of a value, by separate rules.
        "invalid-app-id",
        "dangling-reference",
        "key-too-long",
        "crashes-validator",
    ]
}

/// Returns the lines where a mistake may be reported: its own, those of its owner's key and first property,
/// and that of a property that its description names.
fn near(variant: &Variant, lines: &BTreeMap<String, usize>) -> BTreeSet<usize> {
    let Variant { path, change, .. } = variant;
    let owner = path.rsplit_once('/').map_or("", |(owner, _)| owner);
    let named = change.split(' ');
    let named = named.flat_map(|name| {
        [
            format!("{path}/{name}"),
            format!("{path}/{name}/unexpected"),
        ]
    });
    let below = ["key", "0", "1", "text"].map(|name| format!("{path}/{name}"));
    let paths = named
        .chain(below)
        .chain([path.clone(), format!("{owner}/key")]);
    let mut near: BTreeSet<usize> = paths.filter_map(|path| lines.get(&path).copied()).collect();
    if path.is_empty() {
        near.insert(1);
    }
    near
}

/// A JSON schema.
struct Schema {
    document: Value,
    root: Value,
    is_atlassians: bool,
}

impl Schema {
    fn open() -> Self {
        match std::env::var_os("FORGE_MANIFEST_PACKAGE") {
            Some(package) => {
                let path = PathBuf::from(package).join("out/schema/manifest-schema.json");
                let document: Value =
                    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
                Self {
                    root: document.clone(),
                    document,
                    is_atlassians: true,
                }
            }
            None => {
                let mut root = of_mapping(&structure::DOCUMENT);
                let types = structure::module_types();
                let types = types.filter_map(|name| Some((name, structure::module(name)?)));
                let modules: Map<String, Value> = types
                    .map(|(name, shape)| {
                        let mut item = of_mapping(shape);
                        let required = item["required"].as_array_mut().unwrap();
                        required.extend(
                            structure::required_of_page(name)
                                .iter()
                                .map(|one| json!(one)),
                        );
                        (
                            name.to_owned(),
                            json!({"type": "array", "minItems": 1, "items": item}),
                        )
                    })
                    .collect();
                root["properties"]["modules"] = json!({"type": "object", "properties": modules});
                Self {
                    document: Value::Null,
                    root,
                    is_atlassians: false,
                }
            }
        }
    }

    fn follow<'a>(&'a self, mut schema: &'a Value) -> &'a Value {
        while let Some(reference) = schema["$ref"].as_str() {
            schema = self.document.pointer(&reference[1..]).unwrap();
        }
        schema
    }

    /// Returns the alternatives of a schema, followed.
    fn forms<'a>(&'a self, schema: &'a Value) -> Vec<&'a Value> {
        let schema = self.follow(schema);
        for name in ["oneOf", "anyOf"] {
            if let Some(forms) = schema[name].as_array()
                && schema.get("properties").is_none()
            {
                return forms.iter().flat_map(|form| self.forms(form)).collect();
            }
        }
        vec![schema]
    }

    /// Returns the names of the properties of a schema, in any of its forms.
    fn properties_of(&self, schema: &Value) -> BTreeSet<String> {
        let schema = self.follow(schema);
        let own = schema["properties"].as_object();
        let mut names: BTreeSet<String> = own
            .into_iter()
            .flat_map(|own| own.keys().cloned())
            .collect();
        for name in ["oneOf", "anyOf", "allOf"] {
            let forms = schema[name].as_array();
            for form in forms.map(Vec::as_slice).unwrap_or_default() {
                names.extend(self.properties_of(form));
            }
        }
        names
    }

    /// Returns whether a schema accepts a value, as far as this test's mistakes need it.
    fn accepts(&self, schema: &Value, value: &Value) -> bool {
        let schema = self.follow(schema);
        let all = |name: &str| {
            schema[name]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default()
        };
        let number = |name: &str| schema[name].as_u64().map(|number| number as usize);
        let has_type = |name: &str| match name {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            _ => true,
        };
        let forms = |name: &str| {
            all(name)
                .iter()
                .filter(|form| self.accepts(form, value))
                .count()
        };
        if schema["type"].as_str().is_some_and(|name| !has_type(name))
            || (!all("enum").is_empty() && !all("enum").contains(value))
            || (!all("oneOf").is_empty() && forms("oneOf") != 1)
            || (!all("anyOf").is_empty() && forms("anyOf") == 0)
            || forms("allOf") != all("allOf").len()
            || schema
                .get("not")
                .is_some_and(|not| self.accepts(not, value))
        {
            return false;
        }
        match value {
            Value::Object(map) => {
                let requires = all("required")
                    .iter()
                    .all(|name| map.contains_key(name.as_str().unwrap()));
                let few = number("maxProperties").is_none_or(|max| map.len() <= max);
                let known = map
                    .iter()
                    .all(|(name, value)| match schema["properties"].get(name) {
                        Some(property) => self.accepts(property, value),
                        None if schema.get("patternProperties").is_some() => true,
                        None => match schema.get("additionalProperties") {
                            Some(Value::Bool(open)) => *open,
                            Some(other) => self.accepts(other, value),
                            None => true,
                        },
                    });
                requires && few && known
            }
            Value::Array(items) => {
                let unique: BTreeSet<String> = items.iter().map(Value::to_string).collect();
                number("minItems").is_none_or(|min| items.len() >= min)
                    && number("maxItems").is_none_or(|max| items.len() <= max)
                    && (schema["uniqueItems"] != true || unique.len() == items.len())
                    && items
                        .iter()
                        .all(|item| schema.get("items").is_none_or(|of| self.accepts(of, item)))
            }
            Value::String(text) => {
                let length = text.chars().count();
                number("minLength").is_none_or(|min| length >= min)
                    && number("maxLength").is_none_or(|max| length <= max)
                    // The only mistake against a pattern that this test makes.
                    && (schema.get("pattern").is_none() || text != "a b!")
            }
            Value::Number(value) => {
                let value = value.as_f64().unwrap();
                schema["minimum"].as_f64().is_none_or(|min| value >= min)
                    && schema["maximum"].as_f64().is_none_or(|max| value <= max)
                    && schema["multipleOf"]
                        .as_f64()
                        .is_none_or(|step| value % step == 0.0)
            }
            _ => true,
        }
    }

    /// Passes every single mistake in a value to `add`: its path, its description, the wrong value, and
    /// the name that a report must have.
    fn mistakes(
        &self,
        schema: &Value,
        value: &Value,
        path: String,
        add: &mut dyn FnMut(String, String, Value, String),
    ) {
        let name = path
            .rsplit('/')
            .find(|step| step.parse::<usize>().is_err())
            .unwrap_or_default();
        let name = name.replace("~1", "/");
        let mut wrong = |change: String, value: Value, name: &str| {
            if !self.accepts(schema, &value) {
                add(path.clone(), change, value, name.to_owned());
            }
        };
        if !path.is_empty() {
            for other in [json!(true), json!("text"), json!({"text": "text"})] {
                if std::mem::discriminant(&other) != std::mem::discriminant(value) {
                    wrong(format!("is {other}"), other, &name);
                }
            }
        }
        let forms = self.forms(schema);
        match value {
            Value::Object(map) => {
                for property in map.keys() {
                    let mut less = map.clone();
                    less.remove(property);
                    wrong(format!("lacks {property}"), Value::Object(less), property);
                }
                for property in self.properties_of(schema) {
                    if map.contains_key(&property) {
                        continue;
                    }
                    let unexpected = json!({ "unexpected": [{ "unexpected": 1 }] });
                    for (what, value) in [
                        ("a mapping", unexpected),
                        ("a text", json!("a b!")),
                        ("a flag", json!(true)),
                    ] {
                        let mut more = map.clone();
                        more.insert(property.clone(), value);
                        wrong(
                            format!("adds {property} as {what}"),
                            Value::Object(more),
                            &property,
                        );
                    }
                }
                let mut more = map.clone();
                more.insert("unexpected".to_owned(), json!("x"));
                wrong(
                    "has unexpected".to_owned(),
                    Value::Object(more),
                    "unexpected",
                );
                for (one, other) in [
                    ("endpoint", "function"),
                    ("function", "endpoint"),
                    ("remote", "service"),
                ] {
                    if map.contains_key(one) {
                        let mut both = map.clone();
                        both.insert(other.to_owned(), json!("both"));
                        wrong(format!("has {one} and {other}"), Value::Object(both), other);
                    }
                }
            }
            Value::Array(items) => {
                wrong("is empty".to_owned(), json!([]), &name);
                let mut many = items.clone();
                many.push(items.first().cloned().unwrap_or_default());
                wrong(
                    "has an item twice".to_owned(),
                    Value::Array(many.clone()),
                    &name,
                );
                many.extend(std::iter::repeat_n(
                    items.first().cloned().unwrap_or_default(),
                    60,
                ));
                wrong("has many items".to_owned(), Value::Array(many), &name);
            }
            Value::String(_) => {
                wrong("is empty".to_owned(), json!(""), &name);
                wrong("is \"a b!\"".to_owned(), json!("a b!"), &name);
                let mut texts = [48, 256, 301, 501, 1001, 1025]
                    .map(|length| "a".repeat(length))
                    .into_iter();
                if let Some(text) = texts.find(|text| !self.accepts(schema, &json!(text))) {
                    wrong(format!("has {} letters", text.len()), json!(text), &name);
                }
            }
            Value::Number(_) => {
                wrong("is -1".to_owned(), json!(-1), &name);
                wrong("is 0.3".to_owned(), json!(0.3), &name);
                wrong("is 100000".to_owned(), json!(100_000), &name);
            }
            _ => {}
        }
        let Some(form) = forms.into_iter().find(|form| self.accepts(form, value)) else {
            return;
        };
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    let of_name = form["properties"].get(name);
                    let other = form
                        .get("additionalProperties")
                        .filter(|one| one.is_object());
                    if let Some(schema) = of_name.or(other) {
                        let step = name.replace('~', "~0").replace('/', "~1");
                        self.mistakes(schema, value, format!("{path}/{step}"), add);
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let Some(schema) = form.get("items") {
                        self.mistakes(schema, item, format!("{path}/{index}"), add);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Returns a shape of the table as a JSON schema.
fn of_shape(shape: &Shape) -> Value {
    match shape {
        Shape::Any => json!({}),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Number(range) if range.step > 0.0 => {
            json!({"type": "number", "minimum": range.min, "maximum": range.max, "multipleOf": range.step})
        }
        Shape::Number(range) => {
            json!({"type": "number", "minimum": range.min, "maximum": range.max})
        }
        Shape::Text(text) if text.form == structure::TextForm::Any => {
            json!({"type": "string", "minLength": text.min, "maxLength": text.max})
        }
        Shape::Text(text) => {
            json!({"type": "string", "minLength": text.min, "maxLength": text.max, "pattern": text.form.describe()})
        }
        Shape::Choice(values) => json!({"enum": values}),
        Shape::List(list) => json!({
            "type": "array", "items": of_shape(list.item),
            "minItems": list.min, "maxItems": list.max, "uniqueItems": list.unique,
        }),
        Shape::Mapping(shape) => of_mapping(shape),
        Shape::Names(names) => json!({
            "type": "object", "additionalProperties": of_shape(names.value), "maxProperties": names.max,
        }),
        Shape::Either(shapes) => json!({"anyOf": shapes.iter().map(of_shape).collect::<Vec<_>>()}),
    }
}

fn of_mapping(shape: &MappingShape) -> Value {
    let properties: Map<String, Value> = shape
        .properties
        .iter()
        .map(|one| (one.name.to_owned(), of_shape(&one.shape)))
        .collect();
    let required: Vec<&str> = shape
        .properties
        .iter()
        .filter(|one| one.required)
        .map(|one| one.name)
        .collect();
    let one_of = |names: &[&str]| {
        json!(
            names
                .iter()
                .map(|name| json!({"required": [name]}))
                .collect::<Vec<_>>()
        )
    };
    let mut all: Vec<Value> = shape
        .exactly_one
        .iter()
        .map(|group| json!({"oneOf": one_of(group)}))
        .collect();
    if !shape.at_least_one.is_empty() {
        all.push(json!({"anyOf": one_of(shape.at_least_one)}));
    }
    json!({
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": shape.open, "allOf": all,
    })
}
