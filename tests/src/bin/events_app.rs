//! An app with several events and data residency hooks, to test `dev` and `invoke`.

use forge_remote::kinds::{
    JqlFunctionRequest, JqlFunctionResponse, ResidencyStatus, WebTriggerRequest, WebTriggerResponse,
};
use forge_remote::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Named {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Keyed {
    key: String,
}

#[derive(Deserialize)]
#[serde(tag = "eventType")]
enum Change {
    #[serde(rename = "avi:jira:created:version")]
    Version { version: Named },
    #[serde(rename = "avi:jira:deleted:issue")]
    Issue { issue: Keyed },
    #[serde(rename = "avi:jira:invented:thing")]
    Thing { thing: Named },
}

#[trigger(
    events = ["avi:jira:created:version", "avi:jira:deleted:issue"],
    unknown_events = ["avi:jira:invented:thing"]
)]
async fn follow(retry: RetryContext, Event(change): Event<Change>) -> Json<String> {
    let what = match change {
        Change::Version { version } => format!("version {} {}", version.id, version.name),
        Change::Issue { issue } => format!("issue {}", issue.key),
        Change::Thing { thing } => format!("thing {} {}", thing.id, thing.name),
    };
    Json(format!("{what}, for the {}. time again", retry.count))
}

#[endpoint]
async fn greet() -> &'static str {
    "Good morning"
}

#[jql_function(name = "urgent", arguments = ["team"], types = ["issue"], operators = ["in"])]
async fn urgent(Event(call): Event<JqlFunctionRequest>) -> Json<JqlFunctionResponse> {
    let team = call.clause.arguments.concat();
    Json(JqlFunctionResponse::error(format!(
        "there is no team \"{team}\""
    )))
}

#[web_trigger]
async fn hook(request: WebTriggerRequest) -> WebTriggerResponse {
    let text = format!("{} {}", request.method, request.user_path);
    WebTriggerResponse::new(200, text)
}

#[data_residency(hook = "schedule")]
async fn schedule() {}

#[data_residency(hook = "start")]
async fn start() {}

#[data_residency(hook = "status")]
async fn status() -> Json<ResidencyStatus> {
    Json(ResidencyStatus::ready())
}

#[data_residency(hook = "commit")]
async fn commit() {}

#[data_residency(hook = "rollback")]
async fn rollback() {}

#[tokio::main]
async fn main() -> Result<()> {
    forge_remote::testing::__sign_with_published_key();
    let mut app = App::new().remote(Remote::new("backend").base_url("https://backend.example.com"));
    if std::env::var_os("WITH_SAMPLE").is_some() {
        let thing = serde_json::json!({ "id": "7", "name": "A thing" });
        app = app.sample_body(
            "follow",
            serde_json::json!({ "eventType": "avi:jira:invented:thing", "thing": thing }),
        );
    }
    // Each is a separate call, in any order of adding them.
    if let Ok(order) = std::env::var("WITH_SAMPLES") {
        let version = |name: &str| {
            let version = serde_json::json!({ "id": "1", "name": name });
            let event = "avi:jira:created:version";
            (
                "follow",
                serde_json::json!({ "eventType": event, "version": version }),
            )
        };
        let mut samples = vec![
            version("first"),
            version("second"),
            ("follow-trigger", serde_json::json!({ "general": 1 })),
            ("greet", serde_json::json!({ "name": "one" })),
            ("greet", serde_json::json!({ "name": "two" })),
        ];
        if order == "reversed" {
            samples.reverse();
        }
        for (key, body) in samples {
            app = app.sample_body(key, body);
        }
    }
    if std::env::var_os("WITH_UNKNOWN_RULE").is_some() {
        app = app.allow_lint("no-such-rule");
    }
    app.run().await
}
