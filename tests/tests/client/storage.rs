//! The storage client sends documented requests and rejects invalid calls without a request.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use forge_remote::client::ClientError;
use forge_remote_tests::fake_api::{Server, instant_client, respond, scheduled_call_for};
use serde_json::{Value, json};

#[tokio::test]
async fn storage_reads_typed_and_missing_values() {
    let stored: Mutex<BTreeMap<String, Value>> = Mutex::default();
    let server = Server::start(move |_, request| {
        let key = request.body["key"].as_str().unwrap_or_default().to_owned();
        let mut stored = stored.lock().unwrap();
        match request.target.rsplit('/').next() {
            Some("set") => {
                stored.insert(key, request.body["value"].clone());
                respond(204, Value::Null).text("")
            }
            Some("delete") => match stored.remove(&key) {
                Some(_) => respond(204, Value::Null).text(""),
                None => respond(
                    404,
                    json!({ "code": "NOT_FOUND", "message": "no such key" }),
                ),
            },
            _ => match stored.get(&key) {
                Some(value) => respond(200, json!({ "key": key, "value": value })),
                None if key == "old" => {
                    respond(404, json!({ "code": "NOT_FOUND", "message": "no" }))
                }
                None => respond(404, json!({ "code": "KEY_NOT_FOUND", "message": "no" })),
            },
        }
    })
    .await;
    let received = scheduled_call_for(&server).await;
    let storage = instant_client(&server).storage(&received.call, &received.system);
    assert_eq!(storage.get::<Vec<u32>>("new").await.unwrap(), None);
    assert_eq!(storage.get::<Vec<u32>>("old").await.unwrap(), None);
    storage.set("k:1", &[1, 2]).await.unwrap();
    assert_eq!(
        storage.get::<Vec<u32>>("k:1").await.unwrap(),
        Some(vec![1, 2])
    );
    let error = storage.get::<String>("k:1").await.unwrap_err();
    assert!(matches!(error, ClientError::Unreadable { .. }), "{error}");
    storage.delete("k:1").await.unwrap();
    storage.delete("k:1").await.unwrap();

    let entities = storage.entity("employee");
    entities.set("e1", &json!({ "name": "Ada" })).await.unwrap();
    assert_eq!(
        entities.get::<Value>("e1").await.unwrap(),
        Some(json!({ "name": "Ada" }))
    );
    assert_eq!(
        server.requests().last().unwrap().body,
        json!({ "entityName": "employee", "key": "e1" })
    );

    let secrets = storage.secrets();
    secrets.set("s", "hunter2").await.unwrap();
    let error = secrets.get::<u32>("s").await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    assert!(
        server
            .lines()
            .iter()
            .all(|line| line.starts_with("POST /forge/storage/kvs/v1/"))
    );
}

#[tokio::test]
async fn storage_keys_are_checked_before_anything_is_sent() {
    let server = Server::in_turn(vec![respond(200, json!({ "key": "k", "value": 1 }))]).await;
    let received = scheduled_call_for(&server).await;
    let storage = instant_client(&server).storage(&received.call, &received.system);
    let (longest, too_long) = ("k".repeat(500), "k".repeat(501));
    for key in [
        "",
        "  ",
        "\t\n",
        "a/b",
        "a\"b",
        "ä",
        "a%",
        too_long.as_str(),
    ] {
        let errors = [
            storage.get::<u32>(key).await.unwrap_err(),
            storage.set(key, &1).await.unwrap_err(),
            storage.delete(key).await.unwrap_err(),
            storage.secrets().get::<u32>(key).await.unwrap_err(),
            storage.entity("e").set(key, &1).await.unwrap_err(),
            storage.get_item::<u32>(key).await.unwrap_err(),
            *storage
                .set_all([("good", 1), (key, 2)])
                .await
                .unwrap_err()
                .error,
            *storage.get_all::<u32>([key]).await.unwrap_err().error,
            *storage.delete_all([key]).await.unwrap_err().error,
            *storage
                .entity("e")
                .get_items::<u32>([key])
                .await
                .unwrap_err()
                .error,
            storage
                .transaction()
                .set("good", &1)
                .delete(key)
                .send()
                .await
                .unwrap_err(),
        ];
        for error in errors {
            assert!(
                error.to_string().contains("a storage key"),
                "{key:?}: {error}"
            );
        }
    }
    assert_eq!(server.lines(), [""; 0]);
    for key in [longest.as_str(), "a b", "a:b.c_d-e#1"] {
        storage.get::<u32>(key).await.unwrap();
    }
}

