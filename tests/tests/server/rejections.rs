//! A handler that takes a `Result` handles rejections itself.

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::registry::Auth;
use forge_remote::rejection::{JsonRejection, OauthTokenRejection};
use forge_remote::testing::Harness;
use serde_json::{Value, json};

#[derive(serde::Deserialize)]
struct Note {
    text: String,
}

#[endpoint]
async fn body(note: Result<Json<Note>, JsonRejection>) -> Json<Value> {
    Json(match note {
        Ok(Json(note)) => json!({ "text": note.text }),
        Err(rejection) => json!({
            "status": rejection.status().as_u16(),
            "text": rejection.body_text(),
            "kind": match rejection {
                JsonRejection::ContentType => "content type",
                JsonRejection::Empty => "empty",
                JsonRejection::Syntax { .. } => "syntax",
                JsonRejection::Data(_) => "data",
                _ => "other",
            },
        }),
    })
}

#[endpoint(auth = [system, user])]
async fn tokens(
    system: Result<SystemToken, OauthTokenRejection>,
    user: Result<UserToken, OauthTokenRejection>,
) -> Json<Value> {
    let name = |rejection: Option<OauthTokenRejection>| match rejection {
        None => "token",
        Some(OauthTokenRejection::Missing { .. }) => "missing",
        Some(OauthTokenRejection::Malformed { .. }) => "malformed",
        Some(_) => "other",
    };
    Json(json!([name(system.err()), name(user.err())]))
}

fn harness() -> Harness {
    let app = App::empty()
        .handler(handler!(body))
        .handler(handler!(tokens))
        .remote(Remote::new("backend").base_url("https://backend.example.com"));
    Harness::new(app).unwrap()
}

#[tokio::test]
async fn a_handler_can_match_on_the_rejection_of_a_body() {
    let harness = harness();
    let call = || {
        harness
            .call("body")
            .header("content-type", "application/json")
    };
    for (sent, kind, status) in [
        ("", "empty", 400),
        ("{", "syntax", 400),
        ("[1]", "data", 422),
    ] {
        let response = call().body(sent).send().await;
        assert_eq!(response.status(), 200, "{sent}");
        assert_eq!(response.json()["kind"], kind, "{sent}");
        assert_eq!(response.json()["status"], status, "{sent}");
    }
    let typed = harness.call("body").header("content-type", "text/plain");
    let response = typed.body("{}").send().await;
    assert_eq!(response.json()["kind"], "content type");
    let accepted = call().json(&json!({ "text": "a" })).send().await;
    assert_eq!(accepted.json(), json!({ "text": "a" }));
}

#[tokio::test]
async fn a_handler_can_match_on_the_rejection_of_a_token() {
    let harness = harness();
    for (auth, expected) in [
        (Auth::BOTH, json!(["token", "token"])),
        (Auth::SYSTEM, json!(["token", "missing"])),
        (Auth::NONE, json!(["missing", "missing"])),
    ] {
        let response = harness.call("tokens").tokens(auth).send().await;
        assert_eq!(response.json(), expected, "{auth}");
    }
    let odd = harness.call("tokens").tokens(Auth::SYSTEM);
    let response = odd.header("x-forge-oauth-user", "two tokens").send().await;
    assert_eq!(response.json(), json!(["token", "malformed"]));
}

/// A token in a `Result` is checked like a plain one: the endpoint requests both tokens.
#[test]
fn a_token_in_a_result_is_a_requirement() {
    let harness = harness();
    let handler = harness.app().registry().find("tokens").next().unwrap();
    assert_eq!(handler.registration().mount.needs().len(), 2);
}
