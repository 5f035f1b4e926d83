//! Serves the app, or runs the command in its arguments.

use forge_remote::App;

/// Returns the app with its state: the test below also fails if state is missing.
fn app() -> App {
    issue_sync::app()
        .state(issue_sync::Mirror::default())
        .state_async(async { issue_sync::Secret::from_env() })
}

#[tokio::main]
async fn main() -> forge_remote::Result<()> {
    app().run().await
}

#[cfg(test)]
forge_remote::test_manifest!(app());
