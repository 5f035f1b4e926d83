//! The rules for keys and paths.

use crate::Mistake;

/// Forge's limit for the keys of endpoints, functions and remotes, in characters.
///
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/endpoint/>
pub const MAX_ENDPOINT_KEY: usize = 23;

/// The limit for module keys, in characters: references between modules have at most 255.
pub const MAX_MODULE_KEY: usize = 255;

/// The limit for paths, in characters.
pub const MAX_PATH: usize = 255;

/// The paths that the framework serves itself.
pub const RESERVED_PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// Returns whether a key may contain this character.
pub fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// Checks a key that is written in `option`. `otherwise` is the alternative to writing a key, for the
/// help.
///
/// ```
/// use forge_remote_schema::rules::{MAX_ENDPOINT_KEY, check_key};
///
/// assert!(check_key("remote", "backend", MAX_ENDPOINT_KEY, "leave it out").is_ok());
/// ```
///
/// # Errors
///
/// The key is empty, too long, or has characters other than letters, digits, `_` and `-`.
pub fn check_key(option: &str, key: &str, max: usize, otherwise: &str) -> Result<(), Mistake> {
    if key.is_empty() {
        Err(Mistake::new(format!("`{option}` is empty"), otherwise))
    } else if let Some(odd) = key.chars().find(|c| !is_key_char(*c)) {
        let better: String = key
            .chars()
            .map(|c| if is_key_char(c) { c } else { '-' })
            .collect();
        Err(Mistake::new(
            format!("a key cannot contain `{odd}`"),
            format!("keys have only letters, digits, `_` and `-`: \"{better}\""),
        ))
    } else if key.len() > max {
        Err(Mistake::new(
            format!(
                "`{option}` has {} characters, and Forge accepts at most {max}",
                key.len()
            ),
            format!("shorten it, or {otherwise}"),
        ))
    } else {
        Ok(())
    }
}

/// Checks the path of a module's hooks, to which Forge appends a slash and the hook's name.
///
/// ```
/// use forge_remote_schema::rules::check_hook_path;
///
/// assert!(check_hook_path("/data-residency").is_ok());
/// assert!(check_hook_path("/").is_err());
/// ```
pub fn check_hook_path(path: &str) -> Result<(), Mistake> {
    if path == "/" {
        return Err(Mistake::new(
            "Forge appends the hook's name to this path, and `/` would give two slashes",
            "write a path such as \"/data-residency\"",
        ));
    }
    check_path(path)
}

/// Checks a handler's path.
///
/// ```
/// use forge_remote_schema::rules::check_path;
///
/// assert!(check_path("/refresh").is_ok());
/// assert!(check_path("refresh").is_err());
/// ```
///
/// # Errors
///
/// A path that Forge cannot call unchanged, or that the framework serves itself.
pub fn check_path(path: &str) -> Result<(), Mistake> {
    check(path, PathUse::Manifest)
}

/// Checks the path of a handler that no part of the manifest names: its caller chooses the path. It may have parameters
/// and end with `/`.
///
/// ```
/// use forge_remote_schema::rules::check_called_path;
///
/// assert!(check_called_path("/items/{id}").is_ok());
/// assert!(check_called_path("/tasks/").is_ok());
/// assert!(check_called_path("/items/{*rest}").is_err());
/// ```
///
/// # Errors
///
/// A path that no caller can request, or that the framework serves itself.
pub fn check_called_path(path: &str) -> Result<(), Mistake> {
    check(path, PathUse::Called)
}

/// Where a path is written besides the code.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PathUse {
    /// In the manifest, so that Forge calls one fixed path.
    Manifest,
    /// At each call.
    Called,
}

/// Returns whether a path has an empty segment. The last one may be empty if the caller chooses the path.
fn has_empty_segment(path: &str, written: PathUse) -> bool {
    let checked = match written {
        PathUse::Manifest => path,
        PathUse::Called => path.strip_suffix('/').unwrap_or(path),
    };
    checked.split('/').skip(1).any(str::is_empty)
}

