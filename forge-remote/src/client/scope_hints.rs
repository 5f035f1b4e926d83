//! A table of the scopes that common calls need, for hints in error messages.

use axum::http::Method;

use super::api::Api;

/// The scopes for a path and the paths below it: to read, to write and to delete.
///
/// A scope is empty if several scopes are needed or if the call needs an administrator.
struct ScopeHint {
    api: Api,
    /// Whole segments; a variable one is written `{}`.
    path: &'static str,
    scopes: [&'static str; 3],
}

const fn hint(api: Api, path: &'static str, scopes: [&'static str; 3]) -> ScopeHint {
    ScopeHint { api, path, scopes }
}

const fn jira(path: &'static str, scopes: [&'static str; 3]) -> ScopeHint {
    hint(Api::Jira, path, scopes)
}

const fn confluence(path: &'static str, scopes: [&'static str; 3]) -> ScopeHint {
    hint(Api::Confluence, path, scopes)
}

const WORK: [&str; 3] = ["read:jira-work", "write:jira-work", "write:jira-work"];
const READ_WORK: [&str; 3] = ["read:jira-work", "", ""];
const READ_USER: [&str; 3] = ["read:jira-user", "", ""];
const PROJECT: [&str; 3] = [
    "read:jira-work",
    "manage:jira-project",
    "manage:jira-project",
];
const PAGE: [&str; 3] = [
    "read:page:confluence",
    "write:page:confluence",
    "delete:page:confluence",
];
const COMMENT: [&str; 3] = [
    "read:comment:confluence",
    "write:comment:confluence",
    "delete:comment:confluence",
];
const ATTACHMENT: [&str; 3] = [
    "read:attachment:confluence",
    "write:attachment:confluence",
    "delete:attachment:confluence",
];
const CUSTOM: [&str; 3] = [
    "read:custom-content:confluence",
    "write:custom-content:confluence",
    "delete:custom-content:confluence",
];
const SPACE: [&str; 3] = [
    "read:space:confluence",
    "write:space:confluence",
    // Spaces are deleted with the v1 API; a deletion below a space changes the space.
    "write:space:confluence",
];

