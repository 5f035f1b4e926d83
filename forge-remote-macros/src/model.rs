//! What is written, checked: options by name, and the handler they make.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens as _, quote};
use syn::ext::IdentExt as _;
use syn::{FnArg, LitStr, Path, Signature, Type};

use crate::ATTRIBUTES;
use crate::diag::{Errors, Place, nearest, one_of};
use crate::kinds::{self, COMMON, Kind};
use crate::parse::{Function, MAX_ARGUMENTS, Value, Written, impl_trait};

/// Forge's limit for endpoint and remote keys.
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/endpoint/>
const MAX_ENDPOINT_KEY: usize = 23;
/// Modules refer to each other with 255 characters at most.
const MAX_MODULE_KEY: usize = 255;
const MAX_PATH: usize = 255;

const USAGE: &str = "a handler looks like this: `async fn name(call: Invocation, token: SystemToken, State(db): \
                     State<Db>, Json(body): Json<Body>) -> Result<()>`, with any or none of the arguments";

/// The options of an attribute, each taken once.
pub(crate) struct Options {
    attribute: Span,
    /// Where each was written.
    places: Vec<(String, Place)>,
    written: Vec<Written>,
    /// What the unknown ones were probably meant to be.
    misspelt: Vec<&'static str>,
}

impl Options {
    /// Keeps the known ones; the others are errors.
    pub(crate) fn new(
        kind: &Kind,
        function: &Ident,
        written: Vec<Written>,
        errors: &mut Errors,
    ) -> Self {
        let mut known: Vec<&'static str> = kind.names().collect();
        if kind.own_module && kind.has_endpoint {
            known.push("endpoint");
        }
        if kind.any_method {
            known.push("method");
        }
        let useless = |name: &str| name == "auth" && !kind.has_endpoint;
        known.extend(COMMON.into_iter().filter(|name| !useless(name)));
        // As if the user had written it all, for an error without a word about the macro.
        let attribute = Span::call_site().resolved_at(function.span());
        let taker = format!("`#[{}]`", kind.name);
        Self::of(known, &taker, attribute, written, errors)
    }

    /// Keeps the known ones; the others are errors.
    pub(crate) fn of(
        known: Vec<&'static str>,
        taker: &str,
        attribute: Span,
        written: Vec<Written>,
        errors: &mut Errors,
    ) -> Self {
        let mut kept: Vec<Written> = Vec::new();
        let mut misspelt = Vec::new();
        for option in written {
            let name = option.name.to_string();
            if !known.contains(&name.as_str()) {
                let all = format!("{taker} takes {}", one_of(known.iter().copied()));
                let help = match nearest(&name, known.iter().copied()) {
                    Some(near) => {
                        misspelt.push(near);
                        format!("did you mean `{near}`? {all}")
                    }
                    None => all,
                };
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
            misspelt,
        }
    }

    /// The attribute as a whole.
    pub(crate) fn attribute(&self) -> Span {
        self.attribute
    }

    /// Neither written nor meant.
    pub(crate) fn misses(&self, name: &str) -> bool {
        !self.misspelt.contains(&name) && !self.places.iter().any(|(written, _)| written == name)
    }

    /// Where it is written; the attribute if it isn't.
    pub(crate) fn place(&self, name: &str) -> Place {
        let found = self.places.iter().find(|(written, _)| written == name);
        found.map_or_else(|| self.attribute.into(), |(_, place)| *place)
    }

    /// None of them is written or meant.
    pub(crate) fn misses_all(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.misses(name))
    }

