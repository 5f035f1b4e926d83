//! "Did you mean": the one place that decides which known name is close to an unknown one.

/// Returns the known name that was probably meant, or `None` when no name is close.
///
/// Case, `-` and `_` do not count. At most a third of the known name may differ, where swapping two
/// neighbours counts as one difference.
///
/// ```
/// use forge_remote_schema::nearest;
///
/// assert_eq!(nearest("licensedOnly", ["filter", "licensed_only"]), Some("licensed_only"));
/// assert_eq!(nearest("timeout", ["filter", "licensed_only"]), None);
/// ```
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = folded(name);
    known
        .into_iter()
        .map(|known| (strsim::osa_distance(&wanted, &folded(known)), known))
        .filter(|(distance, known)| *distance <= allowed(known))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

fn allowed(known: &str) -> usize {
    known.len().max(3) / 3
}

fn folded(text: &str) -> String {
    text.to_ascii_lowercase().replace(['-', '_'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let known = ["interval", "auth", "scopes", "licensed_only"];
        assert_eq!(nearest("intervall", known), Some("interval"));
        assert_eq!(nearest("scope", known), Some("scopes"));
        assert_eq!(nearest("licensedOnly", known), Some("licensed_only"));
        assert_eq!(nearest("auht", known), Some("auth"));
        assert_eq!(nearest("timeout", known), None);
    }

    #[test]
    fn the_closest_of_several_wins() {
        let known = ["read:jira-work", "read:jira-user", "write:jira-work"];
        assert_eq!(nearest("read:jira-wrok", known), Some("read:jira-work"));
        assert_eq!(nearest("write:jirawork", known), Some("write:jira-work"));
    }
}
