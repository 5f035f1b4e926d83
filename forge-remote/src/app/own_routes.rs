//! The routers of your own, and the paths of their routes.

use axum::Router;

/// A router of your own, with the paths of its routes.
pub(crate) struct OwnRoutes {
    pub(super) router: Router,
    /// The routes' patterns, sorted; empty if they can't be read.
    pub(crate) paths: Vec<String>,
    /// Whether requests for other paths are for the router too.
    pub(super) takes_others: bool,
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

    pub(super) fn has(&self, path: &str) -> bool {
        self.paths.iter().any(|pattern| matches(pattern, path))
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

/// Returns whether a path matches a pattern of axum's.
fn matches(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    for wanted in pattern.split('/') {
        if wanted.starts_with("{*") {
            return segments.next().is_some_and(|segment| !segment.is_empty());
        }
        let is_variable = wanted.contains('{');
        match segments.next() {
            Some(segment) if segment == wanted || (is_variable && !segment.is_empty()) => {}
            _ => return false,
        }
    }
    segments.next().is_none()
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
        for (path, is_own) in [
            ("/oauth/7/x", true),
            ("/files/a/b", true),
            ("/files/", false),
            ("/figma", false),
            ("/figma/webhook/", false),
        ] {
            assert_eq!(routes.has(path), is_own, "{path}");
        }
        let with_fallback = Router::new().fallback(|| async {});
        assert!(OwnRoutes::new(with_fallback, at).takes_others);
        assert!(OwnRoutes::new(Router::new(), at).paths.is_empty());
    }
}
