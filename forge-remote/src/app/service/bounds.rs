//! The responses to requests beyond the app's limits, and their log lines.

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::response::Response;

use crate::log::{LogLimits, Permit};
use crate::response;

/// The log lines about requests beyond a limit. Each has its own bounds, so that anonymous callers do not
/// suppress the lines about Forge's calls.
pub(super) struct Bounds {
    too_large: &'static str,
    /// The setting to raise for larger bodies.
    fix: &'static str,
    overloaded: &'static str,
    places: &'static str,
}

pub(super) const HANDLERS: Bounds = Bounds {
    too_large: "payload_too_large",
    fix: "`body_limit` in the handler's attribute, or `App::body_limit`",
    overloaded: "overloaded",
    places: "the maximum of calls is in flight (`App::max_in_flight`)",
};

pub(super) const OWN_ROUTES: Bounds = Bounds {
    too_large: "own_route_payload_too_large",
    fix: "`App::body_limit`",
    overloaded: "own_route_overloaded",
    places: "the routes of `App::routes` have their quarter of the calls in flight (`App::max_in_flight`)",
};

impl Bounds {
    /// Returns a 413 response if a request declares a body of more than `limit` bytes.
    pub(super) fn too_large(
        &self,
        request: &Request,
        limit: usize,
        log_limits: &LogLimits,
    ) -> Option<Response> {
        if request.body().size_hint().lower() <= limit as u64 {
            return None;
        }
        if let Some(Permit { suppressed }) = log_limits.permit(self.too_large) {
            let fix = self.fix;
            tracing::warn!(
                limit,
                suppressed,
                "rejected: the body is too large; raise {fix}"
            );
        }
        Some(response::payload_too_large())
    }

    /// Returns the 503 response to a request above the maximum of calls in flight.
    pub(super) fn overloaded(&self, log_limits: &LogLimits) -> Response {
        if let Some(Permit { suppressed }) = log_limits.permit(self.overloaded) {
            let places = self.places;
            tracing::warn!(suppressed, "rejected: {places}");
        }
        response::overloaded()
    }
}
