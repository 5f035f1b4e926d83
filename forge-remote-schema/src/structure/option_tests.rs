//! The options of the attributes accept the same values as the structure of the manifest.

use super::module;
use super::shape::{MappingShape, Shape, UNLIMITED};
use crate::kinds::KINDS;
use crate::options::{Form, OptionSpec, Presence, ValueShape as Values};
use crate::place::Place;

/// Returns the shape of the property at a place; `None` below an open mapping that does not describe it.
fn at(mapping: &MappingShape, place: Place) -> Option<&'static Shape> {
    let [name, below @ ..] = place else {
        return None;
    };
    let Some(property) = mapping.property(name) else {
        assert!(
            mapping.open,
            "{place:?} is not in {:?}",
            mapping.names().collect::<Vec<_>>()
        );
        return None;
    };
    match below {
        [] => Some(&property.shape),
        _ => at(mapping_of(&property.shape), below),
    }
}

/// Returns the mapping that a shape is, or may be.
fn mapping_of(shape: &Shape) -> &'static MappingShape {
    match shape {
        Shape::Mapping(mapping) => mapping,
        Shape::Either(shapes) => shapes
            .iter()
            .find_map(|one| match one {
                Shape::Mapping(mapping) => Some(*mapping),
                _ => None,
            })
            .expect("a mapping"),
        other => panic!("{other:?} has no properties"),
    }
}

/// Returns the longest text that a shape accepts.
fn longest(shape: &Shape) -> usize {
    match shape {
        Shape::Text(text) => text.max,
        Shape::Either(shapes) => shapes.iter().map(longest).max().unwrap_or_default(),
        _ => 0,
    }
}

/// Returns each item of a list or a mapping with names, and the largest number of items.
fn items(shape: &Shape) -> (&'static Shape, usize) {
    match shape {
        Shape::List(list) => (list.item, list.max),
        Shape::Names(names) => (names.value, names.max),
        other => panic!("{other:?} has no items"),
    }
}

fn sorted(values: &[&'static str]) -> Vec<&'static str> {
    let mut values = values.to_vec();
    values.sort_unstable();
    values
}

fn choice(shape: &Shape) -> Vec<&'static str> {
    match shape {
        Shape::Choice(values) => sorted(values),
        other => panic!("{other:?} is not a choice"),
    }
}

fn compare(owner: &str, option: &OptionSpec, mapping: &MappingShape) {
    let name = format!("`{}` of {owner}", option.name);
    let Some(shape) = at(mapping, option.place) else {
        return;
    };
    match option.shape {
        Values::Text { max, .. } => assert!(max <= longest(shape), "{name}: {shape:?}"),
        Values::Flag => match option.form {
            Form::Text(text) => assert!(choice(shape).contains(&text), "{name}"),
            _ => assert!(matches!(shape, Shape::Flag), "{name}: {shape:?}"),
        },
        Values::HalfHours { max } => match shape {
            Shape::Number(range) => {
                assert_eq!(
                    (range.max, range.step),
                    (f64::from(max) / 2.0, 0.5),
                    "{name}"
                );
            }
            other => panic!("{name}: {other:?}"),
        },
        Values::Status => assert!(matches!(shape, Shape::Number(_)), "{name}: {shape:?}"),
        Values::Choice(values) => assert_eq!(sorted(values), choice(shape), "{name}"),
        Values::Variant(variants) => {
            let values: Vec<_> = variants.values.iter().map(|(value, _)| *value).collect();
            assert_eq!(sorted(&values), choice(shape), "{name}");
        }
        Values::Choices(values) => assert_eq!(sorted(values), choice(items(shape).0), "{name}"),
        Values::Texts(rules) => {
            assert_eq!(rules.max.unwrap_or(UNLIMITED), items(shape).1, "{name}");
        }
        Values::Groups(set) => {
            let item = mapping_of(items(shape).0);
            let nested = set.nested.map_or(&[][..], |(_, set)| set.options);
            for option in set.options.iter().chain(nested) {
                compare(&name, option, item);
            }
        }
        Values::Entries { list, group, .. } => {
            let (item, max) = items(shape);
            assert_eq!(list.max.unwrap_or(UNLIMITED), max, "{name}");
            for option in group.options {
                // The names are not a property of the values.
                if !(option.form == Form::Same && option.place == ["name"] && is_named(shape)) {
                    compare(&name, option, mapping_of(item));
                }
            }
        }
    }
}

fn is_named(shape: &Shape) -> bool {
    matches!(shape, Shape::Names(_))
}

/// Otherwise a manifest that the attribute makes would be rejected by the check of the same version.
#[test]
fn options_accept_what_the_structure_accepts() {
    let mut compared = 0;
    for kind in KINDS.iter().filter(|kind| kind.has_module()) {
        let shape = module(kind.module_type).expect("a shape");
        let nested = kind.nested.map_or(&[][..], |(_, set)| set.options);
        let options = kind.options.iter().chain(nested);
        for option in options.filter(|option| !option.place.is_empty()) {
            compare(kind.attribute, option, shape);
            compared += 1;
        }
    }
    assert!(compared > 40, "{compared}");
}

/// A property that Atlassian requires comes from a required option, one with a default, or the endpoint.
#[test]
fn required_properties_are_always_written() {
    for kind in KINDS.iter().filter(|kind| kind.has_module()) {
        let shape = module(kind.module_type).expect("a shape");
        for property in shape.properties.iter().filter(|one| one.required) {
            let name = property.name;
            let is_here = |place: &Place| place.first() == Some(&name);
            let is_made = ["key", "remote"].contains(&name)
                || kind.shared_parts.contains(&name)
                || kind.endpoint_places.iter().any(is_here);
            let mut options = kind.options.iter().filter(|one| is_here(&one.place));
            let is_written = options.any(|one| {
                matches!(one.presence, Presence::Required | Presence::OrDocs)
                    // `cron` and `events` are alternatives that the combination holds; an absent list is an empty one.
                    || matches!(one.shape, Values::Variant(_) | Values::Texts(_))
            });
            assert!(is_made || is_written, "{} lacks `{name}`", kind.attribute);
        }
    }
}
