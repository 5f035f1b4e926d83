//! The routes of the handlers.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::{MethodFilter, any, on};

use super::by_hand::ByHand;
use super::call_plan::{CallPlan, calling};
use super::context::ServiceContext;
use super::fixed_routes::preflight;
use super::former::FormerCalls;
use super::last_calls::LastCalls;
use super::pipeline::Mounted;
use super::target::KnownKeys;
use crate::app::base_paths::{BasePaths, ServedPath};
use crate::app::builder::App;
use crate::extract::{CalledByFormerPath, Subpath};
use crate::fit::AllowedCaller;
use crate::registry::{Handler, RouteScope};

/// The parts from which the routes of handlers are built.
pub(super) struct HandlerRoutes<'a> {
    pub(super) app: &'a App,
    pub(super) context: &'a ServiceContext,
    pub(super) plan: &'a CallPlan,
    pub(super) keys: &'a KnownKeys,
    pub(super) former: &'a Arc<FormerCalls>,
    pub(super) last_calls: &'a LastCalls,
    pub(super) by_hand: &'a Arc<ByHand>,
}

impl HandlerRoutes<'_> {
    /// Returns a router with the routes of every handler, and the preflights of the paths that pages call.
    pub(super) fn router(&self, base_paths: &BasePaths) -> Router {
        let mut router = Router::new();
        let mut pages: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for ((served, _), handlers) in self.by_route(base_paths) {
            let mut mounted = handlers.iter().map(|handler| self.mounted(handler));
            let (Some(first), Some(handler)) = (mounted.next(), handlers.first()) else {
                continue;
            };
            let mounted = first.sharing_route_with(mounted.collect());
            router = mount(router, handler, &served, Arc::new(mounted), self.by_hand);
            if handler.registration().kind.caller() == AllowedCaller::Page {
                let methods = pages.entry(served.path).or_default();
                methods.push(handler.method().as_str());
            }
        }
        for (path, methods) in pages {
            let methods = methods.join(", ");
            let options = move |request: Request| std::future::ready(preflight(&request, &methods));
            router = router.route(&path, on(MethodFilter::OPTIONS, options));
        }
        router
    }

    /// Returns the handlers by path and methods: the attributes of one function may share a route.
    fn by_route(&self, base_paths: &BasePaths) -> BTreeMap<(ServedPath, &str), Vec<&Handler>> {
        let mut routes: BTreeMap<_, Vec<&Handler>> = BTreeMap::new();
        let served = |handler: &&Handler| self.app.serves_cron || !handler.is_cron();
        for handler in self.app.registry.handlers().iter().filter(served) {
            for served in base_paths.of(handler) {
                let route = (served, handler.methods());
                routes.entry(route).or_default().push(handler);
            }
        }
        routes
    }

    fn mounted(&self, handler: &Handler) -> Mounted {
        let mut mounted = Mounted::new(handler, self.keys, self.former, self.context);
        mounted.calling = calling(self.app, handler);
        mounted.last_call = self.last_calls.of(handler.key());
        mounted.intake = self.plan.intake(handler);
        mounted
    }
}

/// Adds every route of a handler at one of its paths.
fn mount(
    router: Router,
    handler: &Handler,
    served: &ServedPath,
    mounted: Arc<Mounted>,
    by_hand: &Arc<ByHand>,
) -> Router {
    let ServedPath {
        path, is_former, ..
    } = served;
    let (path, is_former) = (path.as_str(), *is_former);
    let base = path.trim_end_matches('/').to_owned();
    let subpaths = format!("{base}/{{*rest}}");
    let slash = format!("{base}/");
    let serve = {
        let (mounted, by_hand) = (Arc::clone(&mounted), Arc::clone(by_hand));
        move |mut request: Request| {
            by_hand.on_request();
            if is_former {
                request.extensions_mut().insert(CalledByFormerPath);
            }
            Arc::clone(&mounted).serve(request)
        }
    };
    match handler.route_scope() {
        RouteScope::Exact => router.route(path, on(handler.method().filter(), serve)),
        RouteScope::AnyMethod => router.route(path, any(serve)),
        RouteScope::Subpath => {
            let serve_whole = serve.clone();
            let serve_subpath = move |mut request: Request| {
                let rest = request.uri().path().strip_prefix(base.as_str());
                let rest = Subpath(rest.unwrap_or_default().to_owned());
                request.extensions_mut().insert(rest);
                serve_whole(request)
            };
            let router = if path == slash {
                router
            } else {
                router.route(&slash, any(serve_subpath.clone()))
            };
            router
                .route(path, any(serve))
                .route(&subpaths, any(serve_subpath))
        }
    }
}
