//! The fake of Forge storage: rejections, entities, queries, transactions, expiry.

use std::time::Duration;

use forge_remote::client::{AtlassianClient, InstallationUrls};
use forge_remote::prelude::*;
use forge_remote::testing::{Harness, TestClock};
use serde_json::{Value, json};

use crate::fake_apis::app;

pub(crate) fn manifest(text: &str) -> std::path::PathBuf {
    let name = format!("manifest-{}.yml", forge_remote_tests::jws::unique_id());
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, text).unwrap();
    file
}

/// The storage API over plain HTTP, since the client rejects some of these requests itself.
struct Storage {
    harness: Harness,
    clock: TestClock,
    http: reqwest::Client,
}

impl Storage {
    async fn new() -> Self {
        Self::of(app()).await
    }

    async fn of(app: App) -> Self {
        let clock = TestClock::new();
        Self {
            harness: Harness::with_apis(app.clock(clock.clone())).await.unwrap(),
            clock,
            http: reqwest::Client::builder()
                .no_proxy()
                .tls_certs_only([])
                .build()
                .unwrap(),
        }
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let platform = self.harness.platform();
        let url = format!("{}/forge/storage/kvs/v1/{path}", platform.apis_url());
        let call = self
            .http
            .post(url)
            .bearer_auth(platform.system_token().expose_secret());
        let call = call
            .header("content-type", "application/json")
            .body(body.to_string());
        let response = call.send().await.unwrap();
        let status = response.status().as_u16();
        let body = serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default();
        (status, body)
    }

    /// Returns the status and the error code, if any.
    async fn outcome(&self, path: &str, body: Value) -> (u16, String) {
        let (status, body) = self.post(path, body).await;
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    }

