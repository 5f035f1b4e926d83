//! [`App::layer`].

use std::convert::Infallible;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::Route;
use tower_layer::Layer;

use super::builder::App;

impl App {
    /// Puts a tower layer around every route: handlers, `/healthz`, `/readyz` and responses for
    /// unknown paths.
    ///
    /// The layer sees requests before they are verified and responses last, so it can trace, count,
    /// compress or reject requests. It cannot disable verification or read the verified claims. Of
    /// several layers, the last one added is the outermost, as in
    /// [`Router::layer`](axum::Router::layer). A request for a handler has axum's `MatchedPath`, the
    /// route without its variable parts: a label for metrics.
    ///
    /// A layer that fails must turn its error into a response itself.
    /// [`body_timeout`](Self::body_timeout) does not apply to a body that a layer buffers.
    ///
    /// ```
    /// use forge_remote::axum::middleware::{self, Next};
    /// use forge_remote::axum::{extract::Request, response::Response};
    /// use forge_remote::prelude::*;
    ///
    /// async fn name_the_server(request: Request, next: Next) -> Response {
    ///     let mut response = next.run(request).await;
    ///     response.headers_mut().insert("server", "backend".parse().unwrap());
    ///     response
    /// }
    ///
    /// let app = App::new().layer(middleware::from_fn(name_the_server));
    /// # let _ = app;
    /// ```
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: tower_service::Service<Request> + Clone + Send + Sync + 'static,
        <L::Service as tower_service::Service<Request>>::Response: IntoResponse + 'static,
        <L::Service as tower_service::Service<Request>>::Error: Into<Infallible> + 'static,
        <L::Service as tower_service::Service<Request>>::Future: Send + 'static,
    {
        self.layers.add(|router: Router| router.layer(layer));
        self
    }
}
