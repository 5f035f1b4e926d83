//! Forge's scopes.

use crate::Mistake;
use crate::atlassian::SCOPES;

/// Returns every scope that Forge accepts, sorted.
pub fn all() -> impl Iterator<Item = &'static str> + Clone {
    SCOPES.iter().copied()
}

/// Returns whether this version knows a scope of this name.
///
/// ```
/// assert!(forge_remote_schema::scopes::is_known("read:jira-work"));
/// ```
pub fn is_known(scope: &str) -> bool {
    SCOPES.binary_search(&scope).is_ok()
}

/// Checks the shape of one scope's name: not empty, and a single name.
///
/// Unknown scopes are reported by the manifest's rules instead, because Atlassian may have added them
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
            "a scope cannot contain commas or spaces: these are several scopes",
            format!("quote each scope separately: {}", parts.join(", ")),
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
