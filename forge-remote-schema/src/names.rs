//! The default keys and paths of a handler.

use crate::KindSpec;
use crate::rules::MAX_ENDPOINT_KEY;

/// The names in an attribute, and the function's name.
#[derive(Clone, Copy, Debug, Default)]
pub struct WrittenNames<'a> {
    /// The function's name.
    pub function: &'a str,
    /// `key = "…"`.
    pub key: Option<&'a str>,
    /// `endpoint = "…"`; it is used as written, because the attribute has checked its length.
    pub endpoint: Option<&'a str>,
    /// `path = "…"`.
    pub path: Option<&'a str>,
}

/// The names of a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The module's key; the endpoint's key for a kind without a generated module. For calls of functions, which have
    /// neither, a name for logs, metrics and commands.
    pub key: String,
    /// The endpoint's key; for a kind without an endpoint, a name.
    pub endpoint: String,
    /// The path that is served.
    pub path: String,
}

impl Names {
    /// Completes the written names of a handler.
    ///
    /// `path_suffix` is the last segment of the path, for a kind whose manifest path is shared by
    /// several handlers ([`KindSpec::path_option`]).
    ///
    /// ```
    /// use forge_remote_schema::kinds::SCHEDULED_TRIGGER;
    /// use forge_remote_schema::names::{Names, WrittenNames};
    ///
    /// let written = WrittenNames { function: "refresh_index", ..WrittenNames::default() };
    /// let names = Names::new(&SCHEDULED_TRIGGER, written, None);
    /// assert_eq!(names.key, "refresh-index-trigger");
    /// assert_eq!(names.endpoint, "refresh-index");
    /// assert_eq!(names.path, "/refresh-index");
    /// ```
    pub fn new(kind: &KindSpec, written: WrittenNames<'_>, path_suffix: Option<&str>) -> Self {
        // Functions that make one module together share its key, but not the endpoint.
        let own_key = written.key.filter(|_| kind.shared_key.is_none());
        let base = written
            .endpoint
            .or(own_key)
            .map_or_else(|| kebab(written.function), str::to_owned);
        let path = match (written.path, path_suffix) {
            (Some(path), None) => path.to_owned(),
            (None, None) => format!("/{base}"),
            (Some(path), Some(suffix)) => format!("{path}/{suffix}"),
            (None, Some(suffix)) => format!("/{}/{suffix}", kind.shared_key.unwrap_or(&base)),
        };
        // Without a module, `key` is the endpoint's.
        let key_of_endpoint = written.key.filter(|_| !kind.has_module());
        let endpoint = written.endpoint.or(key_of_endpoint).map_or_else(
            || match kind.has_endpoint() {
                true => endpoint_key(&base),
                // The manifest does not have it, so it has no limit.
                false => base.clone(),
            },
            str::to_owned,
        );
        let Some(suffix) = kind.key_suffix else {
            return Self {
                key: endpoint.clone(),
                endpoint,
                path,
            };
        };
        let key = written
            .key
            .or(kind.shared_key)
            .map_or_else(|| format!("{base}-{suffix}"), str::to_owned);
        // Modules and endpoints share one namespace.
        let endpoint = if base == key {
            endpoint_key(&format!("{base}-endpoint"))
        } else {
            endpoint
        };
        Self {
            key,
            endpoint,
            path,
        }
    }
}

/// Turns `refresh_index` into `refresh-index`: characters other than letters and digits separate
/// words.
pub fn kebab(function: &str) -> String {
    let function = function.strip_prefix("r#").unwrap_or(function);
    let words = function
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

/// Shortens a name to Forge's limit. A hash of the whole name replaces the end, so that different
/// names stay different, in every build.
fn endpoint_key(name: &str) -> String {
    if name.len() <= MAX_ENDPOINT_KEY {
        return name.to_owned();
    }
    // FNV-1a: stable across compilers and versions, unlike std's hasher.
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let head: String = name.chars().take(MAX_ENDPOINT_KEY - 5).collect();
    format!("{}-{:04x}", head.trim_end_matches('-'), hash & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_keys() {
        assert_eq!(kebab("refresh_index"), "refresh-index");
        assert_eq!(kebab("__r2D2__x"), "r2d2-x");
        assert_eq!(kebab("r#type"), "type");
    }

    #[test]
    fn long_names_are_cut_to_forges_limit_and_remain_distinct() {
        let one = endpoint_key("rebuild-search-index-for-everything");
        let other = endpoint_key("rebuild-search-index-for-everyone");
        assert_eq!(one.len(), MAX_ENDPOINT_KEY);
        assert_ne!(one, other);
        assert_eq!(one, endpoint_key("rebuild-search-index-for-everything"));
        assert_eq!(
            endpoint_key("twenty-three-characters"),
            "twenty-three-characters"
        );
    }
}
