//! The bodies of events: life-cycle, and the most used of the products. Every field can be missing,
//! and what isn't known is kept.

use serde::Deserialize;
use serde_json::Value;

use super::Rest;

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
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LifecycleEvent {
    /// `avi:forge:installed:app` or `avi:forge:upgraded:app`; Atlassian's examples leave it out.
    #[serde(deserialize_with = "super::text_if_any")]
    pub event_type: Option<String>,
    /// The installation: the bare UUID, where the FIT has the ARI.
    #[serde(deserialize_with = "super::text_if_any")]
    pub id: Option<String>,
    /// The site's ARI, as far as has been seen.
    pub context: Option<Value>,
    /// Who installed it.
    #[serde(deserialize_with = "super::text_if_any")]
    pub installer_account_id: Option<String>,
    /// Who upgraded it.
    #[serde(deserialize_with = "super::text_if_any")]
    pub upgrader_account_id: Option<String>,
    /// The app.
    #[serde(deserialize_with = "super::or_default")]
    pub app: LifecycleApp,
    /// Where it is installed.
    #[serde(deserialize_with = "super::if_it_fits")]
    pub environment: Option<LifecycleEnvironment>,
    /// What the app may do: with an upgrade.
    #[serde(deserialize_with = "super::if_it_fits")]
    pub permissions: Option<LifecyclePermissions>,
    /// Everything else.
    #[serde(flatten, deserialize_with = "super::without_token")]
    pub rest: Rest,
}

/// The app in a [`LifecycleEvent`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LifecycleApp {
    /// Its UUID, where the FIT has the ARI.
    #[serde(deserialize_with = "super::text_if_any")]
    pub id: Option<String>,
    /// Its version.
    #[serde(deserialize_with = "super::text_if_any")]
    pub version: Option<String>,
    /// Its name.
    #[serde(deserialize_with = "super::text_if_any")]
    pub name: Option<String>,
    /// Its owner's account.
    #[serde(deserialize_with = "super::text_if_any")]
    pub owner_account_id: Option<String>,
}

/// The app's environment in a [`LifecycleEvent`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LifecycleEnvironment {
    /// Its UUID, where the FIT has the ARI.
    #[serde(deserialize_with = "super::text_if_any")]
    pub id: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// The permissions in a [`LifecycleEvent`], as in the manifest of the app's new version.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LifecyclePermissions {
    /// The scopes.
    #[serde(deserialize_with = "super::or_default")]
    pub scopes: Vec<String>,
    /// Where its data may go: `fetch` with `client` and `backend`, `images`, …
    #[serde(deserialize_with = "super::or_default")]
    pub external: Rest,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What comes with the events of Jira's work items and their comments: `avi:jira:created:issue`,
/// `updated`, `deleted`, `assigned`, `viewed`, `mentioned`, `commented`, and
/// `avi:jira:mentioned:comment` and `deleted`.
///
/// ```
/// use forge_remote::kinds::ChangedIssue;
/// use forge_remote::prelude::*;
///
/// #[trigger(events = ["avi:jira:created:issue", "avi:jira:commented:issue"])]
/// async fn follow(Event(event): Event<ChangedIssue>) -> Result<()> {
///     println!("{:?}: {:?}", event.issue.key, event.issue.fields.get("summary"));
///     Ok(())
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/events-reference/jira/>
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ChangedIssue {
    /// The event.
    #[serde(deserialize_with = "super::text_if_any")]
    pub event_type: Option<String>,
    /// Whether the app itself did it; with the filter `ignore_self` it isn't said.
    #[serde(deserialize_with = "super::if_it_fits")]
    pub self_generated: Option<bool>,
    /// When it happened, in milliseconds since 1970.
    #[serde(deserialize_with = "super::text_if_any")]
    pub timestamp: Option<String>,
    /// Who did it.
    #[serde(deserialize_with = "super::text_if_any")]
    pub atlassian_id: Option<String>,
    /// What sort of update it was: `issue_generic`, `issue_moved`, …
    #[serde(deserialize_with = "super::text_if_any")]
    pub jira_event_type_name: Option<String>,
    /// The work item.
    #[serde(deserialize_with = "super::or_default")]
    pub issue: EventIssue,
    /// What changed: with `updated` and `assigned`.
    pub changelog: Option<Value>,
    /// The comment: with `commented` and the events of comments.
    pub comment: Option<Value>,
    /// Who is mentioned.
    #[serde(deserialize_with = "super::or_default")]
    pub mentioned_account_ids: Vec<String>,
    /// What the work item was copied from.
    pub cloned_from: Option<Value>,
    /// Who else it is about.
    pub associated_users: Option<Value>,
    /// The statuses before and after.
    pub associated_statuses: Option<Value>,
    /// Everything else.
    #[serde(flatten, deserialize_with = "super::without_token")]
    pub rest: Rest,
}