/// Returns the first segment that is neither a text nor a parameter, `{name}`.
fn odd_segment(path: &str) -> Option<&str> {
    let is_name = |name: &str| {
        let mut bytes = name.bytes();
        bytes
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let is_parameter = |part: &str| {
        let name = part
            .strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'));
        name.is_some_and(is_name)
    };
    let is_odd = |part: &&str| {
        part.starts_with(':') || part.contains(['*', '{', '}']) && !is_parameter(part)
    };
    path.split('/').find(is_odd)
}

/// Returns a parameter that a path has twice.
fn repeated_parameter(path: &str) -> Option<&str> {
    let parameters = path.split('/').filter(|part| part.starts_with('{'));
    let parameters: Vec<&str> = parameters.collect();
    let is_before = |at: usize| parameters[..at].contains(&parameters[at]);
    (0..parameters.len())
        .find(|at| is_before(*at))
        .map(|at| parameters[at])
}

fn check(path: &str, written: PathUse) -> Result<(), Mistake> {
    const PLAIN: &str = "write a path of plain letters, digits, `-`, `_` and `.`";
    let wrong = |message: &str, help: &str| Err(Mistake::new(message, help));
    if path.is_empty() {
        wrong(
            "`path` is empty",
            "leave it out to derive it from the key, or write `path = \"/\"`",
        )
    } else if let Some((_, address)) = path.split_once("://") {
        let path = address.find('/').map_or("/", |at| &address[at..]);
        wrong(
            "expected a path, found a URL (the URL belongs to the `Remote`)",
            &format!("write `path = \"{path}\"`"),
        )
    } else if !path.starts_with('/') {
        wrong(
            "`path` does not start with `/`",
            &format!("write `path = \"/{path}\"`"),
        )
    } else if let Some(at) = path.find(['?', '#']) {
        let part = if path[at..].starts_with('?') {
            "query"
        } else {
            "fragment"
        };
        let path = &path[..at];
        wrong(
            &format!("`path` has a {part}"),
            &format!("write `path = \"{path}\"`, and take the query as `Query<T>`"),
        )
    } else if let (PathUse::Called, Some(part)) = (written, odd_segment(path)) {
        wrong(
            &format!("`path` has the segment `{part}`, which is neither a text nor a parameter"),
            "write a parameter as `{name}`, alone between two slashes, and take it as `Path<T>` of `axum::extract`",
        )
    } else if let (PathUse::Called, Some(part)) = (written, repeated_parameter(path)) {
        wrong(
            &format!("`path` has the parameter `{part}` twice"),
            "give the parameters different names",
        )
    } else if written == PathUse::Manifest
        && (path.contains(['*', '{', '}']) || path.contains("/:"))
    {
        wrong(
            "`path` has a wildcard, and Forge calls one fixed path, which is also in the manifest",
            "write the whole path; variable parts belong in the query or the body",
        )
    } else if path.contains('%') {
        wrong("`path` is percent-encoded", PLAIN)
    } else if let Some(odd) = path
        .chars()
        .find(|c| !c.is_ascii_graphic() || "\"<>\\^`|".contains(*c))
    {
        wrong(&format!("`path` contains `{}`", odd.escape_debug()), PLAIN)
    } else if path != "/" && has_empty_segment(path, written) {
        let parts = path.split('/').filter(|part| !part.is_empty());
        let parts = parts.collect::<Vec<_>>().join("/");
        let message = match path.contains("//") {
            true => "`path` has an empty segment",
            false => "`path` ends with `/`",
        };
        wrong(message, &format!("write `path = \"/{parts}\"`"))
    } else if let Some(part) = path.split('/').find(|part| [".", ".."].contains(part)) {
        wrong(
            &format!("`path` has a segment `{part}`"),
            "write the resolved path",
        )
    } else if RESERVED_PATHS.contains(&path) {
        wrong(
            "forge-remote serves this path itself",
            "choose another path: load balancers check the app's health at this one",
        )
    } else if path.len() > MAX_PATH {
        wrong(
            &format!(
                "`path` has {} characters, and at most {MAX_PATH} are supported",
                path.len()
            ),
            "shorten it",
        )
    } else {
        Ok(())
    }
}
