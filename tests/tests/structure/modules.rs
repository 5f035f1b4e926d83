//! The modules of a crate, and which of them import which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path into a module, from the crate's root: `["app", "serve"]`.
type ModulePath = Vec<String>;

/// One path that a module names, with its line.
#[derive(Debug)]
struct Named {
    line: usize,
    segments: Vec<String>,
    is_reexport: bool,
}

/// One source file as a module.
#[derive(Debug)]
pub(crate) struct Module {
    /// The file, from the crate's `src`.
    pub(crate) file: String,
    /// Lines of source, without the lines of inline test modules.
    pub(crate) lines: usize,
    named: Vec<Named>,
    /// The paths that `pub use`, `#[macro_export]` and a module of one glob give to other items.
    reexports: BTreeMap<ModulePath, ModulePath>,
}

/// An import: the file and line that names an item, and the file that holds it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import {
    pub(crate) from: String,
    pub(crate) line: usize,
    pub(crate) to: String,
}

/// A crate's modules by their path.
#[derive(Debug)]
pub(crate) struct Crate {
    pub(crate) modules: BTreeMap<ModulePath, Module>,
    reexports: BTreeMap<ModulePath, ModulePath>,
}

impl Crate {
    /// Reads the modules below `src`, a crate's source folder.
    pub(crate) fn read(src: &Path) -> Self {
        let mut files = Vec::new();
        rust_files(src, &mut files);
        Self::of(files.into_iter().map(|file| {
            let text = fs::read_to_string(&file).expect("a readable file");
            let name = file.strip_prefix(src).expect("a file below src");
            (name.to_string_lossy().replace('\\', "/"), text)
        }))
    }

    /// Reads files by their names below a crate's source folder, each with its text.
    fn of(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut modules = BTreeMap::new();
        let mut reexports = BTreeMap::new();
        for (name, text) in files {
            let path = module_path(&name);
            let mut module = Module::parse(name, &path, &text);
            reexports.append(&mut module.reexports);
            modules.insert(path, module);
        }
        Self { modules, reexports }
    }

    /// The imports between this crate's files. Items that a module re-exports count as imports of
    /// the file that defines them. A re-export is an import too, but for a `mod.rs` or `lib.rs` that
    /// lists the items of the same folder.
    pub(crate) fn imports(&self) -> BTreeSet<Import> {
        let mut imports = BTreeSet::new();
        for module in self.modules.values() {
            for named in &module.named {
                let Some(to) = self.resolve(&named.segments, 0) else {
                    continue;
                };
                let is_listed = named.is_reexport && module.is_index_of(&to.file);
                if to.file != module.file && !is_listed {
                    imports.insert(Import {
                        from: module.file.clone(),
                        line: named.line,
                        to: to.file.clone(),
                    });
                }
            }
        }
        imports
    }

    /// The module that holds the item at this path.
    fn resolve(&self, path: &[String], depth: usize) -> Option<&Module> {
        // A module may re-export an item with the module's name from itself.
        for length in (1..=path.len()).filter(|_| depth < 8) {
            // A macro and a module may have one name: the rest of the path is in the module.
            if length < path.len() && self.modules.contains_key(&path[..length]) {
                continue;
            }
            if let Some(origin) = self.reexports.get(&path[..length]) {
                let origin = [origin, &path[length..]].concat();
                return self.resolve(&origin, depth + 1);
            }
        }
        (0..=path.len())
            .rev()
            .find_map(|length| self.modules.get(&path[..length]))
    }

