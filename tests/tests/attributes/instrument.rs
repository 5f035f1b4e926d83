//! `#[tracing::instrument]` above and below the attribute.

use forge_remote::prelude::*;
use forge_remote::testing::Harness;

#[tracing::instrument(skip_all)]
#[endpoint(key = "instrument-above")]
async fn instrument_above(_: Invocation) -> Result<Json<u8>> {
    tracing::info!("in");
    Ok(Json(2))
}

#[endpoint(key = "instrument-below", auth = system)]
#[tracing::instrument(skip_all, err, fields(n = number))]
async fn instrument_below(
    _: Invocation,
    token: Option<SystemToken>,
    Json(number): Json<u8>,
) -> Result<Json<u8>> {
    drop(token);
    Ok(Json(number))
}

#[scheduled_trigger(interval = "hour")]
#[tracing::instrument]
async fn plain() {}

#[tokio::test]
async fn instrumented_handlers_are_served() -> Result<()> {
    let file = "attributes/instrument.rs";
    assert_eq!(crate::declared_in(file).len(), 3);
    let harness = Harness::new(crate::app_of(file))?;
    assert_eq!(harness.call("instrument-above").send().await.text(), "2");
    assert_eq!(
        harness
            .call("instrument-below")
            .json(&serde_json::json!(3))
            .send()
            .await
            .text(),
        "3"
    );
    Ok(())
}
