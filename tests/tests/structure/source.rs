//! One source file as a module: what it names, what it re-exports, and its methods.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path into a module, from the crate's root: `["app", "serve"]`.
pub(crate) type ModulePath = Vec<String>;

/// One path that a module names, with its line.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
    pub(crate) is_reexport: bool,
}

/// A call of a method, with its line.
#[derive(Debug)]
pub(crate) struct MethodCall {
    pub(crate) line: usize,
    pub(crate) name: String,
    /// The type of `Type::name`, and of `self` in an `impl`; otherwise the type is unknown.
    pub(crate) owner: Option<String>,
}

/// One source file as a module.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// The file, from the crate's `src`.
    pub(crate) file: String,
    /// Lines of source, without the lines of inline test modules.
    pub(crate) lines: usize,
    pub(crate) named: Vec<Named>,
    /// The paths that `pub use`, `#[macro_export]` and a module of one glob give to other items.
    pub(crate) reexports: BTreeMap<ModulePath, ModulePath>,
    /// Whether it has more than modules and re-exports: functions, types, implementations.
    pub(crate) has_items: bool,
    /// The inherent methods that it defines, each with its type.
    pub(crate) methods: BTreeSet<(String, String)>,
    /// The name of each function that it defines, as often as it does.
    pub(crate) functions: Vec<String>,
    pub(crate) calls: Vec<MethodCall>,
    /// The modules of files that it declares for tests only.
    pub(crate) tests: BTreeSet<ModulePath>,
    /// The lines of `use …::*`, but for a module that only re-exports everything of another one.
    pub(crate) globs: Vec<usize>,
}

/// Where the reader of tokens is.
#[derive(Clone, Default)]
struct Scope {
    /// The module's path.
    path: ModulePath,
    /// The modules of files, and the names that `use` gives to other paths.
    names: BTreeMap<String, ModulePath>,
    /// The type of the `impl` around.
    owner: Option<String>,
}

impl Module {
    pub(crate) fn parse(file: String, path: &ModulePath, text: &str) -> Self {
        let tokens = TokenStream::from_str(text).expect("Rust source");
        let mut module = Self {
            file,
            lines: text.lines().count(),
            ..Self::default()
        };
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        module.has_items = has_items(&tokens);
        let mut scope = Scope {
            path: path.clone(),
            ..Scope::default()
        };
        for name in children(&tokens) {
            let child = [path.as_slice(), std::slice::from_ref(&name)].concat();
            scope.names.insert(name, child);
        }
        module.collect(&tokens, &scope);
        module
    }

    /// Whether this is the `mod.rs` or `lib.rs` of the directory that has the file.
    pub(crate) fn is_index_of(&self, file: &str) -> bool {
        let index = ["mod.rs", "lib.rs", "main.rs"];
        let folder = index.iter().find_map(|name| self.file.strip_suffix(name));
        folder.is_some_and(|folder| file.starts_with(folder))
    }

