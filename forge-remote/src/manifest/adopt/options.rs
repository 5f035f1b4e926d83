//! The options of an attribute, read from a module's item by the table of kinds.

use forge_remote_schema::lists::{self, ListRules};
use forge_remote_schema::options::{
    Combination, Form, OptionSet, OptionSpec, Presence, ValueShape,
};
use serde_yaml::{Mapping, Value};

use super::literal::{Literal, Setting};
use crate::manifest::values::at;

/// The options of an item, and the rest of it.
pub(super) struct Reading {
    pub(super) settings: Vec<Setting>,
    /// The item without the values of the options.
    pub(super) rest: Value,
    /// The reasons why an attribute with these options would not compile, each with its property.
    pub(super) errors: Vec<Reason>,
    /// The reasons for parts of `rest`.
    pub(super) reasons: Vec<Reason>,
}

/// A reason, with the place in the item that it is about.
#[derive(Clone, Debug)]
pub(super) struct Reason {
    pub(super) place: Vec<String>,
    pub(super) text: String,
}

/// The part of a value that an option has.
enum Taken {
    /// All of it.
    Whole(Literal),
    /// All of it: the default, or a value that an update preserves.
    Default,
    /// All but the rest.
    Part(Literal, Value),
    /// Nothing, for this reason.
    Nothing(String),
}

/// Reads the options of a set.
pub(super) fn read(set: OptionSet, item: Value) -> Reading {
    let mut reading = Reading {
        settings: Vec::new(),
        rest: item,
        errors: Vec::new(),
        reasons: Vec::new(),
    };
    let nested = set.nested.map_or(&[][..], |(_, set)| set.options);
    for option in set.options.iter().chain(nested) {
        if !option.place.is_empty() {
            reading.read_option(option);
        }
    }
    reading.check_combination(set);
    reading
}

impl Reading {
    /// Removes a place from the rest.
    pub(super) fn remove(&mut self, place: &[&str]) {
        remove(&mut self.rest, place);
    }

    fn read_option(&mut self, option: &OptionSpec) {
        let Some(value) = at(&self.rest, option.place) else {
            if option.form == Form::Negated {
                self.push(option, Literal::Flag);
            } else if is_required(option) {
                self.error(option.place, "is missing");
            }
            return;
        };
        match take(option, value) {
            Taken::Whole(literal) => {
                self.push(option, literal);
                self.remove(option.place);
            }
            Taken::Default => self.remove(option.place),
            Taken::Part(literal, rest) => {
                self.push(option, literal);
                set(&mut self.rest, option.place, rest);
            }
            Taken::Nothing(reason) if is_required(option) => {
                self.error(option.place, &reason);
            }
            // Another option may have it, or the reason.
            Taken::Nothing(text) if text.is_empty() => {}
            Taken::Nothing(text) => {
                let place = option.place.iter().map(|name| (*name).to_owned()).collect();
                self.reasons.push(Reason { place, text });
            }
        }
    }

    fn push(&mut self, option: &OptionSpec, value: Literal) {
        self.settings.push(Setting::new(option.name, value));
    }

    /// Adds an error. If there is a reason for the place already, that is why.
    fn error(&mut self, place: &[&str], text: &str) {
        let why = self.reasons.iter().find(|one| one.place == place);
        let text = why.map_or(text, |why| why.text.as_str()).to_owned();
        let place = place.iter().map(|name| (*name).to_owned()).collect();
        self.errors.push(Reason { place, text });
    }

    fn has(&self, name: &str) -> bool {
        self.settings.iter().any(|one| one.name == name)
    }

    fn texts<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let settings = self.settings.iter();
        let values = settings.filter(|one| names.contains(&one.name));
        values.flat_map(|one| match &one.value {
            Literal::Text(text) => vec![text.as_str()],
            Literal::List(items) => {
                let texts = items.iter().filter_map(|item| match item {
                    Literal::Text(text) => Some(text.as_str()),
                    _ => None,
                });
                texts.collect()
            }
            _ => Vec::new(),
        })
    }

    /// Checks the rule about several options, as the macros do.
    fn check_combination(&mut self, set: OptionSet) {
        let filter_required = match set.combination {
            Combination::Any => return,
            Combination::Schedule if self.has("interval") => return,
            Combination::Schedule => {
                let text = "has no interval that an attribute can name";
                return self.error(&["interval"], text);
            }
            Combination::TriggerEvents => false,
            Combination::FilteredEvent => true,
        };
        let is_filtered = self.has("filtered_events");
        let names = ["events", "unknown_events", "event", "unknown_event"];
        let is_plain = names.iter().any(|name| self.has(name));
        let nested = set.nested.map_or(&[][..], |(_, set)| set.options);
        if is_filtered && (is_plain || nested.iter().any(|one| self.has(one.name))) {
            let text = "has events with separate conditions in addition to other events or \
                        conditions; write them as separate modules";
            self.error(&["events"], text);
            return;
        }
        if is_filtered {
            return;
        }
        if !is_plain {
            self.error(&["events"], "has no event that an attribute can name");
            return;
        }
        let conditions = lists::Conditions {
            events: self.texts(&names).map(Some).collect(),
            filter: self.has("filter"),
            on_error: self.has("on_error"),
            ignore_self: self.has("ignore_self"),
            licensed_only: self.has("licensed_only"),
            filter_required,
        };
        let mistakes = conditions.mistakes();
        for (_, mistake) in mistakes {
            self.error(&["filter"], &mistake.message);
        }
    }
}

