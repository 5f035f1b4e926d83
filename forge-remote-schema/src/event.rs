//! The shape of a row in the tables of events.

/// A set of scopes that are needed together.
pub type ScopeSet = &'static [&'static str];

/// One of Forge's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The name, such as `avi:jira:created:issue`.
    pub name: &'static str,
    /// Alternative sets of scopes: Forge delivers the event if the app has one of them. The classic
    /// set comes first, a granular one second; empty if no scope is needed.
    pub scopes: &'static [ScopeSet],
    /// Whether only Atlassian's documentation names these scopes: its validation requires none.
    pub documented_only: bool,
}

pub(crate) const fn event(name: &'static str, scopes: &'static [ScopeSet]) -> Event {
    Event {
        name,
        scopes,
        documented_only: false,
    }
}
