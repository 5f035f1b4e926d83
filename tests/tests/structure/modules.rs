//! The modules of a crate, and which of them import which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::source::{MethodCall, Module, ModulePath};

/// Methods of this workspace whose names other types outside of it have too: a call of such a name
/// doesn't show whose it is, unless it is `self`'s.
const COMMON_METHODS: &[&str] = &[
    "chain",
    "accepts",
    "add",
    "all",
    "and",
    "any",
    "at",
    "bearer",
    "bind",
    "body",
    "bytes",
    "chunk",
    "clone",
    "commit",
    "contains",
    "context",
    "count",
    "diff",
    "encode",
    "end",
    "enter",
    "entry",
    "exists",
    "extend",
    "find",
    "finish",
    "first",
    "fit",
    "flush",
    "forget",
    "get",
    "handle",
    "has_endpoint",
    "header",
    "help",
    "identity_key",
    "index",
    "info",
    "into_parts",
    "into_value",
    "is_empty",
    "is_mapping",
    "keep_alive",
    "keys",
    "kill",
    "last",
    "layer",
    "len",
    "level",
    "lines",
    "log",
    "merge",
    "metadata",
    "mistakes",
    "name",
    "now",
    "options",
    "peek",
    "plus",
    "post",
    "property",
    "push",
    "put",
    "query",
    "register",
    "rest",
    "run",
    "scope",
    "second",
    "set",
    "shutdown",
    "source",
    "starts_with",
    "status",
    "subscribe",
    "system",
    "take",
    "token",
    "wait",
    "watch",
    "workers",
    "write",
    "write_all",
    "write_str",
];

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
    /// The modules that are built for tests only.
    tests: BTreeSet<ModulePath>,
    /// How many functions have a name.
    functions: BTreeMap<String, usize>,
    /// The inherent methods of a name, each with its type and its file.
    methods: BTreeMap<String, Vec<(String, String)>>,
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

    /// Reads files by their names below a crate's source directory, each with its text.
    fn of(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut modules = BTreeMap::new();
        let mut reexports = BTreeMap::new();
        let mut tests = BTreeSet::new();
        let mut functions = BTreeMap::new();
        let mut methods: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, text) in files {
            let path = module_path(&name);
            let mut module = Module::parse(name, &path, &text);
            reexports.append(&mut module.reexports);
            tests.append(&mut module.tests);
            for name in std::mem::take(&mut module.functions) {
                *functions.entry(name).or_insert(0) += 1;
            }
            for (owner, name) in std::mem::take(&mut module.methods) {
                let of_name = methods.entry(name).or_default();
                of_name.push((owner, module.file.clone()));
            }
            modules.insert(path, module);
        }
        Self {
            modules,
            reexports,
            tests,
            functions,
            methods,
        }
    }

    /// The imports between this crate's files.
    ///
    /// Items that a module re-exports count as imports of the file that defines them, and a call of a
    /// method as one of the file with the method. A `mod.rs` or `lib.rs` that has only modules and
    /// re-exports is an index: it imports nothing of its folder. With items (see `has_items`), it is a file as
    /// any other, and imported by each file outside its directory that names an item through it.
    pub(crate) fn imports(&self) -> BTreeSet<Import> {
        let mut imports = BTreeSet::new();
        let is_test = |path: &ModulePath| self.tests.iter().any(|test| path.starts_with(test));
        for (_, module) in self.modules.iter().filter(|(path, _)| !is_test(path)) {
            let mut add = |line: usize, to: &str| {
                if to != module.file {
                    imports.insert(Import {
                        from: module.file.clone(),
                        line,
                        to: to.to_owned(),
                    });
                }
            };
            for named in &module.named {
                let mut through = Vec::new();
                let Some(to) = self.resolve(&named.segments, &mut through) else {
                    continue;
                };
                let is_index = !module.has_items && module.is_index_of(&to.file);
                if !(named.is_reexport && is_index) {
                    add(named.line, &to.file);
                }
                let rooms = through.iter().filter(|room| room.has_items);
                for room in rooms.filter(|room| !room.is_index_of(&module.file)) {
                    add(named.line, &room.file);
                }
            }
            for call in &module.calls {
                if let Some(to) = self.method(module, call) {
                    add(call.line, to);
                }
            }
        }
        imports
    }

    /// The file of the method that a module calls: by the type, if it is known, otherwise by the name,
    /// if the crate has one function of that name.
    fn method(&self, caller: &Module, call: &MethodCall) -> Option<&str> {
        let methods = self.methods.get(&call.name)?.iter();
        let files: BTreeSet<&str> = methods
            .filter(|(owner, _)| match &call.owner {
                Some(known) => owner == known,
                None => {
                    let is_common = COMMON_METHODS.contains(&call.name.as_str());
                    self.functions.get(&call.name) == Some(&1) && !is_common
                }
            })
            .map(|(_, file)| file.as_str())
            .collect();
        let is_own = files.contains(caller.file.as_str());
        let mut files = files.into_iter().filter(|_| !is_own);
        let first = files.next()?;
        files.next().is_none().then_some(first)
    }

    /// The lines that import everything of a module by `*`.
    pub(crate) fn globs(&self) -> Vec<String> {
        let modules = self.modules.values();
        let lines = modules.flat_map(|module| {
            let lines = module.globs.iter();
            lines.map(|line| format!("{}:{line}", module.file))
        });
        lines.collect()
    }

    /// The module that holds the item at this path. `through` gets the modules that re-export it.
    fn resolve<'a>(&'a self, path: &[String], through: &mut Vec<&'a Module>) -> Option<&'a Module> {
        // A module may re-export an item with the module's name from itself.
        for length in (1..=path.len()).filter(|_| through.len() < 8) {
            // A macro and a module may have one name: the rest of the path is in the module.
            if length < path.len() && self.modules.contains_key(&path[..length]) {
                continue;
            }
            if let Some(origin) = self.reexports.get(&path[..length]) {
                through.extend(self.holder(&path[..length - 1]));
                let origin = [origin, &path[length..]].concat();
                return self.resolve(&origin, through);
            }
        }
        self.holder(path)
    }

    /// The module of the longest beginning of a path that is one.
    fn holder(&self, path: &[String]) -> Option<&Module> {
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

/// The module that a file holds. Files of unit tests are modules for them.
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

/// The source files below a directory, without files of unit tests.
pub(crate) fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    all_rust_files(folder, files);
    files.retain(|file| !is_test_file(file));
}