/// Returns whether Forge requires the option's property. A doc comment would stand in for a text that users
/// see.
fn is_required(option: &OptionSpec) -> bool {
    matches!(option.presence, Presence::Required | Presence::OrDocs)
}

/// Returns the part of a value that the option has.
fn take(option: &OptionSpec, value: &Value) -> Taken {
    let unlike = || Taken::Nothing(format!("`{}` takes another value", option.name));
    match option.shape {
        ValueShape::Text { .. } => match text_of(value) {
            Some(text) => match option.check_text(text) {
                Ok(()) => Taken::Whole(Literal::Text(text.to_owned())),
                Err(mistake) => Taken::Nothing(mistake.message),
            },
            None => unlike(),
        },
        ValueShape::Flag => match (option.form, value) {
            (Form::Text(on), Value::String(text)) if text == on => Taken::Whole(Literal::Flag),
            (Form::Text(_), _) => Taken::Default,
            (Form::Negated, Value::Bool(false)) => Taken::Whole(Literal::Flag),
            (Form::Negated, Value::Bool(true)) => Taken::Default,
            (_, Value::Bool(true)) => Taken::Whole(Literal::Flag),
            (_, Value::Bool(false)) => Taken::Default,
            _ => unlike(),
        },
        ValueShape::HalfHours { max } => {
            let hours = value.as_f64();
            let halves = (1..=max).find(|halves| hours == Some(f64::from(*halves) / 2.0));
            match halves {
                Some(halves) => Taken::Whole(Literal::Word((f64::from(halves) / 2.0).to_string())),
                None => unlike(),
            }
        }
        ValueShape::Status => match value.as_u64() {
            Some(status @ 100..600) => Taken::Whole(Literal::Word(status.to_string())),
            _ => unlike(),
        },
        ValueShape::Choice(values) => choice(value, values).map_or_else(unlike, Taken::Whole),
        ValueShape::Variant(variants) => {
            let values: Vec<&str> = variants.values.iter().map(|(name, _)| *name).collect();
            choice(value, &values).map_or_else(unlike, Taken::Whole)
        }
        ValueShape::Choices(values) => {
            let items = value.as_sequence().map_or(&[][..], Vec::as_slice);
            let chosen: Option<Vec<Literal>> =
                items.iter().map(|one| choice(one, values)).collect();
            match chosen {
                Some(chosen) if !chosen.is_empty() => Taken::Whole(Literal::List(chosen)),
                _ => unlike(),
            }
        }
        ValueShape::Texts(rules) => texts(option, rules, value),
        ValueShape::Groups(set) => groups(value, *set),
        ValueShape::Entries { group, list, .. } => entries(option, *group, list, value),
    }
}

/// Returns a text, or the key of a translated one.
fn text_of(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("i18n")?.as_str())
}

fn choice(value: &Value, values: &[&str]) -> Option<Literal> {
    let text = value.as_str().filter(|text| values.contains(text))?;
    Some(Literal::Text(text.to_owned()))
}

/// Takes the texts that the option's rules accept; another option may have the others.
fn texts(option: &OptionSpec, rules: &ListRules, value: &Value) -> Taken {
    let items = value.as_sequence().map_or(&[][..], Vec::as_slice);
    if items.is_empty() && value.is_sequence() {
        return Taken::Default;
    }
    let mut taken = Vec::new();
    let mut rest = Vec::new();
    for item in items {
        let text = match option.form {
            Form::Arguments => argument(item),
            _ => item.as_str().map(str::to_owned),
        };
        match text.filter(|text| rules.accepts(text)) {
            // An event that is listed twice is delivered once.
            Some(text) if option.place == ["events"] && taken.contains(&text) => {}
            Some(text) => taken.push(text),
            None => rest.push(item.clone()),
        }
    }
    if taken.is_empty() {
        let named = rest.iter().find_map(Value::as_str);
        return Taken::Nothing(named.map_or_else(String::new, |named| {
            format!("`{named}` is not a text that `{}` takes", option.name)
        }));
    }
    let all: Vec<Option<&str>> = taken.iter().map(|text| Some(text.as_str())).collect();
    if let Some((_, mistake)) = rules.mistakes(option.name, &all).into_iter().next() {
        return Taken::Nothing(mistake.message);
    }
    let taken = Literal::List(taken.into_iter().map(Literal::Text).collect());
    if rest.is_empty() {
        Taken::Whole(taken)
    } else {
        Taken::Part(taken, Value::Sequence(rest))
    }
}

