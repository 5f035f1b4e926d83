//! Batches of Forge storage: their size, their progress, and the items that are not sent.

use std::collections::BTreeMap;
use std::time::Duration;

use forge_remote::client::{BatchError, BatchKey, ClientError};
use forge_remote_tests::fake_api::{Server, instant_client, respond, scheduled_call_for};
use serde_json::{Value, json};

#[tokio::test]
async fn many_keys_go_in_batches_of_25() {
    let server = Server::start(|_, request| {
        let items = request.body.as_array().cloned().unwrap_or_default();
        assert!(items.len() <= 25, "Atlassian's limit");
        let done = items
            .iter()
            .map(|item| json!({ "key": item["key"], "value": 1 }));
        let failed = [json!({ "key": items[0]["key"], "error": { "code": "MAX_SIZE" } })];
        let is_get = request.target.ends_with("/get");
        let (failed, most): (&[Value], _) = if is_get { (&[], 0) } else { (&failed, 1) };
        respond(
            200,
            json!({ "successfulKeys": done.skip(most).collect::<Vec<_>>(), "failedKeys": failed }),
        )
    })
    .await;
    let received = scheduled_call_for(&server).await;
    let storage = instant_client(&server).storage(&received.call, &received.system);
    let keys: Vec<String> = (0..60).map(|at| format!("k{at}")).collect();
    let set = storage
        .set_all(keys.iter().map(|key| (key, 1)))
        .await
        .unwrap();
    let failed: Vec<&str> = set.failed_keys.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(failed, ["k0", "k25", "k50"]);
    let done: Vec<&str> = set.done.iter().map(|one| one.key.as_str()).collect();
    assert_eq!((done.len(), done[0], done[24]), (57, "k1", "k26"));
    let got = storage.get_all::<u32>(&keys).await.unwrap();
    let got: Vec<String> = got.into_iter().map(|item| item.key).collect();
    assert_eq!(got, keys);
    storage.delete_all(&keys).await.unwrap();
    assert_eq!(server.lines().len(), 9);

    let transaction = keys[..26]
        .iter()
        .fold(storage.transaction(), |all, key| all.set(key, &1));
    let error = transaction.send().await.unwrap_err().to_string();
    assert!(error.contains("25 operations"), "{error}");
    assert_eq!(server.lines().len(), 9);
}

/// A sync can resume after the last completed item.
#[tokio::test]
async fn a_batch_that_ends_early_reports_its_progress() {
    let server = Server::start(|_, request| {
        let items = request.body.as_array().unwrap();
        match items[0]["key"].as_str() {
            Some("k0") => {
                let done: Vec<&Value> = items[2..].iter().collect();
                let failed =
                    json!({ "key": "k0", "entityName": "e", "error": { "code": "MAX_SIZE" } });
                respond(
                    200,
                    json!({ "successfulKeys": done, "failedKeys": [failed] }),
                )
            }
            _ => respond(
                400,
                json!({ "code": "INVALID_ENTITY_VALUE", "message": "no" }),
            ),
        }
    })
    .await;
    let received = scheduled_call_for(&server).await;
    let storage = instant_client(&server).storage(&received.call, &received.system);
    let keys: Vec<String> = (0..60).map(|at| format!("k{at}")).collect();
    let ends = |error: &BatchError| {
        let [done, unsure, not_tried] = [&error.done, &error.unsure, &error.not_tried];
        let ends = |keys: &[BatchKey]| {
            (
                keys.len(),
                keys.first().unwrap().key.clone(),
                keys.last().unwrap().key.clone(),
            )
        };
        [done, unsure, not_tried].map(|keys| ends(keys))
    };
    let expected = [(23, "k2", "k24"), (25, "k25", "k49"), (10, "k50", "k59")]
        .map(|(count, first, last)| (count, first.to_owned(), last.to_owned()));
    let set = storage
        .set_all(keys.iter().map(|key| (key, 1)))
        .await
        .unwrap_err();
    let deleted = storage.delete_all(&keys).await.unwrap_err();
    for error in [set, deleted] {
        assert_eq!(ends(&error), expected);
        // One item failed, and one is missing from the response.
        let failed: Vec<_> = error
            .failed_keys
            .iter()
            .map(|one| (one.key.as_str(), one.code()))
            .collect();
        assert_eq!(failed, [("k0", Some("MAX_SIZE")), ("k1", None)]);
        assert_eq!(error.failed_keys[0].entity_name.as_deref(), Some("e"));
        assert_eq!(
            error.error.status_error().unwrap().code(),
            Some("INVALID_ENTITY_VALUE")
        );
        let text = error.to_string();
        assert!(
            text.contains("23 done, 2 failed, 25 perhaps done, 10 not tried"),
            "{text}"
        );
        // For callers that only need the failure.
        let error: ClientError = error.into();
        assert!(matches!(error, ClientError::Status(_)), "{error}");
    }
}

