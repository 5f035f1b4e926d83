//! The plan of the attacks: the routes of the app, and the FITs that are forged for one of them.

use std::time::SystemTime;

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use forge_remote_attacks::jws::{FIRST_KID, Fit};
use forge_remote_attacks::rsa::RsaKey;
use forge_remote_attacks::{Case, Keys, Scene};
use serde_json::Value;

use crate::app::{App, RouteDigest};
use crate::fit::{AllowedCaller, PRODUCTION_KEYS};
use crate::platform::FUNCTION_KEY;
use crate::registry::Handler;

/// The largest number of routes that are called without a FIT: the other requests have their share of the 60.
const MAX_ROUTES: usize = 16;
/// The body that is sent at most, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// The plan of the attacks.
pub(super) struct Plan {
    pub(super) routes: Vec<Route>,
    /// The number of further paths, which are not called.
    pub(super) paths_left_out: usize,
    /// The route that gets the forged FITs: the first one whose calls have a body, or the first.
    pub(super) target: Route,
    /// The largest body that the target accepts, in bytes; `None` if its calls have none.
    pub(super) body: Option<usize>,
    pub(super) digest: RouteDigest,
    /// Whether a route of the app's own has the path that no handler has.
    pub(super) has_fallback: bool,
    /// The source of the key set that the app's FITs are signed with.
    pub(super) key_set: String,
    published: Option<PublishedKey>,
    caller: AllowedCaller,
    endpoint: String,
    app_id: String,
}

/// A path of a handler, with its method.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: String,
}

/// A path that no handler has.
pub(super) const UNKNOWN_PATH: &str = "/forge-remote-doctor/unknown";

/// Why there is nothing to attack.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlanError {
    #[error(
        "the app has no handler that `doctor --url` can call (a handler with `cron` has no path): link the crates that \
         have handlers with `forge_remote::link!`"
    )]
    NoHandler,
    #[error("{0}")]
    AppId(String),
}

impl Plan {
    /// Returns the plan, with a key of the set with this name.
    pub(super) fn new(
        app: &App,
        key_set: String,
        published: Option<PublishedKey>,
    ) -> Result<Self, PlanError> {
        let handlers = app.registry.handlers().iter();
        let callable: Vec<&Handler> = handlers.filter(|handler| !handler.is_cron()).collect();
        let first = callable.first().ok_or(PlanError::NoHandler)?;
        let with_body = callable
            .iter()
            .find(|handler| Route::of(handler).has_body());
        let target = with_body.unwrap_or(first);
        let mut routes: Vec<Route> = Vec::new();
        let current = callable.iter().map(|handler| Route::of(handler));
        // Older major versions of the app call these.
        let former = callable
            .iter()
            .flat_map(|handler| Route::all(handler).skip(1));
        for route in current.chain(former) {
            if routes.iter().all(|other| other.path != route.path) {
                routes.push(route);
            }
        }
        let paths_left_out = routes.len().saturating_sub(MAX_ROUTES);
        routes.truncate(MAX_ROUTES);
        let settings = app.settings();
        let ids = settings
            .app_ids()
            .map_err(|error| PlanError::AppId(error.to_string()))?;
        let limit = target.registration().body_limit.unwrap_or(app.limits.body);
        Ok(Self {
            target: Route::of(target),
            paths_left_out,
            routes,
            body: with_body.map(|_| limit.min(MAX_BODY)),
            digest: RouteDigest::of(&app.registry),
            has_fallback: app.has_own_route(UNKNOWN_PATH),
            key_set,
            published,
            caller: target.registration().kind.caller(),
            endpoint: target.endpoint().to_owned(),
            app_id: ids.first().map(ToString::to_string).unwrap_or_default(),
        })
    }