/// The source files below a directory, with files of unit tests.
pub(crate) fn all_rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).expect("a readable directory");
    for entry in entries {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            all_rust_files(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
}

/// Unit tests in files for them: `tests.rs`, `merge_tests.rs`.
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
            ("a parameter's type", "fn f(_: crate::b::Item) {}"),
            ("a path in braces", "use crate::{b::{Item as Other}};"),
            ("a module by its name", "use crate::b; fn f(_: b::Item) {}"),
            (
                "a module by another name",
                "use crate::{b as c}; fn f(_: c::Item) {}",
            ),
            ("a method", "fn f(item: impl Sized) { item.only_here() }"),
            ("a method's path", "fn f() { Item::only_here(1) }"),
            (
                "a method of `self`",
                "impl Item { fn f(&self) { self.twice() } }",
            ),
            (
                "a method of `Self`",
                "impl Trait for Item { fn f() { Self::twice() } }",
            ),
        ];
        let lib = "mod a; mod b; mod c; pub use b::Item; pub mod private { pub use crate::b::*; }";
        let b = "pub struct Item(crate::a::Part);\n\
            impl Item { pub fn only_here(&self) {} pub fn twice(&self) {} }\n\
            #[macro_export]\nmacro_rules! b_macro { () => {} }";
        let c = "struct Other; impl Other { fn twice(&self) {} }";
        for (form, a) in forms {
            let found = cycles(&[("lib.rs", lib), ("a.rs", a), ("b.rs", b), ("c.rs", c)]);
            assert_eq!(found, [["a.rs", "b.rs"]], "{form}");
        }
    }

    #[test]
    fn methods_of_other_types_are_no_imports() {
        let lib = "mod a; mod b; mod c;";
        let b = "pub struct Item(crate::a::Part); impl Item { pub fn twice(&self) {} }";
        let c = "struct Other; impl Other { fn twice(&self) {} }";
        for a in [
            "fn f(other: impl Sized) { other.twice() }",
            "struct Mine; impl Mine { fn f(&self) { self.twice() } }",
            "struct Item; impl Item { fn twice(&self) { self.twice() } }",
        ] {
            let found = cycles(&[("lib.rs", lib), ("a.rs", a), ("b.rs", b), ("c.rs", c)]);
            assert!(found.is_empty(), "{a}: {found:?}");
        }
    }

    #[test]
    fn a_folders_index_may_list_its_files() {
        let lib = "mod a; pub use a::Item;";
        let index = "mod item; mod part; pub use item::Item; pub use part::Part;";
        let item = "pub struct Item(super::Part);";
        let part = "pub struct Part;";
        let files = [
            ("lib.rs", lib),
            ("a/mod.rs", index),
            ("a/item.rs", item),
            ("a/part.rs", part),
        ];
        let found = cycles(&files);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn an_index_with_items_is_a_file_as_any_other() {
        let lib = "mod a; mod b;";
        let index = "mod item; pub use item::Item; pub struct Part;";
        let item = "pub struct Item(super::Part);";
        let found = cycles(&[("lib.rs", lib), ("a/mod.rs", index), ("a/item.rs", item)]);
        assert_eq!(found, [["a/item.rs", "a/mod.rs"]]);
        let index = "mod item; pub use item::Item; fn f() { crate::b::f() }";
        let b = "fn f(_: crate::a::Item) {}";
        let item = "pub struct Item;";
        let files = [
            ("lib.rs", lib),
            ("a/mod.rs", index),
            ("a/item.rs", item),
            ("b.rs", b),
        ];
        assert_eq!(cycles(&files), [["a/mod.rs", "b.rs"]]);
    }

    #[test]
    fn globs_are_found_outside_of_tests() {
        let text = "use super::*;\nuse crate::{b, c::*};\nuse std::io::prelude::*;\npub mod all { pub use crate::b::*; }\n\
            #[cfg(test)]\nmod tests { use super::*; }\nfn f() -> impl Sized + use<'_> { 2 * 3 }";
        let found = Crate::of([("a.rs".to_owned(), text.to_owned())]).globs();
        assert_eq!(found, ["a.rs:1", "a.rs:2"]);
    }
}