    /// What is written, for a look ahead of the option's own reading: nothing is wrong here yet.
    pub(crate) fn peek(&self, name: &str) -> Peek<'_> {
        let meant = self.misspelt.contains(&name);
        let written = self.written.iter().find(|option| option.name == name);
        Peek { meant, written }
    }

    fn value(&mut self, name: &str, example: &str, errors: &mut Errors) -> Option<Value> {
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
            Some(Value::Refused) => None,
            value => value,
        }
    }

    fn wrong(name: &str, value: &Value, what: &str, example: &str, errors: &mut Errors) {
        errors.help(
            value.place(),
            format!("`{name}` takes {what}"),
            format!("write `{name} = {example}`"),
        );
    }

    /// A string.
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
                Self::wrong(name, &Value::Word(word), "a string", &quoted, errors);
                None
            }
            other => {
                Self::wrong(name, &other, "a string", example, errors);
                None
            }
        }
    }

    /// `name`, `name = true` or `name = false`.
    pub(crate) fn flag(&mut self, name: &str, errors: &mut Errors) -> bool {
        let Some(at) = self.written.iter().position(|option| option.name == name) else {
            return false;
        };
        match self.written.swap_remove(at).value {
            None => true,
            Some(Value::Flag(flag)) => flag.value,
            Some(Value::Refused) => false,
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

    /// Hours in steps of a half, from the first to `most` of these steps; gives the steps.
    pub(crate) fn half_hours(
        &mut self,
        name: &str,
        most: u32,
        example: &str,
        errors: &mut Errors,
    ) -> Option<u32> {
        let value = self.value(name, example, errors)?;
        let hours = match syn::parse2::<syn::Lit>(value.tokens()) {
            Ok(syn::Lit::Int(hours)) => hours.base10_parse::<f64>().ok(),
            Ok(syn::Lit::Float(hours)) => hours.base10_parse().ok(),
            _ => None,
        };
        let found = (1..=most).find(|halves| hours == Some(f64::from(*halves) / 2.0));
        if found.is_none() {
            let what = format!("0.5 to {} hours in steps of 0.5", most / 2);
            Self::wrong(name, &value, &what, example, errors);
        }
        found
    }

    /// A list of strings and of constants that are strings.
    pub(crate) fn items(&mut self, name: &str, example: &str, errors: &mut Errors) -> Vec<Value> {
        let mut kept = Vec::new();
        for item in self.list(name, example, errors) {
            if matches!(item, Value::Text(_) | Value::Word(_) | Value::Path(_)) {
                kept.push(item);
            } else {
                errors.help(
                    item.place(),
                    format!("`{name}` takes a list of strings"),
                    "put it between quotes",
                );
            }
        }
        kept
    }

    /// A list of strings, of constants that are strings, and of parentheses with options of their
    /// own.
    pub(crate) fn entries(&mut self, name: &str, example: &str, errors: &mut Errors) -> Vec<Entry> {
        let mut kept = Vec::new();
        for item in self.list(name, example, errors) {
            if matches!(item, Value::Text(_) | Value::Word(_) | Value::Path(_)) {
                kept.push(Entry::Text(item));
                continue;
            }
            match syn::parse2::<Group>(item.tokens()) {
                Ok(group) if group.delimiter() == Delimiter::Parenthesis => {
                    kept.push(Entry::Group(group));
                }
                _ => Self::wrong(
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

    /// A list of whatever.
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
                Self::wrong(name, &Value::Text(text), "a list of strings", &list, errors);
                Vec::new()
            }
            Some(other) => {
                Self::wrong(name, &other, "a list of strings", example, errors);
                Vec::new()
            }
        }
    }

    /// What is written, if it is a string: without taking it.
    pub(crate) fn written_text(&self, name: &str) -> Option<String> {
        let option = self.written.iter().find(|option| option.name == name)?;
        Some(option.value.as_ref()?.text()?.value())
    }

    /// A status of HTTP.
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
                Self::wrong(name, &value, "a status from 100 to 599", example, errors);
                200
            })
    }

    /// A list of parentheses with options of their own.
    pub(crate) fn groups(&mut self, name: &str, example: &str, errors: &mut Errors) -> Vec<Group> {
        let items = match self.value(name, example, errors) {
            None => return Vec::new(),
            Some(Value::List(items, _)) if !items.is_empty() => items,
            Some(other) => {
                Self::wrong(name, &other, "a list of parentheses", example, errors);
                return Vec::new();
            }
        };
        let mut groups = Vec::new();
        for item in items {
            match syn::parse2::<Group>(item.tokens()) {
                Ok(group) if group.delimiter() == Delimiter::Parenthesis => groups.push(group),
                _ => Self::wrong(name, &item, "parentheses with options", example, errors),
            }
        }
        groups
    }

    /// A list of strings.
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
                            "put it between quotes",
                        ),
                    }
                }
                texts
            }
            Value::Text(text) => {
                let list = format!("[{}]", text.to_token_stream());
                let what = "a list of strings";
                Self::wrong(name, &Value::Text(text), what, &list, errors);
                Vec::new()
            }
            other => {
                Self::wrong(name, &other, "a list of strings", example, errors);
                Vec::new()
            }
        }
    }

    /// `crate = ::path`.
    pub(crate) fn crate_path(&mut self, errors: &mut Errors) -> TokenStream {
        match self.value("crate", "::forge_remote", errors) {
            None => quote!(::forge_remote),
            Some(Value::Path(path)) => path.to_token_stream(),
            Some(Value::Word(word)) => word.to_token_stream(),
            Some(other) => {
                Self::wrong("crate", &other, "a path", "::forge_remote", errors);
                quote!(::forge_remote)
            }
        }
    }
}

