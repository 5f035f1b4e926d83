//! The bodies of events: life-cycle, and the most used of the products. Every field can be missing,
//! and what isn't known is kept.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::rest::Rest;
use crate::json::{Members, payload};

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
#[derive(Clone, Debug, Default)]
pub struct LifecycleEvent {
    /// `avi:forge:installed:app` or `avi:forge:upgraded:app`; Atlassian's examples leave it out.
    pub event_type: Option<String>,
    /// The installation: the bare UUID, where the FIT has the ARI.
    pub id: Option<String>,
    /// The site's ARI, as far as has been seen.
    pub context: Option<Value>,
    /// Who installed it.
    pub installer_account_id: Option<String>,
    /// Who upgraded it.
    pub upgrader_account_id: Option<String>,
    /// The app.
    pub app: LifecycleApp,
    /// Where it is installed.
    pub environment: Option<LifecycleEnvironment>,
    /// What the app may do: with an upgrade.
    pub permissions: Option<LifecyclePermissions>,
    /// Everything else.
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
pub struct LifecycleApp {
    /// Its UUID, where the FIT has the ARI.
    pub id: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its owner's account.
    pub owner_account_id: Option<String>,
    /// Everything else.
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
pub struct LifecycleEnvironment {
    /// Its UUID, where the FIT has the ARI.
    pub id: Option<String>,
    /// Everything else.
    pub rest: Rest,
}

payload!(LifecycleEnvironment { id: "id" });

/// The permissions in a [`LifecycleEvent`], as in the manifest of the app's new version.
#[derive(Clone, Debug, Default)]
pub struct LifecyclePermissions {
    /// The scopes.
    pub scopes: Vec<String>,
    /// Where its data may go: `fetch` with `client` and `backend`, `images`, …
    pub external: Rest,
    /// Everything else.
    pub rest: Rest,
}

payload!(LifecyclePermissions {
    scopes: "scopes",
    external: "external",
});

/// What comes with the events of Jira's work items and their comments: `avi:jira:created:issue`,
/// `updated`, `deleted`, `assigned`, `viewed`, `mentioned`, `commented`, and
/// `avi:jira:mentioned:comment` and `deleted`.
///
/// ```
/// use forge_remote::kinds::IssueEvent;
/// use forge_remote::prelude::*;
///
/// #[trigger(events = ["avi:jira:created:issue", "avi:jira:commented:issue"])]
/// async fn follow(Event(event): Event<IssueEvent>) -> Result<()> {
///     println!("{:?}: {:?}", event.issue.key, event.issue.fields.get("summary"));
///     Ok(())
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/events-reference/jira/>
#[derive(Clone, Debug, Default)]
pub struct IssueEvent {
    /// The event.
    pub event_type: Option<String>,
    /// Whether the app itself did it; with the filter `ignore_self` it isn't said.
    pub self_generated: Option<bool>,
    /// When it happened, in milliseconds since 1970.
    pub timestamp: Option<String>,
    /// Who did it.
    pub atlassian_id: Option<String>,
    /// What sort of update it was: `issue_generic`, `issue_moved`, …
    pub jira_event_type_name: Option<String>,
    /// The work item.
    pub issue: EventIssue,
    /// What changed: with `updated` and `assigned`.
    pub changelog: Option<Value>,
    /// The comment: with `commented` and the events of comments.
    pub comment: Option<Value>,
    /// Who is mentioned.
    pub mentioned_account_ids: Vec<String>,
    /// What the work item was copied from.
    pub cloned_from: Option<Value>,
    /// Who else it is about.
    pub associated_users: Option<Value>,
    /// The statuses before and after.
    pub associated_statuses: Option<Value>,
    /// Everything else.
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

/// The work item in a [`IssueEvent`].
#[derive(Clone, Debug, Default)]
pub struct EventIssue {
    /// Its id.
    pub id: Option<String>,
    /// Its key, like `DEV-1`.
    pub key: Option<String>,
    /// Some of its fields: `summary`, `project`, `status`, …
    pub fields: Rest,
    /// Everything else.
    pub rest: Rest,
}

payload!(EventIssue {
    id: "id",
    key: "key",
    fields: "fields",
});

/// What comes with the events of Confluence's pages, live docs and blog posts, whiteboards,
/// databases, smart links, folders, comments and custom content.
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
pub struct PageEvent {
    /// The event.
    pub event_type: Option<String>,
    /// Who did it; nobody for an anonymous visitor.
    pub atlassian_id: Option<String>,
    /// When it happened, as ISO 8601.
    pub event_created_date: Option<String>,
    /// Whether nobody is notified.
    pub suppress_notifications: Option<bool>,
    /// Whether the app itself did it.
    pub self_generated: Option<bool>,
    /// Why it was updated.
    pub update_trigger: Option<String>,
    /// The page.
    pub content: EventContent,
    /// What it was before a move.
    pub prev_content: Option<EventContent>,
    /// What it was copied from.
    pub origin_content_id: Option<String>,
    /// Everything else: the order of children, …
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

/// The page in a [`PageEvent`].
#[derive(Clone, Debug, Default)]
pub struct EventContent {
    /// Its id.
    pub id: Option<String>,
    /// `page`, `blogpost`, …
    pub content_type: Option<String>,
    /// `live` for a live doc.
    pub sub_type: Option<String>,
    /// `current`, `trashed`, `historical`, `draft` or `archived`.
    pub status: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// Its space.
    pub space: EventSpace,
    /// Everything else: `history`, `version`, …
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
pub struct EventSpace {
    /// Its id.
    pub id: Option<String>,
    /// Its key.
    pub key: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Everything else.
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
/// async fn follow(Event(event): Event<WithProperties<IssueEvent>>) -> Result<()> {
///     let team = event.property("issue.properties['app'].team");
///     println!("{:?} is of {team:?}", event.event.issue.key);
///     Ok(())
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/events-reference/product_events/>
#[derive(Clone, Debug, Default)]
pub struct WithProperties<T> {
    /// The values by their paths. A path that leads nowhere is missing or `null`.
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
    /// The value at a path, as `property_paths` has it; nothing for one that leads nowhere.
    pub fn property(&self, path: &str) -> Option<&Value> {
        let value = self.payload_include_properties.get(path);
        value.filter(|value| !value.is_null())
    }
}
