//! Stage 2: the options by name, each known and written once, and readers for their shapes.

use forge_remote_schema::options::OptionSet;
use forge_remote_schema::{KindSpec, did_you_mean_or, nearest, one_of};
use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{ToTokens as _, quote};
use syn::LitStr;

use crate::diag::{Errors, Place};
use crate::parse::{self, Value, WrittenOption};

/// The options of an attribute. Reading an option removes it.
pub(crate) struct Options {
    attribute: Span,
    /// The place of each option.
    places: Vec<(String, Place)>,
    written: Vec<WrittenOption>,
    /// The known options that unknown ones are similar to.
    misspelled: Vec<&'static str>,
}

impl Options {
    /// Creates the options of an attribute above this function.
    pub(crate) fn new(
        kind: &KindSpec,
        function: &Ident,
        written: Vec<WrittenOption>,
        errors: &mut Errors,
    ) -> Self {
        // A span in the user's code, for errors without a note about the macro.
        let attribute = Span::call_site().resolved_at(function.span());
        let owner = format!("`#[{}]`", kind.attribute);
        Self::of(
            kind.option_names().collect(),
            &owner,
            attribute,
            written,
            errors,
        )
    }

    /// Creates the options of an attribute that is no kind, above this function.
    pub(crate) fn of_attribute(
        name: &str,
        known: Vec<&'static str>,
        function: &Ident,
        written: Vec<WrittenOption>,
        errors: &mut Errors,
    ) -> Self {
        let attribute = Span::call_site().resolved_at(function.span());
        Self::of(known, &format!("`#[{name}]`"), attribute, written, errors)
    }

    /// Creates the options in parentheses, in the list of the option `name`.
    pub(crate) fn of_group(name: &str, set: OptionSet, group: &Group, errors: &mut Errors) -> Self {
        let written = parse::options(set.first(), group.stream(), errors);
        let owner = format!("an item of `{name}`");
        Self::of(set.names().collect(), &owner, group.span(), written, errors)
    }

    /// Creates the options in the parentheses of `name(…)`.
    pub(crate) fn of_arguments(
        name: &str,
        known: Vec<&'static str>,
        group: &Group,
        errors: &mut Errors,
    ) -> Self {
        let first = known.first().copied().unwrap_or_default();
        let written = parse::options(first, group.stream(), errors);
        let owner = format!("`{name}`");
        Self::of(known, &owner, group.span(), written, errors)
    }

    /// Keeps the known options, and reports the others.
    fn of(
        known: Vec<&'static str>,
        owner: &str,
        attribute: Span,
        written: Vec<WrittenOption>,
        errors: &mut Errors,
    ) -> Self {
        let mut kept: Vec<WrittenOption> = Vec::new();
        let mut misspelled = Vec::new();
        for option in written {
            let name = option.name.to_string();
            if !known.contains(&name.as_str()) {
                let all = format!("{owner} takes {}", one_of(known.iter().copied()));
                let near = nearest(&name, known.iter().copied());
                misspelled.extend(near);
                let help = did_you_mean_or(near, '`', &all);
                errors.help(option.name.span(), format!("unknown option `{name}`"), help);
            } else if kept.iter().any(|other| other.name == option.name) {
                errors.help(
                    option.name.span(),
                    format!("`{name}` is written twice"),
                    "keep one of the two",
                );
            } else {
                kept.push(option);
            }
        }
        Self {
            attribute,
            places: kept
                .iter()
                .map(|option| (option.name.to_string(), option.name.span().into()))
                .collect(),
            written: kept,
            misspelled,
        }
    }

    /// Returns the span of the whole attribute.
    pub(crate) fn attribute(&self) -> Span {
        self.attribute
    }

    /// Returns whether an option is neither written nor misspelled.
    pub(crate) fn misses(&self, name: &str) -> bool {
        !self.misspelled.contains(&name) && !self.places.iter().any(|(written, _)| written == name)
    }

    /// Returns the place of an option, or the attribute's if it is not written.
    pub(crate) fn place(&self, name: &str) -> Place {
        let found = self.places.iter().find(|(written, _)| written == name);
        found.map_or_else(|| self.attribute.into(), |(_, place)| *place)
    }