    /// Returns the keys that a query finds.
    async fn found(&self, path: &str, body: Value) -> Vec<String> {
        let (status, response) = self.post(path, body).await;
        assert_eq!(status, 200, "{response}");
        let items = response["data"].as_array().unwrap().iter();
        items
            .map(|item| item["key"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[tokio::test]
async fn storage_rejects_what_atlassian_rejects() {
    let storage = Storage::new().await;
    let long = "k".repeat(501);
    let large = "x".repeat(240 * 1024);
    let deep = (0..32).fold(json!(1), |inner, _| json!([inner]));
    let many: Vec<Value> = (0..26)
        .map(|at| json!({ "key": format!("k{at}"), "value": 1 }))
        .collect();
    let twice = json!([{ "key": "k", "value": 1 }, { "key": "k", "value": 2 }]);
    let set = |options: Value| json!({ "key": "k", "value": 1, "options": options });
    let ttl = |value: Value, unit: &str| json!({ "ttl": { "value": value, "unit": unit } });
    let heavy: Vec<Value> = (0..20)
        .map(|at| json!({ "key": format!("k{at}"), "value": &large[..230 * 1024] }))
        .collect();
    let filter = |condition: &str, values: Value| json!({ "where": [{ "property": "key", "condition": condition, "values": values }] });
    let cases = [
        ("get", json!({ "key": "" }), 400, "KEY_TOO_SHORT"),
        ("get", json!({ "key": long }), 400, "KEY_TOO_LONG"),
        ("get", json!({ "key": "a/b" }), 400, "INVALID_KEY"),
        ("get", json!({ "key": "  " }), 400, "INVALID_KEY"),
        ("get", json!({ "key": "k" }), 404, "KEY_NOT_FOUND"),
        ("set", json!({ "key": "k" }), 400, "INVALID_VALUE"),
        (
            "set",
            json!({ "key": "k", "value": large }),
            400,
            "MAX_SIZE",
        ),
        (
            "set",
            json!({ "key": "k", "value": deep }),
            400,
            "MAX_DEPTH",
        ),
        ("set", json!({ "key": "k", "value": deep[0] }), 204, ""),
        (
            "set",
            set(json!({ "keyPolicy": "FAIL_IF_EXISTS" })),
            409,
            "KEY_CONFLICT",
        ),
        (
            "set",
            set(json!({ "keyPolicy": "FAIL_IF_EXISTS", "returnValue": "PREVIOUS" })),
            400,
            "INVALID_OPTIONS",
        ),
        (
            "set",
            set(json!({ "returnMetadataFields": ["CREATED_AT"] })),
            400,
            "INVALID_OPTIONS",
        ),
        ("set", set(json!({ "ttll": 1 })), 400, "INVALID_OPTIONS"),
        ("set", set(ttl(json!(0), "SECONDS")), 400, "INVALID_OPTIONS"),
        ("set", set(ttl(json!(1), "WEEKS")), 400, "INVALID_OPTIONS"),
        ("set", set(ttl(json!(367), "DAYS")), 400, "INVALID_OPTIONS"),
        ("batch/set", json!([]), 400, "INVALID_BATCH"),
        ("batch/set", json!(many), 400, "INVALID_BATCH"),
        ("batch/set", twice.clone(), 400, "DUPLICATE_KEY"),
        ("batch/set", json!(heavy), 400, "MAX_SIZE"),
        ("batch/get", twice.clone(), 400, "DUPLICATE_KEY"),
        ("transaction", json!({}), 400, "INVALID_TRANSACTION"),
        (
            "transaction",
            json!({ "set": many }),
            400,
            "INVALID_TRANSACTION",
        ),
        (
            "transaction",
            json!({ "set": [twice[0]], "delete": [{ "key": "k" }] }),
            400,
            "DUPLICATE_KEY",
        ),
        (
            "transaction",
            json!({ "delete": [{ "key": "k", "conditions": { "and": [] } }] }),
            400,
            "INVALID_FILTER_CONDITION",
        ),
        (
            "transaction",
            json!({ "check": [{ "key": "k", "entityName": "e" }] }),
            400,
            "INVALID_FILTER_CONDITION",
        ),
        (
            "query",
            filter("CONTAINS", json!(["a"])),
            400,
            "INVALID_FILTER_CONDITION",
        ),
        (
            "query",
            filter("BEGINS_WITH", json!([])),
            400,
            "INVALID_FILTER_VALUES",
        ),
        (
            "query",
            json!({ "where": [{ "property": "value" }] }),
            400,
            "QUERY_WHERE_FIELD_INVALID",
        ),
        (
            "query",
            json!({ "where": [{}, {}] }),
            400,
            "QUERY_WHERE_INVALID",
        ),
        (
            "query",
            json!({ "limit": 100 }),
            400,
            "LIST_QUERY_LIMIT_EXCEEDED",
        ),
        (
            "query",
            json!({ "after": "elsewhere" }),
            400,
            "INVALID_CURSOR",
        ),
        (
            "entity/get",
            json!({ "key": "k" }),
            400,
            "INVALID_ENTITY_TYPE",
        ),
        (
            "entity/set",
            json!({ "entityName": "e", "key": "k", "value": 1 }),
            400,
            "INVALID_ENTITY_VALUE",
        ),
        // An unknown entity differs from an empty result.
        (
            "entity/query",
            json!({ "entityName": "e", "indexName": "by-age", "partition": [1] }),
            501,
            "NOT_IMPLEMENTED",
        ),
    ];
    for (path, body, status, code) in cases {
        let outcome = storage.outcome(path, body.clone()).await;
        let body = body.to_string();
        assert_eq!(
            outcome,
            (status, code.to_owned()),
            "{path} {}",
            &body[..body.len().min(200)]
        );
    }
    // Each item of a batch fails separately.
    let items = json!([{ "key": "good", "value": 1 }, { "key": "a/b", "value": 1 },
        { "key": "e", "entityName": "e", "value": 1 }, { "key": "o", "value": 1, "options": { "keyPolicy": "OVERRIDE" } }]);
    let (status, response) = storage.post("batch/set", items).await;
    assert_eq!(
        (status, &response["successfulKeys"]),
        (200, &json!([{ "key": "good" }]))
    );
    let failed = response["failedKeys"].as_array().unwrap().iter();
    let failed: Vec<&Value> = failed.map(|one| &one["error"]["code"]).collect();
    assert_eq!(
        failed,
        ["INVALID_KEY", "INVALID_ENTITY_VALUE", "INVALID_OPTIONS"]
    );
    assert_eq!(response["failedKeys"][1]["entityName"], "e");
}

const ENTITIES: &str = "app:
  id: ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107
  storage:
    entities:
      - name: employee
        attributes:
          surname: { type: string }
          age: { type: integer }
          pay: { type: float }
          active: { type: boolean }
          notes: { type: any }
        indexes:
          - surname
          - name: by-age
            partition: [active]
            range: [age]
";

#[tokio::test]
async fn entities_come_from_the_manifest() {
    let storage = Storage::of(app().manifest_path(manifest(ENTITIES))).await;
    let employee = |value: Value| json!({ "entityName": "employee", "key": "k", "value": value });
    let query = |index: &str, partition: Value| json!({ "entityName": "employee", "indexName": index, "partition": partition });
    let filter = |property: &str| {
        let filters =
            json!({ "and": [{ "property": property, "condition": "EXISTS", "values": [] }] });
        json!({ "entityName": "employee", "indexName": "surname", "filters": filters })
    };
    let cases = [
        (
            "entity/set",
            json!({ "entityName": "other", "key": "k", "value": {} }),
            400,
            "INVALID_ENTITY_TYPE",
        ),
        (
            "entity/get",
            json!({ "entityName": "other", "key": "k" }),
            400,
            "INVALID_ENTITY_TYPE",
        ),
        (
            "entity/set",
            employee(json!({ "age": "old" })),
            400,
            "INVALID_ENTITY_VALUE",
        ),
        (
            "entity/set",
            employee(json!({ "age": 1.5 })),
            400,
            "INVALID_ENTITY_VALUE",
        ),
        (
            "entity/set",
            employee(json!({ "age": 3_000_000_000_u64 })),
            400,
            "INVALID_ENTITY_VALUE",
        ),
        (
            "entity/set",
            employee(json!({ "surname": " " })),
            400,
            "INVALID_ENTITY_VALUE",
        ),
        (
            "entity/set",
            employee(json!({ "age": 1, "pay": 1.5, "active": true, "notes": [] })),
            204,
            "",
        ),
        (
            "entity/query",
            query("by-name", json!([])),
            400,
            "INVALID_ENTITY_INDEX",
        ),
        (
            "entity/query",
            query("by-age", json!([])),
            400,
            "INVALID_FILTER_VALUES",
        ),
        (
            "entity/query",
            query("surname", json!([1])),
            400,
            "INVALID_FILTER_VALUES",
        ),
        ("entity/query", filter("notes"), 422, "UNPROCESSABLE"),
        (
            "entity/query",
            filter("nowhere"),
            400,
            "QUERY_WHERE_FIELD_INVALID",
        ),
        ("entity/query", filter("age"), 200, ""),
    ];
    for (path, body, status, code) in cases {
        let outcome = storage.outcome(path, body.clone()).await;
        assert_eq!(outcome, (status, code.to_owned()), "{path} {body}");
    }
}

#[tokio::test]
async fn queries_use_their_index_range_and_filters() {
    let storage = Storage::new().await;
    storage.harness.platform().apis().declare_entity(json!({
        "name": "employee",
        "attributes": {
            "surname": { "type": "string" }, "age": { "type": "integer" }, "active": { "type": "boolean" },
        },
        "indexes": ["surname", { "name": "by-age", "partition": ["active"], "range": ["age"] }],
    }));
    for (key, surname, age, active) in [
        ("a", "Turing", 41, true),
        ("b", "Lovelace", 36, true),
        ("c", "Hopper", 85, true),
        ("d", "Hamilton", 88, false),
    ] {
        let value = json!({ "surname": surname, "age": age, "active": active });
        let set = json!({ "entityName": "employee", "key": key, "value": value });
        assert_eq!(storage.outcome("entity/set", set).await.0, 204);
    }
    // An entry without the attribute is not in its index.
    let odd = json!({ "entityName": "employee", "key": "e", "value": { "age": 1 } });
    assert_eq!(storage.outcome("entity/set", odd).await.0, 204);

    let condition = |name: &str, values: Value| json!({ "condition": name, "values": values });
    let on = |property: &str, name: &str, values: Value| json!({ "property": property, "condition": name, "values": values });
    let cases = [
        (json!({ "indexName": "surname" }), "d c b a"),
        (json!({ "indexName": "surname", "sort": "DESC" }), "a b c d"),
        (json!({ "indexName": "by-key" }), "a b c d e"),
        (
            json!({ "indexName": "by-key", "range": condition("BEGINS_WITH", json!(["d"])) }),
            "d",
        ),
        (
            json!({ "indexName": "surname", "range": condition("BEGINS_WITH", json!(["H"])) }),
            "d c",
        ),
        (
            json!({ "indexName": "by-age", "partition": [true] }),
            "b a c",
        ),
        (
            json!({ "indexName": "by-age", "partition": [true], "range": condition("GREATER_THAN", json!([41])) }),
            "c",
        ),
        (
            json!({ "indexName": "by-age", "partition": [true], "range": condition("BETWEEN", json!([36, 41])) }),
            "b a",
        ),
        (json!({ "indexName": "by-age", "partition": [false] }), "d"),
        (
            json!({ "indexName": "surname", "filters": { "and": [on("age", "LESS_THAN_EQUAL_TO", json!([41])), on("surname", "CONTAINS", json!(["ove"]))] } }),
            "b",
        ),
        (
            json!({ "indexName": "surname", "filters": { "or": [on("age", "EQUAL_TO", json!([41])), on("active", "NOT_EQUAL_TO", json!([true]))] } }),
            "d a",
        ),
        (
            json!({ "indexName": "by-key", "filters": { "and": [on("surname", "NOT_EXISTS", json!([]))] } }),
            "e",
        ),
        (
            json!({ "indexName": "surname", "filters": { "and": [on("surname", "NOT_CONTAINS", json!(["H"]))] } }),
            "b a",
        ),
    ];
    for (mut body, keys) in cases {
        body["entityName"] = "employee".into();
        assert_eq!(
            storage.found("entity/query", body.clone()).await.join(" "),
            keys,
            "{body}"
        );
    }
    let both = json!({ "and": [], "or": [] });
    let wrong = [
        json!({ "filters": both }),
        json!({ "range": condition("CONTAINS", json!(["a"])) }),
        json!({ "filters": { "and": [on("age", "SOMETHING", json!([]))] } }),
    ];
    for mut body in wrong {
        body["entityName"] = "employee".into();
        body["indexName"] = "surname".into();
        let outcome = storage.outcome("entity/query", body.clone()).await;
        assert_eq!(
            outcome,
            (400, "INVALID_FILTER_CONDITION".to_owned()),
            "{body}"
        );
    }
    // Filters apply to a page's entries, so a page may be empty although more follow.
    let one = json!({ "entityName": "employee", "indexName": "surname", "limit": 1,
        "filters": { "and": [on("surname", "EQUAL_TO", json!(["Turing"]))] } });
    let (_, response) = storage.post("entity/query", one).await;
    assert_eq!(
        (&response["data"], &response["cursor"]),
        (&json!([]), &json!("1"))
    );
}

#[tokio::test]
async fn a_transaction_is_made_whole_or_not_at_all() {
    let storage = Storage::new().await;
    let entity = |value: Value| json!({ "entityName": "e", "key": "k", "value": value });
    assert_eq!(
        storage
            .outcome("entity/set", entity(json!({ "n": 1 })))
            .await
            .0,
        204
    );
    let n = |count: u32| json!({ "and": [{ "property": "n", "condition": "EQUAL_TO", "values": [count] }] });
    let conditional = |count: u32, value: u32| {
        let mut item = entity(json!({ "n": value }));
        item["conditions"] = n(count);
        item
    };
    let apis = storage.harness.platform().apis();
    let other = json!({ "key": "other", "value": 1 });
    let rejected = [
        json!({ "set": [other, conditional(7, 2)] }),
        json!({ "set": [other], "delete": [{ "key": "k", "entityName": "e", "conditions": n(7) }] }),
        json!({ "set": [other], "check": [{ "key": "k", "entityName": "e", "conditions": n(7) }] }),
        json!({ "set": [other], "check": [{ "key": "nowhere", "entityName": "e", "conditions": { "and": [] } }] }),
    ];
    for body in rejected {
        let outcome = storage.outcome("transaction", body).await;
        assert_eq!(outcome, (409, "CONDITION_FAILED".to_owned()));
        assert_eq!(apis.stored("kvs", "other"), [json!(null); 0]);
        assert_eq!(apis.stored("entity:e", "k"), [json!({ "n": 1 })]);
    }
    let made = json!({ "set": [other, conditional(1, 2)], "delete": [{ "key": "gone" }] });
    assert_eq!(storage.outcome("transaction", made).await.0, 204);
    assert_eq!(apis.stored("kvs", "other"), [json!(1)]);
    assert_eq!(apis.stored("entity:e", "k"), [json!({ "n": 2 })]);
}

/// As at Atlassian, expired entries may be returned for up to two days.
#[tokio::test]
async fn expired_entries_are_returned_for_a_while() {
    let atlassian = AtlassianClient::new();
    let storage = Storage::of(app().client(atlassian.clone())).await;
    let platform = storage.harness.platform();
    let installation = platform.fit().claims()["app"]["installationId"].clone();
    let site = InstallationUrls::new(installation.as_str().unwrap());
    let client = atlassian.storage(&site, &platform.system_token());
    let put = client.put("k", &1).expires_in(Duration::from_secs(60));
    let stored = put.return_new::<u32>().await.unwrap();
    let clock = &storage.clock;
    let ends = stored.expire_time.unwrap();
    let life = ends.duration_since(clock.now()).unwrap();
    assert!(life <= Duration::from_secs(60) && life > Duration::from_secs(59));
    assert_eq!(stored.created_at, stored.updated_at);

    clock.advance(Duration::from_secs(61));
    assert_eq!(client.get::<u32>("k").await.unwrap(), Some(1));
    let item = client.get_item::<u32>("k").await.unwrap().unwrap();
    assert!(item.has_expired(clock.now()));
    let before = client
        .put("k", &2)
        .return_old::<u32>()
        .await
        .unwrap()
        .unwrap();
    assert_eq!((before.value, before.created_at), (1, stored.created_at));
    let again = client.get_item::<u32>("k").await.unwrap().unwrap();
    assert_eq!(
        (again.created_at, again.expire_time),
        (stored.created_at, None)
    );
    assert!(again.updated_at > stored.updated_at);

    client
        .put("k", &3)
        .expires_in(Duration::from_secs(60))
        .send()
        .await
        .unwrap();
    clock.advance(Duration::from_secs(48 * 3600 + 61));
    let client = atlassian.storage(&site, &platform.system_token());
    assert_eq!(client.get::<u32>("k").await.unwrap(), None);
}