#[tokio::test]
async fn a_batch_is_split_by_its_size_too() {
    let server = Server::start(|_, request| {
        let bytes = request.body.to_string().len();
        assert!(bytes <= 4_000_000, "Atlassian's limit: {bytes}");
        respond(
            200,
            json!({ "successfulKeys": request.body, "failedKeys": [] }),
        )
    })
    .await;
    let received = scheduled_call_for(&server).await;
    let storage = instant_client(&server).storage(&received.call, &received.system);
    let large = "x".repeat(240 * 1024);
    let set = storage
        .set_all((0..25).map(|at| (format!("k{at}"), &large)))
        .await
        .unwrap();
    assert_eq!(set.done.len(), 25);
    assert_eq!(server.lines().len(), 2);
}

/// Changes that Atlassian always rejects are rejected without a request.
#[tokio::test]
async fn impossible_changes_are_not_sent() {
    let server = Server::in_turn(vec![respond(200, json!({}))]).await;
    let received = scheduled_call_for(&server).await;
    let storage = instant_client(&server).storage(&received.call, &received.system);
    let second = Duration::from_secs(1);
    let errors = [
        (
            storage.transaction().set("k", &1).delete("k").send().await,
            "a key twice",
        ),
        (
            storage
                .transaction()
                .delete("k")
                .expires_in(second)
                .send()
                .await,
            "`expires_in`",
        ),
        (
            storage.transaction().expires_in(second).send().await,
            "`expires_in`",
        ),
        (
            storage
                .transaction()
                .set("k", &1)
                .if_current(json!({}))
                .send()
                .await,
            "`if_current`",
        ),
        (
            storage
                .transaction()
                .require("e", "k", json!({}))
                .if_current(json!({}))
                .send()
                .await,
            "`if_current`",
        ),
        (
            storage
                .set_all([("k", 1), ("k", 2)])
                .await
                .map(drop)
                .map_err(Into::into),
            "a key twice",
        ),
        (
            storage
                .batch()
                .expires_in(second)
                .send()
                .await
                .map(drop)
                .map_err(Into::into),
            "`expires_in`",
        ),
        (
            storage.set("k", &BTreeMap::from([(vec![1], 1)])).await,
            "as JSON",
        ),
    ];
    for (result, error_text) in errors {
        let error = result.unwrap_err();
        assert!(matches!(error, ClientError::Invalid { .. }), "{error}");
        assert!(error.to_string().contains(error_text), "{error}");
    }
    assert_eq!(server.lines(), [""; 0]);
    // The same key with and without an entity type are two keys.
    let both = storage.batch().set("k", &1).set_entity("e", "k", &2);
    let _ = both.send().await;
    storage
        .transaction()
        .set("k", &1)
        .delete_entity("e", "k")
        .send()
        .await
        .unwrap();
    assert_eq!(server.lines().len(), 2);
}
