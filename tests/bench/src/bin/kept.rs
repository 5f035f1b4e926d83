//! One handler that asks for a system token; with `KEPT=file`, its tokens are kept in SQLite.

use forge_remote::prelude::*;
use forge_remote::token::SqliteTokens;

/// Does nothing: what is measured is everything around it.
#[scheduled_trigger(interval = "hour", auth = system, endpoint = "kept", path = "/kept", scopes = ["read:jira-work"])]
async fn kept(call: Invocation, token: SystemToken) {
    let _ = (call, token);
}

#[tokio::main]
async fn main() -> Result<()> {
    let app = App::new().remote(Remote::new("backend").base_url("https://backend.example.com"));
    match std::env::var("KEPT") {
        Ok(file) => {
            let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
            let tokens = Tokens::new(SqliteTokens::new(file)).keys(key);
            app.token_store(tokens).run().await
        }
        Err(_) => app.run().await,
    }
}
