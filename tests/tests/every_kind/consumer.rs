//! Events of a queue.

use forge_remote::kinds::*;
use forge_remote::prelude::*;
use serde_json::{Value, json};

use crate::harness::{harness, response};

#[consumer(queue = "imports", cross_version)]
async fn import(retry: RetryContext, Event(event): Event<QueueEvent>) -> Result<Json<Value>> {
    Ok(Json(json!([
        event.queue_name,
        event.event_id,
        event.body,
        retry.is_retry()
    ])))
}

#[tokio::test]
async fn an_event_of_a_queue_is_read() {
    let harness = harness();
    let queue = json!({ "body": { "a": 1 }, "queueName": "imports", "eventId": "e1", "retryContext": { "retryCount": 1 } });
    assert_eq!(
        response(&harness, "import", queue).await.1,
        json!(["imports", "e1", { "a": 1 }, true])
    );
}
