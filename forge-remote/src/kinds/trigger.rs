//! `trigger`: a call for each event of a product or of the app's lifecycle.

use std::collections::BTreeSet;
use std::time::Duration;

use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, Mistake, kinds, lists};
use serde_yaml::{Mapping, Value};

use super::items::{item, list_mistakes, module, nested, set, texts};
use super::samples;
use crate::registry::{Kind, Module, SampleCall};

/// The options of `#[trigger]`.
///
/// The scopes that Forge requires for each event are added automatically; see
/// [`App::prefer_granular_scopes`](crate::App::prefer_granular_scopes) for the choice between sets. A
/// misspelled event does not compile; list an event that this version does not know in
/// `unknown_events`. To distinguish several events in one handler, use an enum:
///
/// ```
/// use forge_remote::prelude::*;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// #[serde(tag = "eventType")]
/// enum Change {
///     #[serde(rename = "avi:jira:created:issue")]
///     Created { issue: Issue },
///     #[serde(rename = "avi:jira:deleted:issue")]
///     Deleted { issue: Issue },
/// }
///
/// #[derive(Deserialize)]
/// struct Issue { key: String }
///
/// /// Keeps our copy of the work items.
/// #[trigger(events = ["avi:jira:created:issue", "avi:jira:deleted:issue"], ignore_self, auth = system)]
/// async fn update_copy(retry: RetryContext, _token: SystemToken, Event(change): Event<Change>) -> Result<()> {
///     match change {
///         Change::Created { issue } => println!("{} is new ({retry:?})", issue.key),
///         Change::Deleted { issue } => println!("{} is gone", issue.key),
///     }
///     Ok(())
/// }
/// ```
///
/// Forge waits 5 seconds, and retries an event up to four times, a minute apart. Events have no id
/// that distinguishes a retry from a new event, and their order is not guaranteed.
///
/// The events are those of Jira, Jira Software, Jira Service Management, Confluence, Bitbucket and
/// Compass, of the app's lifecycle, of data security policies, of app migrations, and events that
/// apps publish (`avi:cloud:ecosystem::event/…`).
///
/// Sources: <https://developer.atlassian.com/platform/forge/remote/sending-product-events/>,
/// <https://developer.atlassian.com/platform/forge/events-reference/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The events.
    pub events: &'static [&'static str],
    /// Events that this version does not know. Their scopes are not added. If a later version knows
    /// the event, it still works here, and `manifest --check` reports that it can be moved to
    /// `events`.
    pub unknown_events: &'static [&'static str],
    /// Events with separate conditions. They replace all other options of the attribute:
    /// `filtered_events = [(event = "avi:jira:updated:issue", filter = "…", ignore_self), …]`.
    pub filtered_events: &'static [FilteredEvent],
    /// The conditions of `events` and `unknown_events`, each a separate option: `filter`, `on_error`,
    /// `ignore_self`, `licensed_only`, `property_paths` and `fields`.
    pub conditions: Conditions,
}

impl Trigger {
    #[doc(hidden)]
    pub const NONE: Self = Self {
        events: &[],
        unknown_events: &[],
        filtered_events: &[],
        conditions: Conditions::NONE,
    };
}

impl Kind for Trigger {
    fn spec(&self) -> &'static KindSpec {
        &kinds::TRIGGER
    }

    fn modules(&self, names: &Names) -> Vec<Module> {
        let mut item = item(names);
        if self.filtered_events.is_empty() {
            item.insert(
                "events".into(),
                texts(&[self.events, self.unknown_events].concat()),
            );
            self.conditions.write(&mut item);
        } else {
            let events = self.filtered_events.iter().map(FilteredEvent::item);
            item.insert("events".into(), Value::Sequence(events.collect()));
        }
        module(self.spec(), item)
    }

    fn events(&self) -> Vec<&'static str> {
        let filtered = self.filtered_events.iter().filter_map(|one| one.event);
        self.events.iter().copied().chain(filtered).collect()
    }

    fn unknown_events(&self) -> Vec<&'static str> {
        let filtered = self
            .filtered_events
            .iter()
            .filter_map(|one| one.unknown_event);
        self.unknown_events
            .iter()
            .copied()
            .chain(filtered)
            .collect()
    }

    fn calls_every_site(&self) -> bool {
        let Conditions {
            filter,
            licensed_only,
            ..
        } = self.conditions;
        self.filtered_events.is_empty() && filter.is_none() && !licensed_only
    }

    fn validate(&self) -> Vec<Mistake> {
        let mut found = list_mistakes(&[
            ("events", &lists::EVENTS, self.events),
            (
                "unknown_events",
                &lists::UNKNOWN_EVENTS,
                self.unknown_events,
            ),
        ]);
        let both = lists::in_both(self.events, self.unknown_events);
        found.extend(both.into_iter().map(|(_, mistake)| mistake));
        let events = [self.events, self.unknown_events].concat();
        found.extend(self.conditions.mistakes(&events, false));
        let mut seen = BTreeSet::new();
        for one in self.filtered_events {
            found.extend(list_mistakes(&[(
                "event",
                &lists::EVENTS,
                one.event.as_slice(),
            )]));
            found.extend(one.conditions.mistakes(&[one.name()], true));
            if !seen.insert(one.name()) {
                found.push(lists::second_filter(one.name()));
            }
        }
        found
    }

    fn documented_timeout(&self) -> Option<Duration> {
        Some(Duration::from_secs(5))
    }

    fn sample_call(&self) -> SampleCall {
        samples::sample_call(self.all_events().next().unwrap_or_default())
    }

    fn sample_calls(&self) -> Vec<SampleCall> {
        self.all_events().map(samples::sample_call).collect()
    }
}

