//! Serves the app, or runs the command in its arguments.

use forge_remote::App;
use forge_remote::token::SqliteTokens;
use issue_sync::{Mirror, Secret};

/// Returns the app with its state: the test below also fails if state is missing.
fn app() -> App {
    issue_sync::app(SqliteTokens::new("tokens.db"), Mirror::default())
        .state_async(async { Secret::from_env() })
}

#[tokio::main]
async fn main() -> forge_remote::Result<()> {
    app().run().await
}

#[cfg(test)]
forge_remote::test_manifest!(app());
