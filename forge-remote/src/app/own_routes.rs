//! The app's own routes, and the check that each of them can be called.

use axum::Router;
use forge_remote_schema::rules::RESERVED_PATHS;

use super::base_paths::BasePaths;
use super::builder::App;
use super::route_table::{Overlap, OwnRoutes, RouteTable};
use crate::diagnostic::{CodeLocation, Diagnostic, Location, Rule};

/// The rules of this file.
#[cfg(feature = "cli")]
pub(crate) const RULES: &[&Rule] = &[&ROUTE_TAKEN];

const ROUTE_TAKEN: Rule = Rule::launch(
    "route-taken",
    "A route given to `App::routes` would never be called: a handler, another route or the framework (`/healthz`, \
    `/readyz`) is served at its path. Give it another path.",
);

impl App {
    /// Returns whether a route of the app's own receives the requests of a path.
    #[cfg(feature = "dev")]
    pub(crate) fn has_own_route(&self, path: &str) -> bool {
        RouteTable::new(&self.own_routes).0.route_of(path).is_some()
    }

    /// Adds your own routes to the server: webhooks of other services, callbacks of OAuth, health checks.
    /// They share the handlers' limits ([`body_limit`](Self::body_limit),
    /// [`max_in_flight`](Self::max_in_flight), …), shutdown, logs and [layers](Self::layer); `routes` and
    /// `dev` list them.
    ///
    /// **These routes are not verified:** anyone can call them, and no Forge Invocation Token is
    /// expected or read. Authenticate their callers yourself. To call Atlassian from one, use a clone of
    /// the app's [`Tokens`](crate::token::Tokens).
    ///
    /// Handlers take precedence. Several routers behave as one axum router: the most specific route is called.
    /// A route that could never be called, because a handler, another route, `/healthz` or `/readyz` has its
    /// path, keeps the app from starting. A router's fallback receives the requests that no other route
    /// matches.
    ///
    /// These routes get at most a quarter of the [calls in flight](Self::max_in_flight), but at least one, so that
    /// their callers cannot block Forge's calls.
    ///
    /// ```
    /// use forge_remote::axum::{Router, routing::post};
    /// use forge_remote::prelude::*;
    ///
    /// async fn figma_webhook(body: String) -> &'static str {
    ///     // Check the webhook's signature here.
    ///     let _ = body;
    ///     "ok"
    /// }
    ///
    /// let app = App::new().routes(Router::new().route("/figma/webhook", post(figma_webhook)));
    /// # let _ = app;
    /// ```
    #[track_caller]
    pub fn routes(mut self, router: Router) -> Self {
        let place = std::panic::Location::caller();
        self.own_routes.push(OwnRoutes::new(router, place));
        self
    }

    /// Returns a problem for each of the app's own routes that could never be called.
    pub(crate) fn own_route_problems(&self, base_paths: &BasePaths) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        for routes in &self.own_routes {
            for path in &routes.paths {
                let mut report = |message: String, other: Option<CodeLocation>| {
                    let help = "give it another path, or remove it";
                    let problem = Diagnostic::error(&ROUTE_TAKEN, message, help);
                    let place = Location::from(routes.place);
                    problems.push(problem.at([place]).at(other));
                };
                let mut handlers = self.registry.handlers().iter();
                if let Some(handler) = handlers.find(|one| base_paths.hides(one, path)) {
                    let name = handler.registration().function;
                    let message = format!("the route `{path}` is a path of the handler `{name}`");
                    report(message, Some(handler.into()));
                } else if RESERVED_PATHS.contains(&path.as_str()) {
                    report(format!("the framework serves `{path}`"), None);
                }
            }
        }
        let (_, overlaps) = RouteTable::new(&self.own_routes);
        for Overlap { router, message } in overlaps {
            let help = "give one of them another path, or remove it";
            let place = Location::from(self.own_routes[router].place);
            problems.push(Diagnostic::error(&ROUTE_TAKEN, message, help).at([place]));
        }
        problems
    }
}

#[cfg(feature = "cli")]
impl App {
    /// Returns the paths of the app's own [`routes`](Self::routes).
    pub(crate) fn own_paths(&self) -> Vec<String> {
        let paths = self.own_routes.iter().flat_map(|routes| &routes.paths);
        paths.cloned().collect()
    }
}
