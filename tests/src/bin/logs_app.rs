//! An app whose handler fails with its caller's text, to test the log.

use forge_remote::prelude::*;

#[endpoint]
async fn quote(body: String) -> Result<()> {
    Err(body.into())
}

#[tokio::main]
async fn main() -> Result<()> {
    App::new()
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .run()
        .await
}
