//! Forge's events, with the scopes that each needs.
//!
//! The events of Atlassian's package are generated, in `atlassian.rs`. The events that only
//! Atlassian's documentation names are the rows of [`DOCUMENTED`].

use crate::atlassian::EVENTS;
pub use crate::event::{Event, ScopeSet};
use crate::{Mistake, did_you_mean_or, nearest};

const fn documented(name: &'static str, scopes: &'static [ScopeSet]) -> Event {
    Event {
        name,
        scopes,
        documented_only: !scopes.is_empty(),
    }
}

/// The events that only Atlassian's documentation names, with the scopes that it requires.
#[rustfmt::skip]
pub const DOCUMENTED: &[Event] = &[
    // https://developer.atlassian.com/platform/forge/events-reference/life-cycle/
    documented("avi:forge:installed:app", &[]),
    documented("avi:forge:upgraded:app", &[]),
    // https://developer.atlassian.com/platform/forge/events-reference/confluence/
    // (The page names no granular scopes. Its list for searches is empty: that scope has another source.)
    documented("avi:confluence:initialized:page", &[&["read:confluence-content.summary"]]),
    documented("avi:confluence:published:page", &[&["read:confluence-content.summary"]]),
    documented("avi:confluence:created:whiteboard", &[&["read:confluence-content.summary"]]),
    documented("avi:confluence:moved:whiteboard", &[&["read:confluence-content.summary"]]),
    documented("avi:confluence:copied:whiteboard", &[&["read:confluence-content.summary"]]),
    documented("avi:confluence:created:database", &[&["read:confluence-content.summary"]]),
    documented("avi:confluence:moved:database", &[&["read:confluence-content.summary"]]),
    documented("avi:confluence:copied:database", &[&["read:confluence-content.summary"]]),
    documented("avi:confluence:created:embed", &[&["read:confluence-content.summary"]]),
    documented("avi:confluence:moved:embed", &[&["read:confluence-content.summary"]]),
    documented("avi:confluence:copied:embed", &[&["read:confluence-content.summary"]]),
    documented("avi:confluence:created:folder", &[&["read:confluence-content.summary"]]),
    documented("avi:confluence:moved:folder", &[&["read:confluence-content.summary"]]),
    documented("avi:confluence:copied:folder", &[&["read:confluence-content.summary"]]),
    documented("avi:confluence:created:label", &[&["read:confluence-content.summary", "read:confluence-space.summary"]]),
    documented("avi:confluence:added:label", &[&["read:confluence-content.summary", "read:confluence-space.summary"]]),
    documented("avi:confluence:removed:label", &[&["read:confluence-content.summary", "read:confluence-space.summary"]]),
    documented("avi:confluence:deleted:label", &[&["read:confluence-content.summary", "read:confluence-space.summary"]]),
    documented("avi:confluence:permissions_updated:space:V2", &[&["read:confluence-space.summary", "write:confluence-space"]]),
    documented("avi:confluence:performed:search", &[&["search:confluence"]]),
    // https://developer.atlassian.com/platform/forge/events-reference/bitbucket/
    documented("avi:bitbucket:created:build-status", &[&["read:repository:bitbucket"]]),
    documented("avi:bitbucket:updated:build-status", &[&["read:repository:bitbucket"]]),
    documented("avi:bitbucket:created:commit-comment", &[&["read:repository:bitbucket"]]),
    documented("avi:bitbucket:resolved:pullrequest-comment", &[&["read:pullrequest:bitbucket"]]),
    documented("avi:bitbucket:reopened:pullrequest-comment", &[&["read:pullrequest:bitbucket"]]),
    // https://developer.atlassian.com/platform/forge/events-reference/data-security-policy-events/ (no scopes)
    documented("avi:ecosystem.app_policy:blocked:app_access_to_objects.v2", &[]),
    documented("avi:ecosystem.app_policy:blocked:app_access_to_objects_in_container.v2", &[]),
    // https://developer.atlassian.com/platform/app-migration/apis/forge/events (no scopes are named)
    documented("avi:ecosystem.migration:triggered:listener", &[]),
    documented("avi:ecosystem.migration:uploaded:app_data", &[]),
    documented("avi:ecosystem.migration:requested:transfer_cancellation", &[]),
    documented("avi:ecosystem.migration:errored:listener", &[]),
    documented("avi:ecosystem.migration:completed:export_phase", &[]),
    documented("avi:ecosystem.migration:settled:transfer", &[]),
    // https://developer.atlassian.com/platform/app-migration/simplified-app-migration/reference/event-specification/
    documented("avi:ecosystem.migration:uploaded:event_file_list", &[]),
];

