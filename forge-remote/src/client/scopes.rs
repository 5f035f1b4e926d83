//! Which scope a refused call probably lacks: a hint, for the usual calls.

use axum::http::Method;

use super::Api;

/// What a call below a path needs, to read, to write and to delete.
struct Rule {
    api: Api,
    /// The beginning of the path; a version is written `*`, a segment that varies `{}`.
    path: &'static str,
    scopes: [&'static str; 3],
}

const fn rule(api: Api, path: &'static str, scopes: [&'static str; 3]) -> Rule {
    Rule { api, path, scopes }
}

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

/// The first that fits counts.
///
/// Source: the reference pages of each product's REST API below
/// <https://developer.atlassian.com/cloud/>, and <https://developer.atlassian.com/platform/forge/manifest-reference/scopes-forge/>
const RULES: &[Rule] = &[
    rule(Api::Jira, "/rest/api/*/user", ["read:jira-user"; 3]),
    rule(Api::Jira, "/rest/api/*/myself", ["read:jira-user"; 3]),
    rule(
        Api::Jira,
        "/rest/api/*/project",
        [
            "read:jira-work",
            "manage:jira-project",
            "manage:jira-project",
        ],
    ),
    rule(
        Api::Jira,
        "/rest/api/*/field",
        [
            "read:jira-work",
            "manage:jira-configuration",
            "manage:jira-configuration",
        ],
    ),
    rule(
        Api::Jira,
        "/rest/api/*/workflow",
        ["manage:jira-configuration"; 3],
    ),
    rule(
        Api::Jira,
        "/rest/agile/*/sprint",
        [
            "read:sprint:jira-software",
            "write:sprint:jira-software",
            "delete:sprint:jira-software",
        ],
    ),
    rule(
        Api::Jira,
        "/rest/agile/*/board",
        [
            "read:board-scope:jira-software",
            "write:board-scope:jira-software",
            "write:board-scope:jira-software",
        ],
    ),
    rule(
        Api::Jira,
        "/rest/servicedeskapi",
        [
            "read:servicedesk-request",
            "write:servicedesk-request",
            "write:servicedesk-request",
        ],
    ),
    rule(
        Api::Jira,
        "/rest/",
        ["read:jira-work", "write:jira-work", "write:jira-work"],
    ),
    // What belongs to a page or a post, wherever it hangs.
    rule(
        Api::Confluence,
        "/wiki/api/*/{}/{}/footer-comments",
        COMMENT,
    ),
    rule(
        Api::Confluence,
        "/wiki/api/*/{}/{}/inline-comments",
        COMMENT,
    ),
    rule(Api::Confluence, "/wiki/api/*/{}/{}/attachments", ATTACHMENT),
    rule(Api::Confluence, "/wiki/api/*/spaces/{}/pages", PAGE),
    rule(
        Api::Confluence,
        "/wiki/rest/api/user",
        ["read:confluence-user"; 3],
    ),
    rule(Api::Confluence, "/wiki/api/*/pages", PAGE),
    rule(
        Api::Confluence,
        "/wiki/api/*/spaces",
        [
            "read:space:confluence",
            "write:space:confluence",
            "delete:space:confluence",
        ],
    ),
    rule(Api::Confluence, "/wiki/api/*/footer-comments", COMMENT),
    rule(Api::Confluence, "/wiki/api/*/inline-comments", COMMENT),
    rule(Api::Confluence, "/wiki/api/*/attachments", ATTACHMENT),
    rule(
        Api::Confluence,
        "/wiki/rest/api/search",
        ["search:confluence"; 3],
    ),
    rule(
        Api::Confluence,
        "/wiki/rest/",
        [
            "read:confluence-content.all",
            "write:confluence-content",
            "write:confluence-content",
        ],
    ),
    rule(
        Api::Bitbucket,
        "/*/repositories/{}/{}/pullrequests",
        [
            "read:pullrequest:bitbucket",
            "write:pullrequest:bitbucket",
            "write:pullrequest:bitbucket",
        ],
    ),
    rule(
        Api::Bitbucket,
        "/*/repositories/{}/{}/pipelines",
        [
            "read:pipeline:bitbucket",
            "write:pipeline:bitbucket",
            "write:pipeline:bitbucket",
        ],
    ),
    rule(
        Api::Bitbucket,
        "/*/repositories",
        [
            "read:repository:bitbucket",
            "write:repository:bitbucket",
            "delete:repository:bitbucket",
        ],
    ),
    rule(
        Api::Bitbucket,
        "/*/workspaces",
        [
            "read:workspace:bitbucket",
            "admin:workspace:bitbucket",
            "admin:workspace:bitbucket",
        ],
    ),
    rule(Api::Storage, "/", ["storage:app"; 3]),
];

/// The scope that this call usually needs. The path is a template: what varies is `{}`.
pub(super) fn likely(api: Api, method: &Method, path: &str) -> Option<&'static str> {
    let rule = RULES
        .iter()
        .find(|rule| rule.api == api && begins(path, rule.path))?;
    let [read, write, delete] = rule.scopes;
    Some(match *method {
        Method::GET | Method::HEAD | Method::OPTIONS => read,
        // A search may be a POST.
        Method::POST if path.contains("/search") => read,
        Method::DELETE => delete,
        _ => write,
    })
}

/// Segment by segment; the pattern's last may be the beginning of one (`user` and `users`).
fn begins(path: &str, pattern: &str) -> bool {
    let mut have = path.split('/');
    let mut wanted = pattern.split('/').peekable();
    while let Some(want) = wanted.next() {
        let Some(segment) = have.next() else {
            return false;
        };
        let fits = match want {
            "*" => true,
            _ if wanted.peek().is_none() => segment.starts_with(want),
            _ => segment == want || want == "{}",
        };
        if !fits {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_calls() {
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
    fn every_scope_exists() {
        for scope in RULES.iter().flat_map(|rule| rule.scopes) {
            assert!(crate::manifest::is_scope(scope), "{scope}");
        }
    }
}
