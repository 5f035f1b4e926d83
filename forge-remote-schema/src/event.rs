//! The shape of a row in the tables of events.

/// A set of scopes that are needed together.
pub type ScopeSet = &'static [&'static str];

/// One of Forge's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name, such as `avi:jira:created:issue`.
    pub name: &'static str,
    /// Alternative sets of scopes: Forge delivers the event when the app has one of them. The
    /// current set comes first, a granular one second; empty when no scope is needed.
    pub scopes: &'static [ScopeSet],
    /// Whether only a page of Atlassian's names these scopes: their validation requires none.
    pub documented_only: bool,
}

pub(crate) const fn event(name: &'static str, scopes: &'static [ScopeSet]) -> Event {
    Event {
        name,
        scopes,
        documented_only: false,
    }
}
