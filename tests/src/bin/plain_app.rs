//! An app without state, run as a process. With `STAYS` set, a background task does not end when the
//! app stops.

use forge_remote::prelude::*;
use forge_remote::{Shutdown, handler};

#[scheduled_trigger(
    interval = "hour",
    key = "tick-trigger",
    endpoint = "tick",
    path = "/tick"
)]
async fn tick() {}

async fn stays(shutdown: Shutdown) -> Result<()> {
    shutdown.requested().await;
    std::future::pending().await
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut app = App::empty()
        .handler(handler!(tick))
        .remote(Remote::new("backend").base_url("https://backend.example.com"));
    if std::env::var_os("STAYS").is_some() {
        app = app.background(stays);
    }
    app.run().await
}