    /// Groups of files that import one another in a cycle.
    pub(crate) fn cycles(&self) -> Vec<Vec<String>> {
        let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for import in self.imports() {
            imports.entry(import.from).or_default().insert(import.to);
        }
        let reach = |from: &str| {
            let mut seen = BTreeSet::new();
            let mut left = vec![from.to_owned()];
            while let Some(file) = left.pop() {
                for next in imports.get(&file).into_iter().flatten() {
                    if seen.insert(next.clone()) {
                        left.push(next.clone());
                    }
                }
            }
            seen
        };
        let reached: BTreeMap<&String, BTreeSet<String>> =
            imports.keys().map(|file| (file, reach(file))).collect();
        let mut cycles = BTreeSet::new();
        for (file, there) in &reached {
            if !there.contains(*file) {
                continue;
            }
            let cycle: Vec<String> = there
                .iter()
                .filter(|other| reached.get(other).is_some_and(|back| back.contains(*file)))
                .cloned()
                .collect();
            cycles.insert(cycle);
        }
        cycles.into_iter().collect()
    }
}

impl Module {
    fn parse(file: String, path: &ModulePath, text: &str) -> Self {
        let tokens = TokenStream::from_str(text).expect("Rust source");
        let mut module = Self {
            file,
            lines: text.lines().count(),
            named: Vec::new(),
            reexports: BTreeMap::new(),
        };
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let children: BTreeSet<String> = children(&tokens);
        module.collect(&tokens, path, &children);
        module
    }

    /// Whether this is the `mod.rs` or `lib.rs` of the folder that has the file.
    fn is_index_of(&self, file: &str) -> bool {
        let index = ["mod.rs", "lib.rs", "main.rs"];
        let folder = index.iter().find_map(|name| self.file.strip_suffix(name));
        folder.is_some_and(|folder| file.starts_with(folder))
    }

