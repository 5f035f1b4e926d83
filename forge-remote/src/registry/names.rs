//! The keys and paths a handler gets when it doesn't write them. `forge-remote-build` has this same
//! file by a link: it knows nothing but text.

/// What a handler writes of its names.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written<'a> {
    pub(crate) function: &'a str,
    pub(crate) key: Option<&'a str>,
    pub(crate) endpoint: Option<&'a str>,
    pub(crate) path: Option<&'a str>,
}

/// A handler's names, all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// The module's key; the endpoint's for a kind without a module of its own.
    pub(crate) key: String,
    pub(crate) endpoint: String,
    pub(crate) path: String,
}

/// What a kind's names are like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shape<'a> {
    /// What ends the key of a module of its own, and tells it from the endpoint's.
    pub(crate) suffix: Option<&'a str>,
    /// The key of a module that several functions make together.
    pub(crate) shared: Option<&'a str>,
    /// What the path ends with, below the one that stands in the manifest; such a kind has no
    /// endpoint.
    pub(crate) below: Option<&'a str>,
}

impl Names {
    pub(crate) fn new(written: Written<'_>, shape: Shape<'_>) -> Self {
        // Several functions that make one module have its key in common, and endpoints of their
        // own.
        let own_key = written.key.filter(|_| shape.shared.is_none());
        let base = written
            .endpoint
            .or(own_key)
            .map_or_else(|| kebab(written.function), str::to_owned);
        let path = match (written.path, shape.below) {
            (Some(path), None) => path.to_owned(),
            (None, None) => format!("/{base}"),
            (Some(path), Some(below)) => format!("{path}/{below}"),
            (None, Some(below)) => format!("/{}/{below}", shape.shared.unwrap_or(&base)),
        };
        let Some(suffix) = shape.suffix else {
            let endpoint = endpoint_key(&base);
            return Self {
                key: endpoint.clone(),
                endpoint,
                path,
            };
        };
        let key = written
            .key
            .or(shape.shared)
            .map_or_else(|| format!("{base}-{suffix}"), str::to_owned);
        // Modules and endpoints share one name space.
        let endpoint = if base == key {
            endpoint_key(&format!("{base}-endpoint"))
        } else {
            endpoint_key(&base)
        };
        Self {
            key,
            endpoint,
            path,
        }
    }
}

/// Endpoint keys are at most this long.
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/endpoint/>
const MAX_ENDPOINT_KEY: usize = 23;

/// `refresh_index` → `refresh-index`; what isn't a letter or digit separates words.
fn kebab(function: &str) -> String {
    let function = function.strip_prefix("r#").unwrap_or(function);
    let words = function
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

/// At most 23 characters; what is cut is replaced by a hash, so that the key depends on the whole
/// name and on nothing else.
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
    fn long_names_are_cut_to_forges_limit_and_stay_distinct() {
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