/// Returns an argument's name, with `?` if it is optional.
fn argument(item: &Value) -> Option<String> {
    let name = item.get("name")?.as_str()?;
    let has_others = item.as_mapping()?.len() > 2;
    let required = item.get("required")?.as_bool().filter(|_| !has_others)?;
    Some(format!("{name}{}", if required { "" } else { "?" }))
}

/// Takes the mappings of a list that a set of options describes wholly.
fn groups(value: &Value, set: OptionSet) -> Taken {
    let items = value.as_sequence().map_or(&[][..], Vec::as_slice);
    let mut taken = Vec::new();
    let mut rest = Vec::new();
    let mut why = "no option can have these values".to_owned();
    for item in items {
        match group(set, item.clone()) {
            Ok(group) => taken.push(group),
            Err(reason) => {
                rest.push(item.clone());
                why = format!("no option can have an item with these values: {reason}");
            }
        }
    }
    match (taken.is_empty(), rest.is_empty()) {
        (true, _) => Taken::Nothing(why),
        (false, true) => Taken::Whole(Literal::List(taken)),
        (false, false) => Taken::Part(Literal::List(taken), Value::Sequence(rest)),
    }
}

/// Takes a list of mappings, or a mapping of named ones, that a set of options describes wholly.
fn entries(option: &OptionSpec, set: OptionSet, rules: &ListRules, value: &Value) -> Taken {
    let items: Vec<Value> = match (option.form, value) {
        (Form::ByName, Value::Mapping(named)) => named.iter().map(with_name).collect(),
        (_, Value::Sequence(items)) => items.clone(),
        _ => Vec::new(),
    };
    if items.is_empty() {
        return Taken::Default;
    }
    let mut taken = Vec::new();
    for item in items {
        match group(set, item) {
            Ok(group) => taken.push(group),
            Err(reason) => return Taken::Nothing(reason),
        }
    }
    let names: Vec<Option<lists::ListItem<'_>>> = taken
        .iter()
        .map(|group| match group {
            Literal::Group(settings) => match settings.first().map(|one| &one.value) {
                Some(Literal::Text(name)) => Some(lists::ListItem::Group(name)),
                _ => None,
            },
            _ => None,
        })
        .collect();
    match rules
        .mistakes_of_items(option.name, &names)
        .into_iter()
        .next()
    {
        Some((_, mistake)) => Taken::Nothing(mistake.message),
        None => Taken::Whole(Literal::List(taken)),
    }
}

/// Returns a named mapping with its name as a property.
fn with_name((name, value): (&Value, &Value)) -> Value {
    let mut item = Mapping::new();
    item.insert("name".into(), name.clone());
    item.extend(value.as_mapping().cloned().unwrap_or_default());
    Value::Mapping(item)
}

/// Returns a mapping as options in parentheses, or the reason why that is not possible.
fn group(set: OptionSet, item: Value) -> Result<Literal, String> {
    let Reading {
        settings,
        rest,
        errors,
        reasons,
    } = read(set, item);
    let reason = errors.into_iter().chain(reasons).next();
    if let Some(Reason { place, text }) = reason {
        return Err(format!("`{}`: {text}", place.join(".")));
    }
    match rest.as_mapping().and_then(|rest| rest.keys().next()) {
        Some(name) => Err(format!("no option has `{}`", name.as_str().unwrap_or("?"))),
        None if rest.is_mapping() => Ok(Literal::Group(settings)),
        None => Err("is not a mapping".to_owned()),
    }
}

/// Removes a place, and the mappings that it leaves empty.
fn remove(value: &mut Value, place: &[&str]) {
    let (Some((name, inner)), Some(mapping)) = (place.split_first(), value.as_mapping_mut()) else {
        return;
    };
    let is_gone = match mapping.get_mut(*name) {
        Some(value) if !inner.is_empty() => {
            let before = value.clone();
            remove(value, inner);
            *value != before && value.as_mapping().is_some_and(Mapping::is_empty)
        }
        _ => true,
    };
    if is_gone {
        mapping.shift_remove(*name);
    }
}

/// Replaces the value at a place that exists.
fn set(value: &mut Value, place: &[&str], new: Value) {
    let mut place = place.iter();
    let found = place.try_fold(value, |value, name| value.as_mapping_mut()?.get_mut(*name));
    if let Some(found) = found {
        *found = new;
    }
}
