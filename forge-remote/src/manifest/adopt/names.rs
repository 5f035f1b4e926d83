//! The names of functions, and the names that an attribute must write.

use std::collections::BTreeSet;

use forge_remote_schema::KindSpec;
use forge_remote_schema::names::{Names, WrittenNames};
use forge_remote_schema::rules::MAX_ENDPOINT_KEY;

use super::literal::{Literal, Setting};

/// Names that a function cannot have: the keywords of Rust, and the other functions of the program.
#[rustfmt::skip]
const TAKEN: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "main", "match",
    "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "typeof", "unfinished", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// The names of functions that are given.
#[derive(Default)]
pub(super) struct FunctionNames(BTreeSet<String>);

impl FunctionNames {
    /// Returns a function's name for a key, and remembers it.
    pub(super) fn name_for(&mut self, key: &str) -> String {
        let base = snake_case(key);
        let base = if TAKEN.contains(&base.as_str()) {
            format!("{base}_")
        } else {
            base
        };
        // Two underscores in a row are not snake case.
        let stem = base.trim_end_matches('_').to_owned();
        let numbered = (2_usize..).map(|number| format!("{stem}_{number}"));
        let mut names = std::iter::once(base.clone()).chain(numbered);
        let name = names.find(|name| !self.0.contains(name)).unwrap_or(base);
        self.0.insert(name.clone());
        name
    }
}

/// Turns `refreshIndex` and `refresh-index` into `refresh_index`.
fn snake_case(key: &str) -> String {
    let mut name = String::new();
    let mut after_lower_case = false;
    for c in key.chars() {
        if !c.is_ascii_alphanumeric() {
            if !name.is_empty() && !name.ends_with('_') {
                name.push('_');
            }
        } else {
            if c.is_ascii_uppercase() && after_lower_case {
                name.push('_');
            }
            name.push(c.to_ascii_lowercase());
        }
        after_lower_case = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    let name = name.trim_end_matches('_');
    if name.is_empty() {
        "handler".to_owned()
    } else if name.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{name}")
    } else {
        name.to_owned()
    }
}

/// The names of a handler in the manifest.
pub(super) struct WantedNames<'a> {
    /// The module's key, if the code declares its module.
    pub(super) key: Option<&'a str>,
    /// The endpoint's key, if there is one.
    pub(super) endpoint: Option<&'a str>,
    /// The path; `None` for any.
    pub(super) path: Option<&'a str>,
    /// The last segment of the served path, which the manifest's path does not have.
    pub(super) path_suffix: Option<&'a str>,
}

/// Returns the fewest options that give a function these names.
pub(super) fn settings(kind: &KindSpec, function: &str, wanted: &WantedNames<'_>) -> Vec<Setting> {
    // Without a module, `key` is the endpoint's.
    let (key, endpoint) = if kind.has_module() {
        (wanted.key, wanted.endpoint)
    } else {
        (wanted.endpoint, None)
    };
    let candidates = [key, endpoint, wanted.path];
    let served = wanted.path.map(|path| match wanted.path_suffix {
        Some(suffix) => format!("{path}/{suffix}"),
        None => path.to_owned(),
    });
    let mut choices: Vec<[bool; 3]> = (0..8_u8)
        .map(|bits| [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0])
        .collect();
    choices.sort_by_key(|choice| choice.iter().filter(|written| **written).count());
    let written = |choice: &[bool; 3]| {
        let mut chosen = choice.iter().zip(candidates);
        let mut next = || chosen.next().and_then(|(on, name)| name.filter(|_| *on));
        [next(), next(), next()]
    };
    let is_right = |[key, endpoint, path]: &[Option<&str>; 3]| {
        let written = WrittenNames {
            function,
            key: *key,
            endpoint: *endpoint,
            path: *path,
        };
        let names = Names::new(kind, written, wanted.path_suffix);
        (!kind.has_module() || wanted.key.is_none_or(|key| key == names.key))
            && wanted
                .endpoint
                .is_none_or(|endpoint| endpoint == names.endpoint)
            && served.as_ref().is_none_or(|path| *path == names.path)
    };
    let fewest = choices.iter().map(written).find(is_right);
    let fewest = fewest.unwrap_or(candidates);
    let names = ["key", "endpoint", "path"].into_iter().zip(fewest);
    let mut settings: Vec<Setting> = names
        .filter_map(|(name, text)| Some(Setting::text(name, text?)))
        .collect();
    let [key, endpoint, _] = fewest;
    let endpoint = if kind.has_module() { endpoint } else { key };
    if kind.has_endpoint() && endpoint.is_some_and(|key| key.len() > MAX_ENDPOINT_KEY) {
        settings.push(Setting::new("long_key", Literal::Flag));
    }
    settings
}

#[cfg(test)]
mod tests {
    use forge_remote_schema::kinds;

    use super::*;

    #[test]
    fn keys_become_unique_identifiers() {
        let mut names = FunctionNames::default();
        for (key, name) in [
            ("refresh-index", "refresh_index"),
            ("refreshIndex", "refresh_index_2"),
            ("refresh_index", "refresh_index_3"),
            ("type", "type_"),
            ("type-", "type_2"),
            ("main", "main_"),
            ("2fa", "_2fa"),
            ("--", "handler"),
            ("HTTPCalls", "httpcalls"),
            ("v2Sync", "v2_sync"),
        ] {
            assert_eq!(names.name_for(key), name, "{key}");
        }
    }

    #[test]
    fn only_the_needed_names_are_written() {
        let of = |kind, function, key, endpoint, path| {
            let wanted = WantedNames {
                key,
                endpoint,
                path,
                path_suffix: None,
            };
            let settings = settings(kind, function, &wanted);
            let settings: Vec<String> = settings.iter().map(|one| one.rust(0)).collect();
            settings.join(", ")
        };
        let trigger = &kinds::TRIGGER;
        assert_eq!(
            of(
                trigger,
                "a_b",
                Some("a-b-trigger"),
                Some("a-b"),
                Some("/a-b")
            ),
            ""
        );
        assert_eq!(
            of(trigger, "a_b", Some("x"), Some("x-endpoint"), Some("/x")),
            "key = \"x\""
        );
        assert_eq!(
            of(trigger, "a_b", Some("k"), Some("e"), Some("/p")),
            "key = \"k\", endpoint = \"e\", path = \"/p\""
        );
        assert_eq!(of(&kinds::ENDPOINT, "a_b", None, Some("a-b"), None), "");
        let long = "an-endpoint-of-thirty-three-chars";
        assert_eq!(
            of(&kinds::ENDPOINT, "a_b", None, Some(long), None),
            format!("key = \"{long}\", long_key")
        );
    }
}