#[tokio::test]
async fn a_storage_query_in_a_circle_is_an_error() {
    let page = json!({ "data": [{ "key": "a", "value": 1 }], "cursor": "same" });
    let server = Server::in_turn(vec![respond(200, page)]).await;
    let received = scheduled_call_for(&server).await;
    let storage = instant_client(&server).storage(&received.call, &received.system);
    let mut query = storage.query::<u32>();
    for _ in 0..2 {
        assert_eq!(query.next().await.unwrap().unwrap().value, 1);
    }
    let error = query.next().await.unwrap().unwrap_err().to_string();
    assert!(error.contains("does not end"), "{error}");
    assert!(query.next().await.is_none());
}

#[tokio::test]
async fn storage_sends_what_atlassian_documents() {
    let server = Server::start(|_, request| match request.target.as_str() {
        "/forge/storage/kvs/v1/query" if request.body.get("after").is_none() => {
            respond(200, json!({ "data": [{ "key": "p1", "value": 1 }], "cursor": "c" }))
        }
        "/forge/storage/kvs/v1/query" => respond(200, json!({ "data": [{ "key": "p2", "value": 2 }] })),
        "/forge/storage/kvs/v1/entity/query" => respond(200, json!({ "data": [] })),
        "/forge/storage/kvs/v1/batch/set" => respond(
            200,
            json!({ "successfulKeys": [{ "key": "a" }], "failedKeys": [{ "key": "b", "error": { "code": "MAX_SIZE", "message": "m" } }] }),
        ),
        "/forge/storage/kvs/v1/batch/get" => respond(
            200,
            json!({ "successfulKeys": [{ "key": "a", "value": 1 }], "failedKeys": [{ "key": "b", "error": { "code": "KEY_NOT_FOUND" } }] }),
        ),
        _ => respond(200, json!({ "key": "k", "value": 7 })),
    })
    .await;
    let received = scheduled_call_for(&server).await;
    let storage = instant_client(&server).storage(&received.call, &received.system);
    let body = || server.requests().last().unwrap().body.clone();

    storage
        .put("k", &1)
        .expires_in(Duration::from_secs(90))
        .if_absent()
        .send()
        .await
        .unwrap();
    let options =
        json!({ "ttl": { "value": 90, "unit": "SECONDS" }, "keyPolicy": "FAIL_IF_EXISTS" });
    assert_eq!(
        body(),
        json!({ "key": "k", "value": 1, "options": options })
    );
    let before: Option<u32> = storage.put("k", &1).replace().await.unwrap();
    assert_eq!(
        (before, body()["options"].clone()),
        (Some(7), json!({ "returnValue": "PREVIOUS" }))
    );

    let mut query = storage.query::<u32>().prefix("p").limit(1);
    let mut found = Vec::new();
    while let Some(item) = query.next().await {
        found.push(item.unwrap().value);
    }
    assert_eq!(found, [1, 2]);
    let starts = json!([{ "property": "key", "condition": "BEGINS_WITH", "values": ["p"] }]);
    assert_eq!(body(), json!({ "limit": 1, "where": starts, "after": "c" }));

    let page = storage
        .entity("e")
        .query::<Value>("by-name")
        .with("partition", json!(["x"]))
        .after("c")
        .page()
        .await
        .unwrap();
    assert!(page.data.is_empty());
    assert_eq!(
        body(),
        json!({ "entityName": "e", "indexName": "by-name", "partition": ["x"], "cursor": "c" })
    );

    let done = storage.set_all([("a", 1), ("b", 2)]).await.unwrap();
    assert!(!done.is_complete());
    assert_eq!(done.failed_keys[0].code(), Some("MAX_SIZE"));
    assert_eq!(
        body(),
        json!([{ "key": "a", "value": 1 }, { "key": "b", "value": 2 }])
    );
    let got = storage.get_all::<u32>(["a", "b"]).await.unwrap();
    assert_eq!(
        got.iter()
            .map(|item| (item.key.as_str(), item.value))
            .collect::<Vec<_>>(),
        [("a", 1)]
    );

    let minute = Duration::from_secs(60);
    storage
        .transaction()
        .set("a", &1)
        .expires_in(minute)
        .set_entity("e", "b", &2)
        .if_current(json!({ "or": [] }))
        .delete("c")
        .delete_entity("e", "c")
        .if_current(json!({ "and": [1] }))
        .require("e", "d", json!({ "and": [] }))
        .send()
        .await
        .unwrap();
    let ttl = json!({ "ttl": { "value": 60, "unit": "SECONDS" } });
    let set = json!([
        { "key": "a", "value": 1, "options": ttl },
        { "key": "b", "value": 2, "entityName": "e", "conditions": { "or": [] } },
    ]);
    let delete = json!([
        { "key": "c" },
        { "key": "c", "entityName": "e", "conditions": { "and": [1] } },
    ]);
    let check = json!([{ "key": "d", "entityName": "e", "conditions": { "and": [] } }]);
    assert_eq!(
        body(),
        json!({ "set": set, "delete": delete, "check": check })
    );

    let batch = storage.batch().set("k", &1).set_entity("e", "k", &2);
    let _ = batch.expires_in(minute).send().await.unwrap();
    let entity = json!({ "key": "k", "value": 2, "entityName": "e", "options": ttl });
    assert_eq!(body(), json!([{ "key": "k", "value": 1 }, entity]));
    let _ = storage.entity("e").delete_all(["a", "b", "a"]).await;
    let [a, b] = ["a", "b"].map(|key| json!({ "key": key, "entityName": "e" }));
    assert_eq!(body(), json!([a, b]));
}

