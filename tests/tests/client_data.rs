//! Forge's storage, and acting for users who aren't there.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forge_remote::client::{Atlassian, ClientError};
use forge_remote_tests::back::{Counting, SITE, Server, Told, came, came_from, told};
use serde_json::{Value, json};

fn local(server: &Server) -> Atlassian {
    Atlassian::on_loopback(&server.origin)
        .unwrap()
        .clock(Counting::default())
}

#[tokio::test]
async fn storage_has_typed_values_and_no_value() {
    let kept: Mutex<BTreeMap<String, Value>> = Mutex::default();
    let server = Server::start(move |_, asked| {
        let key = asked.body["key"].as_str().unwrap_or_default().to_owned();
        let mut kept = kept.lock().unwrap();
        match asked.target.rsplit('/').next() {
            Some("set") => {
                kept.insert(key, asked.body["value"].clone());
                told(204, Value::Null).text("")
            }
            Some("delete") => match kept.remove(&key) {
                Some(_) => told(204, Value::Null).text(""),
                None => told(
                    404,
                    json!({ "code": "NOT_FOUND", "message": "no such key" }),
                ),
            },
            _ => match kept.get(&key) {
                Some(value) => told(200, json!({ "key": key, "value": value })),
                None if key == "old" => told(404, json!({ "code": "NOT_FOUND", "message": "no" })),
                None => told(404, json!({ "code": "KEY_NOT_FOUND", "message": "no" })),
            },
        }
    })
    .await;
    let came = came_from(&server).await;
    let storage = local(&server).storage(&came.call, &came.system);
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
        server.asked().last().unwrap().body,
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
    let server = Server::in_turn(vec![told(200, json!({ "key": "k", "value": 1 }))]).await;
    let came = came_from(&server).await;
    let storage = local(&server).storage(&came.call, &came.system);
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
            storage.set_all([("good", 1), (key, 2)]).await.unwrap_err(),
            storage.get_all::<u32>([key]).await.unwrap_err(),
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
async fn many_keys_go_in_batches_of_25() {
    let server = Server::start(|_, asked| {
        let items = asked.body.as_array().cloned().unwrap_or_default();
        assert!(items.len() <= 25, "Atlassian takes no more");
        let done = items
            .iter()
            .map(|item| json!({ "key": item["key"], "value": 1 }));
        let failed = [json!({ "key": items[0]["key"], "error": { "code": "MAX_SIZE" } })];
        let is_get = asked.target.ends_with("/get");
        let failed: &[Value] = if is_get { &[] } else { &failed };
        told(
            200,
            json!({ "successfulKeys": done.collect::<Vec<_>>(), "failedKeys": failed }),
        )
    })
    .await;
    let came = came_from(&server).await;
    let storage = local(&server).storage(&came.call, &came.system);
    let keys: Vec<String> = (0..60).map(|at| format!("k{at}")).collect();
    let set = storage
        .set_all(keys.iter().map(|key| (key, 1)))
        .await
        .unwrap();
    let failed: Vec<&str> = set.failed_keys.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(failed, ["k0", "k25", "k50"]);
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

#[tokio::test]
async fn a_storage_query_that_goes_in_circles_is_an_error() {
    let page = json!({ "data": [{ "key": "a", "value": 1 }], "cursor": "same" });
    let server = Server::in_turn(vec![told(200, page)]).await;
    let came = came_from(&server).await;
    let storage = local(&server).storage(&came.call, &came.system);
    let mut query = storage.query::<u32>();
    for _ in 0..2 {
        assert_eq!(query.next().await.unwrap().unwrap().value, 1);
    }
    let error = query.next().await.unwrap().unwrap_err().to_string();
    assert!(error.contains("no end of pages"), "{error}");
    assert!(query.next().await.is_none());
}

#[tokio::test]
async fn storage_sends_what_atlassian_documents() {
    let server = Server::start(|_, asked| match asked.target.as_str() {
        "/forge/storage/kvs/v1/query" if asked.body.get("after").is_none() => {
            told(200, json!({ "data": [{ "key": "p1", "value": 1 }], "cursor": "c" }))
        }
        "/forge/storage/kvs/v1/query" => told(200, json!({ "data": [{ "key": "p2", "value": 2 }] })),
        "/forge/storage/kvs/v1/entity/query" => told(200, json!({ "data": [] })),
        "/forge/storage/kvs/v1/batch/set" => told(
            200,
            json!({ "successfulKeys": [{ "key": "a" }], "failedKeys": [{ "key": "b", "error": { "code": "MAX_SIZE", "message": "m" } }] }),
        ),
        "/forge/storage/kvs/v1/batch/get" => told(
            200,
            json!({ "successfulKeys": [{ "key": "a", "value": 1 }], "failedKeys": [{ "key": "b", "error": { "code": "KEY_NOT_FOUND" } }] }),
        ),
        _ => told(200, json!({ "key": "k", "value": 7 })),
    })
    .await;
    let came = came_from(&server).await;
    let storage = local(&server).storage(&came.call, &came.system);
    let body = || server.asked().last().unwrap().body.clone();

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

    storage
        .transaction()
        .set("a", &1)
        .set_entity("e", "b", &2)
        .delete("c")
        .check("e", "d", json!({ "and": [] }))
        .send()
        .await
        .unwrap();
    let set = json!([{ "key": "a", "value": 1 }, { "key": "b", "value": 2, "entityName": "e" }]);
    let check = json!([{ "key": "d", "entityName": "e", "conditions": { "and": [] } }]);
    assert_eq!(
        body(),
        json!({ "set": set, "delete": [{ "key": "c" }], "check": check })
    );
}

#[tokio::test]
async fn storage_is_asked_again_where_that_does_no_harm() {
    let server = Server::in_turn(vec![told(
        429,
        json!({ "code": "RATE_LIMIT_EXCEEDED", "message": "slow" }),
    )])
    .await;
    let came = came_from(&server).await;
    let storage = local(&server).storage(&came.call, &came.system);
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

/// The exchange's answer.
fn exchanged(token: &str, ttl: u64) -> Told {
    let outcome =
        json!({ "success": true, "errors": null, "authToken": { "token": token, "ttl": ttl } });
    told(200, json!({ "data": { "offlineUserAuthToken": outcome } }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_users_token_is_exchanged_once_for_all_and_kept() {
    let server = Server::start(|count, _| {
        exchanged(&format!("user-token-{count}"), 3600).after(Duration::from_millis(20))
    })
    .await;
    let came = came_from(&server).await;
    let clock = Counting::default();
    let atlassian = local(&server).clock(clock.clone());
    let jira = atlassian.jira(&came.call);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (jira, system) = (jira.clone(), came.system.clone());
        all.spawn(async move { jira.impersonate(&system, "account-1").await });
    }
    for token in all.join_all().await {
        assert_eq!(token.unwrap().expose_secret(), "user-token-0");
    }
    assert_eq!(server.lines(), ["POST /graphql"]);
    let asked = &server.asked()[0];
    let input =
        json!({ "contextIds": [format!("ari:cloud:jira::site/{SITE}")], "userId": "account-1" });
    assert_eq!(asked.body["variables"]["input"], input);
    assert!(
        asked.body["query"]
            .as_str()
            .unwrap()
            .contains("offlineUserAuthToken")
    );
    assert_eq!(
        asked.header("authorization"),
        format!("Bearer {}", came.system.expose_secret())
    );

    // Until its real end, less a margin.
    clock.advance(Duration::from_secs(3600 - 61));
    let again = jira.impersonate(&came.system, "account-1").await.unwrap();
    assert_eq!(again.expose_secret(), "user-token-0");
    clock.advance(Duration::from_secs(2));
    let next = jira.impersonate(&came.system, "account-1").await.unwrap();
    assert_eq!(next.expose_secret(), "user-token-1");

    // What was forgotten is exchanged anew, and only that.
    jira.forget("somebody-else");
    jira.impersonate(&came.system, "account-1").await.unwrap();
    assert_eq!(server.lines().len(), 2);
    jira.forget("account-1");
    let anew = jira.impersonate(&came.system, "account-1").await.unwrap();
    assert_eq!(anew.expose_secret(), "user-token-2");

    // Another user, product, or token is another exchange.
    jira.impersonate(&came.system, "account-2").await.unwrap();
    atlassian
        .confluence(&came.call)
        .impersonate(&came.system, "account-1")
        .await
        .unwrap();
    let context = server.asked()[4].body["variables"]["input"]["contextIds"][0].clone();
    assert_eq!(context, format!("ari:cloud:confluence::site/{SITE}"));
    let other = came_from(&server).await;
    jira.impersonate(&other.system, "account-1").await.unwrap();
    assert_eq!(server.lines().len(), 6);
}

#[tokio::test]
async fn every_way_an_exchange_fails_is_told_and_not_kept() {
    let failures = [
        (
            told(401, json!({ "message": "Unauthorized" })),
            "answered 401 Unauthorized",
        ),
        (
            told(403, json!({ "message": "no impersonation here" })),
            "answered 403 Forbidden: no impersonation here",
        ),
        (
            told(
                200,
                json!({ "data": null, "errors": [{ "message": "no such field" }] }),
            ),
            "no such field",
        ),
        (
            told(
                200,
                json!({ "data": { "offlineUserAuthToken": { "success": false, "errors": [{ "message": "no such user" }], "authToken": null } } }),
            ),
            "no such user",
        ),
        (
            told(
                200,
                json!({ "data": { "offlineUserAuthToken": { "success": true, "authToken": null } } }),
            ),
            "no reason",
        ),
        (exchanged("two words", 60), "no reason"),
        (told(200, Value::Null).text("<html>"), "does not fit"),
    ];
    for (failure, words) in failures {
        let good = exchanged("at-last", 60);
        let server = Server::in_turn(vec![failure, good]).await;
        let came = came_from(&server).await;
        let jira = local(&server).jira(&came.call);
        let error = jira
            .impersonate(&came.system, "account")
            .await
            .map(|_| ())
            .unwrap_err();
        assert!(matches!(error, ClientError::Impersonation(_)), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        let token = jira.impersonate(&came.system, "account").await.unwrap();
        assert_eq!(token.expose_secret(), "at-last");
    }
}

#[tokio::test]
async fn an_exchange_that_nobody_awaits_any_more_is_started_anew() {
    let started = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&started);
    let server = Server::start(move |_, _| match count.fetch_add(1, Ordering::SeqCst) {
        0 => exchanged("late", 60).after(Duration::from_secs(600)),
        _ => exchanged("soon", 60),
    })
    .await;
    let came = came_from(&server).await;
    let jira = local(&server).jira(&came.call);
    let first = tokio::spawn({
        let (jira, system) = (jira.clone(), came.system.clone());
        async move { jira.impersonate(&system, "account").await.map(|_| ()) }
    });
    while started.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    first.await.unwrap_err();
    let token = jira.impersonate(&came.system, "account").await.unwrap();
    assert_eq!(token.expose_secret(), "soon");
}

#[tokio::test]
async fn users_are_impersonated_where_forge_allows_it() {
    let server = Server::in_turn(vec![exchanged("x", 60)]).await;
    let here = came_from(&server).await;
    let error = local(&server)
        .bitbucket(&here.call)
        .impersonate(&here.system, "a")
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(
        error.to_string().contains("Jira and Confluence only"),
        "{error}"
    );
    let error = local(&server)
        .jira(&here.call)
        .impersonate(&here.system, "")
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, ClientError::Invalid { .. }), "{error}");
    let elsewhere = came(&[("bitbucket", "https://api.bitbucket.org")]).await;
    let error = local(&server)
        .jira(&elsewhere.call)
        .impersonate(&elsewhere.system, "a")
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, ClientError::NotInstalled { .. }), "{error}");
    assert_eq!(server.lines(), [""; 0]);
}
