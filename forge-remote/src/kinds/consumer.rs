//! `consumer`: events of an async event queue.

use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, kinds};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::items::{item, module};
use super::rest::Rest;
use crate::json::Members;
use crate::registry::{Kind, Module, SampleCall};

/// The options of `#[consumer]`.
///
/// The manifest's schema allows an endpoint here, but Atlassian documents only functions. So it is
/// assumed that the body is the same as for functions; Forge's timeout is unknown, so respond
/// quickly.
///
/// To have an event retried later, return an error: a response other than 2xx is the only known way for a remote.
/// Atlassian documents it for product events. For queues it documents only that the event of a failing function is
/// retried, with backoff, for 24 hours. If a remote returns a function's `{"_retry": true, …}` with 200, it probably
/// counts as a success.
///
/// Events are delivered at least once: `event_id` identifies duplicates, and
/// [`RetryContext`](crate::RetryContext) detects retries and has the remaining time.
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
    /// Whether events pushed by another version of the app are accepted (`crossVersion`). Atlassian
    /// calls the option temporary, to be removed after 21 November 2025, but still lists it.
    /// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/consumer/>
    pub cross_version: bool,
}

impl Consumer {
    #[doc(hidden)]
    pub const NONE: Self = Self {
        queue: "",
        cross_version: false,
    };
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
        module(self.spec(), item)
    }

    fn sample_call(&self) -> SampleCall {
        SampleCall::from_platform(serde_json::json!({
            "queueName": self.queue, "jobId": "local-job", "eventId": "local-event", "body": {},
        }))
    }
}

/// An event of a queue.
///
/// A `body` that does not fit `T` is rejected with 422, and the queue retries the event. Other members
/// never cause a rejection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QueueEvent<T = Value> {
    /// The pushed body.
    pub body: T,
    /// The queue's name.
    pub queue_name: Option<String>,
    /// The id of the job; events pushed together form one job.
    pub job_id: Option<String>,
    /// The event's id, which is the same in each retry.
    pub event_id: Option<String>,
    /// All other members.
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
