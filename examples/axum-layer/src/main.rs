//! Serves the service on port 8080, with Atlassian's key set.

use std::error::Error;
use std::sync::Arc;

use forge_remote_fit::Verifier;
use tokio::net::TcpListener;

/// The app's id in `manifest.yml`.
const APP_ID: &str = "ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let verifier = Arc::new(Verifier::production(APP_ID.parse()?)?);
    // Fetches the keys ahead of the first call.
    tokio::spawn(verifier.keys().commercial.keep_fresh());
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    axum::serve(listener, axum_layer::router(&verifier)).await?;
    Ok(())
}
