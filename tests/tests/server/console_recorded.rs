//! Tests that the console printed for calls, pasted: they compile, and pass.

#![allow(clippy::needless_raw_string_hashes)]

use forge_remote::prelude::*;

#[scheduled_trigger(
    interval = "hour",
    key = "tick-trigger",
    endpoint = "tick",
    path = "/tick"
)]
async fn tick() {}

#[scheduled_trigger(
    interval = "week",
    key = "votes-trigger",
    endpoint = "votes",
    path = "/votes",
    auth = system,
    scopes = ["read:jira-work"]
)]
async fn votes(call: Invocation, token: SystemToken) -> Result<()> {
    let jira = call.jira().as_app(&token);
    let _: serde_json::Value = jira.get("/rest/api/3/issue/OPS-7/votes").fetch().await?;
    Ok(())
}

pub(crate) fn app() -> App {
    App::empty()
        .handler(forge_remote::handler!(tick))
        .handler(forge_remote::handler!(votes))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
}

/// Recorded by the console of `dev`. `app()` is the function that returns the app.
#[tokio::test]
async fn tick_responds_with_200_ad5454() -> forge_remote::Result<()> {
    use forge_remote::registry::Method;
    use forge_remote::testing::Harness;

    let harness = Harness::with_apis(crate::app()).await?;
    let call = harness
        .call_method(Method::Post, "tick-trigger")
        .body(r#"{"a": "b"}"#);
    assert_eq!(call.send().await.status(), 200);
    Ok(())
}

/// Recorded by the console of `dev`. `app()` is the function that returns the app.
#[tokio::test]
async fn votes_responds_with_200_dabf4f() -> forge_remote::Result<()> {
    use forge_remote::registry::Method;
    use forge_remote::testing::Harness;

    let harness = Harness::with_apis(crate::app()).await?;
    let apis = harness.platform().apis();
    apis.read_fixtures("fixtures/votes.yml")?;
    let call = harness
        .call_method(Method::Post, "votes-trigger")
        .body(r#"{}"#);
    assert_eq!(call.send().await.status(), 200);
    Ok(())
}
