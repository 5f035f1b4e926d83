//! `trigger`: Forge calls when an event of a product, or of the app's own life, happens.

use serde::Deserialize;
use serde_yaml::{Mapping, Value};

use super::{Rest, checks, item, set, texts, wrong};
use crate::registry::{Handler, Kind, Module, Owned, Simulation};

/// The options of `#[trigger]`.
///
/// The scopes that Forge asks for each event follow by themselves; see
/// [`App::granular_scopes`](crate::App::granular_scopes) for which set of them. A misspelt event
/// doesn't compile; one that this version doesn't know yet is written as `unknown_events`. Several
/// events of one handler are told apart by an enum of yours:
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
/// /// Keeps our copy of the issues.
/// #[trigger(events = ["avi:jira:created:issue", "avi:jira:deleted:issue"], ignore_self, auth = system)]
/// async fn follow(retry: Retry, _token: SystemToken, Event(change): Event<Change>) -> Result<()> {
///     match change {
///         Change::Created { issue } => println!("{} is new ({retry:?})", issue.key),
///         Change::Deleted { issue } => println!("{} is gone", issue.key),
///     }
///     Ok(())
/// }
/// ```
///
/// Forge waits 5 seconds, and sends the event again up to four times, a minute apart; there is no
/// id that tells a repetition from a new event, and no order. Source:
/// <https://developer.atlassian.com/platform/forge/remote/sending-product-events/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The events.
    pub events: &'static [&'static str],
    /// Events that this version doesn't know, and whose scopes so don't follow.
    pub unknown_events: &'static [&'static str],
    /// Events with a filter each, in place of the other two and of everything below:
    /// `filtered_events = [(event = "avi:jira:updated:issue", filter = "…", ignore_self), …]`.
    pub filtered_events: &'static [FilteredEvent],
    /// An expression that must be true of the event (`filter.expression`).
    pub filter: Option<&'static str>,
    /// What becomes of an event when the expression fails: `IGNORE`, `IGNORE_AND_LOG` (Forge's
    /// default), `RECEIVE` or `RECEIVE_AND_LOG`.
    pub on_error: Option<&'static str>,
    /// Whether what the app itself did is left out (Jira only).
    pub ignore_self: bool,
    /// Whether sites without an active licence are left out.
    pub licensed_only: bool,
    /// Entity properties that come along (`payload.include.propertyPaths`).
    pub property_paths: &'static [&'static str],
    /// Fields that come along (`payload.include.fields`).
    pub fields: &'static [&'static str],
}

impl Kind for Trigger {
    fn name(&self) -> &'static str {
        "trigger"
    }

    fn module_suffix(&self) -> Option<&'static str> {
        Some("trigger")
    }

    fn modules(&self, handler: &Handler) -> Vec<Module> {
        let mut item = item(handler);
        if self.filtered_events.is_empty() {
            item.insert(
                "events".into(),
                texts(&[self.events, self.unknown_events].concat()),
            );
            let conditions = Conditions {
                filter: self.filter,
                on_error: self.on_error,
                ignore_self: self.ignore_self,
                licensed_only: self.licensed_only,
                property_paths: self.property_paths,
                fields: self.fields,
            };
            conditions.write(&mut item);
        } else {
            let events = self.filtered_events.iter().map(FilteredEvent::item);
            item.insert("events".into(), Value::Sequence(events.collect()));
        }
        vec![Module {
            module_type: "trigger",
            item,
            owned: Owned::All,
        }]
    }

    fn events(&self) -> Vec<&'static str> {
        let filtered = self.filtered_events.iter().filter_map(|one| one.event);
        self.events.iter().copied().chain(filtered).collect()
    }

    fn wrong_options(&self) -> Vec<(String, String)> {
        let mut found = wrong(&[
            ("events", &checks::EVENTS, self.events),
            (
                "unknown_events",
                &checks::UNKNOWN_EVENTS,
                self.unknown_events,
            ),
            ("property_paths", &checks::PATHS, self.property_paths),
            ("fields", &checks::PATHS, self.fields),
        ]);
        for event in self.filtered_events {
            found.extend(wrong(&[
                ("event", &checks::EVENTS, event.event.as_slice()),
                ("property_paths", &checks::PATHS, event.property_paths),
                ("fields", &checks::PATHS, event.fields),
            ]));
        }
        // `ignore_self = false` is written, and is no filter.
        let has_filter =
            |filter: Option<&str>, flags: [bool; 2]| filter.is_some() || flags.contains(&true);
        let own = has_filter(self.filter, [self.ignore_self, self.licensed_only]);
        let each = self
            .filtered_events
            .iter()
            .all(|one| has_filter(one.filter, [one.ignore_self, one.licensed_only]));
        if !each || (self.on_error.is_some() && !own) {
            found.push((
                "`on_error`, or an event of `filtered_events`, without a filter".to_owned(),
                "write `filter = \"…\"`, `ignore_self` or `licensed_only`".to_owned(),
            ));
        }
        found
    }

    fn simulation(&self) -> Simulation {
        let events = self.events.iter().chain(self.unknown_events).copied();
        let filtered = self.filtered_events.iter().map(FilteredEvent::name);
        let event = events.chain(filtered).next();
        Simulation::of_platform(sample(event.unwrap_or_default()))
    }
}

