//! Forge's scopes.

use crate::Mistake;
use crate::atlassian::SCOPES;

/// Every scope that Forge accepts, sorted.
pub fn all() -> impl Iterator<Item = &'static str> + Clone {
    SCOPES.iter().copied()
}

/// Whether Forge has a scope of this name, as far as this version knows.
///
/// ```
/// assert!(forge_remote_schema::scopes::is_known("read:jira-work"));
/// ```
pub fn is_known(scope: &str) -> bool {
    SCOPES.binary_search(&scope).is_ok()
}

/// Checks the shape of one scope's name: not empty, and a single name.
///
/// Whether Forge has the scope is a question for the manifest's rules: Atlassian may have added it
/// after this version.
///
/// # Errors
///
/// A text that is blank, or that has commas or spaces.
pub fn check(scope: &str) -> Result<(), Mistake> {
    let separates = |c: char| c == ',' || c.is_whitespace();
    if scope.trim().is_empty() {
        Err(Mistake::new(
            "a scope is empty",
            "write its name, for example \"read:jira-work\"",
        ))
    } else if scope.contains(separates) {
        let parts = scope.split(separates).filter(|part| !part.is_empty());
        let parts: Vec<String> = parts.map(|part| format!("\"{part}\"")).collect();
        Err(Mistake::new(
            "a scope has no commas and spaces: these are several",
            format!("write each in its own quotes: {}", parts.join(", ")),
        ))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generated_table_is_sorted_for_its_search() {
        assert!(SCOPES.is_sorted_by(|a, b| a < b));
        assert!(SCOPES.len() > 500);
    }
}
