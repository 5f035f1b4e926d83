//! The keys and paths a handler gets when it doesn't write them.

/// Endpoint keys are at most this long.
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/endpoint/>
pub(crate) const MAX_ENDPOINT_KEY: usize = 23;

/// `refresh_index` → `refresh-index`; what isn't a letter or digit separates words.
pub(crate) fn kebab(function: &str) -> String {
    let function = function.strip_prefix("r#").unwrap_or(function);
    let words = function
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

/// At most 23 characters; what is cut is replaced by a hash, so that the key depends on the whole
/// name and on nothing else.
pub(crate) fn endpoint_key(name: &str) -> String {
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