/// An item of a list that takes more than strings.
pub(crate) enum Entry {
    /// A string, or a constant.
    Text(Value),
    /// Parentheses with options.
    Group(Group),
}

impl Entry {
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::Text(text) => text.place(),
            Self::Group(group) => group.span().into(),
        }
    }
}

/// An option that isn't read yet.
pub(crate) struct Peek<'a> {
    meant: bool,
    written: Option<&'a Written>,
}

impl Peek<'_> {
    /// Whether a flag is set, or one that is misspelt.
    pub(crate) fn is_on(&self) -> bool {
        let off = |flag: &Written| matches!(&flag.value, Some(Value::Flag(on)) if !on.value);
        self.meant || self.written.is_some_and(|flag| !off(flag))
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<LitStr> {
        self.written?.value.as_ref()?.text().cloned()
    }

    /// The texts of a list: its constants aren't known yet.
    pub(crate) fn items(&self) -> Vec<LitStr> {
        match self.written.map(|option| &option.value) {
            Some(Some(Value::List(items, _))) => {
                items.iter().filter_map(Value::text).cloned().collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Everything an expansion needs, checked.
pub(crate) struct Handler {
    pub(crate) kind: TokenStream,
    pub(crate) has_user: bool,
    /// `crate::__private`.
    pub(crate) private: TokenStream,
    pub(crate) name: Ident,
    pub(crate) visibility: TokenStream,
    /// `#[cfg]`s of the function: what is emitted beside it stands or falls with it.
    pub(crate) conditions: TokenStream,
    pub(crate) docs: String,
    pub(crate) key: Option<LitStr>,
    pub(crate) endpoint: Option<LitStr>,
    pub(crate) path: Option<LitStr>,
    pub(crate) remote: Option<LitStr>,
    pub(crate) method: &'static str,
    /// The system token, the user token.
    pub(crate) auth: (bool, bool),
    pub(crate) scopes: Vec<LitStr>,
    /// The types of the arguments.
    pub(crate) arguments: Vec<Vec<TokenTree>>,
    /// What the function returns; nothing for a type without a name (`impl Trait`).
    pub(crate) output: Option<Vec<TokenTree>>,
}

impl Handler {
    pub(crate) fn new(
        kind: &Kind,
        written: Vec<Written>,
        function: Function,
        errors: &mut Errors,
    ) -> Self {
        let mut options = Options::new(kind, &function.name, written, errors);
        let krate = options.crate_path(errors);
        let private = quote!(#krate::__private);
        let docs = docs(&function.attributes);
        let kind_tokens = kinds::read(kind, &mut options, &docs, &private, errors);
        let auth = auth(kind, &mut options, errors);
        let method = if kind.any_method {
            method(&mut options, errors)
        } else {
            "Post"
        };
        let (key, endpoint) = keys(kind, &mut options, &function, errors);
        let remote = options.text("remote", "\"backend\"", errors);
        if let Some(remote) = &remote {
            let help = "leave it out when the app has one remote";
            check_key("remote", remote, MAX_ENDPOINT_KEY, help, errors);
        }
        let path = options.text("path", "\"/refresh\"", errors);
        if let Some(path) = &path {
            check_path(path, errors);
            if path.value() == "/" && !kind.has_endpoint {
                errors.help(
                    path.span(),
                    "Forge adds the hook's name to this path, and `/` would give two slashes",
                    "write a path such as \"/data-residency\"",
                );
            }
        }
        let scopes = options.texts("scopes", "[\"read:jira-work\"]", errors);
        check_scopes(&scopes, errors);
        if let Some(signature) = &function.signature {
            check_signature(signature, errors);
        }
        for argument in &function.arguments {
            check_tuple(argument, errors);
        }
        if let Some(output) = &function.output {
            kinds::check_output(kind, &options, output, errors);
        }
        check_other_attributes(kind, &function, errors);

        let Function {
            attributes,
            visibility,
            name,
            arguments,
            output,
            ..
        } = function;
        let conditions = attributes
            .iter()
            .filter(|attribute| attribute.path().is_ident("cfg"))
            .map(quote::ToTokens::to_token_stream)
            .collect();
        Self {
            kind: kind_tokens,
            has_user: kind.has_user,
            private,
            name,
            visibility: visibility.to_token_stream(),
            conditions,
            docs,
            key,
            endpoint,
            path,
            remote,
            method,
            auth,
            scopes,
            arguments,
            output,
        }
    }
}

/// The function's doc comment, one leading blank off each line.
fn docs(attributes: &[syn::Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| {
        let syn::Meta::NameValue(meta) = &attribute.meta else {
            return None;
        };
        match &meta.value {
            syn::Expr::Lit(syn::ExprLit {
                lit: syn::Lit::Str(text),
                ..
            }) if meta.path.is_ident("doc") => {
                let text = text.value();
                Some(text.strip_prefix(' ').map(str::to_owned).unwrap_or(text))
            }
            _ => None,
        }
    });
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// The manifest's words for ours.
const AUTH_SYNONYMS: [(&str, &str); 3] = [
    ("appSystemToken", "system"),
    ("appUserToken", "user"),
    ("app", "system"),
];

/// `auth = system`, `user`, `[system, user]` or `none`; gives the two tokens.
fn auth(kind: &Kind, options: &mut Options, errors: &mut Errors) -> (bool, bool) {
    let example = if kind.has_user { "user" } else { "system" };
    let Some(value) = options.value("auth", example, errors) else {
        return (false, false);
    };
    let is_word = |item: &Value| matches!(item, Value::Word(_));
    let words = match value {
        Value::Word(word) => vec![word],
        Value::List(items, list) if items.is_empty() => {
            errors.help(
                list.span(),
                "`auth` is an empty list",
                "write `auth = none`, or leave it out",
            );
            return (false, false);
        }
        Value::List(items, _) if items.iter().all(is_word) => {
            let mut words: Vec<Ident> = Vec::new();
            for item in items {
                let Value::Word(word) = item else { continue };
                if word == "none" {
                    errors.help(
                        word.span(),
                        "`none` stands alone",
                        "write `auth = none`, or leave it out",
                    );
                } else if words.contains(&word) {
                    errors.help(
                        word.span(),
                        format!("`{word}` is written twice"),
                        "keep one of the two",
                    );
                } else {
                    words.push(word);
                }
            }
            words
        }
        other => {
            let text = other.tokens().to_string();
            let mut meant: Vec<&str> = text
                .split(|c: char| !c.is_alphanumeric())
                .filter(|word| ["system", "user"].contains(word))
                .collect();
            meant.dedup();
            let meant = match meant.as_slice() {
                [] => example.to_owned(),
                [one] => (*one).to_owned(),
                several => format!("[{}]", several.join(", ")),
            };
            let what = "a word or a list of words, without quotes";
            Options::wrong("auth", &other, what, &meant, errors);
            return (false, false);
        }
    };
    let known: &[&str] = if kind.has_user {
        &["system", "user", "none"]
    } else {
        &["system", "none"]
    };
    let (mut system, mut user) = (false, false);
    for word in words {
        match word.to_string().as_str() {
            "none" => {}
            "system" => system = true,
            "user" if kind.has_user => user = true,
            "user" => errors.help(
                word.span(),
                format!("there is no user in session {}, so Forge never sends a user token", kind.when),
                "write `auth = system`; to act for a user all the same, exchange the system token for theirs \
                 (offline user impersonation)",
            ),
            other => {
                let all = format!("`auth` takes {}", one_of(known.iter().copied()));
                let synonym = AUTH_SYNONYMS
                    .iter()
                    .find(|(word, _)| *word == other)
                    .map(|(_, meant)| *meant)
                    .filter(|meant| known.contains(meant));
                let help = match synonym.or_else(|| nearest(other, known.iter().copied())) {
                    Some(near) => format!("did you mean `{near}`? {all}"),
                    None => all,
                };
                errors.help(word.span(), format!("unknown `auth`: `{other}`"), help);
            }
        }
    }
    (system, user)
}

const METHODS: [(&str, &str); 5] = [
    ("GET", "Get"),
    ("POST", "Post"),
    ("PUT", "Put"),
    ("PATCH", "Patch"),
    ("DELETE", "Delete"),
];

/// The variant of `Method`.
fn method(options: &mut Options, errors: &mut Errors) -> &'static str {
    let Some(value) = options.value("method", "\"POST\"", errors) else {
        return "Post";
    };
    let (written, span) = match &value {
        Value::Text(text) => (text.value(), text.span()),
        Value::Word(word) => (word.to_string(), word.span()),
        Value::List(_, list) => {
            errors.help(
                list.span(),
                "`method` takes one method",
                "write `method = \"POST\"`, and a second function for a second method",
            );
            return "Post";
        }
        other => {
            Options::wrong("method", other, "a string", "\"POST\"", errors);
            return "Post";
        }
    };
    let upper = written.to_ascii_uppercase();
    if let Some((_, variant)) = METHODS.iter().find(|(name, _)| *name == upper) {
        return variant;
    }
    let names = || METHODS.iter().map(|(name, _)| *name);
    let all = format!("Forge calls remotes with {}", one_of(names()));
    let help = match nearest(&upper, names()) {
        Some(near) => format!("did you mean `{near}`? {all}"),
        None => all,
    };
    errors.help(
        span,
        format!("Forge calls no remote with `{written}`"),
        help,
    );
    "Post"
}

/// The module's key and the endpoint's.
fn keys(
    kind: &Kind,
    options: &mut Options,
    function: &Function,
    errors: &mut Errors,
) -> (Option<LitStr>, Option<LitStr>) {
    let key = options.text("key", "\"refresh-index\"", errors);
    let (module, endpoint) = if kind.own_module {
        (key, options.text("endpoint", "\"refresh-index\"", errors))
    } else {
        (None, key)
    };
    if let Some(module) = &module {
        check_key("key", module, MAX_MODULE_KEY, FROM_NAME, errors);
    }
    if let Some(endpoint) = &endpoint {
        let name = if kind.own_module { "endpoint" } else { "key" };
        check_key(name, endpoint, MAX_ENDPOINT_KEY, FROM_NAME, errors);
    }
    if let (Some(module), Some(endpoint)) = (&module, &endpoint)
        && module.value() == endpoint.value()
    {
        errors.help(
            endpoint.span(),
            format!("`{}` is the module's key already", endpoint.value()),
            "Forge keeps the keys of modules and endpoints in one name space: write another `endpoint`, or leave it out",
        );
    }
    let name = function.name.unraw();
    let usable =
        name.to_string().chars().any(|c| c.is_ascii_alphanumeric()) && name.to_string().is_ascii();
    if !usable && module.is_none() && endpoint.is_none() {
        errors.help(
            name.span(),
            format!("no key can be made of the name `{name}`"),
            "write one: `key = \"…\"`, of letters, digits, `_` and `-`",
        );
    }
    (module, endpoint)
}

const FROM_NAME: &str = "leave it out to have one made of the function's name";

fn check_key(option: &str, key: &LitStr, longest: usize, without: &str, errors: &mut Errors) {
    let text = key.value();
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if text.is_empty() {
        errors.help(key.span(), format!("`{option}` is empty"), without);
    } else if let Some(odd) = text.chars().find(|c| !allowed(*c)) {
        let better: String = text
            .chars()
            .map(|c| if allowed(c) { c } else { '-' })
            .collect();
        errors.help(
            key.span(),
            format!("`{odd}` can't be in a key"),
            format!("keys have letters, digits, `_` and `-` only: \"{better}\""),
        );
    } else if text.len() > longest {
        errors.help(
            key.span(),
            format!(
                "`{option}` has {longest} characters at most, and this has {}",
                text.len()
            ),
            format!("shorten it, or {without}"),
        );
    }
}

fn check_path(path: &LitStr, errors: &mut Errors) {
    let text = path.value();
    let mut wrong = |message: &str, help: String| errors.help(path.span(), message, help);
    if text.is_empty() {
        wrong(
            "`path` is empty",
            "leave it out to have one made of the key, or write `path = \"/\"`".to_owned(),
        );
    } else if let Some((_, address)) = text.split_once("://") {
        let path = address.find('/').map_or("/", |at| &address[at..]);
        wrong(
            "a path, not an address: where the app is reached stands at its `Remote`",
            format!("write `path = \"{path}\"`"),
        );
    } else if !text.starts_with('/') {
        wrong(
            "a path starts with `/`",
            format!("write `path = \"/{text}\"`"),
        );
    } else if let Some(at) = text.find(['?', '#']) {
        wrong(
            "a path has no query and no fragment",
            format!(
                "write `path = \"{}\"`, and take the query as `Query<T>`",
                &text[..at]
            ),
        );
    } else if text.contains(['*', '{', '}']) || text.contains("/:") {
        wrong(
            "a path has no wildcards: Forge calls one fixed path, which also stands in the manifest",
            "write the whole path; what varies goes into the query or the body".to_owned(),
        );
    } else if text.contains('%') {
        wrong(
            "a path has no percent-encoding",
            "write a path of plain letters, digits, `-`, `_` and `.`".to_owned(),
        );
    } else if let Some(odd) = text
        .chars()
        .find(|c| !c.is_ascii_graphic() || "\"<>\\^`|".contains(*c))
    {
        wrong(
            &format!("`{}` can't be in a path", odd.escape_debug()),
            "write a path of plain letters, digits, `-`, `_` and `.`".to_owned(),
        );
    } else if text != "/" && text.split('/').skip(1).any(str::is_empty) {
        wrong(
            "a path has no empty segments and doesn't end with `/`",
            format!(
                "write `path = \"/{}\"`",
                text.split('/')
                    .filter(|part| !part.is_empty())
                    .collect::<Vec<_>>()
                    .join("/")
            ),
        );
    } else if text.split('/').any(|part| part == "." || part == "..") {
        wrong(
            "a path has no segments `.` and `..`",
            "write the path that is meant".to_owned(),
        );
    } else if matches!(text.as_str(), "/healthz" | "/readyz") {
        wrong(
            "this path is forge-remote's own",
            "take another: load balancers ask for it".to_owned(),
        );
    } else if text.len() > MAX_PATH {
        wrong(
            &format!("a path has {MAX_PATH} characters at most"),
            "shorten it".to_owned(),
        );
    }
}

fn check_scopes(scopes: &[LitStr], errors: &mut Errors) {
    for (at, scope) in scopes.iter().enumerate() {
        let text = scope.value();
        if text.trim().is_empty() {
            errors.help(
                scope.span(),
                "a scope is empty",
                "write its name, for example \"read:jira-work\"",
            );
        } else if text.contains(|c: char| c == ',' || c.is_whitespace()) {
            let parts: Vec<String> = text
                .split(|c: char| c == ',' || c.is_whitespace())
                .filter(|part| !part.is_empty())
                .map(|part| format!("\"{part}\""))
                .collect();
            errors.help(
                scope.span(),
                "a scope has no commas and blanks: these are several",
                format!("write each between quotes of its own: {}", parts.join(", ")),
            );
        } else if scopes[..at].iter().any(|other| other.value() == text) {
            errors.help(
                scope.span(),
                format!("the scope `{text}` is written twice"),
                "keep one of the two",
            );
        }
    }
}

fn check_signature(signature: &Signature, errors: &mut Errors) {
    let mut found: Vec<(Place, String, &str)> = Vec::new();
    let mut wrong = |place: Place, message: &str, help: &'static str| {
        found.push((place, message.to_owned(), help))
    };
    if signature.asyncness.is_none() {
        wrong(
            signature.fn_token.span.into(),
            "a handler is async",
            "write `async fn`",
        );
    }
    if let Some(token) = &signature.constness {
        wrong(
            token.span.into(),
            "a handler can't be `const`",
            "remove `const`",
        );
    }
    if let Some(abi) = &signature.abi {
        wrong(
            abi.extern_token.span.into(),
            "a handler can't be `extern`",
            "remove the `extern` and its ABI",
        );
    }
    if let Some(token) = unsafe_token(signature) {
        wrong(
            token.into(),
            "a handler can't be `unsafe`",
            "remove `unsafe`",
        );
    }
    if let Some(dots) = &signature.variadic {
        wrong(
            Place::of(dots),
            "a handler can't be variadic",
            "remove `...`",
        );
    }
    if !signature.generics.params.is_empty() {
        wrong(
            Place::of(&signature.generics.params),
            "a handler can't be generic: Forge calls it, and Forge can't choose a type",
            "write a concrete type",
        );
    } else if let Some(clause) = &signature.generics.where_clause {
        wrong(
            clause.where_token.span.into(),
            "a handler can't have a `where` clause",
            "remove it",
        );
    }
    for argument in &signature.inputs {
        match argument {
            FnArg::Receiver(receiver) => wrong(
                Place::of(receiver),
                "a handler can't be a method: there is no object to call it on",
                "make it a free function, and take what it needs as `State<T>`",
            ),
            FnArg::Typed(argument) => {
                let conditional = argument.attrs.iter().find(|attribute| {
                    attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr")
                });
                if let Some(attribute) = conditional {
                    wrong(
                        Place::of(attribute),
                        "an argument can't come and go with a `#[cfg]`",
                        "write the function twice, each with its `#[cfg]`",
                    );
                }
                if let Some(place) = impl_trait(&argument.ty) {
                    wrong(
                        place,
                        "an argument can't be `impl Trait`: Forge calls the handler, and Forge can't choose a type",
                        "write a concrete type",
                    );
                } else if let Type::Reference(reference) = &*argument.ty {
                    wrong(
                        Place::of(reference),
                        "an argument can't be a reference: nobody holds the value for as long as the handler runs",
                        "take it by value",
                    );
                }
            }
        }
    }
    if let Some(argument) = signature.inputs.iter().nth(MAX_ARGUMENTS) {
        wrong(
            Place::of(argument),
            &format!("a handler has {MAX_ARGUMENTS} arguments at most"),
            "put several values into one `State<T>`",
        );
    }
    // One note for all.
    let last = found.len();
    for (index, (place, message, help)) in found.into_iter().enumerate() {
        if index + 1 == last {
            errors.help(place, message, format!("{help}\nnote: {USAGE}"));
        } else {
            errors.help(place, message, help);
        }
    }
}

/// What the parts of a tuple need couldn't be seen at launch.
fn check_tuple(argument: &[TokenTree], errors: &mut Errors) {
    let is_comma =
        |token: TokenTree| matches!(token, TokenTree::Punct(sign) if sign.as_char() == ',');
    if let [TokenTree::Group(group)] = argument
        && group.delimiter() == Delimiter::Parenthesis
        && group.stream().into_iter().any(is_comma)
    {
        errors.help(
            group.span(),
            "an argument can't be a tuple",
            "take each of its parts as an argument of its own",
        );
    }
}

fn unsafe_token(signature: &Signature) -> Option<Span> {
    match &signature.safety {
        syn::Safety::Unsafe(token) => Some(token.span),
        _ => None,
    }
}

/// One function is one handler.
fn check_other_attributes(kind: &Kind, function: &Function, errors: &mut Errors) {
    for attribute in &function.attributes {
        let path: &Path = attribute.path();
        let last = path
            .segments
            .last()
            .map(|segment| segment.ident.to_string())
            .unwrap_or_default();
        let ours = path.segments.len() == 1
            || path
                .segments
                .first()
                .is_some_and(|segment| segment.ident == "forge_remote");
        if ours && ATTRIBUTES.contains(&last.as_str()) {
            errors.help(
                Place::of(path),
                format!(
                    "`#[{last}]` beside `#[{}]`: one function is one handler",
                    kind.name
                ),
                "write a second function that calls the first",
            );
        }
    }
}