impl Trigger {
    /// Returns all events, known and unknown, in either form.
    fn all_events(&self) -> impl Iterator<Item = &'static str> {
        let plain = self.events.iter().chain(self.unknown_events).copied();
        plain.chain(self.filtered_events.iter().map(FilteredEvent::name))
    }
}

/// An event with its own filter, in a trigger's `filtered_events`.
///
/// ```
/// use forge_remote::prelude::*;
///
/// #[trigger(filtered_events = [
///     (event = "avi:jira:created:issue", ignore_self),
///     (event = "avi:jira:updated:issue", filter = "event.issue.fields.project.key == 'DEV'"),
/// ])]
/// async fn update_copy(Event(event): Event) -> Result<()> {
///     println!("{event}");
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilteredEvent {
    /// The event, if this version knows it.
    pub event: Option<&'static str>,
    /// The event, if this version does not know it.
    pub unknown_event: Option<&'static str>,
    /// The event's conditions. Forge requires one of `filter`, `ignore_self` and `licensed_only`.
    pub conditions: Conditions,
}

impl FilteredEvent {
    #[doc(hidden)]
    pub const NONE: Self = Self {
        event: None,
        unknown_event: None,
        conditions: Conditions::NONE,
    };

    fn name(&self) -> &'static str {
        self.event.or(self.unknown_event).unwrap_or_default()
    }

    fn item(&self) -> Value {
        let mut item = Mapping::new();
        item.insert("eventType".into(), self.name().into());
        self.conditions.write(&mut item);
        Value::Mapping(item)
    }
}

/// The conditions of a trigger's events or of one of its `filtered_events`.
///
/// Each is an option of `#[trigger]`, or is written in the event's parentheses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// An expression that must be true for the event (`filter.expression`).
    pub filter: Option<&'static str>,
    /// The action if the evaluation of `filter` fails: `IGNORE`, `IGNORE_AND_LOG` (Forge's default),
    /// `RECEIVE` or `RECEIVE_AND_LOG`.
    pub on_error: Option<&'static str>,
    /// Whether events caused by the app itself are skipped. Atlassian's validation accepts it only for
    /// Jira's events. The payload of other events has `selfGenerated`.
    pub ignore_self: bool,
    /// Whether sites without an active licence are skipped.
    pub licensed_only: bool,
    /// Entity properties to include (`payload.include.propertyPaths`), such as
    /// `issue.properties['key'].field`; see [`WithProperties`](super::WithProperties). An app can have
    /// at most five different ones, including those in its triggers' filters.
    pub property_paths: &'static [&'static str],
    /// Fields to include (`payload.include.fields`).
    pub fields: &'static [&'static str],
}

impl Conditions {
    /// No conditions: every event, with nothing included.
    pub const NONE: Self = Self {
        filter: None,
        on_error: None,
        ignore_self: false,
        licensed_only: false,
        property_paths: &[],
        fields: &[],
    };

    fn mistakes(&self, events: &[&str], filter_required: bool) -> Vec<Mistake> {
        let mut found = list_mistakes(&[
            (
                "property_paths",
                &lists::PROPERTY_PATHS,
                self.property_paths,
            ),
            ("fields", &lists::PATHS, self.fields),
        ]);
        let conditions = lists::Conditions {
            events: events.iter().copied().map(Some).collect(),
            filter: self.filter.is_some(),
            on_error: self.on_error.is_some(),
            ignore_self: self.ignore_self,
            licensed_only: self.licensed_only,
            filter_required,
        };
        let mistakes = conditions.mistakes().into_iter();
        found.extend(mistakes.map(|(_, mistake)| mistake));
        found
    }

    fn write(&self, item: &mut Mapping) {
        let mut filter = Mapping::new();
        if self.ignore_self {
            filter.insert("ignoreSelf".into(), true.into());
        }
        set(&mut filter, "expression", self.filter);
        set(&mut filter, "onError", self.on_error);
        if self.licensed_only {
            filter.insert("appIsLicensed".into(), true.into());
        }
        if !filter.is_empty() {
            item.insert("filter".into(), Value::Mapping(filter));
        }
        let mut include = Mapping::new();
        for (name, paths) in [
            ("propertyPaths", self.property_paths),
            ("fields", self.fields),
        ] {
            if !paths.is_empty() {
                include.insert(name.into(), texts(paths));
            }
        }
        if !include.is_empty() {
            let include = nested("include", Value::Mapping(include));
            item.insert("payload".into(), include);
        }
    }
}
