//! Names in messages: suggestions, and lists in words.

/// Returns the known name that was probably meant, or `None` if no name is similar.
///
/// Case, `-` and `_` are ignored. At most a third of the known name may differ; swapped neighbours
/// count as one difference.
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
        .filter(|(distance, known)| *distance <= max_distance(known))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

fn max_distance(known: &str) -> usize {
    known.len().max(3) / 3
}

fn folded(text: &str) -> String {
    text.to_ascii_lowercase().replace(['-', '_'], "")
}

/// Returns the names in back-ticks, joined in words: `` `a`, `b` or `c` ``.
///
/// ```
/// assert_eq!(forge_remote_schema::one_of(["a", "b", "c"]), "`a`, `b` or `c`");
/// ```
pub fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}

/// Returns `did you mean …?` if a known name is similar.
///
/// ```
/// assert_eq!(
///     forge_remote_schema::did_you_mean("scope", ["auth", "scopes"]).as_deref(),
///     Some("did you mean `scopes`?"),
/// );
/// ```
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, known).map(|near| suggestion(near, '`'))
}

/// Returns `did you mean …?` before a sentence about all names, or that sentence alone if no name is similar. `quote`
/// surrounds the name: a back-tick, or `"` if the code has the name as a text.
///
/// ```
/// use forge_remote_schema::did_you_mean_or;
///
/// let all = "the intervals are `hour` and `day`";
/// assert_eq!(
///     did_you_mean_or(Some("hour"), '"', all),
///     r#"did you mean "hour"? the intervals are `hour` and `day`"#,
/// );
/// assert_eq!(did_you_mean_or(None, '"', all), all);
/// ```
pub fn did_you_mean_or(near: Option<&str>, quote: char, all: &str) -> String {
    match near {
        Some(near) => format!("{} {all}", suggestion(near, quote)),
        None => all.to_owned(),
    }
}

fn suggestion(near: &str, quote: char) -> String {
    format!("did you mean {quote}{near}{quote}?")
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
    fn names_are_listed_in_words() {
        assert_eq!(one_of(["a"]), "`a`");
        assert_eq!(one_of(["a", "b", "c"]), "`a`, `b` or `c`");
    }

    #[test]
    fn the_closest_of_several_wins() {
        let known = ["read:jira-work", "read:jira-user", "write:jira-work"];
        assert_eq!(nearest("read:jira-wrok", known), Some("read:jira-work"));
        assert_eq!(nearest("write:jirawork", known), Some("write:jira-work"));
    }
}