/// One event with a filter of its own, in a trigger's `filtered_events`.
///
/// ```
/// use forge_remote::prelude::*;
///
/// #[trigger(filtered_events = [
///     (event = "avi:jira:created:issue", ignore_self),
///     (event = "avi:jira:updated:issue", filter = "event.issue.fields.project.key == 'DEV'"),
/// ])]
/// async fn follow(Event(event): Event) -> Result<()> {
///     println!("{event}");
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilteredEvent {
    /// The event,
    pub event: Option<&'static str>,
    /// or one that this version doesn't know.
    pub unknown_event: Option<&'static str>,
    /// As a trigger's. Forge wants one of `filter`, `ignore_self` and `licensed_only`.
    pub filter: Option<&'static str>,
    /// As a trigger's.
    pub on_error: Option<&'static str>,
    /// As a trigger's.
    pub ignore_self: bool,
    /// As a trigger's.
    pub licensed_only: bool,
    /// As a trigger's.
    pub property_paths: &'static [&'static str],
    /// As a trigger's.
    pub fields: &'static [&'static str],
}

impl FilteredEvent {
    fn name(&self) -> &'static str {
        self.event.or(self.unknown_event).unwrap_or_default()
    }

    fn item(&self) -> Value {
        let mut item = Mapping::new();
        item.insert("eventType".into(), self.name().into());
        let conditions = Conditions {
            filter: self.filter,
            on_error: self.on_error,
            ignore_self: self.ignore_self,
            licensed_only: self.licensed_only,
            property_paths: self.property_paths,
            fields: self.fields,
        };
        conditions.write(&mut item);
        Value::Mapping(item)
    }
}

/// `filter` and `payload`, of a trigger or of one of its events.
struct Conditions {
    filter: Option<&'static str>,
    on_error: Option<&'static str>,
    ignore_self: bool,
    licensed_only: bool,
    property_paths: &'static [&'static str],
    fields: &'static [&'static str],
}

impl Conditions {
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
            let include = super::nested("include", Value::Mapping(include));
            item.insert("payload".into(), include);
        }
    }
}