/// The metadata that storage returns with an item.
#[tokio::test]
async fn items_have_their_metadata() {
    let fields = json!(["CREATED_AT", "UPDATED_AT", "EXPIRE_TIME"]);
    let server = Server::start(|_, request| {
        let item = json!({
            "key": "k", "value": 1, "createdAt": 1_753_750_184_233_u64,
            "updatedAt": 1_753_750_200_296_u64, "expireTime": "2026-01-15T16:12:19.000Z",
        });
        match request.target.rsplit('/').next() {
            Some("query") => respond(200, json!({ "data": [item] })),
            _ if request.target.contains("/batch/") => {
                respond(200, json!({ "successfulKeys": [item], "failedKeys": [] }))
            }
            _ => respond(200, item),
        }
    })
    .await;
    let received = scheduled_call_for(&server).await;
    let storage = instant_client(&server).storage(&received.call, &received.system);
    let options = || {
        let body = server.requests().last().unwrap().body.clone();
        body.get("options")
            .or(body.pointer("/0/options"))
            .cloned()
            .unwrap()
    };
    let request = json!({ "metadataFields": fields });
    let mut items = Vec::new();
    items.push(storage.get_item::<u32>("k").await.unwrap().unwrap());
    assert_eq!(options(), request);
    items.push(storage.entity("e").get_item("k").await.unwrap().unwrap());
    assert_eq!(options(), request);
    items.push(storage.secrets().get_item("k").await.unwrap().unwrap());
    assert_eq!(options(), request);
    items.push(
        storage
            .query()
            .with_metadata()
            .next()
            .await
            .unwrap()
            .unwrap(),
    );
    assert_eq!(options(), request);
    items.push(storage.get_items(["k"]).await.unwrap().remove(0));
    assert_eq!(options(), request);
    items.push(storage.put("k", &1).return_new().await.unwrap());
    assert_eq!(
        options(),
        json!({ "returnValue": "LATEST", "returnMetadataFields": fields })
    );
    items.push(storage.put("k", &1).return_old().await.unwrap().unwrap());
    assert_eq!(
        options(),
        json!({ "returnValue": "PREVIOUS", "returnMetadataFields": fields })
    );
    let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
    let ends = at(1_768_493_539_000);
    for item in items {
        assert_eq!((item.key.as_str(), item.value), ("k", 1));
        assert_eq!(item.created_at, Some(at(1_753_750_184_233)));
        assert_eq!(item.updated_at, Some(at(1_753_750_200_296)));
        assert_eq!(item.expire_time, Some(ends));
        // Storage still returns it for a while.
        assert!(item.has_expired(ends) && !item.has_expired(ends - Duration::from_millis(1)));
    }
}

