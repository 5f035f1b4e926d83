//! The bodies of lifecycle events and of the most used product events. Every field may be missing, and
//! unknown members are preserved.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::rest::Rest;
use crate::json::{Members, payload};

/// The payload of `avi:forge:installed:app` and `avi:forge:upgraded:app` (major versions only).
///
/// There is no event for an uninstallation: see [`PreUninstall`](super::PreUninstall). Right after an
/// installation, the app's own calls may be rejected for some minutes.
/// Source: <https://developer.atlassian.com/platform/forge/events-reference/life-cycle/>
///
/// ```
/// use forge_remote::kinds::LifecycleEvent;
/// use forge_remote::prelude::*;
///
/// #[trigger(events = ["avi:forge:installed:app", "avi:forge:upgraded:app"])]
/// async fn welcome(call: Invocation, Event(event): Event<LifecycleEvent>) -> Result<()> {
///     println!("{} is installed, with version {:?}", call.installation_id(), event.app.version);
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LifecycleEvent {
    /// The event: `avi:forge:installed:app` or `avi:forge:upgraded:app`; missing in Atlassian's examples.
    pub event_type: Option<String>,
    /// The installation's bare UUID; the FIT has the ARI.
    pub id: Option<String>,
    /// The context; a site's ARI in all calls seen so far.
    pub context: Option<Value>,
    /// The account id of the user who installed the app.
    pub installer_account_id: Option<String>,
    /// The account id of the user who upgraded the app.
    pub upgrader_account_id: Option<String>,
    /// The app.
    pub app: LifecycleApp,
    /// The app's environment.
    pub environment: Option<LifecycleEnvironment>,
    /// The app's permissions; set for an upgrade.
    pub permissions: Option<LifecyclePermissions>,
    /// All other members.
    pub rest: Rest,
}

payload!(LifecycleEvent {
    event_type: "eventType",
    id: "id",
    context: "context",
    installer_account_id: "installerAccountId",
    upgrader_account_id: "upgraderAccountId",
    app: "app",
    environment: "environment",
    permissions: "permissions",
});

/// The app in a [`LifecycleEvent`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LifecycleApp {
    /// The app's bare UUID; the FIT has the ARI.
    pub id: Option<String>,
    /// The app's version.
    pub version: Option<String>,
    /// The app's name.
    pub name: Option<String>,
    /// The account id of the app's owner.
    pub owner_account_id: Option<String>,
    /// All other members.
    pub rest: Rest,
}

payload!(LifecycleApp {
    id: "id",
    version: "version",
    name: "name",
    owner_account_id: "ownerAccountId",
});

/// The app's environment in a [`LifecycleEvent`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LifecycleEnvironment {
    /// The environment's bare UUID; the FIT has the ARI.
    pub id: Option<String>,
    /// All other members.
    pub rest: Rest,
}

payload!(LifecycleEnvironment { id: "id" });

/// The permissions in a [`LifecycleEvent`], as in the manifest of the app's new version.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LifecyclePermissions {
    /// The scopes.
    pub scopes: Vec<String>,
    /// The external hosts that may receive data: `fetch` with `client` and `backend`, `images`, …
    pub external: Rest,
    /// All other members.
    pub rest: Rest,
}

payload!(LifecyclePermissions {
    scopes: "scopes",
    external: "external",
});

/// The payload of the events of Jira's work items and their comments.
///
/// The events are `avi:jira:created:issue`, `updated`, `deleted`, `assigned`, `viewed`, `mentioned`,
/// `commented`, and `avi:jira:mentioned:comment` and `deleted`.
///
/// ```
/// use forge_remote::kinds::IssueEvent;
/// use forge_remote::prelude::*;
///
/// #[trigger(events = ["avi:jira:created:issue", "avi:jira:commented:issue"])]
/// async fn update_copy(Event(event): Event<IssueEvent>) -> Result<()> {
///     println!("{:?}: {:?}", event.issue.key, event.issue.fields.get("summary"));
///     Ok(())
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/events-reference/jira/>
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct IssueEvent {
    /// The event.
    pub event_type: Option<String>,
    /// Whether the app itself caused the event; missing with the filter `ignore_self`.
    pub self_generated: Option<bool>,
    /// The time of the event, in milliseconds since 1970.
    pub timestamp: Option<String>,
    /// The account id of the user who caused the event.
    pub atlassian_id: Option<String>,
    /// The type of update: `issue_generic`, `issue_moved`, …
    pub jira_event_type_name: Option<String>,
    /// The work item.
    pub issue: EventIssue,
    /// The changes; set for `updated` and `assigned`.
    pub changelog: Option<Value>,
    /// The comment; set for `commented` and the events of comments.
    pub comment: Option<Value>,
    /// The account ids of the mentioned users.
    pub mentioned_account_ids: Vec<String>,
    /// The source of a copied work item.
    pub cloned_from: Option<Value>,
    /// The other users that the event concerns.
    pub associated_users: Option<Value>,
    /// The statuses before and after.
    pub associated_statuses: Option<Value>,
    /// All other members.
    pub rest: Rest,
}

