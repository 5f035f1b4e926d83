//! The handlers whose calls the console's recorded tests repeat.

/// Defines the handlers `tick` and `votes`, for `plain_app` and for the tests that its console records. They are not
/// functions of this crate: every app that links it would have them.
// rustfmt indents the attributes further each time.
#[rustfmt::skip]
#[macro_export]
macro_rules! recorded_handlers {
    () => {
        #[scheduled_trigger(
            interval = "hour",
            key = "tick-trigger",
            endpoint = "tick",
            path = "/tick",
            also_at = ["/tick-v1", "/tick-v2"],
            body_limit = "20KiB"
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
    };
}
