//! Documented members of payloads have fields, and unknown members are preserved.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use forge_remote::handler;
use forge_remote::kinds::*;
use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use serde::Deserialize;
use serde_json::{Value, json};

/// Checks a merge.
#[merge_check(name = "Seen", triggers = ["on-merge"])]
async fn merge(Event(call): Event<MergeCheckRequest>) -> Json<Value> {
    let merge = call.merge_properties.clone().unwrap_or_default();
    Json(json!([
        call.workspace.uuid,
        call.repository.uuid,
        call.pull_request_id(),
        call.trigger.trigger_type,
        merge.commit_message,
        merge.close_source_branch,
        [call.workspace.rest, call.pullrequest.rest, call.rest],
    ]))
}

/// Changes a pipeline.
#[dynamic_pipelines_provider(name = "Seen")]
async fn pipeline(Event(call): Event<PipelinesRequest>) -> Json<Value> {
    let secret = format!("{:?}", call.variables);
    assert!(!secret.contains("test-service"), "{secret}");
    let variables = call.variables.iter();
    let variables: Vec<_> = variables
        .map(|one| json!([one.key, one.value, one.scope]))
        .collect();
    let target = call.target;
    let hash = |commit: Option<Commit>| commit.and_then(|commit| commit.hash);
    Json(json!({
        "pipeline": [call.pipeline, call.build_number, call.created_on],
        "variables": [variables, call.variables_truncated],
        "context": call.trigger_context.and_then(|context| context.parent_step_uuid),
        "target": [target.target_type, hash(target.commit), target.ref_name,
            hash(target.destination_commit), target.pullrequest.and_then(|one| one.id),
            target.selector.and_then(|selector| selector.get("pattern").cloned())],
        "rest": call.rest,
        "answer": PipelinesResponse::new(call.pipelines_configuration),
    }))
}

/// Follows a transition.
#[workflow_post_function(name = "Seen")]
async fn transition(Event(done): Event<PostFunctionRequest>) -> Json<Value> {
    let id = |one: Option<IdRef>| one.and_then(|one| one.id);
    let of_comment = done.comment.clone().map(|one| one.rest);
    Json(json!([
        id(done.changelog),
        id(done.comment),
        id(done.post_function),
        of_comment,
        done.rest
    ]))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    issue_key: String,
}

/// Acts.
#[action(verb = "GET", inputs = ["issueKey: string - The work item's key"])]
async fn act(Event(call): Event<ActionRequest<Wanted>>) -> Json<Value> {
    let context = call.context.cloud_id;
    Json(json!([call.inputs.issue_key, context, call.rest]))
}

#[static_macro]
async fn render(Event(call): Event<MacrosRequest>) -> Json<RenderedMacros> {
    let seen = &AtomicU32::new(0);
    let rendered = call.render_with(|one| async move {
        tokio::task::yield_now().await;
        let count = seen.fetch_add(1, Ordering::SeqCst);
        match one.config.get("as")?.as_str()? {
            "adf" => Some(
                one.adf(&json!({ "type": "doc", "count": count }))
                    .kept_for(0),
            ),
            _ => Some(one.xhtml(format!("<p>{count}</p>"))),
        }
    });
    Json(rendered.await)
}

fn harness() -> &'static Harness {
    static HARNESS: OnceLock<Harness> = OnceLock::new();
    HARNESS.get_or_init(|| {
        let backend = Remote::new("backend").base_url("https://backend.example.com");
        let app = App::empty().remote(backend);
        let app = app.handler(handler!(merge)).handler(handler!(pipeline));
        let app = app.handler(handler!(transition)).handler(handler!(act));
        Harness::new(app.handler(handler!(render))).unwrap()
    })
}

async fn response(key: &str, body: Value) -> Value {
    let response = harness().call(key).json(&body).send().await;
    assert_eq!(response.status(), 200, "{key} {body}: {}", response.text());
    response.json()
}

#[tokio::test]
async fn a_merge_check_has_typed_fields() {
    let request = json!({
        "workspace": { "uuid": "{w}", "slug": "team" }, "repository": { "uuid": "{r}" },
        "pullrequest": { "id": 123, "draft": true }, "trigger": { "type": "on-code-pushed" },
        "mergeProperties": { "commitMessage": "Merged", "commitMessageTruncated": false,
            "mergeStrategy": "squash", "closeSourceBranch": true },
        "later": 1,
    });
    let rest = json!([{ "slug": "team" }, { "draft": true }, { "later": 1 }]);
    let expected = json!(["{w}", "{r}", 123, "on-code-pushed", "Merged", true, rest]);
    assert_eq!(response("merge", request).await, expected);
}

