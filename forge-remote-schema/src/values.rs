//! The values that Forge accepts for properties of modules. The options of the attributes and the structure of the manifest
//! share them.

/// The intervals of a scheduled trigger, each with its variant of the runtime's enum.
///
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/scheduled-trigger/>
pub(crate) const INTERVALS: [(&str, &str); 4] = [
    ("fiveMinute", "FiveMinute"),
    ("hour", "Hour"),
    ("day", "Day"),
    ("week", "Week"),
];
/// The names of [`INTERVALS`].
pub(crate) const INTERVAL_NAMES: [&str; INTERVALS.len()] = names(&INTERVALS);

/// The behaviours of a trigger whose filter's expression fails.
pub(crate) const ON_ERROR: &[&str] = &["IGNORE", "IGNORE_AND_LOG", "RECEIVE", "RECEIVE_AND_LOG"];

/// The forms of a web trigger's URL.
pub(crate) const URL_FORMATS: &[&str] = &["v1", "v2"];

/// The verbs of an action.
pub(crate) const ACTION_VERBS: &[&str] = &["CREATE", "UPDATE", "DELETE", "TRIGGER", "GET"];
/// The types of an action's inputs and outputs.
pub(crate) const ACTION_VALUE_TYPES: &[&str] = &["string", "integer", "number", "boolean"];

/// Source: the schema of `@forge/manifest`.
#[rustfmt::skip]
pub(crate) const JQL_TYPES: &[&str] = &[
    "issue", "project", "project_category", "project_type", "hierarchy_level", "version", "component", "user",
    "group", "team", "project_role", "priority", "resolution", "issue_type", "status", "status_category",
    "cascading_option", "option", "saved_filter", "issue_security_level", "issue_restriction", "label",
    "attachment", "issue_list", "issue_link_type", "date", "text", "number", "duration", "url",
];

/// Source: the schema of `@forge/manifest`.
pub(crate) const JQL_OPERATORS: &[&str] = &[
    "=", "!=", ">", ">=", "<", "<=", "in", "not in", "~", "!~", "is", "is not",
];

/// The project types of a workflow's post function.
pub(crate) const PROJECT_TYPES: &[&str] = &["company-managed", "team-managed"];

/// The times at which a merge check runs.
pub(crate) const MERGE_TRIGGERS: &[&str] =
    &["on-merge", "on-code-pushed", "on-reviewer-status-changed"];

/// The products in which an agent appears.
pub(crate) const AGENT_PRODUCTS: &[&str] = &["jira", "confluence"];
/// The versions of Agent2Agent, the newest first.
pub(crate) const AGENT_VERSIONS: &[&str] = &["1.0", "0.3"];

const fn names<const N: usize>(variants: &[(&'static str, &'static str); N]) -> [&'static str; N] {
    let mut names = [""; N];
    let mut index = 0;
    while index < N {
        names[index] = variants[index].0;
        index += 1;
    }
    names
}
