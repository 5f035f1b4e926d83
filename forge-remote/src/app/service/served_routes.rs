//! The routes of your own in the service, with the limits of the handlers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::response::Response;
use tracing::Instrument as _;

use super::bounds;
use crate::app::body;
use crate::app::limits::Limits;
use crate::app::own_routes::OwnRoutes;
use crate::log::LogLimits;
use crate::work::Work;

/// How long a caller waits for a response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(55);

/// The routes of your own as they are served, with the limits of the handlers.
pub(super) struct ServedRoutes {
    pub(super) routes: Vec<OwnRoutes>,
    pub(super) limits: Limits,
    pub(super) work: Arc<Work>,
    pub(super) log_limits: LogLimits,
}

impl ServedRoutes {
    /// Logs that these routes are not verified.
    pub(super) fn announce(&self) {
        let paths = self.routes.iter().flat_map(|routes| &routes.paths);
        let paths: Vec<&str> = paths.map(String::as_str).collect();
        if !self.routes.is_empty() {
            let routes = paths.join(" ");
            tracing::info!(
                routes,
                "routes of `App::routes` are served without verification: anybody can call them"
            );
        }
    }

    /// Serves a request; returns it if no route is for it.
    pub(super) async fn serve(&self, request: Request) -> Result<Response, Request> {
        let path = request.uri().path();
        let mut routes = self.routes.iter();
        let found = routes.clone().find(|routes| routes.has(path));
        let Some(found) = found.or_else(|| routes.find(|routes| routes.takes_others)) else {
            return Err(request);
        };
        let span = tracing::info_span!("own_route", method = %request.method());
        Ok(self
            .serve_by(found.router.clone(), request)
            .instrument(span)
            .await)
    }

    async fn serve_by(&self, mut router: Router, mut request: Request) -> Response {
        let (limit, fix) = (self.limits.body, "`App::body_limit`");
        if let Some(rejection) = bounds::too_large(&request, limit, fix, &self.log_limits) {
            return rejection;
        }
        // The app's own limit replaces axum's.
        DefaultBodyLimit::disable().apply(&mut request);
        let request =
            request.map(|body| body::bounded(body, self.limits.body, self.limits.body_time));
        let started = Instant::now();
        let handling = || {
            Box::pin(async move {
                let Ok(response) = tower_service::Service::call(&mut router, request).await;
                response
            }) as _
        };
        let timeout = self.limits.response.unwrap_or(RESPONSE_TIMEOUT);
        let Some(call) = self.work.handle(timeout, &self.log_limits, handling) else {
            return bounds::overloaded(&self.log_limits);
        };
        let response = call.await;
        tracing::debug!(status = response.status().as_u16(), elapsed = ?started.elapsed(), "served");
        response
    }
}
