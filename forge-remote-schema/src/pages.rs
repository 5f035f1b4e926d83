//! The module types of pages.

use crate::atlassian::PAGE_MODULES;

/// Returns every module type whose `resolver` takes an endpoint, sorted.
pub fn module_types() -> impl Iterator<Item = &'static str> + Clone {
    PAGE_MODULES.iter().copied()
}

/// Returns whether modules of this type have a `resolver` that takes an endpoint.
pub fn is_module_type(name: &str) -> bool {
    PAGE_MODULES.binary_search(&name).is_ok()
}

/// The module types of pages that the product shows only to administrators of a site, project, space,
/// repository or workspace.
///
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/>
const FOR_ADMINISTRATORS: [&str; 8] = [
    "bitbucket:projectSettingsMenuPage",
    "bitbucket:repoSettingsMenuPage",
    "bitbucket:workspaceSettingsMenuPage",
    "compass:adminPage",
    "confluence:globalSettings",
    "confluence:spaceSettings",
    "jira:adminPage",
    "jira:projectSettingsPage",
];

/// Returns whether the product shows modules of this type only to administrators.
pub fn is_for_administrators(module_type: &str) -> bool {
    FOR_ADMINISTRATORS.contains(&module_type)
}

/// Returns whether the `app.module.type` of a Forge Invocation Token names a page's module.
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

    #[test]
    fn pages_for_administrators_are_modules_of_pages() {
        for name in FOR_ADMINISTRATORS {
            assert!(is_module_type(name), "{name}");
        }
    }
}