    fn collect(&mut self, tokens: &[TokenTree], scope: &Scope) {
        let mut scope = scope.clone();
        scope.names.extend(bindings(tokens, &scope));
        let mut at = 0;
        let mut is_public = false;
        while at < tokens.len() {
            if let Some(after) = test_only(tokens, at) {
                if let (Some(first), Some(last)) = (tokens.get(at), tokens.get(after - 1)) {
                    let span = last.span().end().line - first.span().start().line;
                    self.lines = self.lines.saturating_sub(span + 1);
                }
                for name in children(&tokens[at..after]) {
                    let test = [scope.path.as_slice(), &[name]].concat();
                    self.tests.insert(test);
                }
                at = after;
                continue;
            }
            if let Some((header, body, after)) = implementation(tokens, at) {
                self.collect(&tokens[at + 1..after - 1], &scope);
                let inside = Scope {
                    owner: Some(header.owner.clone()),
                    ..scope.clone()
                };
                if !header.is_of_trait {
                    let methods = functions(&body).into_iter();
                    let methods = methods.map(|name| (header.owner.clone(), name));
                    self.methods.extend(methods);
                }
                self.collect(&body, &inside);
                at = after;
                continue;
            }
            match &tokens[at] {
                TokenTree::Ident(ident) => {
                    let word = ident.to_string();
                    if let Some((name, inner, after)) = inline_module(tokens, at) {
                        let inside = Scope {
                            path: [scope.path.as_slice(), &[name]].concat(),
                            ..Scope::default()
                        };
                        let globs = self.globs.len();
                        self.collect(&inner, &inside);
                        if let Some(origin) = one_glob(&inner, &inside.path) {
                            self.reexports.insert(inside.path, origin);
                            self.globs.truncate(globs);
                        }
                        at = after;
                        continue;
                    }
                    if let Some(name) = exported_macro(tokens, at) {
                        let here = [scope.path.as_slice(), std::slice::from_ref(&name)].concat();
                        self.reexports.insert(vec![name], here);
                    }
                    if let (true, Some(TokenTree::Ident(name))) = (word == "fn", tokens.get(at + 1))
                    {
                        self.functions.push(name.to_string());
                    }
                    // Only the crate's root names what others name without knowing the file.
                    let may_glob = is_public && self.file == "lib.rs";
                    if word == "use"
                        && is_own(tokens.get(at + 1), &scope)
                        && !may_glob
                        && is_glob(&tokens[at..])
                    {
                        self.globs.push(ident.span().start().line);
                    }
                    self.calls
                        .extend(method_call(tokens, at, scope.owner.as_deref()));
                    // `$crate` is a path's beginning, any other variable is part of one. In `name: crate::Type`,
                    // one colon precedes a beginning.
                    let back =
                        |steps: usize, char| at >= steps && is_punct(&tokens[at - steps], char);
                    let follows_path =
                        back(1, ':') && back(2, ':') || back(1, '$') && word != "crate";
                    let is_use = at > 0 && is_word(&tokens[at - 1], "use");
                    if word == "pub" {
                        is_public = true;
                    }
                    if is_own(tokens.get(at), &scope) && !follows_path && path_follows(tokens, at) {
                        let is_reexport = is_use && is_public;
                        for (path, line, alias) in path_tree(tokens, &mut at, Vec::new()) {
                            self.name(path, line, alias, &scope, is_reexport);
                        }
                        continue;
                    }
                }
                TokenTree::Punct(punct) if punct.as_char() == ';' => is_public = false,
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    self.collect(&inner, &scope);
                    if group.delimiter() == Delimiter::Brace {
                        is_public = false;
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn name(
        &mut self,
        path: Vec<String>,
        line: usize,
        alias: Option<String>,
        scope: &Scope,
        is_reexport: bool,
    ) {
        let Some(absolute) = absolute(path, scope) else {
            return;
        };
        if is_reexport && let Some(item) = absolute.last() {
            let item = alias.unwrap_or_else(|| item.clone());
            let name = [scope.path.as_slice(), &[item]].concat();
            self.reexports.insert(name, absolute.clone());
        }
        self.named.push(Named {
            line,
            segments: absolute,
            is_reexport,
        });
    }
}

/// Reads one path or tree of paths that starts at `at`: each with its line, and its name after `as`.
fn path_tree(
    tokens: &[TokenTree],
    at: &mut usize,
    mut segments: Vec<String>,
) -> Vec<(Vec<String>, usize, Option<String>)> {
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
                return vec![(segments, star.span().start().line, None)];
            }
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let mut inside = 0;
                let mut paths = Vec::new();
                while inside < inner.len() {
                    paths.append(&mut path_tree(&inner, &mut inside, segments.clone()));
                    while inside < inner.len() && !is_punct(&inner[inside], ',') {
                        inside += 1;
                    }
                    inside += 1;
                }
                *at += 1;
                return paths;
            }
            _ => break,
        }
        if !path_follows(tokens, at.saturating_sub(1)) {
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
    vec![(segments, line, alias)]
}

/// Whether a path that begins with this token is one into the crate.
fn is_own(token: Option<&TokenTree>, scope: &Scope) -> bool {
    let word = match token {
        Some(TokenTree::Ident(ident)) => ident.to_string(),
        _ => return false,
    };
    matches!(word.as_str(), "crate" | "super" | "self") || scope.names.contains_key(&word)
}

/// The names that the `use` items among these tokens give to paths of the crate.
fn bindings(tokens: &[TokenTree], scope: &Scope) -> BTreeMap<String, ModulePath> {
    let mut names = BTreeMap::new();
    for at in 0..tokens.len() {
        let is_import = is_word(&tokens[at], "use") && is_own(tokens.get(at + 1), scope);
        if !is_import || !path_follows(tokens, at + 1) {
            continue;
        }
        for (path, _, alias) in path_tree(tokens, &mut (at + 1), Vec::new()) {
            if let Some(absolute) = absolute(path, scope)
                && let Some(name) = alias.or_else(|| absolute.last().cloned())
            {
                names.insert(name, absolute);
            }
        }
    }
    names
}

/// A path from the crate's root. `crate`, `super`, `self` and the names in scope are resolved.
fn absolute(segments: Vec<String>, scope: &Scope) -> Option<ModulePath> {
    let first = segments.first()?;
    let (mut base, skipped) = match scope.names.get(first) {
        Some(path) => (path.clone(), 1),
        None if first == "crate" => (Vec::new(), 1),
        None => (scope.path.clone(), 0),
    };
    for segment in segments.into_iter().skip(skipped) {
        match segment.as_str() {
            "self" => {}
            "super" => {
                base.pop()?;
            }
            _ => base.push(segment),
        }
    }
    Some(base)
}

/// The call of a method whose name is at `at`.
fn method_call(tokens: &[TokenTree], at: usize, owner: Option<&str>) -> Option<MethodCall> {
    let TokenTree::Ident(name) = tokens.get(at)? else {
        return None;
    };
    let back = |steps: usize| tokens.get(at.checked_sub(steps)?);
    let type_of = |token: &TokenTree| match token.to_string().as_str() {
        "self" | "Self" => owner.map(str::to_owned),
        word if word.starts_with(char::is_uppercase) => Some(word.to_owned()),
        _ => None,
    };
    let owner = if is_punct(back(1)?, '.') {
        let next = tokens.get(at + 1)?;
        let is_call =
            matches!(next, TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis);
        if !is_call && !path_follows(tokens, at) {
            return None;
        }
        back(2)
            .filter(|before| is_word(before, "self"))
            .and_then(type_of)
    } else if is_punct(back(1)?, ':') && is_punct(back(2)?, ':') {
        // The path of `mpsc::Sender::new` names the type's module.
        if back(4).is_some_and(|before| is_punct(before, ':')) {
            return None;
        }
        Some(type_of(back(3)?)?)
    } else {
        return None;
    };
    Some(MethodCall {
        line: name.span().start().line,
        name: name.to_string(),
        owner,
    })
}

struct ImplHeader {
    owner: String,
    is_of_trait: bool,
}

/// The header and the body of an `impl` that begins at `at`, and where it ends.
fn implementation(tokens: &[TokenTree], at: usize) -> Option<(ImplHeader, Vec<TokenTree>, usize)> {
    let is_item = match at.checked_sub(1).map(|before| &tokens[before]) {
        None | Some(TokenTree::Group(_)) => true,
        Some(before) => is_punct(before, ';') || is_word(before, "unsafe"),
    };
    if !is_item || !is_word(&tokens[at], "impl") {
        return None;
    }
    let mut header = ImplHeader {
        owner: String::new(),
        is_of_trait: false,
    };
    let (mut depth, mut in_bounds) = (0_usize, false);
    for (here, token) in tokens.iter().enumerate().skip(at + 1) {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let body = group.stream().into_iter().collect();
                return Some((header, body, here + 1));
            }
            TokenTree::Punct(punct) if punct.as_char() == '<' => depth += 1,
            TokenTree::Punct(punct) if punct.as_char() == '>' => {
                let is_arrow = is_punct(&tokens[here - 1], '-');
                depth = depth.saturating_sub(usize::from(!is_arrow));
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => return None,
            TokenTree::Ident(ident) if depth == 0 && !in_bounds => match ident.to_string().as_str()
            {
                "for" => header.is_of_trait = true,
                "where" => in_bounds = true,
                word => header.owner = word.to_owned(),
            },
            _ => {}
        }
    }
    None
}

/// The names of the functions that these tokens define themselves.
fn functions(tokens: &[TokenTree]) -> Vec<String> {
    let pairs = tokens.windows(2).filter(|pair| is_word(&pair[0], "fn"));
    pairs.map(|pair| pair[1].to_string()).collect()
}

/// Whether a file has items other than modules and re-exports.
fn has_items(tokens: &[TokenTree]) -> bool {
    let words = [
        "fn",
        "struct",
        "enum",
        "trait",
        "impl",
        "const",
        "static",
        "type",
        "union",
        "macro_rules",
    ];
    let mut at = 0;
    while at < tokens.len() {
        if let Some(after) = test_only(tokens, at) {
            at = after;
            continue;
        }
        if words.iter().any(|word| is_word(&tokens[at], word)) {
            return true;
        }
        at += 1;
    }
    false
}

/// Whether the `use` at the beginning names everything of a module.
fn is_glob(tokens: &[TokenTree]) -> bool {
    // `use<'a>` is a bound.
    if tokens.get(1).is_some_and(|token| is_punct(token, '<')) {
        return false;
    }
    let mut item = tokens.iter().take_while(|token| !is_punct(token, ';'));
    item.any(|token| match token {
        TokenTree::Group(group) => {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            is_glob(&inner)
        }
        other => is_punct(other, '*'),
    })
}

/// The names of the modules that a file declares for other files.
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

/// Where an item behind `#[cfg(test)]` or `#[cfg(all(test, …))]` that begins at `at` ends. What
/// `#[cfg(any(test, …))]` has is product.
fn test_only(tokens: &[TokenTree], at: usize) -> Option<usize> {
    if !is_punct(tokens.get(at)?, '#') {
        return None;
    }
    let TokenTree::Group(attribute) = tokens.get(at + 1)? else {
        return None;
    };
    let text = attribute.stream().to_string().replace(' ', "");
    let is_test = text == "cfg(test)" || text.starts_with("cfg(all(test,");
    if !is_test {
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
    let scope = Scope {
        path: path.clone(),
        ..Scope::default()
    };
    is_one.then(|| absolute(segments, &scope))?
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