/// What a trigger's item in a manifest says of each event, in whichever form: its filter and its
/// payload. `None` where Atlassian doesn't say what it means.
fn meaning(item: &Value) -> Option<Vec<(&str, Mapping, &Value)>> {
    // Forge's defaults say nothing.
    let spoken = |filter: &Value| -> Mapping {
        let parts = filter.as_mapping().into_iter().flatten();
        let parts = parts.filter(|(name, value)| {
            **value != Value::Bool(false)
                && !(*name == "onError" && value.as_str() == Some("IGNORE_AND_LOG"))
        });
        parts
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    const NOTHING: &Value = &Value::Null;
    let events = item.get("events")?.as_sequence()?;
    let mut said = Vec::new();
    for event in events {
        let (name, of) = match event {
            Value::String(name) => (name.as_str(), item),
            event => {
                // Whether the trigger's own count too isn't documented.
                if item.get("filter").is_some() || item.get("payload").is_some() {
                    return None;
                }
                (event.get("eventType")?.as_str()?, event)
            }
        };
        let filter = spoken(of.get("filter").unwrap_or(NOTHING));
        said.push((name, filter, of.get("payload").unwrap_or(NOTHING)));
    }
    said.sort_by_key(|(name, ..)| *name);
    Some(said)
}

/// What is wanted of a trigger's item where the one that is there says the same in the other
/// form: that it stays.
pub(crate) fn wanted_of_trigger(found: &Value, wanted: &Mapping) -> Mapping {
    let in_objects = |item: &Value| {
        let events = item.get("events").and_then(Value::as_sequence);
        events.is_some_and(|events| events.iter().any(Value::is_mapping))
    };
    let whole = Value::Mapping(wanted.clone());
    let mut wanted = wanted.clone();
    let one_has_objects = in_objects(found) || in_objects(&whole);
    let same = match (meaning(found), meaning(&whole)) {
        (Some(found), Some(wanted)) => found == wanted,
        _ => false,
    };
    if one_has_objects && same {
        for name in ["events", "filter", "payload"] {
            match found.get(name) {
                Some(value) => wanted.insert(name.into(), value.clone()),
                None => wanted.shift_remove(name),
            };
        }
    }
    wanted
}

/// An event of the shape its product's have.
fn sample(event: &str) -> serde_json::Value {
    use serde_json::json;
    let mut parts = event.split(':').skip(1);
    let (product, _, what) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
    match product {
        Some("forge") => json!({
            "eventType": event,
            "id": "00000000-0000-4000-a000-000000000001",
            "context": "ari:cloud:jira::site/00000000-0000-4000-a000-000000000002",
            "installerAccountId": "557058:local",
            "app": { "id": "00000000-0000-4000-a000-000000000000", "version": "1.0.0" },
            "environment": { "id": "00000000-0000-4000-a000-000000000003" },
        }),
        Some("confluence") => json!({
            "eventType": event,
            "eventCreatedDate": "2026-01-01T12:00:00.000Z",
            "atlassianId": "557058:local",
            "suppressNotifications": false,
            "selfGenerated": false,
            "content": {
                "id": "98304", "type": what, "status": "current", "title": "A page",
                "space": { "id": 65538, "key": "DEV", "name": "Development" },
            },
        }),
        Some("bitbucket") => json!({
            "eventType": event,
            "timestamp": "2026-01-01T12:00:00.000000Z",
            "actor": { "type": "user", "accountId": "557058:local" },
            "repository": { "uuid": "{00000000-0000-4000-a000-000000000004}", "slug": "code" },
            "project": { "uuid": "{00000000-0000-4000-a000-000000000005}" },
            "workspace": { "uuid": "{00000000-0000-4000-a000-000000000006}" },
        }),
        Some("jsm-entity") => json!({
            "eventType": event, "entityId": "10001", "entityType": what, "activationId": "local",
            "entityUpdateTimeStamp": "2026-01-01T12:00:00.000Z", "sequenceNumber": 1,
        }),
        Some("compass") => json!({
            "eventType": event, "selfGenerated": false,
            "component": { "id": "ari:cloud:compass:local:component/local" },
        }),
        _ => json!({
            "eventType": event,
            "selfGenerated": false,
            "timestamp": "1767268800000",
            "atlassianId": "557058:local",
            "issue": {
                "id": "10000", "key": "DEV-1",
                "fields": { "summary": "A work item", "project": { "id": "10000", "key": "DEV" } },
            },
        }),
    }
}

/// What comes with `avi:forge:installed:app` and `avi:forge:upgraded:app` (major versions only).
/// There is no event for removal: see [`PreUninstall`](super::PreUninstall).
///
/// Right after an installation the app's own calls may be refused for some minutes.
/// Source: <https://developer.atlassian.com/platform/forge/events-reference/life-cycle/>
///
/// ```
/// use forge_remote::kinds::LifecycleEvent;
/// use forge_remote::prelude::*;
///
/// #[trigger(events = ["avi:forge:installed:app", "avi:forge:upgraded:app"])]
/// async fn welcome(call: Invocation, Event(event): Event<LifecycleEvent>) -> Result<()> {
///     println!("{} is there, with version {:?}", call.installation_id(), event.app.version);
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleEvent {
    /// `avi:forge:installed:app` or `avi:forge:upgraded:app`; Atlassian's examples leave it out.
    pub event_type: Option<String>,
    /// The installation: the bare UUID, where the FIT has the ARI.
    pub id: Option<String>,
    /// The site's ARI, as far as has been seen.
    pub context: Option<serde_json::Value>,
    /// Who installed it.
    pub installer_account_id: Option<String>,
    /// Who upgraded it.
    pub upgrader_account_id: Option<String>,
    /// The app.
    #[serde(default, deserialize_with = "super::or_default")]
    pub app: LifecycleApp,
    /// Everything else: `environment`, `permissions`, …
    #[serde(flatten)]
    pub rest: Rest,
}

/// The app in a [`LifecycleEvent`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleApp {
    /// Its UUID, where the FIT has the ARI.
    pub id: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its owner's account.
    pub owner_account_id: Option<String>,
}
