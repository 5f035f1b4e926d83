//! An app whose handlers fail and panic with what their caller writes, for tests of its log.

use forge_remote::prelude::*;

#[endpoint]
async fn quote(body: String) -> Result<()> {
    Err(body.into())
}

#[endpoint]
async fn panics(body: String) {
    panic!("{body}");
}

#[tokio::main]
async fn main() -> Result<()> {
    App::new()
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .run()
        .await
}