payload!(IssueEvent {
    event_type: "eventType",
    self_generated: "selfGenerated",
    timestamp: "timestamp",
    atlassian_id: "atlassianId",
    jira_event_type_name: "jiraEventTypeName",
    issue: "issue",
    changelog: "changelog",
    comment: "comment",
    mentioned_account_ids: "mentionedAccountIds",
    cloned_from: "clonedFrom",
    associated_users: "associatedUsers",
    associated_statuses: "associatedStatuses",
});

/// The work item in an [`IssueEvent`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct EventIssue {
    /// The work item's id.
    pub id: Option<String>,
    /// The work item's key, such as `DEV-1`.
    pub key: Option<String>,
    /// Some of the work item's fields: `summary`, `project`, `status`, …
    pub fields: Rest,
    /// All other members.
    pub rest: Rest,
}

payload!(EventIssue {
    id: "id",
    key: "key",
    fields: "fields",
});

/// The payload of the events of Confluence's content.
///
/// The content types are pages, live docs and blog posts, whiteboards, databases, smart links, folders,
/// comments and custom content.
///
/// ```
/// use forge_remote::kinds::PageEvent;
/// use forge_remote::prelude::*;
///
/// #[trigger(events = ["avi:confluence:created:page", "avi:confluence:updated:page"])]
/// async fn index(Event(event): Event<PageEvent>) -> Result<()> {
///     if event.self_generated == Some(true) {
///         return Ok(());
///     }
///     println!("{:?} in {:?}", event.content.title, event.content.space.key);
///     Ok(())
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/events-reference/confluence/>
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PageEvent {
    /// The event.
    pub event_type: Option<String>,
    /// The account id of the user who caused the event; missing for an anonymous user.
    pub atlassian_id: Option<String>,
    /// The time of the event, in ISO 8601.
    pub event_created_date: Option<String>,
    /// Whether notifications are suppressed.
    pub suppress_notifications: Option<bool>,
    /// Whether the app itself caused the event.
    pub self_generated: Option<bool>,
    /// The reason for the update.
    pub update_trigger: Option<String>,
    /// The content.
    pub content: EventContent,
    /// The content before a move.
    pub prev_content: Option<EventContent>,
    /// The id of the content that it was copied from.
    pub origin_content_id: Option<String>,
    /// All other members: the order of children, …
    pub rest: Rest,
}

payload!(PageEvent {
    event_type: "eventType",
    atlassian_id: "atlassianId",
    event_created_date: "eventCreatedDate",
    suppress_notifications: "suppressNotifications",
    self_generated: "selfGenerated",
    update_trigger: "updateTrigger",
    content: "content",
    prev_content: "prevContent",
    origin_content_id: "originContentId",
});

/// The content in a [`PageEvent`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct EventContent {
    /// The content's id.
    pub id: Option<String>,
    /// The content's type: `page`, `blogpost`, …
    pub content_type: Option<String>,
    /// The content's subtype: `live` for a live doc.
    pub sub_type: Option<String>,
    /// The content's status: `current`, `trashed`, `historical`, `draft` or `archived`.
    pub status: Option<String>,
    /// The content's title.
    pub title: Option<String>,
    /// The content's space.
    pub space: EventSpace,
    /// All other members: `history`, `version`, …
    pub rest: Rest,
}

payload!(EventContent {
    id: "id",
    content_type: "type",
    sub_type: "subType",
    status: "status",
    title: "title",
    space: "space",
});

/// The space of an [`EventContent`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct EventSpace {
    /// The space's id.
    pub id: Option<String>,
    /// The space's key.
    pub key: Option<String>,
    /// The space's name.
    pub name: Option<String>,
    /// All other members.
    pub rest: Rest,
}

payload!(EventSpace {
    id: "id",
    key: "key",
    name: "name",
});

/// An event with the entity properties that the trigger's `property_paths` name.
///
/// ```
/// use forge_remote::kinds::{IssueEvent, WithProperties};
/// use forge_remote::prelude::*;
///
/// #[trigger(events = ["avi:jira:updated:issue"], property_paths = ["issue.properties['app'].team"])]
/// async fn update_copy(Event(event): Event<WithProperties<IssueEvent>>) -> Result<()> {
///     let team = event.property("issue.properties['app'].team");
///     println!("{:?} belongs to {team:?}", event.event.issue.key);
///     Ok(())
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/events-reference/product_events/>
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WithProperties<T> {
    /// The values by path. A path that does not exist is missing or `null`.
    pub payload_include_properties: Rest,
    /// The event itself.
    pub event: T,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for WithProperties<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut members = Members::deserialize(deserializer)?;
        Ok(Self {
            payload_include_properties: members.take(&["payloadIncludeProperties"]),
            event: T::deserialize(members.into_value()).map_err(serde::de::Error::custom)?,
        })
    }
}

impl<T> WithProperties<T> {
    /// Returns the value at a path of `property_paths`; `None` for a path that does not exist.
    pub fn property(&self, path: &str) -> Option<&Value> {
        let value = self.payload_include_properties.get(path);
        value.filter(|value| !value.is_null())
    }
}