    fn collect(&mut self, tokens: &[TokenTree], path: &ModulePath, children: &BTreeSet<String>) {
        let mut at = 0;
        let mut is_public = false;
        while at < tokens.len() {
            if let Some(after) = test_only(tokens, at) {
                if let (Some(first), Some(last)) = (tokens.get(at), tokens.get(after - 1)) {
                    let span = last.span().end().line - first.span().start().line;
                    self.lines = self.lines.saturating_sub(span + 1);
                }
                at = after;
                continue;
            }
            match &tokens[at] {
                TokenTree::Ident(ident) => {
                    let word = ident.to_string();
                    if let Some((name, inner, after)) = inline_module(tokens, at) {
                        let inside = [path.as_slice(), &[name]].concat();
                        if let Some(origin) = one_glob(&inner, &inside) {
                            self.reexports.insert(inside.clone(), origin);
                        }
                        self.collect(&inner, &inside, &BTreeSet::new());
                        at = after;
                        continue;
                    }
                    if let Some(name) = exported_macro(tokens, at) {
                        let here = [path.as_slice(), std::slice::from_ref(&name)].concat();
                        self.reexports.insert(vec![name], here);
                    }
                    // `$crate` is a path's beginning, any other variable is part of one.
                    let follows_path = at > 0
                        && (is_punct(&tokens[at - 1], ':')
                            || is_punct(&tokens[at - 1], '$') && word != "crate");
                    let is_use = at > 0 && is_word(&tokens[at - 1], "use");
                    if word == "pub" {
                        is_public = true;
                    }
                    let starts = matches!(word.as_str(), "crate" | "super" | "self")
                        || children.contains(&word);
                    if starts && !follows_path && path_follows(tokens, at) {
                        let is_reexport = is_use && is_public;
                        self.tree(tokens, &mut at, Vec::new(), path, is_reexport);
                        continue;
                    }
                }
                TokenTree::Punct(punct) if punct.as_char() == ';' => is_public = false,
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    self.collect(&inner, path, children);
                    if group.delimiter() == Delimiter::Brace {
                        is_public = false;
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Reads one path or tree of paths that starts at `at`.
    fn tree(
        &mut self,
        tokens: &[TokenTree],
        at: &mut usize,
        mut segments: Vec<String>,
        path: &ModulePath,
        is_reexport: bool,
    ) {
        let mut line = 0;
        loop {
            match tokens.get(*at) {
                Some(TokenTree::Ident(ident)) => {
                    line = ident.span().start().line;
                    segments.push(ident.to_string());
                    *at += 1;
                }
                Some(TokenTree::Punct(star)) if star.as_char() == '*' => {
                    *at += 1;
                    self.add(line, segments, path, is_reexport, None);
                    return;
                }
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    let mut inside = 0;
                    while inside < inner.len() {
                        self.tree(&inner, &mut inside, segments.clone(), path, is_reexport);
                        while inside < inner.len() && !is_punct(&inner[inside], ',') {
                            inside += 1;
                        }
                        inside += 1;
                    }
                    *at += 1;
                    return;
                }
                _ => break,
            }
            let is_path = tokens.get(*at).is_some_and(|one| is_punct(one, ':'))
                && tokens.get(*at + 1).is_some_and(|one| is_punct(one, ':'));
            if !is_path {
                break;
            }
            *at += 2;
        }
        let alias = match (tokens.get(*at), tokens.get(*at + 1)) {
            (Some(word), Some(TokenTree::Ident(alias))) if is_word(word, "as") => {
                Some(alias.to_string())
            }
            _ => None,
        };
        self.add(line, segments, path, is_reexport, alias);
    }

    fn add(
        &mut self,
        line: usize,
        segments: Vec<String>,
        path: &ModulePath,
        is_reexport: bool,
        alias: Option<String>,
    ) {
        let Some(absolute) = absolute(segments, path) else {
            return;
        };
        if is_reexport && let Some(item) = absolute.last() {
            let item = alias.unwrap_or_else(|| item.clone());
            let name = [path.as_slice(), &[item]].concat();
            self.reexports.insert(name, absolute.clone());
        }
        self.named.push(Named {
            line,
            segments: absolute,
            is_reexport,
        });
    }
}

/// A path from the crate's root. `crate`, `super` and `self` are resolved.
fn absolute(segments: Vec<String>, path: &ModulePath) -> Option<ModulePath> {
    let mut base = match segments.first().map(String::as_str) {
        Some("crate") => Vec::new(),
        _ => path.clone(),
    };
    for segment in segments {
        match segment.as_str() {
            "crate" | "self" => {}
            "super" => {
                base.pop()?;
            }
            _ => base.push(segment),
        }
    }
    Some(base)
}

/// The names of the modules that a file declares in separate files.
fn children(tokens: &[TokenTree]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for window in tokens.windows(3) {
        if let [word, TokenTree::Ident(name), end] = window
            && is_word(word, "mod")
            && is_punct(end, ';')
        {
            names.insert(name.to_string());
        }
    }
    names
}

/// Where an item behind `#[cfg(test)]` that begins at `at` ends.
fn test_only(tokens: &[TokenTree], at: usize) -> Option<usize> {
    let TokenTree::Group(attribute) = tokens.get(at + 1)? else {
        return None;
    };
    let text = attribute.stream().to_string().replace(' ', "");
    if !is_punct(&tokens[at], '#') || text != "cfg(test)" {
        return None;
    }
    let mut end = at + 2;
    loop {
        match tokens.get(end)? {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => break,
            one if is_punct(one, ';') => break,
            _ => end += 1,
        }
    }
    Some(end + 1)
}

/// The name and the content of a module in braces that begins at `at`, and where it ends. In a macro,
/// the name may be a variable.
fn inline_module(tokens: &[TokenTree], at: usize) -> Option<(String, Vec<TokenTree>, usize)> {
    if !is_word(&tokens[at], "mod") {
        return None;
    }
    let mut next = at + 1;
    if is_punct(tokens.get(next)?, '$') {
        next += 1;
    }
    let name = tokens.get(next)?.to_string();
    let TokenTree::Group(body) = tokens.get(next + 1)? else {
        return None;
    };
    let inner = body.stream().into_iter().collect();
    Some((name, inner, next + 2))
}

/// The path of a module that only re-exports everything of another one.
fn one_glob(tokens: &[TokenTree], path: &ModulePath) -> Option<ModulePath> {
    let text: String = tokens.iter().map(|token| format!("{token} ")).collect();
    let text = text.replace(' ', "");
    let glob = text.strip_prefix("pubuse")?.strip_suffix("::*;")?;
    let is_one = glob
        .chars()
        .all(|one| one.is_alphanumeric() || "_:".contains(one));
    let segments = glob.split("::").map(str::to_owned).collect();
    is_one.then(|| absolute(segments, path))?
}

/// The name of a macro that begins at `at`, if `#[macro_export]` puts it at the crate's root.
fn exported_macro(tokens: &[TokenTree], at: usize) -> Option<String> {
    if !is_word(&tokens[at], "macro_rules") {
        return None;
    }
    let attributes = tokens[..at].rchunks_exact(2);
    let mut attributes = attributes.take_while(|pair| is_punct(&pair[0], '#'));
    attributes.find(|pair| pair[1].to_string().contains("macro_export"))?;
    Some(tokens.get(at + 2)?.to_string())
}

fn path_follows(tokens: &[TokenTree], at: usize) -> bool {
    tokens.get(at + 1).is_some_and(|one| is_punct(one, ':'))
        && tokens.get(at + 2).is_some_and(|one| is_punct(one, ':'))
}

fn is_punct(token: &TokenTree, char: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == char)
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

/// The module that a file holds. Files of unit tests are separate modules.
fn module_path(file: &str) -> ModulePath {
    let name = file.strip_suffix(".rs").unwrap_or(file);
    let mut path: ModulePath = name.split('/').map(str::to_owned).collect();
    if matches!(
        path.last().map(String::as_str),
        Some("mod" | "lib" | "main")
    ) {
        path.pop();
    }
    path
}

/// The source files below a folder, without files of unit tests.
pub(crate) fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    all_rust_files(folder, files);
    files.retain(|file| !is_test_file(file));
}

/// The source files below a folder, with files of unit tests.
pub(crate) fn all_rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).expect("a readable folder");
    for entry in entries {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            all_rust_files(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
}

/// Unit tests in separate files: `tests.rs`, `merge_tests.rs`.
pub(crate) fn is_test_file(path: &Path) -> bool {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    name == "tests" || name.ends_with("_tests")
}

mod tests {
    use super::*;

    /// The cycles of a crate with these files.
    fn cycles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        Crate::of(files.iter().map(owned)).cycles()
    }

    #[test]
    fn cycles_are_found_through_every_form_of_path() {
        let forms = [
            ("a re-export", "pub use crate::b::Item;"),
            (
                "a path in a macro",
                "macro_rules! m { () => { $crate::b::Item } }",
            ),
            ("a name of the root", "use crate::Item;"),
            ("an exported macro", "fn f() { crate::b_macro!() }"),
            (
                "a module of one glob",
                "macro_rules! m { () => { $crate::private::Item } }",
            ),
            (
                "a parent's parent",
                "mod inner { use super::super::b::Item; }",
            ),
            ("a path in braces", "use crate::{b::{Item as Other}};"),
        ];
        let lib = "mod a; mod b; pub use b::Item; pub mod private { pub use crate::b::*; }";
        let b =
            "pub struct Item(crate::a::Part);\n#[macro_export]\nmacro_rules! b_macro { () => {} }";
        for (form, a) in forms {
            let found = cycles(&[("lib.rs", lib), ("a.rs", a), ("b.rs", b)]);
            assert_eq!(found, [["a.rs", "b.rs"]], "{form}");
        }
    }

    #[test]
    fn a_folders_index_may_list_its_files() {
        let lib = "mod a; pub use a::Item;";
        let index = "mod item; pub use item::Item; pub struct Part;";
        let item = "pub struct Item(super::Part);";
        let found = cycles(&[("lib.rs", lib), ("a/mod.rs", index), ("a/item.rs", item)]);
        assert!(found.is_empty(), "{found:?}");
    }
}