#[tokio::test]
async fn a_write_returns_no_previous_value_for_a_new_key() {
    let server = Server::in_turn(vec![
        respond(204, Value::Null).text(""),
        respond(200, json!({ "key": "k" })),
        respond(200, json!({ "key": "k", "value": null })),
    ])
    .await;
    let received = scheduled_call_for(&server).await;
    let storage = instant_client(&server).storage(&received.call, &received.system);
    for _ in 0..3 {
        assert_eq!(storage.put("k", &1).replace::<u32>().await.unwrap(), None);
    }
    assert!(
        storage
            .put("k", &1)
            .return_old::<u32>()
            .await
            .unwrap()
            .is_none()
    );
}

/// An unreadable key neither passes for missing nor hides the others.
#[tokio::test]
async fn unreadable_keys_are_an_error() {
    let server = Server::start(|_, _| {
        let failed = [("b", "KEY_NOT_FOUND"), ("c", "INTERNAL")]
            .map(|(key, code)| json!({ "key": key, "error": { "code": code } }));
        respond(
            200,
            json!({ "successfulKeys": [{ "key": "a", "value": 1 }], "failedKeys": failed }),
        )
    })
    .await;
    let received = scheduled_call_for(&server).await;
    let storage = instant_client(&server).storage(&received.call, &received.system);
    let error = storage.get_all::<u32>(["a", "b", "c"]).await.unwrap_err();
    assert_eq!(error.done.len(), 1);
    let failed: Vec<&str> = error
        .failed_keys
        .iter()
        .map(|one| one.key.as_str())
        .collect();
    assert_eq!(failed, ["c"]);
    // There was a response, so the error is not one of an unsent call.
    assert!(
        !matches!(*error.error, ClientError::Invalid { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("INTERNAL"), "{error}");
    // Deleting a missing key succeeds.
    let deleted = storage.delete_all(["a", "b", "c"]).await.unwrap();
    let done: Vec<&str> = deleted.done.iter().map(|one| one.key.as_str()).collect();
    assert_eq!((done, deleted.failed_keys.len()), (vec!["a", "b"], 1));
}

#[tokio::test]
async fn storage_is_retried_where_that_is_safe() {
    let server = Server::in_turn(vec![respond(
        429,
        json!({ "code": "RATE_LIMIT_EXCEEDED", "message": "slow" }),
    )])
    .await;
    let received = scheduled_call_for(&server).await;
    let storage = instant_client(&server).storage(&received.call, &received.system);
    let mut before = 0;
    let mut attempts = || {
        let now = server.lines().len();
        std::mem::replace(&mut before, now).abs_diff(now)
    };
    let error = storage.get::<u32>("k").await.unwrap_err();
    assert!(error.to_string().contains("RATE_LIMIT_EXCEEDED"), "{error}");
    assert_eq!(attempts(), 4);
    storage.set("k", &1).await.unwrap_err();
    assert_eq!(attempts(), 4);
    storage.put("k", &1).if_absent().send().await.unwrap_err();
    assert_eq!(attempts(), 1);
    storage.put("k", &1).replace::<u32>().await.unwrap_err();
    assert_eq!(attempts(), 1);
    storage.transaction().delete("k").send().await.unwrap_err();
    assert_eq!(attempts(), 1);
}
