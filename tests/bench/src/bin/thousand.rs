//! An app of a thousand handlers with the feature `thousand`, and of none without it.

use forge_remote::prelude::*;

include!(concat!(env!("OUT_DIR"), "/thousand.rs"));

#[tokio::main]
async fn main() -> Result<()> {
    App::new()
        .app_id("ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107")
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .run()
        .await
}
