//! An app whose handler requests a system token; with `SQLITE=file`, its tokens are stored in SQLite, and `/seen` returns
//! the number of new ones.

use forge_remote::axum::Router;
use forge_remote::axum::routing::get;
use forge_remote::prelude::*;
use forge_remote::token::SqliteTokens;

/// Does nothing, because only the work around it is measured.
#[scheduled_trigger(interval = "hour", auth = system, endpoint = "tick", path = "/tick", scopes = ["read:jira-work"])]
async fn tick(call: Invocation, token: SystemToken) {
    let _ = (call, token);
}

#[tokio::main]
async fn main() -> Result<()> {
    let app = App::new().remote(Remote::new("backend").base_url("https://backend.example.com"));
    match std::env::var("SQLITE") {
        Ok(file) => {
            let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
            let tokens = Tokens::new(SqliteTokens::new(file)).keys(key);
            let counted = tokens.clone();
            let seen = get(async move || counted.stats().seen.to_string());
            let app = app.routes(Router::new().route("/seen", seen));
            app.token_store(tokens).run().await
        }
        Err(_) => app.run().await,
    }
}
