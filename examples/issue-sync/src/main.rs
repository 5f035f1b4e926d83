//! Serves the app; `cargo run -p issue-sync -- dev` runs it with a local Forge platform.
//! `TRACKER_SECRET` is the secret that the other tracker signs its webhooks with.

#[tokio::main]
async fn main() -> forge_remote::Result<()> {
    issue_sync::app()
        .state(issue_sync::Mirror::default())
        .state_async(async { issue_sync::Secret::from_env() })
        .run()
        .await
}

#[cfg(test)]
forge_remote::test_manifest!(issue_sync::app());
