//! The service as a tower service.

use std::convert::Infallible;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::Bytes;
use axum::response::Response;
use axum::routing::future::RouteFuture;

use super::built::Service;

/// The app's routes as a tower service, for a server or a router of another crate.
///
/// As for [`router`](Service::router), the caller must [start](Service::start_background) background
/// tasks, and call [`shutdown`](Service::shutdown) at the end; the log shows when it does not.
///
/// ```
/// # use forge_remote::prelude::*;
/// # fn nest(service: forge_remote::Service) -> axum::Router {
/// axum::Router::new().fallback_service(service)
/// # }
/// ```
impl<B> tower_service::Service<axum::http::Request<B>> for Service
where
    B: axum::body::HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        tower_service::Service::<axum::http::Request<B>>::poll_ready(&mut self.router(), context)
    }

    fn call(&mut self, request: axum::http::Request<B>) -> Self::Future {
        tower_service::Service::call(&mut self.router(), request)
    }
}
