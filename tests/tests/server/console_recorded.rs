//! A test that the console printed for a call, pasted: it compiles, and passes.

#![allow(clippy::needless_raw_string_hashes)]

use forge_remote::prelude::*;

#[scheduled_trigger(
    interval = "hour",
    key = "tick-trigger",
    endpoint = "tick",
    path = "/tick"
)]
async fn tick() {}

pub(crate) fn app() -> App {
    App::empty()
        .handler(forge_remote::handler!(tick))
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
