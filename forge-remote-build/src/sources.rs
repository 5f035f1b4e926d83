//! The handlers as the sources write them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Ident, Item, Lit, Meta, Token};

use crate::kinds::{KINDS, Kind};
use crate::names::{Names, Shape, Written};

/// A handler that is written out.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) kind: &'static Kind,
    pub(crate) names: Names,
    /// Options with a string, by name.
    pub(crate) options: Vec<(String, String)>,
    /// `refresh_index` in src/main.rs.
    pub(crate) place: String,
    /// Under a `cfg`: it may not be in this build.
    pub(crate) conditional: bool,
}

impl Handler {
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        let found = self.options.iter().find(|(option, _)| option == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What a package's `src` says.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub(crate) handlers: Vec<Handler>,
    /// The keys of remotes: `Remote::new("…")`, `remote = "…"`.
    pub(crate) remotes: BTreeSet<String>,
    /// There may be handlers that are not seen.
    pub(crate) more: bool,
}

impl Sources {
    pub(crate) fn read(package: &Path) -> Self {
        let mut sources = Self::default();
        let mut paths = Vec::new();
        find(&package.join("src"), &mut paths);
        // In the same order on every machine.
        paths.sort();
        let mut files = Vec::new();
        let mut conditional = BTreeSet::new();
        for path in paths {
            let text = fs::read_to_string(&path).unwrap_or_default();
            if let Ok(tokens) = text.parse() {
                sources.take_remotes(tokens);
            }
            match syn::parse_file(&text) {
                Ok(file) => {
                    sources.look_for_files(&file.items, &mut conditional);
                    let path = path.strip_prefix(package).unwrap_or(&path).to_owned();
                    files.push((path, file));
                }
                // Half-typed: the compiler says so.
                Err(_) => sources.more = true,
            }
        }
        for (path, file) in files {
            // `src/bin` has binaries that this manifest may not be about.
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

    /// The names of modules with a file that stand under a `cfg`.
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
                }
                Item::Mod(module) => {
                    let conditional = conditional || is_conditional(&module.attrs);
                    let items = module.content.as_ref().map(|(_, items)| items.as_slice());
                    self.take_items(items.unwrap_or_default(), file, conditional);
                }
                // A macro may write handlers, `link!` name a crate that has some.
                Item::Macro(call) if !writes_none(&call.mac.path) => self.more = true,
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
        let Some(kind) = KINDS
            .iter()
            .find(|kind| Some(kind.attribute) == name.as_deref())
        else {
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
            // The macro refuses it, or knows more than this does.
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
            Written {
                function: &function,
                key: option("key"),
                endpoint: option("endpoint"),
                path: option("path"),
            },
            Shape {
                suffix: kind.module.map(|(_, suffix)| suffix),
                shared: kind.shared,
                below: kind.below.and_then(option),
            },
        );
        self.handlers.push(Handler {
            kind,
            names,
            options,
            place: format!("`{function}` in {file}"),
            conditional,
        });
    }

    /// `Remote::new("backend")`, wherever it stands.
    fn take_remotes(&mut self, tokens: TokenStream) {
        let mut seen: Vec<String> = Vec::new();
        for token in tokens {
            if let TokenTree::Group(group) = &token {
                if seen.ends_with(&["Remote", ":", ":", "new"].map(str::to_owned))
                    && let Ok(Lit::Str(key)) = syn::parse2(group.stream())
                {
                    self.remotes.insert(key.value());
                }
                self.take_remotes(group.stream());
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

/// The options with a string; `None` where a name is something else than a literal.
fn strings(written: Punctuated<Setting, Token![,]>) -> Option<Vec<(String, String)>> {
    let mut options = Vec::new();
    for option in written {
        match option.value {
            Some(Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            })) => options.push((option.name, text.value())),
            _ if matches!(&*option.name, "key" | "endpoint" | "path" | "remote") => return None,
            _ => {}
        }
    }
    Some(options)
}

/// Whether a macro is known to write no handlers.
fn writes_none(path: &syn::Path) -> bool {
    let name = path.segments.last().map(|last| last.ident.to_string());
    matches!(
        name.as_deref(),
        Some("macro_rules" | "test_manifest" | "thread_local")
    )
}

fn is_conditional(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .any(|attribute| attribute.path().is_ident("cfg"))
}

/// The Rust files below a folder; links are not followed.
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
