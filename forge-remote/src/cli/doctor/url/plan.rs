//! What to attack: the routes of the app, and the tokens that are forged for one of them.

use std::time::SystemTime;

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use forge_remote_attacks::jws::{FIRST_KID, Fit};
use forge_remote_attacks::rsa::RsaKey;
use forge_remote_attacks::{Case, Keys, Scene};
use serde_json::Value;

use super::super::local;
use crate::app::{App, RouteDigest};
use crate::fit::{AllowedCaller, PRODUCTION_KEYS};
use crate::registry::Handler;

/// The largest number of routes that are called without a token: the other requests have their share of the 60.
const MAX_ROUTES: usize = 16;
/// The body that is sent at most, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// What to attack.
pub(super) struct Plan {
    pub(super) routes: Vec<Route>,
    /// The number of further paths, which are not called.
    pub(super) paths_left_out: usize,
    /// The route that gets the forged tokens: the first one.
    pub(super) target: Route,
    /// The largest body that the target accepts, in bytes.
    pub(super) body: usize,
    pub(super) digest: RouteDigest,
    /// Whether a route of the app's own has the path that no handler has.
    pub(super) has_fallback: bool,
    /// What an attacker makes tokens from.
    pub(super) scene: Scene,
    /// A token of the target, signed with the published key of the vectors.
    pub(super) public_token: String,
    pub(super) key_set_url: String,
    /// The id of a key of this set, if it could be fetched.
    pub(super) published_kid: Option<String>,
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
    #[error("the app has no handler with a path that could be called")]
    NoHandler,
    #[error("{0}")]
    AppId(String),
}

impl Plan {
    pub(super) fn new(app: &App, published: Option<PublishedKey>) -> Result<Self, PlanError> {
        let handlers = app.registry.handlers().iter();
        let callable = |handler: &&Handler| !handler.is_cron() && !handler.path().contains('{');
        let callable: Vec<&Handler> = handlers.filter(callable).collect();
        let first = callable.first().ok_or(PlanError::NoHandler)?;
        let mut routes: Vec<Route> = Vec::new();
        for handler in &callable {
            let route = Route::of(handler);
            if routes.iter().all(|other| other.path != route.path) {
                routes.push(route);
            }
        }
        let paths_left_out = routes.len().saturating_sub(MAX_ROUTES);
        routes.truncate(MAX_ROUTES);
        let settings = app.settings();
        let ids = settings
            .app_ids()
            .map_err(|error| PlanError::AppId(error.to_diagnostic().message))?;
        let app_id = ids.first().map(|id| id.as_str()).unwrap_or_default();
        let now = app.clock.now();
        let claims = claims(first, app_id, now);
        let limit = first.registration().body_limit.unwrap_or(app.limits.body);
        let url = key_set_url(app);
        let published_kid = published.as_ref().map(|key| key.kid.clone());
        let scene = match published {
            Some(PublishedKey { kid, key }) => Scene::new(Keys::of_an_attacker(key), now)
                .with_key_ids(&kid, &format!("{kid}-2"))
                .with_urls("https://attacker.example/jwks.json", &url),
            None => Scene::new(Keys::of(forge_remote_attacks::rsa::stranger().clone()), now),
        };
        let public_token = Keys::published_for_tests().map(|keys| {
            Fit::new(serde_json::json!({ "alg": "RS256", "kid": FIRST_KID }), claims.clone())
                .sign(&keys.first)
        });
        Ok(Self {
            target: Route::of(first),
            routes,
            paths_left_out,
            body: limit.min(MAX_BODY),
            digest: RouteDigest::of(&app.registry),
            has_fallback: app.has_own_route(UNKNOWN_PATH),
            scene: scene.with_claims(claims.clone(), claims),
            public_token: public_token.unwrap_or_default(),
            key_set_url: url,
            published_kid,
        })
    }

    /// Returns whether the token of a case names a key of the set.
    pub(super) fn names_published_key(&self, case: &Case) -> bool {
        let header = || {
            let part = case.token.as_deref()?.split('.').next()?;
            serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
        };
        let kid = header().and_then(|header| Some(header.get("kid")?.as_str()?.to_owned()));
        kid.is_some() && kid == self.published_kid
    }

    /// Returns the route whose path is sent with escapes: one with a slash inside, if there is one.
    pub(super) fn escapable(&self) -> &Route {
        let is_nested = |route: &&Route| route.path.trim_start_matches('/').contains('/');
        self.routes.iter().find(is_nested).unwrap_or(&self.target)
    }
}

impl Route {
    fn of(handler: &Handler) -> Self {
        let method = handler.method().as_str().parse();
        Self {
            method: method.unwrap_or(Method::POST),
            path: handler.path().to_owned(),
        }
    }
}

/// Returns the claims of a valid token for a handler.
fn claims(handler: &Handler, app_id: &str, now: SystemTime) -> Value {
    let fit = match handler.registration().kind.caller() {
        AllowedCaller::Page => Fit::page(now),
        AllowedCaller::Platform | AllowedCaller::PlatformForUser => {
            Fit::backend(now, handler.endpoint())
        }
    };
    let fit = fit.claim("/aud", app_id).claim("/app/id", app_id);
    fit.claims
}

/// Returns the URL of the key set that the app's tokens are signed with.
pub(super) fn key_set_url(app: &App) -> String {
    let url = app.settings().jwks_url;
    url.unwrap_or_else(|| PRODUCTION_KEYS.to_owned())
}

/// A published key with its id.
pub(super) struct PublishedKey {
    kid: String,
    key: RsaKey,
}

impl PublishedKey {
    /// Fetches the first RSA key of a set, which is the secret of some forgeries.
    pub(super) async fn fetch(url: &str) -> Option<Self> {
        let fetched = local::fetch(url).await.ok()?;
        let set: Value = serde_json::from_slice(&fetched.body).ok()?;
        set.get("keys")?.as_array()?.iter().find_map(|key| {
            let number = |name: &str| URL_SAFE_NO_PAD.decode(key.get(name)?.as_str()?).ok();
            let kid = key.get("kid")?.as_str()?.to_owned();
            let key = RsaKey::public(&number("n")?, &number("e")?);
            Some(Self { kid, key })
        })
    }
}
