//! The handlers in a package's sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use forge_remote_schema::built_in::{BUILT_IN, CRON_CLOCK};
use forge_remote_schema::names::{Names, WrittenNames};
use forge_remote_schema::{KindSpec, kinds};
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprArray, ExprLit, Ident, Item, Lit, Meta, Token};

/// A handler that is written in the sources.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) kind: &'static KindSpec,
    pub(crate) names: Names,
    /// Options with a string, and flags as `true` or `false`, by name.
    pub(crate) options: Vec<(String, String)>,
    /// The place, such as `refresh_index` in src/main.rs.
    pub(crate) place: String,
    /// Whether it is under a `cfg`, so that it may not be in this build.
    pub(crate) conditional: bool,
}

impl Handler {
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        let found = self.options.iter().find(|(option, _)| option == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Returns whether the manifest has a module for it: dynamic ones are registered at run time.
    pub(crate) fn has_module(&self) -> bool {
        self.kind.has_module() && self.option("dynamic") != Some("true") && !self.is_cron()
    }

    /// Returns whether the manifest has an endpoint for it.
    pub(crate) fn has_endpoint(&self) -> bool {
        self.kind.has_endpoint() && !self.is_cron()
    }

    /// Returns whether it is called by the app's clock endpoint, which is the only entry for it.
    fn is_cron(&self) -> bool {
        self.option("cron").is_some()
    }
}

/// The handlers of a package's `src`.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub(crate) handlers: Vec<Handler>,
    /// The keys of remotes: `Remote::new("…")`, `remote = "…"`.
    pub(crate) remotes: BTreeSet<String>,
    /// The endpoints of other services: `foreign_endpoints(["…"])`.
    pub(crate) foreign_endpoints: BTreeSet<String>,
    /// The endpoints that the framework adds, each with the code that adds it: a call of a method of
    /// `App`, or a handler with `cron`.
    pub(crate) built_in: BTreeMap<&'static str, String>,
    /// The endpoints that the framework may add, for calls that may not be in this build.
    conditionally_built_in: BTreeSet<&'static str>,
    /// Whether there may be handlers that are not seen.
    pub(crate) more: bool,
}

impl Sources {
    pub(crate) fn read(package: &Path) -> Self {
        let mut sources = Self::default();
        let mut paths = Vec::new();
        find(&package.join("src"), &mut paths);
        // Sorted, so that the order is the same on every machine.
        paths.sort();
        let mut files = Vec::new();
        let mut conditional = BTreeSet::new();
        for path in paths {
            let text = fs::read_to_string(&path).unwrap_or_default();
            if let Ok(tokens) = text.parse::<TokenStream>() {
                for built_in in BUILT_IN.iter().filter(|one| names(&tokens, one.method)) {
                    let endpoints = built_in.endpoints.iter().chain(built_in.optional);
                    sources.conditionally_built_in.extend(endpoints.copied());
                }
                sources.take_calls(tokens);
            }
            match syn::parse_file(&text) {
                Ok(file) => {
                    sources.look_for_files(&file.items, &mut conditional);
                    let path = path.strip_prefix(package).unwrap_or(&path).to_owned();
                    files.push((path, file));
                }
                // The file is incomplete: the compiler reports it.
                Err(_) => sources.more = true,
            }
        }
        for (path, file) in files {
            // A binary in `src/bin` may have another manifest.
            let conditional = is_conditional(&file.attrs)
                || path.starts_with("src/bin")
                || path
                    .with_extension("")
                    .iter()
                    .filter_map(|part| part.to_str())
                    .any(|part| conditional.contains(part));
            sources.take_items(&file.items, &path.display().to_string(), conditional);
        }
        sources
    }

    /// Returns whether the framework may add an endpoint of this key.
    pub(crate) fn may_be_built_in(&self, endpoint: &str) -> bool {
        self.conditionally_built_in.contains(endpoint)
    }

    /// Collects the names of modules with a file that are under a `cfg`.
    fn look_for_files(&mut self, items: &[Item], conditional: &mut BTreeSet<String>) {
        for item in items {
            let Item::Mod(module) = item else { continue };
            if let Some((_, items)) = &module.content {
                self.look_for_files(items, conditional);
            } else if is_conditional(&module.attrs) {
                conditional.insert(module.ident.unraw().to_string());
            }
            // The file may be outside `src`, or have another name.
            self.more |= module.attrs.iter().any(|one| one.path().is_ident("path"));
        }
    }

    fn take_items(&mut self, items: &[Item], file: &str, conditional: bool) {
        for item in items {
            match item {
                Item::Fn(function) => {
                    let conditional = conditional || is_conditional(&function.attrs);
                    let name = &function.sig.ident;
                    for attribute in &function.attrs {
                        self.take_attribute(attribute, name, file, conditional);
                    }
                    if !conditional && !is_test(&function.attrs) {
                        let body = function.block.to_token_stream();
                        for built_in in BUILT_IN.iter().filter(|one| names(&body, one.method)) {
                            let adds = format!("`App::{}`", built_in.method);
                            let endpoints = built_in.endpoints.iter();
                            self.built_in
                                .extend(endpoints.map(|endpoint| (*endpoint, adds.clone())));
                        }
                    }
                }
                Item::Mod(module) => {
                    let conditional = conditional || is_conditional(&module.attrs);
                    let items = module.content.as_ref().map(|(_, items)| items.as_slice());
                    self.take_items(items.unwrap_or_default(), file, conditional);
                }
                // A macro may generate handlers, and `link!` names a crate with handlers.
                Item::Macro(call) if !is_without_handlers(&call.mac.path) => self.more = true,
                _ => {}
            }
        }
    }

