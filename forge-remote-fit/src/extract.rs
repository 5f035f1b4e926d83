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

/// Adds a verified call to its request, as [`FitLayer`](crate::FitLayer) does.
pub fn extend(extensions: &mut http::Extensions, claims: &Claims, provenance: Provenance) {
    extensions.insert(claims.clone());
    extensions.insert(provenance);
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
        parts.extensions.get().cloned().ok_or(MissingFitLayer)
    }
}

/// The provenance that a [`FitLayer`](crate::FitLayer) determined.
impl<S: Sync> FromRequestParts<S> for Provenance {
    type Rejection = MissingFitLayer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingFitLayer> {
        parts.extensions.get().copied().ok_or(MissingFitLayer)
    }
}
