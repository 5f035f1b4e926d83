//! The base URLs of remotes. The code's and the file's follow the same rules.

use crate::diagnostic::Severity;

/// Returns why Forge could not call a base URL without variables, or what to know about it.
pub(super) fn finding(url: &str) -> Option<(Severity, &'static str)> {
    let Some(rest) = url.strip_prefix("https://") else {
        let what = match url {
            "" => "is empty",
            _ if url.starts_with("http://") => "is not https, and Forge sends tokens there",
            _ => "doesn't start with `https://`",
        };
        return Some((Severity::Error, what));
    };
    let (host, path) = rest
        .split_once('/')
        .map_or((rest, None), |(host, path)| (host, Some(path)));
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_local = name == "localhost"
        || name.ends_with(".localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%".contains(&byte);
    if name.is_empty() {
        Some((Severity::Error, "has no host"))
    } else if name.contains('*') {
        let what = "has a wildcard, and Forge calls one host";
        Some((Severity::Error, what))
    } else if is_local {
        let what = "is this machine, which Atlassian cannot reach";
        Some((Severity::Error, what))
    } else if url.contains(['?', '#', ' ', '@']) {
        Some((Severity::Error, "has more than a scheme, a host and a path"))
    } else if path.is_some_and(|path| path.is_empty() || path.ends_with('/')) {
        let what = "ends with a slash, so the path of a call would begin with two";
        Some((Severity::Error, what))
    } else if path.is_some_and(|path| {
        path.starts_with('/') || path.contains("//") || !path.bytes().all(is_plain)
    }) {
        let what = "has a path that is not made of plain segments: letters, digits and `-._~%`";
        Some((Severity::Error, what))
    } else if path.is_some() {
        let what = "has a path: handlers are served at their own path and beneath this one";
        Some((Severity::Note, what))
    } else {
        None
    }
}

/// Returns why an address that Forge does not call, but pages or functions may connect to, is invalid.
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/permissions/>
#[cfg(feature = "cli")]
pub(super) fn egress_finding(url: &str) -> Option<(Severity, &'static str)> {
    let https = match url.strip_prefix("wss://") {
        Some(rest) => format!("https://{rest}"),
        None => url.to_owned(),
    };
    // A permission may be for all hosts of a domain.
    let https = https.replacen("https://*.", "https://", 1);
    let found = finding(https.strip_suffix('/').unwrap_or(&https));
    found.filter(|(severity, _)| *severity == Severity::Error)
}

/// Returns the path of a base URL, if it has one: `/functions/v1`.
pub(crate) fn path(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://")?;
    let path = &rest[rest.find('/')?..];
    finding(url)
        .is_none_or(|(severity, _)| severity < Severity::Error)
        .then_some(path)
}