/// The work item in a [`ChangedIssue`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EventIssue {
    /// Its id.
    #[serde(deserialize_with = "super::text_if_any")]
    pub id: Option<String>,
    /// Its key, like `DEV-1`.
    #[serde(deserialize_with = "super::text_if_any")]
    pub key: Option<String>,
    /// Some of its fields: `summary`, `project`, `status`, …
    #[serde(deserialize_with = "super::or_default")]
    pub fields: Rest,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What comes with the events of Confluence's pages, live docs and blog posts, whiteboards,
/// databases, smart links, folders, comments and custom content.
///
/// ```
/// use forge_remote::kinds::ChangedPage;
/// use forge_remote::prelude::*;
///
/// #[trigger(events = ["avi:confluence:created:page", "avi:confluence:updated:page"])]
/// async fn index(Event(event): Event<ChangedPage>) -> Result<()> {
///     if event.self_generated == Some(true) {
///         return Ok(());
///     }
///     println!("{:?} in {:?}", event.content.title, event.content.space.key);
///     Ok(())
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/events-reference/confluence/>
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ChangedPage {
    /// The event.
    #[serde(deserialize_with = "super::text_if_any")]
    pub event_type: Option<String>,
    /// Who did it; nobody for an anonymous visitor.
    #[serde(deserialize_with = "super::text_if_any")]
    pub atlassian_id: Option<String>,
    /// When it happened, as ISO 8601.
    #[serde(deserialize_with = "super::text_if_any")]
    pub event_created_date: Option<String>,
    /// Whether nobody is notified.
    #[serde(deserialize_with = "super::if_it_fits")]
    pub suppress_notifications: Option<bool>,
    /// Whether the app itself did it.
    #[serde(deserialize_with = "super::if_it_fits")]
    pub self_generated: Option<bool>,
    /// Why it was updated.
    #[serde(deserialize_with = "super::text_if_any")]
    pub update_trigger: Option<String>,
    /// The page.
    #[serde(deserialize_with = "super::or_default")]
    pub content: EventContent,
    /// What it was before a move.
    #[serde(deserialize_with = "super::if_it_fits")]
    pub prev_content: Option<EventContent>,
    /// What it was copied from.
    #[serde(deserialize_with = "super::text_if_any")]
    pub origin_content_id: Option<String>,
    /// Everything else: the order of children, …
    #[serde(flatten, deserialize_with = "super::without_token")]
    pub rest: Rest,
}

/// The page in a [`ChangedPage`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventContent {
    /// Its id.
    #[serde(deserialize_with = "super::text_if_any")]
    pub id: Option<String>,
    /// `page`, `blogpost`, …
    #[serde(rename = "type", deserialize_with = "super::text_if_any")]
    pub content_type: Option<String>,
    /// `live` for a live doc.
    #[serde(deserialize_with = "super::text_if_any")]
    pub sub_type: Option<String>,
    /// `current`, `trashed`, `historical`, `draft` or `archived`.
    #[serde(deserialize_with = "super::text_if_any")]
    pub status: Option<String>,
    /// Its title.
    #[serde(deserialize_with = "super::text_if_any")]
    pub title: Option<String>,
    /// Its space.
    #[serde(deserialize_with = "super::or_default")]
    pub space: EventSpace,
    /// Everything else: `history`, `version`, …
    #[serde(flatten)]
    pub rest: Rest,
}

/// The space of an [`EventContent`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EventSpace {
    /// Its id.
    #[serde(deserialize_with = "super::text_if_any")]
    pub id: Option<String>,
    /// Its key.
    #[serde(deserialize_with = "super::text_if_any")]
    pub key: Option<String>,
    /// Its name.
    #[serde(deserialize_with = "super::text_if_any")]
    pub name: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// An event with the entity properties that the trigger's `property_paths` name.
///
/// ```
/// use forge_remote::kinds::{ChangedIssue, WithProperties};
/// use forge_remote::prelude::*;
///
/// #[trigger(events = ["avi:jira:updated:issue"], property_paths = ["issue.properties['app'].team"])]
/// async fn follow(Event(event): Event<WithProperties<ChangedIssue>>) -> Result<()> {
///     let team = event.property("issue.properties['app'].team");
///     println!("{:?} is of {team:?}", event.event.issue.key);
///     Ok(())
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/events-reference/product_events/>
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WithProperties<T> {
    /// The values by their paths. A path that leads nowhere is missing or `null`.
    #[serde(default, deserialize_with = "super::or_default")]
    pub payload_include_properties: Rest,
    /// The event itself.
    #[serde(flatten)]
    pub event: T,
}

impl<T> WithProperties<T> {
    /// The value at a path, as `property_paths` has it; nothing for one that leads nowhere.
    pub fn property(&self, path: &str) -> Option<&Value> {
        let value = self.payload_include_properties.get(path);
        value.filter(|value| !value.is_null())
    }
}
