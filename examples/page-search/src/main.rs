//! Serves the app, or runs the command in its arguments.

use forge_remote::token::SqliteTokens;

#[tokio::main]
async fn main() -> forge_remote::Result<()> {
    page_search::app(SqliteTokens::new("tokens.db")).run().await
}

#[cfg(test)]
forge_remote::test_manifest!(page_search::app(forge_remote::token::MemoryTokens::new()));
