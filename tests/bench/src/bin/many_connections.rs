//! An app that accepts more connections than the default.

use forge_remote::prelude::*;

/// Does nothing, because only the connection is measured.
#[scheduled_trigger(
    interval = "hour",
    auth = system,
    endpoint = "remote-trigger-node",
    path = "/frc-trigger",
    scopes = ["read:jira-work"],
)]
async fn tick(call: Invocation, token: SystemToken) {
    let _ = (call, token);
}

#[tokio::main]
async fn main() -> Result<()> {
    App::new()
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .max_connections(20_000)
        .run()
        .await
}
