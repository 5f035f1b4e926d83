//! `consumer`: the events of an async event queue.

use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, kinds};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::items::item;
use super::rest::Rest;
use crate::json::Members;
use crate::manifest::OwnedProperties;
use crate::registry::{Kind, Module, SampleCall};

/// The options of `#[consumer]`.
///
/// The manifest's schema allows an endpoint here; Atlassian's page documents functions only. So the
/// body is known of functions, and how long Forge waits is not: answer fast.
///
/// To have an event sent again later, return an error: an answer other than 2xx is the only means
/// known for a remote (events have it documented, queues say of functions that fail that they are
/// called again with a growing pause, for 24 hours). What a function returns for it,
/// `{"_retry": true, …}`, may well count as done when a remote answers it with 200. Events come at
/// least once: `event_id` tells them apart, and [`RetryContext`](crate::RetryContext) tells repetitions, with the
/// time that is left.
///
/// ```
/// use forge_remote::kinds::QueueEvent;
/// use forge_remote::prelude::*;
///
/// #[derive(serde::Deserialize)]
/// struct Import { file: String }
///
/// #[consumer(queue = "imports")]
/// async fn import(Event(event): Event<QueueEvent<Import>>) -> Result<()> {
///     println!("{} of job {:?}", event.body.file, event.job_id);
///     Ok(())
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/runtime-reference/async-events-api/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// The queue's name.
    pub queue: &'static str,
    /// Whether events that were pushed by another version of the app are taken (`crossVersion`).
    /// Atlassian calls it temporary, to be removed after 21 November 2025, and still lists it.
    /// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/consumer/>
    pub cross_version: bool,
}

impl Kind for Consumer {
    fn spec(&self) -> &'static KindSpec {
        &kinds::CONSUMER
    }

    fn modules(&self, names: &Names) -> Vec<Module> {
        let mut item = item(names);
        item.insert("queue".into(), self.queue.into());
        if self.cross_version {
            item.insert("crossVersion".into(), true.into());
        }
        vec![Module {
            module_type: self.spec().module_type,
            item,
            owned: OwnedProperties::All,
        }]
    }

    fn simulation(&self) -> SampleCall {
        SampleCall::of_platform(serde_json::json!({
            "queueName": self.queue, "jobId": "local-job", "eventId": "local-event", "body": {},
        }))
    }
}

/// An event of a queue, with the body that was pushed.
///
/// A `body` that doesn't fit `T` is refused with 422, and the queue sends the event again. Nothing else
/// in it refuses a call.
#[derive(Clone, Debug)]
pub struct QueueEvent<T = Value> {
    /// What was pushed.
    pub body: T,
    /// The queue.
    pub queue_name: Option<String>,
    /// The job that the events pushed together make.
    pub job_id: Option<String>,
    /// The event: the same each time it is sent again.
    pub event_id: Option<String>,
    /// Everything else.
    pub rest: Rest,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for QueueEvent<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut members = Members::deserialize(deserializer)?;
        let body = match members.remove("body") {
            Some(body) => T::deserialize(body).map_err(D::Error::custom)?,
            None => T::deserialize(Value::Null).map_err(|_| D::Error::missing_field("body"))?,
        };
        Ok(Self {
            body,
            queue_name: members.take(&["queueName"]),
            job_id: members.take(&["jobId"]),
            event_id: members.take(&["eventId"]),
            rest: members.rest(),
        })
    }
}