    fn take_attribute(
        &mut self,
        attribute: &Attribute,
        function: &Ident,
        file: &str,
        conditional: bool,
    ) {
        let name = attribute.path().segments.last();
        let name = name.map(|last| last.ident.to_string());
        if name.as_deref() == Some("cfg_attr") {
            self.more = true;
        }
        let Some(kind) = name.as_deref().and_then(kinds::find) else {
            return;
        };
        let options = match &attribute.meta {
            Meta::Path(_) => Some(Vec::new()),
            _ => attribute
                .parse_args_with(Punctuated::<Setting, Token![,]>::parse_terminated)
                .ok()
                .and_then(strings),
        };
        let Some(options) = options else {
            // The macro rejects it, or a name is a constant.
            self.more = true;
            return;
        };
        let function = function.unraw().to_string();
        let option = |name: &str| {
            let found = options.iter().find(|(option, _)| option == name);
            found.map(|(_, value)| value.as_str())
        };
        self.remotes.extend(option("remote").map(str::to_owned));
        let names = Names::new(
            kind,
            WrittenNames {
                function: &function,
                key: option("key"),
                endpoint: option("endpoint"),
                path: option("path"),
            },
            kind.path_option.and_then(option),
        );
        let handler = Handler {
            kind,
            names,
            options,
            place: format!("`{function}` in {file}"),
            conditional,
        };
        if handler.is_cron() {
            self.conditionally_built_in.insert(CRON_CLOCK);
            if !conditional {
                let place = handler.place.clone();
                self.built_in.entry(CRON_CLOCK).or_insert(place);
            }
        }
        self.handlers.push(handler);
    }

    /// Collects the keys in `Remote::new("backend")` and `foreign_endpoints(["other"])`, anywhere in the
    /// tokens.
    fn take_calls(&mut self, tokens: TokenStream) {
        let mut seen: Vec<String> = Vec::new();
        for token in tokens {
            if let TokenTree::Group(group) = &token {
                if seen.ends_with(&["Remote", ":", ":", "new"].map(str::to_owned))
                    && let Ok(Lit::Str(key)) = syn::parse2(group.stream())
                {
                    self.remotes.insert(key.value());
                }
                if seen.last().is_some_and(|name| name == "foreign_endpoints") {
                    match syn::parse2::<ExprArray>(group.stream())
                        .ok()
                        .and_then(texts)
                    {
                        Some(keys) => self.foreign_endpoints.extend(keys),
                        // Their keys are values that are not seen.
                        None => self.more = true,
                    }
                }
                self.take_calls(group.stream());
                seen.clear();
            } else {
                seen.push(token.to_string());
            }
        }
    }
}

/// One option: `name` or `name = value`.
struct Setting {
    name: String,
    value: Option<Expr>,
}

impl Parse for Setting {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = input.call(Ident::parse_any)?.unraw().to_string();
        let value = match input.parse::<Option<Token![=]>>()? {
            Some(_) => Some(input.parse()?),
            None => None,
        };
        Ok(Self { name, value })
    }
}

/// Returns the options with a string, and the flags; `None` if a name is not a literal.
fn strings(written: Punctuated<Setting, Token![,]>) -> Option<Vec<(String, String)>> {
    let mut options = Vec::new();
    for option in written {
        match option.value {
            Some(Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            })) => options.push((option.name, text.value())),
            Some(Expr::Lit(ExprLit {
                lit: Lit::Bool(flag),
                ..
            })) => options.push((option.name, flag.value.to_string())),
            None => options.push((option.name, true.to_string())),
            _ if matches!(&*option.name, "key" | "endpoint" | "path" | "remote") => return None,
            _ => {}
        }
    }
    Some(options)
}

/// Returns the texts of an array; `None` if it has other items.
fn texts(array: ExprArray) -> Option<Vec<String>> {
    let texts = array.elems.into_iter().map(|item| match item {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) => Some(text.value()),
        _ => None,
    });
    texts.collect()
}

/// Returns whether a macro is known to generate no handlers.
fn is_without_handlers(path: &syn::Path) -> bool {
    let name = path.segments.last().map(|last| last.ident.to_string());
    matches!(
        name.as_deref(),
        Some("macro_rules" | "test_manifest" | "thread_local")
    )
}

/// Returns whether these tokens contain this word, also in groups.
fn names(tokens: &TokenStream, word: &str) -> bool {
    tokens.clone().into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == word,
        TokenTree::Group(group) => names(&group.stream(), word),
        _ => false,
    })
}

/// Returns whether a function is a test, with any framework's attribute.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let last = attribute.path().segments.last();
        last.is_some_and(|last| last.ident == "test")
    })
}

fn is_conditional(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .any(|attribute| attribute.path().is_ident("cfg"))
}

/// Collects the Rust files below a directory, without following links.
fn find(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => find(&path, files),
            Ok(kind) if kind.is_file() && path.extension().is_some_and(|end| end == "rs") => {
                files.push(path);
            }
            _ => {}
        }
    }
}
