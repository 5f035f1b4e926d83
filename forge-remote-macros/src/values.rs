//! Stage 3a: reads the options of a set into the runtime's value.

use forge_remote_schema::lists::{ListItem, ListRules, second_filter};
use forge_remote_schema::options::{OptionSet, OptionSpec, Presence, ValueShape, Variants};
use forge_remote_schema::{did_you_mean_or, nearest, one_of};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::LitStr;

use crate::combinations;
use crate::diag::Errors;
use crate::options::{ListEntry, Options};
use crate::parse::Value;

/// The context for reading the options of one attribute.
pub(crate) struct Reader<'a> {
    /// The function's doc comment.
    pub(crate) docs: &'a str,
    /// `crate::__private`.
    pub(crate) private: &'a TokenStream,
    pub(crate) errors: &'a mut Errors,
}

/// The fields of a set's value.
pub(crate) struct Fields {
    /// The fields that the attribute sets: `option: value,`.
    pub(crate) written: TokenStream,
    /// Whether others are left out, which have the values of the runtime's `NONE`.
    pub(crate) has_others: bool,
}

impl Reader<'_> {
    /// Reads a set: `Runtime { option: value, ..Runtime::NONE }`.
    fn set(&mut self, set: OptionSet, options: &mut Options) -> TokenStream {
        let Fields {
            written,
            has_others,
        } = self.fields(set, options);
        let private = self.private;
        let runtime = set.runtime.split("::");
        let runtime = runtime.map(|name| Ident::new(name, Span::call_site()));
        let runtime = quote!(#private::kinds::#(#runtime)::*);
        let others = has_others.then(|| quote!(..#runtime::NONE));
        quote!(#runtime { #written #others })
    }

    /// Reads the fields of a set. A variant has no `NONE`, so none of its fields are left out.
    pub(crate) fn fields(&mut self, set: OptionSet, options: &mut Options) -> Fields {
        combinations::check(set, options, self.errors);
        let mut written = TokenStream::new();
        let mut has_others = false;
        let is_variant = set.runtime.contains("::");
        for option in set.options {
            let is_optional = option.presence == Presence::Optional && !is_variant;
            if is_optional && options.misses(option.name) {
                has_others = true;
                continue;
            }
            let field = match option.name {
                "type" => Ident::new_raw("type", Span::call_site()),
                name => Ident::new(name, Span::call_site()),
            };
            let value = self.value(option, options);
            written.extend(quote!(#field: #value,));
        }
        if let Some((field, nested)) = set.nested {
            if nested.names().all(|name| options.misses(name)) {
                has_others = true;
            } else {
                let field = Ident::new(field, Span::call_site());
                let value = self.set(*nested, options);
                written.extend(quote!(#field: #value,));
            }
        }
        Fields {
            written,
            has_others,
        }
    }

    fn value(&mut self, option: &OptionSpec, options: &mut Options) -> TokenStream {
        let OptionSpec { name, example, .. } = *option;
        if option.presence == Presence::Required && options.misses(name) {
            self.errors.help(
                options.attribute(),
                format!("`{name}` is missing"),
                format!(
                    "write `{name} = {example}`{}",
                    known_values(name, option.shape)
                ),
            );
        }
        match option.shape {
            ValueShape::Flag => {
                let on = options.flag(name, self.errors);
                quote!(#on)
            }
            ValueShape::HalfHours { max } => {
                let private = self.private;
                let halves = options.half_hours(name, max, example, self.errors);
                let hours = halves.map(|halves| quote!(#private::kinds::HalfHours(#halves)));
                self.optional(hours)
            }
            ValueShape::Status => {
                let status = options.status(name, example, self.errors);
                quote!(#status)
            }
            ValueShape::Text { max, .. } => self.text(option, max, options),
            ValueShape::Texts(rules) => self.texts(option, rules, options),
            ValueShape::Choice(values) => {
                let chosen = options.text(name, example, self.errors);
                if let Some(text) = &chosen {
                    self.check_choice(name, text, values, &[], "");
                }
                self.presence(option, chosen)
            }
            ValueShape::Choices(values) => self.choices(option, values, options),
            ValueShape::Variant(variants) => self.variant(option, variants, options),
            ValueShape::Groups(set) => self.groups(option, *set, options),
            ValueShape::Entries {
                list,
                group,
                identity,
            } => self.entries(option, list, *group, identity, options),
        }
    }

    /// Returns an optional field's value.
    fn optional(&self, value: Option<TokenStream>) -> TokenStream {
        let private = self.private;
        match value {
            Some(value) => quote!(#private::option::Option::Some(#value)),
            None => quote!(#private::option::Option::None),
        }
    }

    /// Returns the value of a text's field: an `Option` if it can be left out. A missing text is already
    /// reported.
    fn presence(&self, option: &OptionSpec, text: Option<LitStr>) -> TokenStream {
        match (option.presence, text) {
            (Presence::Optional, text) => self.optional(text.map(|text| quote!(#text))),
            (_, Some(text)) => quote!(#text),
            (_, None) => quote!(""),
        }
    }

    fn text(&mut self, option: &OptionSpec, max: usize, options: &mut Options) -> TokenStream {
        let OptionSpec { name, example, .. } = *option;
        let written = options.text(name, example, self.errors);
        if let Some(text) = &written
            && let Err(mistake) = option.check_text(&text.value())
        {
            self.errors.mistake(text.span(), mistake);
        }
        let docs_are_required = match option.presence {
            Presence::OrDocs => true,
            Presence::DocsOrNone => false,
            Presence::Required | Presence::Optional => return self.presence(option, written),
        };
        if written.is_some() {
            return self.presence(option, written);
        }
        let docs = first_paragraph(self.docs);
        let length = docs.chars().count();
        let (message, help) = if docs.is_empty() {
            if !docs_are_required {
                return quote!("");
            }
            // A misspelled option is already reported.
            if !options.misses(name) {
                return quote!("");
            }
            (
                format!("`{name}` is missing, and the function has no doc comment to take it from"),
                format!("write `{name} = {example}`, or a doc comment above the function"),
            )
        } else if length > max {
            (
                format!(
                    "`{name}` is missing, and the doc comment's first paragraph is too long for it: {length} of {max} characters"
                ),
                format!("write `{name} = {example}`"),
            )
        } else {
            return quote!(#docs);
        };
        self.errors.help(options.attribute(), message, help);
        quote!("")
    }

    fn texts(
        &mut self,
        option: &OptionSpec,
        rules: &ListRules,
        options: &mut Options,
    ) -> TokenStream {
        let name = option.name;
        // The values of constants are checked at launch.
        let items = options.items(name, option.example, self.errors);
        let texts = items.iter().map(|item| item.text().map(LitStr::value));
        let texts: Vec<Option<String>> = texts.collect();
        let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
        for (at, mistake) in rules.mistakes(name, &texts) {
            let item = at.and_then(|at| items.get(at));
            let place = item.map_or_else(|| options.place(name), Value::place);
            self.errors.mistake(place, mistake);
        }
        let items = items.iter().map(Value::tokens);
        quote!(&[#(#items),*])
    }

    fn choices(
        &mut self,
        option: &OptionSpec,
        values: &[&'static str],
        options: &mut Options,
    ) -> TokenStream {
        let OptionSpec { name, example, .. } = *option;
        let chosen = options.texts(name, example, self.errors);
        for (at, text) in chosen.iter().enumerate() {
            self.check_choice(name, text, values, &[], "");
            let mut earlier = chosen[..at].iter();
            if earlier.any(|other| other.value() == text.value()) {
                let message = format!("`{}` is written twice", text.value());
                self.errors
                    .help(text.span(), message, "keep one of the two");
            }
        }
        let required = option.presence == Presence::Required;
        if chosen.is_empty() && required && !options.misses(name) {
            self.errors.help(
                options.attribute(),
                format!("`{name}` has no valid item"),
                format!("write `{name} = {example}`"),
            );
        }
        quote!(&[#(#chosen),*])
    }

    fn variant(
        &mut self,
        option: &OptionSpec,
        variants: &Variants,
        options: &mut Options,
    ) -> TokenStream {
        let private = self.private;
        let values = variants.values;
        let chosen = options.text(option.name, option.example, self.errors);
        if chosen.is_none() && option.presence == Presence::Optional {
            return self.optional(None);
        }
        let written = chosen.as_ref().map(LitStr::value).unwrap_or_default();
        if let Some(text) = &chosen {
            let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
            let (synonyms, remark) = (variants.synonyms, variants.remark);
            self.check_choice(option.name, text, &names, synonyms, remark);
        }
        // After an error, any variant is acceptable.
        let found = values.iter().find(|(name, _)| *name == written);
        let variant = found.or(values.first()).map_or("", |(_, variant)| variant);
        let (ty, variant) = (
            format_ident!("{}", variants.runtime),
            format_ident!("{variant}"),
        );
        let variant = quote!(#private::kinds::#ty::#variant);
        match option.presence {
            Presence::Optional => self.optional(Some(variant)),
            _ => variant,
        }
    }

    fn groups(
        &mut self,
        option: &OptionSpec,
        set: OptionSet,
        options: &mut Options,
    ) -> TokenStream {
        let name = option.name;
        let mut seen: Vec<String> = Vec::new();
        let mut items = TokenStream::new();
        for group in options.groups(name, option.example, self.errors) {
            let mut options = Options::of_group(name, set, &group, self.errors);
            for event in combinations::events_of_group(&options) {
                if seen.contains(&event.value()) {
                    self.errors
                        .mistake(event.span(), second_filter(&event.value()));
                }
                seen.push(event.value());
            }
            let item = self.set(set, &mut options);
            items.extend(quote!(#item,));
        }
        quote!(&[#items])
    }

    fn entries(
        &mut self,
        option: &OptionSpec,
        list: &ListRules,
        set: OptionSet,
        identity: &str,
        options: &mut Options,
    ) -> TokenStream {
        let (name, private) = (option.name, self.private);
        let entries = options.entries(name, option.example, self.errors);
        let mut items = TokenStream::new();
        let mut identities = Vec::new();
        let ty = set.runtime.split("::").next().unwrap_or_default();
        let ty = Ident::new(ty, Span::call_site());
        for entry in &entries {
            match entry {
                ListEntry::Text(text) => {
                    identities.push(text.text().map(|text| (false, text.value())));
                    let text = text.tokens();
                    items.extend(quote!(#private::kinds::#ty::Short(#text),));
                }
                ListEntry::Group(group) => {
                    let mut options = Options::of_group(name, set, group, self.errors);
                    identities.push(
                        options
                            .peek(identity)
                            .text()
                            .map(|text| (true, text.value())),
                    );
                    let item = self.set(set, &mut options);
                    items.extend(quote!(#item,));
                }
            }
        }
        let identities = identities.iter().map(|item| {
            let (is_group, text) = item.as_ref()?;
            Some(match is_group {
                true => ListItem::Group(text),
                false => ListItem::Text(text),
            })
        });
        let identities: Vec<Option<ListItem<'_>>> = identities.collect();
        for (at, mistake) in list.mistakes_of_items(name, &identities) {
            let entry = at.and_then(|at| entries.get(at));
            let place = entry.map_or_else(|| options.place(name), ListEntry::place);
            self.errors.mistake(place, mistake);
        }
        quote!(&[#items])
    }

    fn check_choice(
        &mut self,
        name: &str,
        text: &LitStr,
        known: &[&'static str],
        synonyms: &[(&str, &'static str)],
        remark: &str,
    ) {
        let written = text.value();
        if known.contains(&written.as_str()) {
            return;
        }
        let folded = written.trim().to_ascii_lowercase().replace(['_', '-'], "");
        let synonym = synonyms.iter().find(|(word, _)| *word == folded);
        let meant = synonym.map(|(_, meant)| *meant);
        let all = format!("`{name}` takes {}{remark}", one_of(known.iter().copied()));
        let near = meant.or_else(|| nearest(&written, known.iter().copied()));
        let help = did_you_mean_or(near, '"', &all);
        let message = format!("`{written}` is not a valid value of `{name}`");
        self.errors.help(text.span(), message, help);
    }
}

/// Returns the values of a choice, for the error that it is missing.
fn known_values(name: &str, shape: ValueShape) -> String {
    let (all, remark) = match shape {
        ValueShape::Choice(values) | ValueShape::Choices(values) => {
            (one_of(values.iter().copied()), "")
        }
        ValueShape::Variant(variants) => {
            let names = variants.values.iter().map(|(name, _)| *name);
            (one_of(names), variants.remark)
        }
        _ => return String::new(),
    };
    format!(": `{name}` takes {all}{remark}")
}

fn first_paragraph(docs: &str) -> String {
    let paragraph = docs.split("\n\n").next().unwrap_or_default();
    paragraph.replace('\n', " ")
}