    /// Returns the scene of the attacks at this time: a FIT is valid for seconds.
    pub(super) fn scene(&self, now: SystemTime) -> Scene {
        let claims = self.claims(now);
        let scene = match &self.published {
            Some(PublishedKey { kid, key }) => Scene::new(Keys::of_an_attacker(key.clone()), now)
                .with_key_ids(kid, &format!("{kid}-2"))
                .with_urls("https://attacker.example/jwks.json", &self.key_set),
            None => Scene::new(Keys::of(forge_remote_attacks::rsa::stranger().clone()), now),
        };
        scene.with_claims(claims.clone(), claims)
    }

    /// Returns a FIT of the target at this time, signed with the published key of the vectors.
    pub(super) fn public_token(&self, now: SystemTime) -> String {
        let token = Keys::published_for_tests().map(|keys| {
            let header = serde_json::json!({ "alg": "RS256", "kid": FIRST_KID });
            Fit::new(header, self.claims(now)).sign(&keys.first)
        });
        token.unwrap_or_default()
    }

    /// Returns the id of a key of the set, if it could be fetched.
    pub(super) fn published_kid(&self) -> Option<&str> {
        self.published.as_ref().map(|key| &*key.kid)
    }

    /// Returns whether the set is not Atlassian's, by the configuration of this build.
    pub(super) fn has_own_keys(&self) -> bool {
        self.key_set != PRODUCTION_KEYS
    }

    /// Returns whether the FIT of a case names a key of the set.
    pub(super) fn names_published_key(&self, case: &Case) -> bool {
        let header = || {
            let part = case.token.as_deref()?.split('.').next()?;
            serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
        };
        let kid = header().and_then(|header| Some(header.get("kid")?.as_str()?.to_owned()));
        kid.is_some() && kid.as_deref() == self.published_kid()
    }

    /// Returns the route whose path is sent with escapes: one with a slash inside, if there is one.
    pub(super) fn escapable(&self) -> &Route {
        let is_nested = |route: &&Route| route.path.trim_start_matches('/').contains('/');
        self.routes.iter().find(is_nested).unwrap_or(&self.target)
    }

    /// Returns the claims of a valid FIT for the target.
    fn claims(&self, now: SystemTime) -> Value {
        let fit = match self.caller {
            AllowedCaller::Page => Fit::page(now),
            AllowedCaller::Platform | AllowedCaller::PlatformForUser => {
                Fit::backend(now, &self.endpoint)
            }
            AllowedCaller::Function => Fit::backend(now, FUNCTION_KEY),
        };
        let fit = fit
            .claim("/aud", &*self.app_id)
            .claim("/app/id", &*self.app_id);
        fit.claims
    }
}

impl Route {
    /// Returns a handler's route.
    fn of(handler: &Handler) -> Self {
        Self::at(handler, handler.path())
    }

    /// Returns the route of each path of a handler, the current one first.
    fn all(handler: &Handler) -> impl Iterator<Item = Self> {
        handler.paths().map(|path| Self::at(handler, path))
    }

    /// Returns a route with a text instead of each parameter of the path.
    fn at(handler: &Handler, path: &str) -> Self {
        let method = handler.method().as_str().parse();
        let parts = path.split('/');
        let parts = parts.map(|part| if part.contains('{') { "doctor" } else { part });
        Self {
            method: method.unwrap_or(Method::POST),
            path: parts.collect::<Vec<_>>().join("/"),
        }
    }

    /// Returns whether its calls have a body.
    fn has_body(&self) -> bool {
        [Method::POST, Method::PUT, Method::PATCH].contains(&self.method)
    }
}

/// A published key with its id.
pub(super) struct PublishedKey {
    kid: String,
    key: RsaKey,
}

impl PublishedKey {
    /// Returns the first RSA key of a set, which is the secret of some forgeries.
    pub(super) fn first(set: &[u8]) -> Option<Self> {
        let set: Value = serde_json::from_slice(set).ok()?;
        set.get("keys")?.as_array()?.iter().find_map(|key| {
            let number = |name: &str| URL_SAFE_NO_PAD.decode(key.get(name)?.as_str()?).ok();
            let kid = key.get("kid")?.as_str()?.to_owned();
            let key = RsaKey::public(&number("n")?, &number("e")?);
            Some(Self { kid, key })
        })
    }
}