/// The rules, of which the first match is used.
///
/// Source: the reference pages of each product's REST API below
/// <https://developer.atlassian.com/cloud/>, and <https://developer.atlassian.com/platform/forge/manifest-reference/scopes-forge/>
const HINTS: &[ScopeHint] = &[
    jira("/rest/api/{}/user/properties", ["", "", ""]),
    jira("/rest/api/{}/user/email", ["", "", ""]),
    jira("/rest/api/{}/user", READ_USER),
    jira("/rest/api/{}/users", READ_USER),
    jira("/rest/api/{}/myself", READ_USER),
    jira("/rest/api/{}/groups", READ_USER),
    jira("/rest/api/{}/issue", WORK),
    jira("/rest/api/{}/issueLink", WORK),
    jira("/rest/api/{}/issueLinkType", READ_WORK),
    jira("/rest/api/{}/search", READ_WORK),
    jira("/rest/api/{}/comment/{}", WORK),
    jira("/rest/api/{}/attachment", WORK),
    jira("/rest/api/{}/worklog", ["read:jira-work"; 3]),
    jira("/rest/api/{}/dashboard", WORK),
    jira("/rest/api/{}/filter", WORK),
    jira("/rest/api/{}/label", READ_WORK),
    jira("/rest/api/{}/status", READ_WORK),
    jira("/rest/api/{}/statuscategory", READ_WORK),
    jira("/rest/api/{}/resolution", READ_WORK),
    jira("/rest/api/{}/issuetype", READ_WORK),
    // Creating and deleting a project needs an administrator.
    jira("/rest/api/{}/project/{}/properties", PROJECT),
    jira("/rest/api/{}/project/{}/email", ["", "", ""]),
    jira("/rest/api/{}/project/{}/{}", READ_WORK),
    jira("/rest/api/{}/project/search", READ_WORK),
    jira(
        "/rest/api/{}/project/{}",
        ["read:jira-work", "manage:jira-project", ""],
    ),
    jira("/rest/api/{}/project", READ_WORK),
    jira("/rest/api/{}/component", PROJECT),
    jira("/rest/api/{}/version", PROJECT),
    jira(
        "/rest/agile/{}/sprint/{}/issue",
        ["", "write:sprint:jira-software", ""],
    ),
    jira(
        "/rest/agile/{}/sprint",
        [
            "read:sprint:jira-software",
            "write:sprint:jira-software",
            "delete:sprint:jira-software",
        ],
    ),
    jira(
        "/rest/agile/{}/board/{}/sprint",
        ["read:sprint:jira-software", "", ""],
    ),
    jira("/rest/agile/{}/board/{}/{}", ["", "", ""]),
    jira(
        "/rest/agile/{}/board",
        [
            "read:board-scope:jira-software",
            "write:board-scope:jira-software",
            "",
        ],
    ),
    jira(
        "/rest/servicedeskapi/request",
        [
            "read:servicedesk-request",
            "write:servicedesk-request",
            "write:servicedesk-request",
        ],
    ),
    jira(
        "/rest/servicedeskapi/servicedesk",
        ["read:servicedesk-request", "", ""],
    ),
    // Children of any kind of Confluence content.
    confluence("/wiki/api/v2/{}/{}/footer-comments", COMMENT),
    confluence("/wiki/api/v2/{}/{}/inline-comments", COMMENT),
    confluence("/wiki/api/v2/{}/{}/attachments", ATTACHMENT),
    confluence("/wiki/api/v2/{}/{}/custom-content", CUSTOM),
    confluence("/wiki/api/v2/{}/{}/pages", PAGE),
    confluence("/wiki/api/v2/{}/{}/blogposts", PAGE),
    confluence(
        "/wiki/api/v2/{}/{}/ancestors",
        ["read:content.metadata:confluence", "", ""],
    ),
    confluence("/wiki/api/v2/{}/{}/role-assignments", ["", "", ""]),
    confluence("/wiki/api/v2/pages", PAGE),
    confluence("/wiki/api/v2/blogposts", PAGE),
    confluence("/wiki/api/v2/spaces", SPACE),
    confluence("/wiki/api/v2/footer-comments", COMMENT),
    confluence("/wiki/api/v2/inline-comments", COMMENT),
    confluence("/wiki/api/v2/comments", COMMENT),
    confluence("/wiki/api/v2/attachments", ATTACHMENT),
    confluence("/wiki/api/v2/custom-content", CUSTOM),
    confluence("/wiki/api/v2/labels", ["read:label:confluence", "", ""]),
    confluence(
        "/wiki/api/v2/tasks",
        ["read:task:confluence", "write:task:confluence", ""],
    ),
    confluence(
        "/wiki/api/v2/whiteboards",
        [
            "read:whiteboard:confluence",
            "write:whiteboard:confluence",
            "delete:whiteboard:confluence",
        ],
    ),
    confluence(
        "/wiki/api/v2/databases",
        [
            "read:database:confluence",
            "write:database:confluence",
            "delete:database:confluence",
        ],
    ),
    confluence(
        "/wiki/api/v2/embeds",
        [
            "read:embed:confluence",
            "write:embed:confluence",
            "delete:embed:confluence",
        ],
    ),
    confluence(
        "/wiki/api/v2/folders",
        [
            "read:folder:confluence",
            "write:folder:confluence",
            "delete:folder:confluence",
        ],
    ),
    confluence("/wiki/rest/api/user", ["read:confluence-user", "", ""]),
    confluence("/wiki/rest/api/search", ["search:confluence", "", ""]),
    confluence(
        "/wiki/rest/api/content/{}/child/attachment",
        ["", "write:confluence-file", ""],
    ),
    confluence(
        "/wiki/rest/api/content",
        [
            "read:confluence-content.all",
            "write:confluence-content",
            "write:confluence-content",
        ],
    ),
    hint(
        Api::Bitbucket,
        "/2.0/repositories/{}/{}/pullrequests",
        [
            "read:pullrequest:bitbucket",
            "write:pullrequest:bitbucket",
            "write:pullrequest:bitbucket",
        ],
    ),
    hint(
        Api::Bitbucket,
        "/2.0/repositories/{}/{}/pipelines",
        [
            "read:pipeline:bitbucket",
            "write:pipeline:bitbucket",
            "write:pipeline:bitbucket",
        ],
    ),
    hint(
        Api::Bitbucket,
        "/2.0/repositories/{}/{}/{}",
        [
            "read:repository:bitbucket",
            "write:repository:bitbucket",
            "write:repository:bitbucket",
        ],
    ),
    hint(
        Api::Bitbucket,
        "/2.0/repositories",
        [
            "read:repository:bitbucket",
            "",
            "delete:repository:bitbucket",
        ],
    ),
    hint(
        Api::Bitbucket,
        "/2.0/workspaces",
        ["read:workspace:bitbucket", "", ""],
    ),
    hint(Api::Storage, "/", ["storage:app"; 3]),
];

/// Segments of paths that are read with `POST`.
const READ_BY_POST: [&str; 4] = ["search", "list", "watching", "bulkfetch"];

/// Returns the scope that this call usually needs. The path is a template with `{}` for variable
/// segments.
pub(super) fn likely(api: Api, method: &Method, path: &str) -> Option<&'static str> {
    let rule = HINTS
        .iter()
        .find(|rule| rule.api == api && has_prefix(path, rule.path))?;
    let [read, write, delete] = rule.scopes;
    let scope = match *method {
        Method::GET | Method::HEAD | Method::OPTIONS => read,
        // A search may be a `POST`.
        Method::POST
            if path
                .split('/')
                .any(|segment| READ_BY_POST.contains(&segment)) =>
        {
            read
        }
        // Deleting a property changes its owner.
        Method::DELETE if api == Api::Confluence && path.contains("/properties/") => write,
        Method::DELETE => delete,
        _ => write,
    };
    Some(scope).filter(|scope| !scope.is_empty())
}