    /// Returns whether none of these options is written or misspelled.
    pub(crate) fn misses_all(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.misses(name))
    }

    /// Returns an option without reading it: nothing is reported.
    pub(crate) fn peek(&self, name: &str) -> Peek<'_> {
        let is_misspelled = self.misspelled.contains(&name);
        let written = self.written.iter().find(|option| option.name == name);
        Peek {
            is_misspelled,
            written,
        }
    }

    /// Reads an option, with or without a value; `None` if it is not written.
    pub(crate) fn take(&mut self, name: &str) -> Option<Option<Value>> {
        let at = self.written.iter().position(|option| option.name == name)?;
        Some(self.written.swap_remove(at).value)
    }

    /// Reads the value of an option, and reports a missing value.
    pub(crate) fn value(
        &mut self,
        name: &str,
        example: &str,
        errors: &mut Errors,
    ) -> Option<Value> {
        let at = self.written.iter().position(|option| option.name == name)?;
        let option = self.written.swap_remove(at);
        match option.value {
            None => {
                errors.help(
                    option.name.span(),
                    format!("`{name}` has no value"),
                    format!("write `{name} = {example}`"),
                );
                None
            }
            Some(Value::Invalid) => None,
            value => value,
        }
    }

    /// Reports a value of a shape that the option does not take.
    pub(crate) fn wrong_value(
        name: &str,
        value: &Value,
        what: &str,
        example: &str,
        errors: &mut Errors,
    ) {
        errors.help(
            value.place(),
            format!("`{name}` takes {what}"),
            format!("write `{name} = {example}`"),
        );
    }

    /// Reads a string.
    pub(crate) fn text(
        &mut self,
        name: &str,
        example: &str,
        errors: &mut Errors,
    ) -> Option<LitStr> {
        match self.value(name, example, errors)? {
            Value::Text(text) => Some(text),
            Value::Word(word) => {
                let quoted = format!("\"{word}\"");
                Self::wrong_value(name, &Value::Word(word), "a string", &quoted, errors);
                None
            }
            other => {
                Self::wrong_value(name, &other, "a string", example, errors);
                None
            }
        }
    }

    /// Reads a flag: `name`, `name = true` or `name = false`.
    pub(crate) fn flag(&mut self, name: &str, errors: &mut Errors) -> bool {
        let Some(at) = self.written.iter().position(|option| option.name == name) else {
            return false;
        };
        match self.written.swap_remove(at).value {
            None => true,
            Some(Value::Flag(flag)) => flag.value,
            Some(Value::Invalid) => false,
            Some(other) => {
                let help = format!("write `{name}` alone, or `{name} = true`");
                errors.help(
                    other.place(),
                    format!("`{name}` takes `true` or `false`"),
                    help,
                );
                false
            }
        }
    }

    /// Reads hours in steps of 0.5, and returns the number of half hours, at most `max`.
    pub(crate) fn half_hours(
        &mut self,
        name: &str,
        max: u32,
        example: &str,
        errors: &mut Errors,
    ) -> Option<u32> {
        let value = self.value(name, example, errors)?;
        let hours = match syn::parse2::<syn::Lit>(value.tokens()) {
            Ok(syn::Lit::Int(hours)) => hours.base10_parse::<f64>().ok(),
            Ok(syn::Lit::Float(hours)) => hours.base10_parse().ok(),
            _ => None,
        };
        let found = (1..=max).find(|halves| hours == Some(f64::from(*halves) / 2.0));
        if found.is_none() {
            let what = format!("0.5 to {} hours in steps of 0.5", max / 2);
            Self::wrong_value(name, &value, &what, example, errors);
        }
        found
    }

    /// Reads a list of strings, and of constants that are strings.
    pub(crate) fn items(&mut self, name: &str, example: &str, errors: &mut Errors) -> Vec<Value> {
        let mut kept = Vec::new();
        for item in self.list(name, example, errors) {
            if matches!(item, Value::Text(_) | Value::Word(_) | Value::Path(_)) {
                kept.push(item);
            } else {
                errors.help(
                    item.place(),
                    format!("`{name}` takes a list of strings"),
                    "write each item in quotes",
                );
            }
        }
        kept
    }

    /// Reads a list of strings, of constants that are strings, and of parentheses with options.
    pub(crate) fn entries(
        &mut self,
        name: &str,
        example: &str,
        errors: &mut Errors,
    ) -> Vec<ListEntry> {
        let mut kept = Vec::new();
        for item in self.list(name, example, errors) {
            if matches!(item, Value::Text(_) | Value::Word(_) | Value::Path(_)) {
                kept.push(ListEntry::Text(item));
                continue;
            }
            match syn::parse2::<Group>(item.tokens()) {
                Ok(group) if group.delimiter() == Delimiter::Parenthesis => {
                    kept.push(ListEntry::Group(group));
                }
                _ => Self::wrong_value(
                    name,
                    &item,
                    "strings, and parentheses with options",
                    example,
                    errors,
                ),
            }
        }
        kept
    }

    /// Reads a list of any values.
    fn list(&mut self, name: &str, example: &str, errors: &mut Errors) -> Vec<Value> {
        match self.value(name, example, errors) {
            None => Vec::new(),
            Some(Value::List(items, list)) => {
                if items.is_empty() {
                    errors.help(
                        list.span(),
                        format!("`{name}` is an empty list"),
                        format!("write `{name} = {example}`, or leave it out"),
                    );
                }
                items
            }
            Some(Value::Text(text)) => {
                let list = format!("[{}]", text.to_token_stream());
                Self::wrong_value(name, &Value::Text(text), "a list of strings", &list, errors);
                Vec::new()
            }
            Some(other) => {
                Self::wrong_value(name, &other, "a list of strings", example, errors);
                Vec::new()
            }
        }
    }

    /// Reads an HTTP status.
    pub(crate) fn status(&mut self, name: &str, example: &str, errors: &mut Errors) -> u16 {
        let Some(value) = self.value(name, example, errors) else {
            return 200;
        };
        let status = match syn::parse2::<syn::Lit>(value.tokens()) {
            Ok(syn::Lit::Int(status)) => status.base10_parse::<u16>().ok(),
            _ => None,
        };
        status
            .filter(|status| (100..600).contains(status))
            .unwrap_or_else(|| {
                Self::wrong_value(name, &value, "a status from 100 to 599", example, errors);
                200
            })
    }

    /// Reads a list of parentheses with options.
    pub(crate) fn groups(&mut self, name: &str, example: &str, errors: &mut Errors) -> Vec<Group> {
        let items = match self.value(name, example, errors) {
            None => return Vec::new(),
            Some(Value::List(items, _)) if !items.is_empty() => items,
            Some(other) => {
                Self::wrong_value(name, &other, "a list of parentheses", example, errors);
                return Vec::new();
            }
        };
        let mut groups = Vec::new();
        for item in items {
            match syn::parse2::<Group>(item.tokens()) {
                Ok(group) if group.delimiter() == Delimiter::Parenthesis => groups.push(group),
                _ => Self::wrong_value(name, &item, "parentheses with options", example, errors),
            }
        }
        groups
    }

    /// Reads a string, or a list of strings.
    pub(crate) fn text_or_texts(
        &mut self,
        name: &str,
        example: &str,
        errors: &mut Errors,
    ) -> Vec<LitStr> {
        match self.peek(name).text() {
            Some(_) => self.text(name, example, errors).into_iter().collect(),
            None => self.texts(name, &format!("[{example}]"), errors),
        }
    }

    /// Reads a list of strings.
    pub(crate) fn texts(&mut self, name: &str, example: &str, errors: &mut Errors) -> Vec<LitStr> {
        let Some(value) = self.value(name, example, errors) else {
            return Vec::new();
        };
        match value {
            Value::List(items, _) => {
                let mut texts = Vec::new();
                for item in items {
                    match item {
                        Value::Text(text) => texts.push(text),
                        other => errors.help(
                            other.place(),
                            format!("`{name}` takes a list of strings"),
                            "write each item in quotes",
                        ),
                    }
                }
                texts
            }
            Value::Text(text) => {
                let list = format!("[{}]", text.to_token_stream());
                let what = "a list of strings";
                Self::wrong_value(name, &Value::Text(text), what, &list, errors);
                Vec::new()
            }
            other => {
                Self::wrong_value(name, &other, "a list of strings", example, errors);
                Vec::new()
            }
        }
    }

    /// Reads the path of the crate: `crate = ::path`.
    pub(crate) fn crate_path(&mut self, errors: &mut Errors) -> TokenStream {
        match self.value("crate", "::forge_remote", errors) {
            None => quote!(::forge_remote),
            Some(Value::Path(path)) => path.to_token_stream(),
            Some(Value::Word(word)) => word.to_token_stream(),
            Some(other) => {
                Self::wrong_value("crate", &other, "a path", "::forge_remote", errors);
                quote!(::forge_remote)
            }
        }
    }
}

