//! An app whose handlers fail and panic with their caller's text, to test the log.

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
    forge_remote::testing::__sign_with_published_key();
    App::new()
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .run()
        .await
}
