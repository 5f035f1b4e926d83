//! The addresses of `permissions.external`, and the sources of `permissions.content.scripts`.
//!
//! The rules are those of `permissions-validator.js` of npm @forge/manifest 13.7.0.

/// The address that allows every address.
pub const ANY_ADDRESS: &str = "*";

/// Schemes that a page must not open.
const BLOCKED: &[&str] = &[
    "javascript:",
    "data:",
    "vbscript:",
    "view-source:",
    "resource:",
    "about:",
    "chrome:",
    "livescript:",
    "mocha:",
    "file:",
    "mhtml:",
    "smb:",
];

/// Values of `content.scripts` that are not hashes.
const SCRIPT_SOURCES: &[&str] = &["unsafe-eval", "unsafe-hashes", "unsafe-inline", "blob:"];
/// The hashes of `content.scripts`: their starts, and the characters that follow.
const HASHES: &[(&str, usize)] = &[("sha256-", 44), ("sha384-", 64), ("sha512-", 88)];

/// Returns whether an address may be listed in `permissions.external`: a host, a URL with `https` or `wss`, or a URL
/// with a custom scheme.
pub(super) fn is_address(text: &str) -> bool {
    if text == ANY_ADDRESS || has_own_scheme(text) {
        return true;
    }
    if !text.contains('.') || text.contains(' ') {
        return false;
    }
    let Some((scheme, authority, _)) = parts(text) else {
        return false;
    };
    let is_allowed = |one: &str| scheme.eq_ignore_ascii_case(one);
    let host_and_port = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = host_and_port.split_once(':').unwrap_or((host_and_port, ""));
    let host = host.strip_prefix("*.").unwrap_or(host);
    (is_allowed("https") || is_allowed("wss"))
        && (port.is_empty() || port.parse::<u16>().is_ok())
        && !host.is_empty()
        && host.chars().all(is_host_char)
}

/// Returns whether an address of `permissions.external` has a path.
///
/// ```
/// use forge_remote_schema::structure::has_path;
///
/// assert!(has_path("https://api.example.com/v1"));
/// assert!(!has_path("api.example.com") && !has_path("https://api.example.com/"));
/// ```
pub fn has_path(address: &str) -> bool {
    let path = parts(address).map(|(_, _, path)| path);
    let path = path.and_then(|path| path.split(['?', '#']).next());
    !matches!(path, None | Some("" | "/")) && !has_own_scheme(address)
}

/// Returns whether a value may be listed in `permissions.content.scripts`.
pub(super) fn is_script_source(text: &str) -> bool {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '=' | '+' | '/');
    let is_hash = |(start, length): &(&str, usize)| {
        let hash = text.strip_prefix(start);
        hash.is_some_and(|hash| hash.len() == *length && hash.chars().all(is_base64))
    };
    SCRIPT_SOURCES.contains(&text) || HASHES.iter().any(is_hash)
}

/// Returns whether an address begins with a scheme other than that of a web page.
fn has_own_scheme(text: &str) -> bool {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    let is_scheme =
        |scheme: &str| !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphabetic());
    let is_of_web = BLOCKED.iter().chain(&["http", "wss:"]);
    scheme.is_some_and(is_scheme) && !is_of_web.into_iter().any(|start| text.starts_with(start))
}

/// Returns an address's scheme, its authority (user, host and port), and the rest. Without a scheme, it is `https`.
fn parts(text: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    // As a URL parser does.
    let rest = rest.trim_start_matches('/');
    let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    (!authority.is_empty()).then_some((scheme, authority, path))
}

fn is_host_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '~' | '%' | '=' | '&')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdicts of Atlassian's validator.
    #[test]
    fn the_validators_verdicts_on_addresses_hold() {
        for accepted in [
            "*",
            "example.com",
            "*.example.com",
            "https://api.example.com",
            "https://*.example.com",
            "https://api.example.com:8443/v1?x=1#y",
            "wss://live.example.com",
            "slack://open",
            "mailto:team@example.com",
            "localhost:8080",
            "https://user@example.com",
            "WSS://live.example.com",
            "bücher.example",
        ] {
            assert!(is_address(accepted), "{accepted}");
        }
        for rejected in [
            "",
            "localhost",
            "http//x",
            "not a url",
            "http://example.com",
            "ftp1://a.b",
            "javascript:alert(1)",
            "data:text/html,a.b",
            "https://api.*.example.com",
            "https://a b.example.com",
            "https://example.com:port",
            "https://example.com:99999",
            "https://exa|mple.com",
            "https://localhost",
        ] {
            assert!(!is_address(rejected), "{rejected}");
        }
    }

    #[test]
    fn script_sources_are_keywords_and_hashes() {
        let hash = format!("sha256-{}=", "a".repeat(43));
        for accepted in ["unsafe-eval", "blob:", &hash] {
            assert!(is_script_source(accepted), "{accepted}");
        }
        for rejected in [
            "unsafe-bogus",
            "'unsafe-eval'",
            "sha256-abc",
            "https://example.com",
        ] {
            assert!(!is_script_source(rejected), "{rejected}");
        }
    }
}