/// An item of a list that takes strings and parentheses.
pub(crate) enum ListEntry {
    /// A string, or a constant.
    Text(Value),
    /// Parentheses with options.
    Group(Group),
}

impl ListEntry {
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::Text(text) => text.place(),
            Self::Group(group) => group.span().into(),
        }
    }
}

/// An option that is not read yet.
pub(crate) struct Peek<'a> {
    is_misspelled: bool,
    written: Option<&'a WrittenOption>,
}

impl Peek<'_> {
    /// Returns whether a flag is set, or misspelled.
    pub(crate) fn is_on(&self) -> bool {
        let off = |flag: &WrittenOption| matches!(&flag.value, Some(Value::Flag(on)) if !on.value);
        self.is_misspelled || self.written.is_some_and(|flag| !off(flag))
    }

    /// Returns the option's text, if it has one.
    pub(crate) fn text(&self) -> Option<LitStr> {
        self.written?.value.as_ref()?.text().cloned()
    }

    /// Returns the texts of a list, without its constants, whose values are not known.
    pub(crate) fn items(&self) -> Vec<LitStr> {
        match self.written.map(|option| &option.value) {
            Some(Some(Value::List(items, _))) => {
                items.iter().filter_map(Value::text).cloned().collect()
            }
            _ => Vec::new(),
        }
    }
}
