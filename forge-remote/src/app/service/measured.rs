//! Measures the duration of every request, by route and response.

use std::borrow::Cow;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;

use super::served_routes::ServedRoute;
use crate::telemetry::http::error_type;
use crate::telemetry::record::{self, Stopwatch};

/// Returns the routes with the measurement around them, if metrics are recorded.
pub(super) fn measured(router: Router) -> Router {
    match record::ENABLED {
        true => router.layer(middleware::from_fn(measure)),
        false => router,
    }
}

async fn measure(request: Request, next: Next) -> Response {
    let mut measurement = Measurement {
        method: request.method().clone(),
        route: request.extensions().get::<MatchedPath>().cloned(),
        took: Stopwatch::start(),
        has_ended: false,
    };
    let response = next.run(request).await;
    measurement.end(&response);
    response
}

/// The measurement of a request. One that is dropped before its response had a caller that disconnected.
struct Measurement {
    method: Method,
    route: Option<MatchedPath>,
    took: Stopwatch,
    has_ended: bool,
}

impl Measurement {
    fn end(&mut self, response: &Response) {
        self.has_ended = true;
        let extensions = response.extensions();
        let own_route = extensions.get::<ServedRoute>();
        let route = own_route.map(|ServedRoute(pattern)| &**pattern);
        let error = error_type(response.status(), extensions);
        self.record(route, Some(response.status()), error);
    }

    fn record(
        &self,
        own_route: Option<&str>,
        status: Option<StatusCode>,
        error: Option<Cow<'static, str>>,
    ) {
        let route = own_route.or(self.route.as_ref().map(MatchedPath::as_str));
        record::server_request(&self.method, route, status, error, self.took);
    }
}

impl Drop for Measurement {
    fn drop(&mut self) {
        if !self.has_ended {
            self.record(None, None, Some(Cow::Borrowed("disconnected")));
        }
    }
}
