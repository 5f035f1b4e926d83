//! Tests that the console printed for calls, pasted: they compile, and pass.

#![allow(clippy::needless_raw_string_hashes)]

use forge_remote::prelude::*;

forge_remote_tests::recorded_handlers!();

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
