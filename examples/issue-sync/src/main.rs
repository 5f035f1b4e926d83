//! Serves the app; `cargo run -p issue-sync -- dev` plays Forge as well.

#[tokio::main]
async fn main() -> forge_remote::Result<()> {
    issue_sync::app()
        .state(issue_sync::Mirror::default())
        .run()
        .await
}

#[cfg(test)]
forge_remote::test_manifest!(issue_sync::app().state(issue_sync::Mirror::default()));