/// Returns whether the path starts with the pattern's segments.
fn has_prefix(path: &str, pattern: &str) -> bool {
    let mut segments = path.trim_matches('/').split('/');
    let mut expected = pattern.trim_matches('/').split('/');
    expected.all(|expected| match segments.next() {
        Some(segment) => expected.is_empty() || expected == "{}" || segment == expected,
        None => expected.is_empty(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_calls_have_a_scope() {
        let likely = |api, method, path| likely(api, &method, path).unwrap_or_default();
        let (jira, confluence) = (Api::Jira, Api::Confluence);
        assert_eq!(
            likely(jira, Method::GET, "/rest/api/3/issue/{}"),
            "read:jira-work"
        );
        assert_eq!(
            likely(jira, Method::PUT, "/rest/api/3/issue/{}"),
            "write:jira-work"
        );
        assert_eq!(
            likely(jira, Method::POST, "/rest/api/3/search/jql"),
            "read:jira-work"
        );
        assert_eq!(
            likely(jira, Method::GET, "/rest/api/2/users/search"),
            "read:jira-user"
        );
        assert_eq!(
            likely(confluence, Method::DELETE, "/wiki/api/v2/pages/{}"),
            "delete:page:confluence"
        );
        assert_eq!(
            likely(confluence, Method::GET, "/wiki/api/v2/spaces/{}/pages"),
            "read:page:confluence"
        );
        assert_eq!(
            likely(
                confluence,
                Method::POST,
                "/wiki/api/v2/pages/{}/footer-comments"
            ),
            "write:comment:confluence"
        );
        assert_eq!(
            likely(confluence, Method::GET, "/wiki/rest/api/user/current"),
            "read:confluence-user"
        );
        assert_eq!(
            likely(
                Api::Bitbucket,
                Method::GET,
                "/2.0/repositories/w/r/pullrequests"
            ),
            "read:pullrequest:bitbucket"
        );
        assert_eq!(likely(confluence, Method::GET, "/else"), "");
    }

    #[test]
    fn matches_whole_segments_and_guesses_nothing() {
        let likely = |api, method: Method, path| likely(api, &method, path);
        let (jira, confluence) = (Api::Jira, Api::Confluence);
        // A path may lack its leading slash.
        assert_eq!(
            likely(jira, Method::GET, "rest/api/3/issue/{}"),
            Some("read:jira-work")
        );
        assert_eq!(
            likely(Api::Bitbucket, Method::GET, "2.0/workspaces"),
            Some("read:workspace:bitbucket")
        );
        assert_eq!(
            likely(Api::Storage, Method::POST, "/v1/get"),
            Some("storage:app")
        );
        // These need an administrator, or more than one scope.
        for path in [
            "/rest/api/3/field",
            "/rest/api/3/fieldconfiguration",
            "/rest/api/3/userx",
            "/rest/api/3/workflow/search",
            "/rest/api/3/group/member",
            "/rest/agile/1.0/board/{}/issue",
            "/rest/agile/1.0/sprint/{}/issue",
            "/{}",
        ] {
            assert_eq!(likely(jira, Method::GET, path), None, "{path}");
        }
        assert_eq!(likely(jira, Method::POST, "/rest/api/3/project"), None);
        for (path, scope) in [
            ("/wiki/api/v2/blogposts/{}", "read:page:confluence"),
            ("/wiki/api/v2/labels", "read:label:confluence"),
            ("/wiki/api/v2/labels/{}/blogposts", "read:page:confluence"),
            ("/wiki/api/v2/tasks/{}", "read:task:confluence"),
            (
                "/wiki/api/v2/pages/{}/custom-content",
                "read:custom-content:confluence",
            ),
            ("/wiki/api/v2/footer-comments/{}", "read:comment:confluence"),
            (
                "/wiki/api/v2/pages/{}/ancestors",
                "read:content.metadata:confluence",
            ),
        ] {
            assert_eq!(likely(confluence, Method::GET, path), Some(scope), "{path}");
        }
        assert_eq!(
            likely(
                confluence,
                Method::DELETE,
                "/wiki/api/v2/pages/{}/properties/{}"
            ),
            Some("write:page:confluence")
        );
    }

    #[test]
    fn every_scope_exists() {
        for scope in HINTS.iter().flat_map(|rule| rule.scopes) {
            let is_valid = scope.is_empty() || forge_remote_schema::scopes::is_known(scope);
            assert!(is_valid, "{scope}");
        }
    }
}