#[tokio::test]
async fn a_pipeline_has_typed_fields() {
    let pushed = json!({
        "workspace": "{w}", "repository": "{r}", "creator": "{c}", "trigger": "push",
        "build_number": 239, "pipeline": "{p}", "variables_truncated": true,
        "variables": [{ "key": "SERVICE_NAME", "value": "test-service", "scope": "PIPELINE" }],
        "created_on": "2024-04-22T02:42:19.807Z", "later": 1,
        "trigger_context": { "parent_step_uuid": "{s}" },
        "target": { "type": "pipeline_ref_target", "selector": { "type": "branches", "pattern": "mas*" },
            "commit": { "hash": "e34a" }, "ref_type": "branch", "ref_name": "master",
            "destination_commit": { "hash": "ca0b" }, "pullrequest": { "id": "239" } },
        "pipelines_configuration": { "pipelines": {} },
    });
    let expected = json!({
        "pipeline": ["{p}", 239, "2024-04-22T02:42:19.807Z"],
        "variables": [[["SERVICE_NAME", "test-service", "PIPELINE"]], true],
        "context": "{s}",
        "target": ["pipeline_ref_target", "e34a", "master", "ca0b", 239, "mas*"],
        "rest": { "later": 1 },
        "answer": { "pipelines_configuration": { "pipelines": {} } },
    });
    assert_eq!(response("pipeline", pushed).await, expected);
}

#[tokio::test]
async fn a_pipeline_without_a_configuration_returns_an_empty_one() {
    for request in [json!({}), json!({ "pipelines_configuration": null })] {
        let seen = response("pipeline", request).await;
        assert_eq!(seen["answer"], json!({ "pipelines_configuration": {} }));
    }
}

#[tokio::test]
async fn a_transition_has_typed_fields() {
    let done = json!({
        "issue": { "id": "1" }, "changelog": { "id": "10050", "items": [] }, "comment": { "id": 7, "body": "x" },
        "postFunction": { "id": "f" }, "later": true,
    });
    let expected = json!(["10050", "7", "f", { "body": "x" }, { "later": true }]);
    assert_eq!(response("transition", done).await, expected);
    let bare = response("transition", json!({})).await;
    assert_eq!(bare, json!([null, null, null, null, {}]));
}

#[tokio::test]
async fn an_actions_unknown_fields_are_preserved_together_with_its_inputs() {
    let request =
        json!({ "issueKey": "DEV-1", "context": { "cloudId": "c" }, "contextToken": "t" });
    let expected = json!(["DEV-1", "c", { "contextToken": "t" }]);
    assert_eq!(response("act", request).await, expected);
}

#[tokio::test]
async fn a_field_of_another_shape_rejects_no_call() {
    for (key, body) in [
        (
            "merge",
            json!({ "workspace": "{w}", "repository": [], "pullrequest": 5, "trigger": "on-merge",
            "mergeProperties": true }),
        ),
        (
            "merge",
            json!({ "workspace": { "uuid": 1 }, "pullrequest": { "id": {} }, "trigger": { "type": [] },
            "mergeProperties": { "commitMessage": 1, "commitMessageTruncated": "no", "mergeStrategy": {},
                "closeSourceBranch": 1 } }),
        ),
        (
            "pipeline",
            json!({ "workspace": {}, "trigger": 1, "trigger_context": "x", "pipeline": [],
            "build_number": "many", "created_on": 5, "variables": {}, "variables_truncated": "yes",
            "target": "x", "pipelines_configuration": [] }),
        ),
        (
            "pipeline",
            json!({ "variables": [{ "key": 1, "value": null, "scope": [] }], "target": { "commit": "e34a",
            "ref_name": 5, "pullrequest": 7, "selector": [] }, "build_number": -1 }),
        ),
        (
            "transition",
            json!({ "changelog": [], "comment": "7", "postFunction": 1 }),
        ),
        (
            "transition",
            json!({ "changelog": { "id": [] }, "comment": { "id": {} } }),
        ),
    ] {
        response(key, body).await;
    }
    // The readable fields are read.
    let text = json!({ "pullrequest": { "id": "12" } });
    assert_eq!(response("merge", text).await[2], 12);
    assert_eq!(
        response("pipeline", json!({ "build_number": "12" })).await["pipeline"][1],
        12
    );
}

#[tokio::test]
async fn macros_are_rendered_one_after_the_other_in_either_form() {
    let one = |id: &str, form: Value| json!({ "localId": id, "config": { "as": form } });
    let macros =
        json!({ "macros": [one("a", json!("adf")), one("b", json!(null)), one("c", json!("x"))] });
    let expected = json!({ "renderedMacros": [
        { "localId": "a", "contentType": "adf", "value": "{\"count\":0,\"type\":\"doc\"}", "cache": { "ttlSeconds": 0 } },
        { "localId": "c", "contentType": "xhtml", "value": "<p>2</p>" },
    ] });
    assert_eq!(response("render", macros).await, expected);
}