/// The prefix of events that apps publish.
const APP_EVENT_PREFIX: &str = "avi:cloud:ecosystem::event/";

/// Returns every event of Forge.
pub fn all() -> impl Iterator<Item = &'static Event> + Clone {
    EVENTS.iter().chain(DOCUMENTED)
}

/// Returns the event of this name.
///
/// ```
/// use forge_remote_schema::events;
///
/// let event = events::find("avi:confluence:performed:search").ok_or("unknown")?;
/// assert_eq!(event.scopes, [["search:confluence"]]);
/// assert!(event.documented_only);
/// # Ok::<(), &str>(())
/// ```
pub fn find(name: &str) -> Option<&'static Event> {
    // The macros search at each build, so the generated table is sorted.
    match EVENTS.binary_search_by(|event| event.name.cmp(name)) {
        Ok(at) => EVENTS.get(at),
        Err(_) => DOCUMENTED.iter().find(|event| event.name == name),
    }
}

/// Returns whether Forge has an event of this name, or an app may publish one.
///
/// ```
/// use forge_remote_schema::events;
///
/// assert!(events::is_known("avi:jira:created:issue"));
/// assert!(events::is_known("avi:cloud:ecosystem::event/some-app/some-event"));
/// assert!(!events::is_known("avi:jira:invented:thing"));
/// ```
pub fn is_known(name: &str) -> bool {
    name.starts_with(APP_EVENT_PREFIX) || find(name).is_some()
}

/// Returns whether an event of this name would report that an app was uninstalled. Forge has no such
/// event.
///
/// Source: <https://developer.atlassian.com/platform/forge/events-reference/life-cycle/>
///
/// ```
/// assert!(forge_remote_schema::events::is_uninstalled("avi:forge:uninstalled:app"));
/// ```
pub fn is_uninstalled(name: &str) -> bool {
    !is_known(name) && name.starts_with("avi:") && name.contains(":uninstalled:")
}

/// Checks that an event of this name is known.
pub(crate) fn check(name: &str) -> Result<(), Mistake> {
    if is_known(name) {
        return Ok(());
    }
    if is_uninstalled(name) {
        return Err(Mistake::new(
            format!("Forge never sends `{name}`"),
            "write `#[pre_uninstall]` instead: it calls the function before the app is uninstalled",
        ));
    }
    let new = format!(
        "for an event that forge-remote does not know yet, write `unknown_events = [\"{name}\"]`"
    );
    let help = match nearest(name, all().map(|event| event.name)) {
        Some(near) => did_you_mean_or(Some(near), '"', &capitalised(&new)),
        None => {
            format!("see https://developer.atlassian.com/platform/forge/events-reference/; {new}")
        }
    };
    Err(Mistake::new(format!("Forge has no event `{name}`"), help))
}

fn capitalised(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::scopes;

    #[test]
    fn the_generated_table_is_sorted_for_its_search() {
        assert!(EVENTS.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn every_event_is_in_one_table_and_names_scopes_of_forge() {
        let mut seen = BTreeSet::new();
        for event in all() {
            assert!(seen.insert(event.name), "{} is listed twice", event.name);
            assert_eq!(find(event.name), Some(event));
            for scope in event.scopes.iter().copied().flatten() {
                assert!(scopes::is_known(scope), "{} needs {scope}", event.name);
            }
        }
        let documented = all().filter(|event| event.documented_only);
        assert!(documented.count() > 20);
    }
}
