//! Modules that the app registers at run time.

use forge_remote::client::DynamicModule;
use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::testing::{ApiResponse, Harness};
use serde_json::{Value, json};

/// Called for the events that a user chooses.
#[trigger(dynamic)]
async fn follow() -> Result<()> {
    Ok(())
}

/// Performs one operation on the modules, and returns its result.
#[endpoint(auth = system)]
async fn manage(
    call: Invocation,
    token: SystemToken,
    Json(order): Json<Value>,
) -> Result<Json<Value>> {
    let modules = call.dynamic_modules(&token);
    let text = |name: &str| order[name].as_str().unwrap_or_default().to_owned();
    let key = text("key");
    Ok(Json(match text("do").as_str() {
        "register" => json!(modules.register(&text("type"), &order["data"]).await?),
        "update" => json!(modules.update(&key, &text("type"), &order["data"]).await?),
        "get" => json!(modules.get(&key).await?),
        "remove" => json!(modules.remove(&key).await?),
        _ => json!(modules.list().await?),
    }))
}

async fn harness() -> Harness {
    let app = App::empty()
        .handler(handler!(follow))
        .handler(handler!(manage))
        .remote(Remote::new("backend").base_url("https://backend.example.com"));
    Harness::with_apis(app).await.unwrap()
}

/// The request that registers a trigger.
fn request() -> Value {
    json!({
        "type": "trigger",
        "data": { "events": ["avi:jira:updated:issue"], "endpoint": "follow" },
    })
}

async fn perform(harness: &Harness, order: &Value) -> (u16, Value) {
    let response = harness.call("manage").json(order).send().await;
    (response.status(), response.json())
}

fn order(what: &str, key: &str) -> Value {
    let mut order = request();
    order["do"] = what.into();
    order["key"] = key.into();
    order
}

#[tokio::test]
async fn a_module_is_registered_called_updated_and_removed() {
    let harness = harness().await;
    let (status, module) = perform(&harness, &order("register", "")).await;
    assert_eq!(status, 200, "{module}");
    let calls = harness.platform().apis().calls();
    let sent = &calls.last().unwrap().request;
    assert_eq!(sent.method, "POST");
    assert_eq!(sent.path, "/forge/installation/v2/dynamic/module");
    assert_eq!(sent.body, request());
    assert_eq!(sent.as_user, None, "as the app");
    let module: DynamicModule = serde_json::from_value(module).unwrap();
    assert_eq!(module.module_type, "trigger");
    assert_eq!(module.data["endpoint"], "follow");

    // Forge's calls name the generated key.
    let call = harness.call("follow");
    let response = call
        .fit(|fit| fit.module("core:endpoint", &module.key))
        .send()
        .await;
    assert_eq!(response.status(), 200);

    let (_, listed) = perform(&harness, &order("list", "")).await;
    assert_eq!(listed, json!([module]));
    let mut change = order("update", &module.key);
    change["data"]["events"] = json!(["avi:jira:created:issue"]);
    let (_, updated) = perform(&harness, &change).await;
    assert_eq!(updated["data"]["events"][0], "avi:jira:created:issue");
    let (_, read) = perform(&harness, &order("get", &module.key)).await;
    assert_eq!(read, updated);

    let (_, removed) = perform(&harness, &order("remove", &module.key)).await;
    assert_eq!(removed, json!(true));
    let (_, removed) = perform(&harness, &order("remove", &module.key)).await;
    assert_eq!(removed, json!(false));
    let (_, read) = perform(&harness, &order("get", &module.key)).await;
    assert_eq!(read, Value::Null);
}

#[tokio::test]
async fn a_listing_has_every_page_and_the_limit_is_an_error() {
    let harness = harness().await;
    for _ in 0..100 {
        let (status, _) = perform(&harness, &order("register", "")).await;
        assert_eq!(status, 200);
    }
    let (status, _) = perform(&harness, &order("register", "")).await;
    assert_eq!(status, 500);
    assert_eq!(
        harness.platform().apis().calls().last().unwrap().status,
        422
    );
    let (_, listed) = perform(&harness, &order("list", "")).await;
    assert_eq!(listed.as_array().unwrap().len(), 100);

    // A page that is an object with a cursor.
    let apis = harness.platform().apis();
    let page =
        |keys: [&str; 1]| keys.map(|key| json!({ "key": key, "type": "trigger", "data": {} }));
    // The name of the list is not documented, and there may be others.
    let first = json!({ "errors": [], "modules": page(["a"]), "nextPageToken": "2" });
    let last = json!(page(["b"]));
    apis.respond(move |call| {
        let is_list = call.method == "GET" && call.path.ends_with("/dynamic/module");
        let page = match call.query_value("nextPageToken") {
            Some("2") => &last,
            _ => &first,
        };
        is_list.then(|| ApiResponse::json(200, page))
    });
    let (_, listed) = perform(&harness, &order("list", "")).await;
    let keys: Vec<&Value> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["key"])
        .collect();
    assert_eq!(keys, ["a", "b"]);
    let calls = apis.calls();
    assert_eq!(
        calls.last().unwrap().request.query_value("nextPageToken"),
        Some("2")
    );
}
