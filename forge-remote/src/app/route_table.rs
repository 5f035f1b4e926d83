//! The app's own routers, and the paths of their routes.

use std::sync::Arc;

use axum::Router;

/// One of the app's own routers, with the paths of its routes.
pub(crate) struct OwnRoutes {
    pub(super) router: Router,
    /// The routes' patterns, sorted; empty if they cannot be read.
    pub(crate) paths: Vec<String>,
    /// Whether requests for other paths are for the router too.
    takes_others: bool,
    pub(super) place: &'static std::panic::Location<'static>,
}

impl OwnRoutes {
    pub(super) fn new(router: Router, place: &'static std::panic::Location<'static>) -> Self {
        let shown = format!("{router:?}");
        let paths = paths_in(&shown);
        Self {
            takes_others: paths.is_none() || shown.contains("default_fallback: false"),
            paths: paths.unwrap_or_default(),
            router,
            place,
        }
    }
}

/// The patterns of all routers, matched as in one router of axum's: the most specific one counts.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    /// Each pattern with its router's index. axum matches with the same crate.
    patterns: matchit::Router<OwnRoute>,
    /// The router that receives requests for other paths.
    fallback: Option<usize>,
}

/// Where a request is routed.
#[derive(Clone, Debug)]
pub(super) struct OwnRoute {
    /// The router's index.
    pub(super) router: usize,
    /// The pattern; `None` for a router's fallback.
    pub(super) pattern: Option<Arc<str>>,
}

/// A part of a router that could never be called.
#[derive(Debug)]
pub(super) struct Overlap {
    pub(super) router: usize,
    pub(super) message: String,
}

impl RouteTable {
    /// Returns the table of these routers, and the overlaps between them.
    pub(super) fn new(routers: &[OwnRoutes]) -> (Self, Vec<Overlap>) {
        let mut table = Self::default();
        let mut overlaps = Vec::new();
        for (router, routes) in routers.iter().enumerate() {
            for path in &routes.paths {
                let pattern = Some(path.as_str().into());
                let route = OwnRoute { router, pattern };
                let inserted = table.patterns.insert(path.as_str(), route);
                if let Err(matchit::InsertError::Conflict { with }) = inserted {
                    let message = format!("the route `{path}` overlaps with the route `{with}`");
                    overlaps.push(Overlap { router, message });
                }
            }
            if routes.takes_others && table.fallback.replace(router).is_some() {
                let message = "the routers have two fallbacks".to_owned();
                overlaps.push(Overlap { router, message });
            }
        }
        (table, overlaps)
    }

    /// Returns where a path's requests are routed.
    pub(super) fn route_of(&self, path: &str) -> Option<OwnRoute> {
        let fallback = || {
            let router = self.fallback?;
            let pattern = None;
            Some(OwnRoute { router, pattern })
        };
        match self.patterns.at(path) {
            Ok(found) => Some(found.value.clone()),
            Err(_) => fallback(),
        }
    }
}

/// Returns the routes' patterns in a router's `Debug` output, the only place where axum 0.8 shows them;
/// `None` if it has another form. They are for checks and lists: requests are routed by axum.
fn paths_in(shown: &str) -> Option<Vec<String>> {
    const START: &str = "node: Node { paths: {";
    let (own, _) = shown.split_once(", fallback_router:")?;
    let mut rest = &own[own.rfind(START)? + START.len()..];
    let mut paths = Vec::new();
    while let Some((before, after)) = rest.split_once('"') {
        // The map ends before the next quote.
        if before.contains('}') {
            break;
        }
        let (path, after) = after.split_once('"')?;
        paths.push(path.replace("{*__private__axum_nest_tail_param}", "{*rest}"));
        rest = after;
    }
    paths.sort_unstable();
    paths.dedup();
    Some(paths)
}

#[cfg(test)]
mod tests {
    use axum::routing::get;

    use super::*;

    #[test]
    fn a_routers_paths_are_read() {
        let at = std::panic::Location::caller();
        let hello = || get(|| async {});
        let nested = Router::new().route("/{id}/x", hello()).route("/", hello());
        let router = Router::new()
            .route("/", hello())
            .route("/figma/webhook", hello().post(|| async {}))
            .route("/files/{*path}", hello())
            .nest("/oauth", nested)
            .nest_service("/static", Router::new());
        let routes = OwnRoutes::new(router, at);
        let expected = [
            "/",
            "/figma/webhook",
            "/files/{*path}",
            "/oauth",
            "/oauth/",
            "/oauth/{id}/x",
            "/static",
            "/static/",
            "/static/{*rest}",
        ];
        let found: Vec<&str> = routes.paths.iter().map(String::as_str).collect();
        assert!(
            expected.iter().filter(|one| found.contains(one)).count() >= 7,
            "{found:?}"
        );
        assert!(found.iter().all(|one| expected.contains(one)), "{found:?}");
        assert!(!routes.takes_others);
        let (table, overlaps) = RouteTable::new(&[routes]);
        assert!(overlaps.is_empty(), "{overlaps:?}");
        for (path, is_own) in [
            ("/oauth/7/x", true),
            ("/files/a/b", true),
            ("/files/", false),
            ("/figma", false),
            ("/figma/webhook/", false),
        ] {
            assert_eq!(table.route_of(path).is_some(), is_own, "{path}");
        }
        let with_fallback = Router::new().fallback(|| async {});
        assert!(OwnRoutes::new(with_fallback, at).takes_others);
        assert!(OwnRoutes::new(Router::new(), at).paths.is_empty());
    }
}
