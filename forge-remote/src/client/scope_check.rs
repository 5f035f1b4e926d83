//! The check of a handler's scopes before its calls, for an app that manages missing permissions itself.
//!
//! A call that Atlassian might accept is never rejected: the check rejects only if both the handler and
//! the table of common calls (or the handler alone, where it declares nothing that is granted) say that
//! a missing scope is needed, and no scope of an older version may stand in for it.
//!
//! Source: <https://developer.atlassian.com/platform/forge/rolling-releases/>

use std::collections::BTreeSet;

use super::api::Api;
use super::atlassian::AtlassianClient;
use super::calling_handler::CallingHandler;
use super::error::ClientError;
use super::request::Request;
use super::scope_hints;

impl AtlassianClient {
    /// Makes this client check its calls before they are sent.
    pub(crate) fn called_by(mut self, handler: Option<CallingHandler>) -> Self {
        self.options.handler = handler;
        self
    }

    /// Returns the handler whose calls are checked.
    pub(crate) fn handler(&self) -> Option<CallingHandler> {
        self.options.handler
    }
}

impl Request {
    /// Returns an error if the installation has not granted a scope that this call needs. A call is
    /// sent unchecked if the installation's scopes are not known.
    pub(super) async fn check_scopes(&self) -> Result<(), ClientError> {
        let Some(handler) = self.client.options().handler else {
            return Ok(());
        };
        let api = self.client.api();
        if !handler.scopes.iter().any(|scope| api.may_need(scope)) {
            return Ok(());
        }
        let granted = match self.client.known_scopes() {
            Some(granted) => granted,
            None => match self.client.for_details().await {
                Some(client) => match client.granted_scopes().await {
                    Ok(granted) => granted,
                    Err(_) => return Ok(()),
                },
                None => return Ok(()),
            },
        };
        let likely = scope_hints::likely(api, &self.method, self.path.template());
        match missing(api, likely, handler.scopes, &granted) {
            Some(scope) => Err(ClientError::ScopeNotGranted {
                call: self.name(),
                handler: handler.name,
                scope,
            }),
            None => Ok(()),
        }
    }
}

impl Api {
    /// Returns whether calls of this API may need this scope.
    fn may_need(self, scope: &str) -> bool {
        let names: &[&str] = match self {
            Self::Jira => &["jira", "servicedesk", "servicemanagement"],
            Self::Confluence => &["confluence"],
            Self::Bitbucket => &["bitbucket"],
            Self::Storage => &["storage:app"],
            // The operations of GraphQL need scopes of many products.
            Self::GraphQl | Self::Compass | Self::Platform => &[],
        };
        names.iter().any(|name| scope.contains(name))
    }
}

/// Returns the handler's scope that a call needs and that is not granted.
fn missing(
    api: Api,
    likely: Option<&str>,
    of_handler: &'static [&'static str],
    granted: &BTreeSet<String>,
) -> Option<&'static str> {
    let of_api = || of_handler.iter().filter(|scope| api.may_need(scope));
    let is_missing = |scope: &&&'static str| !granted.contains(**scope);
    let needed = match likely {
        Some(likely) => of_api().find(|scope| **scope == likely).filter(is_missing),
        None if of_api().all(|scope| is_missing(&scope)) => of_api().next(),
        None => None,
    }?;
    // Atlassian accepts a call with a classic scope or with granular ones.
    let may_replace =
        |scope: &String| api.may_need(scope) && is_granular(scope) != is_granular(needed);
    (!granted.iter().any(may_replace)).then_some(*needed)
}

/// Returns whether a scope is granular (`read:issue:jira`) rather than classic (`read:jira-work`).
fn is_granular(scope: &str) -> bool {
    scope.split(':').count() > 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDLER: &[&str] = &["read:jira-work", "write:jira-work", "storage:app"];

    fn check(api: Api, likely: Option<&str>, granted: &[&str]) -> Option<&'static str> {
        let set = |scopes: &[&str]| scopes.iter().map(|&scope| scope.to_owned()).collect();
        missing(api, likely, HANDLER, &set(granted))
    }

    #[test]
    fn a_scope_of_the_other_form_is_enough() {
        const BOTH: &[&str] = &["read:jira-work", "read:issue:jira"];
        let granted = BTreeSet::from(["read:issue:jira".to_owned()]);
        assert_eq!(
            missing(Api::Jira, Some("read:jira-work"), BOTH, &granted),
            None
        );
    }

    #[test]
    fn only_the_scope_of_the_call_is_required() {
        let (read, write) = (Some("read:jira-work"), Some("write:jira-work"));
        assert_eq!(check(Api::Jira, read, &["read:jira-work"]), None);
        assert_eq!(check(Api::Jira, write, &["read:jira-work"]), write);
        assert_eq!(check(Api::Jira, write, &["write:jira-work"]), None);
        // The handler does not declare it, so the table may be wrong.
        assert_eq!(check(Api::Jira, Some("read:jira-user"), &[]), None);
        let storage = Some("storage:app");
        assert_eq!(check(Api::Storage, storage, &["read:jira-work"]), storage);
        assert_eq!(check(Api::Confluence, None, &[]), None, "no scope of it");
        assert_eq!(check(Api::GraphQl, None, &[]), None);
    }

    #[test]
    fn an_unknown_call_is_rejected_only_if_no_scope_of_the_handler_is_granted() {
        assert_eq!(check(Api::Jira, None, &["write:jira-work"]), None);
        let rejected = check(Api::Jira, None, &["storage:app", "read:jira-user"]);
        assert_eq!(rejected, Some("read:jira-work"));
    }

    #[test]
    fn scopes_of_an_older_version_may_replace_the_new_ones() {
        let write = Some("write:jira-work");
        assert_eq!(check(Api::Jira, write, &["write:issue:jira"]), None);
        // These cannot: one is of the same form, the other of another product.
        assert_eq!(check(Api::Jira, write, &["manage:jira-project"]), write);
        assert_eq!(check(Api::Jira, write, &["read:page:confluence"]), write);
    }
}
