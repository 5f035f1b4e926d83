//! The app's own routes in the service, with the limits of the handlers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::response::Response;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::context::ServiceContext;
use super::{bounds, spans};
use crate::app::body;
use crate::app::limits::Limits;
use crate::app::route_table::{OwnRoutes, RouteTable};
use crate::app::span_observer::OnSpan;
use crate::log::LogLimits;
use crate::work::Work;

/// The pattern of the route that served a request, as an extension of the response.
#[derive(Clone)]
pub(super) struct ServedRoute(pub(super) Arc<str>);

/// How long a caller waits for a response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(55);

/// Anyone can call these routes: they get one of this many parts of the calls in flight.
const SHARE: usize = 4;

/// The app's own routes as they are served, with the limits of the handlers.
pub(super) struct ServedRoutes {
    routes: Vec<OwnRoutes>,
    table: RouteTable,
    /// The calls of these routes in flight.
    calls: TaskTracker,
    limits: Limits,
    work: Arc<Work>,
    log_limits: LogLimits,
    on_span: OnSpan,
}

impl ServedRoutes {
    /// Creates the routes, and logs that they are not verified.
    pub(super) fn new(routes: Vec<OwnRoutes>, context: &ServiceContext) -> Self {
        let (table, _) = RouteTable::new(&routes);
        let routes = Self {
            routes,
            table,
            calls: TaskTracker::new(),
            limits: context.limits,
            work: Arc::clone(&context.work),
            log_limits: context.log_limits.clone(),
            on_span: context.on_span.clone(),
        };
        routes.announce();
        routes
    }

    fn announce(&self) {
        let paths = self.routes.iter().flat_map(|routes| &routes.paths);
        let paths: Vec<&str> = paths.map(String::as_str).collect();
        if !self.routes.is_empty() {
            let routes = paths.join(" ");
            tracing::info!(
                routes,
                "routes of `App::routes` are served without verification: anyone can call them"
            );
        }
    }

    /// Serves a request; returns it if no route is for it.
    pub(super) async fn serve(&self, request: Request) -> Result<Response, Request> {
        let path = request.uri().path();
        let Some(route) = self.table.route_of(path) else {
            return Err(request);
        };
        let Some(found) = self.routes.get(route.router) else {
            return Err(request);
        };
        let span = spans::of_own_route(&request, route.pattern.as_deref());
        let request = self.on_span.with(&span, request);
        let serving = self.serve_by(found.router.clone(), request);
        let mut response = serving.instrument(span.clone()).await;
        spans::record_response(&span, &response);
        if let Some(pattern) = route.pattern {
            response.extensions_mut().insert(ServedRoute(pattern));
        }
        Ok(response)
    }

    async fn serve_by(&self, mut router: Router, mut request: Request) -> Response {
        let limit = self.limits.body;
        if let Some(rejection) = bounds::OWN_ROUTES.too_large(&request, limit, &self.log_limits) {
            return rejection;
        }
        let place = self.calls.token();
        if self.calls.len() > (self.work.max_calls() / SHARE).max(1) {
            return bounds::OWN_ROUTES.overloaded(&self.log_limits);
        }
        // The app's own limit replaces axum's.
        DefaultBodyLimit::disable().apply(&mut request);
        let request =
            request.map(|body| body::bounded(body, self.limits.body, self.limits.body_time));
        let started = Instant::now();
        let handling = || {
            Box::pin(async move {
                let Ok(response) = tower_service::Service::call(&mut router, request).await;
                drop(place);
                response
            }) as _
        };
        let timeout = self.limits.response.unwrap_or(RESPONSE_TIMEOUT);
        let Some(call) = self.work.handle(timeout, &self.log_limits, handling) else {
            return bounds::OWN_ROUTES.overloaded(&self.log_limits);
        };
        let response = call.await;
        tracing::debug!(status = response.status().as_u16(), elapsed = ?started.elapsed(), "served");
        response
    }
}
