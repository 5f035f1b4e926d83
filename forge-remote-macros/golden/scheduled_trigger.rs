/// Refreshes the index.
#[scheduled_trigger(interval = "hour", auth = system, scopes = ["read:jira-work"])]
async fn refresh_index(call: Invocation, token: SystemToken) -> Result<()> {
    let _ = (call, token);
    Ok(())
}
