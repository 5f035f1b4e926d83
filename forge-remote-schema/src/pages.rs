//! The module types of pages.

use crate::atlassian::PAGE_MODULES;

/// Every module type whose `resolver` takes an endpoint, sorted.
pub fn module_types() -> impl Iterator<Item = &'static str> + Clone {
    PAGE_MODULES.iter().copied()
}

/// Whether modules of this type have a `resolver` that takes an endpoint.
pub fn is_module_type(name: &str) -> bool {
    PAGE_MODULES.binary_search(&name).is_ok()
}

/// Whether the `app.module.type` of a Forge Invocation Token names a page's module.
///
/// Atlassian's example has `xen:` before the module type; whether every page has it is not
/// documented.
///
/// ```
/// use forge_remote_schema::pages;
///
/// assert!(pages::is_token_module_type("xen:macro"));
/// assert!(pages::is_token_module_type("jira:issuePanel"));
/// assert!(!pages::is_token_module_type("core:endpoint"));
/// ```
pub fn is_token_module_type(module_type: &str) -> bool {
    module_type.starts_with("xen:") || is_module_type(module_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generated_table_is_sorted_for_its_search() {
        assert!(PAGE_MODULES.is_sorted_by(|a, b| a < b));
    }
}
