//! The verified claims as axum extractors.

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use super::claims::Claims;
use super::provenance::Provenance;
use super::response::{INTERNAL_ERROR, internal_error};

/// The rejection of [`Claims`] and [`Provenance`] on a route without a [`FitLayer`](crate::FitLayer):
/// nothing is verified there. This is a bug of the app, so the response is 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`Claims` or `Provenance` was taken on a route without a `FitLayer`, so nothing is verified \
     there: add the layer to the route"
)]
#[non_exhaustive]
pub struct MissingFitLayer;

impl MissingFitLayer {
    /// Returns the status of the response: 500.
    pub fn status(&self) -> StatusCode {
        StatusCode::INTERNAL_SERVER_ERROR
    }

    /// Returns the message of the response, which reveals nothing; `Display` has the reason.
    pub fn body_text(&self) -> String {
        INTERNAL_ERROR.to_owned()
    }
}

impl IntoResponse for MissingFitLayer {
    fn into_response(self) -> Response {
        tracing::error!("{self}");
        internal_error()
    }
}

/// The claims and the provenance of a call, as one request extension.
#[derive(Clone)]
struct RequestIdentity {
    claims: Claims,
    provenance: Provenance,
}

/// Adds a verified call to its request, for the extractors.
pub fn extend(extensions: &mut http::Extensions, claims: &Claims, provenance: Provenance) {
    extensions.insert(RequestIdentity {
        claims: claims.clone(),
        provenance,
    });
}

/// The claims that a [`FitLayer`](crate::FitLayer) verified.
///
/// ```
/// use forge_remote_fit::Claims;
///
/// async fn whoami(claims: Claims) -> String {
///     claims.principal().unwrap_or("nobody").to_owned()
/// }
/// # let _ = axum::routing::post::<_, _, ()>(whoami);
/// ```
impl<S: Sync> FromRequestParts<S> for Claims {
    type Rejection = MissingFitLayer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingFitLayer> {
        let of_layer = || parts.extensions.get().cloned();
        match parts.extensions.get::<RequestIdentity>() {
            Some(call) => Ok(call.claims.clone()),
            None => of_layer().ok_or(MissingFitLayer),
        }
    }
}

/// The provenance that a [`FitLayer`](crate::FitLayer) determined.
impl<S: Sync> FromRequestParts<S> for Provenance {
    type Rejection = MissingFitLayer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingFitLayer> {
        let of_layer = || parts.extensions.get().copied();
        match parts.extensions.get::<RequestIdentity>() {
            Some(call) => Ok(call.provenance),
            None => of_layer().ok_or(MissingFitLayer),
        }
    }
}
