//! An app whose handler fails with what its caller writes, for tests of its log.

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
