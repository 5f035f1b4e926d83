#![doc = include_str!("../README.md")]

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use forge_remote_fit::{Claims, EndpointTarget, FitLayer, Provenance, Verifier};

/// Returns the service's routes, with one layer per endpoint of the manifest.
pub fn router(verifier: &Arc<Verifier>) -> Router {
    let mut refresh = EndpointTarget::platform("refresh-index");
    refresh.module = Some("refresh-index-hourly".to_owned());
    let refresh = FitLayer::new(Arc::clone(verifier), refresh);
    let notes = FitLayer::new(Arc::clone(verifier), EndpointTarget::page("notes"));
    Router::new()
        .route("/refresh-index", post(refresh_index).layer(refresh))
        .route("/notes", post(add_note).layer(notes))
        // The load balancer's health check has no FIT.
        .route("/healthz", get(async || "ok\n"))
}

/// Refreshes the index of one installation; only the platform can call it.
async fn refresh_index(claims: Claims, provenance: Provenance) -> String {
    format!("{provenance:?} {}", claims.installation_id())
}

/// Adds a note; any page of the app can call it.
async fn add_note(claims: Claims, note: String) -> Result<String, StatusCode> {
    let author = claims.principal().ok_or(StatusCode::FORBIDDEN)?;
    Ok(format!("{author}: {note}"))
}
