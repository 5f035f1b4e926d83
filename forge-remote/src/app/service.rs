//! The service: every handler behind verification, on one router.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::HttpBody as _;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, any, get, on};
use tracing::Instrument as _;

use super::background::{BackgroundError, BackgroundTasks, Tasks};
use super::serve::limits::{Limits, MAX_IN_FLIGHT};
use super::{App, LaunchError, body};
use crate::client::{Atlassian, is_label};
use crate::credentials::{SYSTEM_HEADER, USER_HEADER};
use crate::diagnostic::{Diagnostic, Rule};
use crate::extract::trace_id;
use crate::extract::{AppState, Below, PlatformBody, Retry, Verified};
use crate::fit::{
    AppId, Caller, Claims, HttpKeySource, KeyRing, KeySet, KeySource, Named, PRODUCTION_KEYS,
    Provenance, Refusal, STAGING_KEYS, Target, Verifier, VerifyError,
};
use crate::http_client::Network;
use crate::log::{Foreign, LogLimits, Permit};
use crate::manifest::DesiredManifest;
use crate::registry::{Handler, Kind, Mount, Need, Reach, Registry};
use crate::response;
use crate::token::Tokens;
use crate::work::Work;

/// An app that has passed every check and can serve. Clones share it.
#[derive(Clone)]
pub struct Built(Arc<Inner>);

struct Inner {
    registry: Registry,
    desired: DesiredManifest,
    verifier: Arc<Verifier>,
    router: Router,
    limits: Limits,
    work: Arc<Work>,
    tokens: Option<Tokens>,
    background: Tasks,
}

impl fmt::Debug for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Built")
            .field("handlers", &self.registry().handlers().len())
            .finish_non_exhaustive()
    }
}

impl Built {
    pub(super) fn new(mut app: App) -> Result<Self, LaunchError> {
        let mut problems = app.declaration_problems();
        problems.extend(app.unconnected());
        problems.extend(app.missing_needs());
        let settings = app.settings();
        let app_id = app_id(settings.app_id().as_deref(), &mut problems);
        let keys = key_ring(&mut app, settings.jwks_url.as_deref(), &mut problems);
        let (Some(app_id), Some(keys), true) = (app_id, keys, problems.is_empty()) else {
            return Err(LaunchError::new(problems));
        };

        if let Some(problem) = app.open_tokens() {
            return Err(LaunchError::new(vec![problem]));
        }
        let desired = app.desired_manifest();
        if let Some(tokens) = &app.tokens {
            let environments = app.verification.environments.as_deref();
            tokens.belong_to(app_id.as_str(), environments);
        }
        let atlassian = app.atlassian.clone();
        atlassian.use_clock(&app.clock);
        let clock = Arc::clone(&app.clock);
        let mut verifier = Verifier::new(app_id, keys, app.verification, app.clock);
        if let Some(tokens) = &app.tokens {
            verifier = verifier.with_clock_health(tokens.clock_health());
        }
        let verifier = Arc::new(verifier);
        if app.staging {
            atlassian.allow_staging();
        }
        atlassian.impersonates(!app.impersonation.is_empty());
        if let Some(tokens) = &app.tokens {
            atlassian.use_tokens(tokens);
        }
        atlassian.fix_hosts();
        app.state.insert(atlassian.clone());
        let state = AppState::new(app.state);
        let work = Arc::new(Work::new(app.limits.in_flight.unwrap_or(MAX_IN_FLIGHT)));
        let log_limits = LogLimits::new({
            let clock = Arc::clone(&clock);
            move || clock.elapsed()
        });
        let keys = Arc::new(app.registry.keys());
        let mut router = Router::new();
        let mut pages: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for handler in app.registry.handlers() {
            let mut mounted = Mounted::new(
                handler,
                &keys,
                &verifier,
                &state,
                &atlassian,
                app.limits,
                &work,
                &log_limits,
            );
            mounted.tokens = app.tokens.clone();
            let mounted = Arc::new(mounted);
            router = mount(router, handler, mounted);
            if handler.registration().kind.caller() == Caller::Page {
                let methods = pages.entry(handler.path()).or_default();
                methods.push(handler.method().as_str());
            }
        }
        for (path, methods) in pages {
            let methods = methods.join(", ");
            let answer = move |request: Request| std::future::ready(preflight(&request, &methods));
            router = router.route(path, on(MethodFilter::OPTIONS, answer));
        }
        let ready = Arc::clone(&verifier);
        let kept = app.tokens.clone();
        let working = Arc::clone(&work);
        let router = router
            .route("/healthz", get(|| async { "ok\n" }))
            .route(
                "/readyz",
                get(move || readiness(Arc::clone(&working), Arc::clone(&ready), kept.clone())),
            )
            .fallback({
                let limits = log_limits.clone();
                async move |request: Request| not_found(&request, &limits)
            })
            .method_not_allowed_fallback(async move |request: Request| {
                method_not_allowed(&request, &log_limits)
            })
            // The limit is ours: see `Mounted::serve`.
            .layer(DefaultBodyLimit::disable());
        let (registry, limits) = (app.registry, app.limits);
        let tokens = app.tokens;
        Ok(Self(Arc::new(Inner {
            registry,
            desired,
            verifier,
            router,
            limits,
            work,
            tokens,
            background: Tasks::new(app.background, state, clock),
        })))
    }

    /// The routes, as an axum router: to be nested into another or called in tests. Requests are
    /// verified all the same. Served this way, keys are fetched when requests need them; see
    /// [`KeySet::keep_fresh`] for doing it ahead. Background tasks run when
    /// [`start_background`](Self::start_background) is called, and kept tokens are written at the
    /// end by [`finish`](Self::finish).
    pub fn router(&self) -> Router {
        self.0.router.clone()
    }

    /// The handlers.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// The verifier in front of every handler.
    pub fn verifier(&self) -> &Verifier {
        &self.0.verifier
    }

    /// Returns what the code wants in the manifest.
    pub fn desired_manifest(&self) -> DesiredManifest {
        self.0.desired.clone()
    }

    pub(super) fn work(&self) -> &Arc<Work> {
        &self.0.work
    }

    /// Starts the app's [`background`](App::background) tasks, for a [`router`](Self::router) that
    /// is served by somebody else; `serve` starts them by itself. They run once for all clones of
    /// this, and end when what comes back is dropped; end them by [`BackgroundTasks::stop`] before
    /// [`Tokens::flush`].
    pub fn start_background(&self) -> Result<BackgroundTasks, BackgroundError> {
        self.0.background.start()
    }

    pub(super) fn tokens(&self) -> Option<&Tokens> {
        self.0.tokens.as_ref()
    }

    pub(super) fn limits(&self) -> Limits {
        self.0.limits
    }
}

/// Every route of a handler.
fn mount(router: Router, handler: &Handler, mounted: Arc<Mounted>) -> Router {
    let path = handler.path();
    let base = path.trim_end_matches('/').to_owned();
    let below = format!("{base}/{{*rest}}");
    let slash = format!("{base}/");
    let serve = {
        let mounted = Arc::clone(&mounted);
        move |request| Arc::clone(&mounted).serve(request)
    };
    match handler.reach() {
        Reach::Exact => router.route(path, on(handler.method().filter(), serve)),
        Reach::AnyMethod => router.route(path, any(serve)),
        Reach::Below => {
            let serve_below = move |mut request: Request| {
                let rest = request.uri().path().strip_prefix(base.as_str());
                let rest = Below(rest.unwrap_or_default().to_owned());
                request.extensions_mut().insert(rest);
                Arc::clone(&mounted).serve(request)
            };
            let router = if path == slash {
                router
            } else {
                router.route(&slash, any(serve_below.clone()))
            };
            router
                .route(path, any(serve))
                .route(&below, any(serve_below))
        }
    }
}

/// The rules of this file.
pub(super) const RULES: &[&Rule] = &[
    &NO_APP_ID,
    &BAD_APP_ID,
    &BAD_KEY_URL,
    &BAD_CLOUD_LABEL,
    &BAD_CLOUD_URL,
];

const NO_APP_ID: Rule = Rule::launch(
    "no-app-id",
    "A Forge Invocation Token names the app it is for, and without the app's id that could not be checked. `forge \
    register` writes the id into manifest.yml; FORGE_REMOTE_APP_ID and `App::app_id` set it too.",
);

const BAD_APP_ID: Rule = Rule::launch(
    "bad-app-id",
    "The configured app id is not valid. It has the form `ari:cloud:ecosystem::app/` and a UUID.",
);

const BAD_KEY_URL: Rule = Rule::launch(
    "bad-key-url",
    "The URL of a key set is not valid: it is `https://` (or `http://` on this machine) and a host.",
);

const BAD_CLOUD_LABEL: Rule = Rule::launch(
    "bad-cloud-label",
    "The label of an isolated cloud is not valid: it is 1 to 50 of `a-z`, `0-9`, `_` and `-`.",
);

const BAD_CLOUD_URL: Rule = Rule::launch(
    "bad-cloud-url",
    "A URL of an isolated cloud is not valid, or belongs to another cloud already.",
);

fn app_id(configured: Option<&str>, problems: &mut Vec<Diagnostic>) -> Option<AppId> {
    const HELP: &str = "set FORGE_REMOTE_APP_ID, or `App::app_id`, or put manifest.yml with `app.id` (written by \
                        `forge register`) beside Cargo.toml";
    let Some(configured) = configured else {
        let message = "the app's id is not known, so no token's audience could be checked";
        problems.push(Diagnostic::error(&NO_APP_ID, message, HELP));
        return None;
    };
    configured
        .parse()
        .map_err(|error| problems.push(Diagnostic::error(&BAD_APP_ID, format!("{error}"), HELP)))
        .ok()
}

fn key_ring(
    app: &mut App,
    jwks_url: Option<&str>,
    problems: &mut Vec<Diagnostic>,
) -> Option<KeyRing> {
    let set = |source: Result<Box<dyn KeySource>, _>, problems: &mut Vec<Diagnostic>| match source {
        Ok(source) => Some(KeySet::new(
            source,
            app.key_policy.clone(),
            Arc::clone(&app.clock),
        )),
        Err(error) => {
            let help = "correct the key set's URL (FORGE_REMOTE_JWKS_URL or the builder's)";
            problems.push(Diagnostic::error(&BAD_KEY_URL, format!("{error}"), help));
            None
        }
    };
    let http =
        |url: &str| HttpKeySource::new(url).map(|source| Box::new(source) as Box<dyn KeySource>);

    let commercial = match app.key_source.take() {
        Some(source) => Ok(source),
        None => http(jwks_url.unwrap_or(PRODUCTION_KEYS)),
    };
    let mut ring = KeyRing::new(set(commercial, problems)?);
    if app.staging {
        ring.staging = set(http(STAGING_KEYS), problems);
    }
    for (label, cloud) in &app.isolated {
        if !is_label(label) {
            let message = format!("`{label}` can't be an isolated cloud's label");
            problems.push(Diagnostic::error(
                &BAD_CLOUD_LABEL,
                message,
                "it is 1 to 50 of `a-z`, `0-9`, `_` and `-`",
            ));
        } else if let Err(error) = app.atlassian.use_cloud(label, cloud) {
            problems.push(Diagnostic::error(
                &BAD_CLOUD_URL,
                format!("the isolated cloud `{label}`: {error}"),
                "correct the URLs given to `IsolatedCloud`",
            ));
        }
        if let Some(keys) = set(http(&cloud.jwks_url), problems) {
            ring.isolated.insert(label.clone(), keys);
        }
    }
    log_key_sources(&ring);
    Some(ring)
}

/// Logs where keys come from when it is not Atlassian's own address, directly: whoever controls
/// that decides who is let in.
fn log_key_sources(ring: &KeyRing) {
    for keys in ring.all() {
        let source = keys.source_name();
        if ![PRODUCTION_KEYS, STAGING_KEYS].contains(&source) {
            tracing::info!(
                source,
                "FITs are verified with the keys of this source, which is not Atlassian's default"
            );
        }
        if let Some(proxy) = Network::proxy_of(source) {
            tracing::info!(source, proxy, "the key set is fetched through a proxy");
        }
    }
}

/// What a token must be like to reach a handler.
fn target(handler: &Handler, keys: &Arc<BTreeSet<String>>) -> Target {
    let kind = handler.registration().kind;
    let mut target = Target::new(handler.endpoint(), kind.name(), kind.caller());
    target.module = handler.module_key().map(str::to_owned);
    target.named = if !kind.has_endpoint() {
        Named::Anything
    } else if handler.module_key().is_some() {
        Named::Own
    } else {
        Named::OwnOrUnknown(Arc::clone(keys))
    };
    target.forwards_headers = kind.passes_headers_on();
    target.ends_installation = kind.ends_installation();
    target.pages = kind.pages().iter().map(|&page| page.to_owned()).collect();
    target
}

/// One handler on its route, with everything between the two.
struct Mounted {
    target: Target,
    endpoint: Arc<str>,
    kind: &'static dyn Kind,
    mount: Arc<dyn Mount>,
    reads_ahead: bool,
    may_lack_body: bool,
    verifier: Arc<Verifier>,
    state: AppState,
    limits: Limits,
    work: Arc<Work>,
    log_limits: LogLimits,
    tokens: Option<Tokens>,
    /// Whether Forge is asked for a system token: otherwise it sends none, and such a header is
    /// somebody else's.
    takes_system_token: bool,
    /// Whether tokens of more than one cloud are accepted.
    has_clouds: bool,
    atlassian: Atlassian,
    /// How long Forge waits for the answer.
    patience: Duration,
    /// How long the caller waits for a response of the handler.
    response_time: Duration,
}

impl Mounted {
    #[allow(clippy::too_many_arguments)]
    fn new(
        handler: &Handler,
        keys: &Arc<BTreeSet<String>>,
        verifier: &Arc<Verifier>,
        state: &AppState,
        atlassian: &Atlassian,
        limits: Limits,
        work: &Arc<Work>,
        log_limits: &LogLimits,
    ) -> Self {
        let registration = handler.registration();
        Self {
            target: target(handler, keys),
            takes_system_token: registration.auth.system,
            endpoint: handler.key().into(),
            kind: registration.kind,
            mount: Arc::clone(&registration.mount),
            reads_ahead: registration
                .mount
                .needs()
                .iter()
                .any(|need| matches!(need, Need::Retry)),
            may_lack_body: registration.kind.may_lack_body(),
            verifier: Arc::clone(verifier),
            state: state.clone(),
            limits,
            work: Arc::clone(work),
            log_limits: log_limits.clone(),
            tokens: None,
            has_clouds: verifier.keys().all().count() > 1,
            atlassian: atlassian.clone(),
            patience: registration.kind.simulation().timeout,
            response_time: limits.response.unwrap_or_else(|| {
                let documented = registration.kind.documented_timeout();
                documented.unwrap_or(LONGEST_TIMEOUT)
            }),
        }
    }

    /// Size, token, handler: in this order, and no way round.
    async fn serve(self: Arc<Self>, mut request: Request) -> Response {
        hide_secrets(request.headers_mut());
        let span = tracing::info_span!(
            "invocation",
            handler = &*self.endpoint,
            trace_id = trace_id(request.headers()).unwrap_or("-"),
        );
        let is_page = self.target.caller == Caller::Page;
        let mut response = self.serve_in_span(request).instrument(span).await;
        if is_page {
            // Any page may read it: what it needs is the token, which no browser adds by itself.
            let any = HeaderValue::from_static("*");
            let headers = response.headers_mut();
            headers
                .entry(header::ACCESS_CONTROL_ALLOW_ORIGIN)
                .or_insert(any);
        }
        response
    }

    async fn serve_in_span(self: Arc<Self>, mut request: Request) -> Response {
        let atlassian = self.atlassian.clone().answered_within(self.patience);
        if request.body().size_hint().lower() > self.limits.body as u64 {
            if let Some(Permit { suppressed }) = self.log_limits.permit("payload_too_large") {
                let limit = self.limits.body;
                tracing::warn!(limit, suppressed, "refused: the body is too large");
            }
            let message = "the body is too large";
            return response::json_error(
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload_too_large",
                message,
            );
        }
        let claims = match self.verified(request.headers()).await {
            Ok(claims) => claims,
            Err(refusal) => return refusal,
        };
        let provenance = Provenance::of(&claims, &self.target);
        if self.takes_system_token
            && let Some(tokens) = &self.tokens
        {
            tokens.observe(&claims, request.headers(), provenance);
        }
        let endpoint = Arc::clone(&self.endpoint);
        let verified = Verified::new(
            claims,
            endpoint,
            atlassian,
            request.headers(),
            provenance,
            Arc::clone(&self.work),
        );
        request.extensions_mut().insert(verified);
        if self.target.caller != Caller::Page {
            let may_be_empty = self.may_lack_body;
            request
                .extensions_mut()
                .insert(PlatformBody { may_be_empty });
        }
        let request =
            request.map(|body| body::bounded(body, self.limits.body, self.limits.body_time));

        let request = if self.reads_ahead {
            match Retry::read_ahead(request).await {
                Ok(request) => request,
                Err(refusal) => return refusal,
            }
        } else {
            request
        };

        let started = Instant::now();
        let handling = || {
            let call = Arc::clone(&self.mount).call(request, self.state.clone());
            Box::pin(self.log_limits.scope(call)) as _
        };
        let Some(call) = self.work.handle(self.response_time, handling) else {
            return response::overloaded();
        };
        let response = self.checked(call.await).await;
        tracing::debug!(status = response.status().as_u16(), elapsed = ?started.elapsed(), "served");
        response
    }

    /// The claims of a request's token, or the response that rejects it.
    async fn verified(&self, headers: &HeaderMap) -> Result<Claims, Response> {
        let mut verified = self.verifier.verify(headers, &self.target).await;
        if let (Ok(claims), Some(tokens), true) = (&verified, &self.tokens, self.has_clouds) {
            // What changes the kept token waits for what other instances know.
            let brings_token = self.takes_system_token
                && Provenance::of(claims, &self.target) == Provenance::Platform;
            let ask_store = brings_token || self.target.ends_installation;
            if tokens.is_of_another_cloud(claims, ask_store).await {
                verified = Err(Refusal::OtherCloud.into());
            }
        }
        match verified {
            Ok(claims) => Ok(claims),
            Err(VerifyError::Refused(Refusal::WrongPage)) => {
                let code = Refusal::WrongPage.code();
                if let Some(Permit { suppressed }) = self.log_limits.permit(code) {
                    tracing::warn!(
                        code,
                        suppressed,
                        "refused: a page that is not in the handler's `#[endpoint(pages = […])]`"
                    );
                }
                let message = "this page may not call the handler";
                Err(response::json_error(StatusCode::FORBIDDEN, code, message))
            }
            Err(VerifyError::Refused(refusal)) => {
                let code = refusal.code();
                if let Some(Permit { suppressed }) = self.log_limits.permit(code) {
                    tracing::warn!(code, reason = %refusal, suppressed, "refused: no valid Forge Invocation Token");
                }
                Err(response::unauthorized())
            }
            Err(VerifyError::KeysUnavailable(error)) => {
                if let Some(Permit { suppressed }) = self.log_limits.permit(error.code()) {
                    tracing::error!(%error, suppressed, "refused for now");
                }
                Err(response::keys_unavailable())
            }
        }
    }

    /// An answer that Forge would make an error of is one here already, with the reason in the log.
    async fn checked(&self, response: Response) -> Response {
        let size = response.body().size_hint().exact();
        if !self.kind.looks_at_answers()
            || !response.status().is_success()
            || size.is_none_or(|size| size > MAX_CHECKED)
        {
            return response;
        }
        let (parts, body) = response.into_parts();
        let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
            tracing::error!("the handler's answer could not be read to its end");
            return response::internal_error();
        };
        if let Some((reason, help)) = self.kind.wrong_answer(&body) {
            tracing::error!(reason, help, "Forge can't use the handler's answer");
            return response::internal_error();
        }
        Response::from_parts(parts, body.into())
    }
}

/// How long a caller waits where Atlassian documents nothing: as long as it waits for any function.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(55);
/// An answer of more bytes isn't looked at.
const MAX_CHECKED: u64 = 64 * 1024;

/// Tokens in headers are left out when anything prints the request.
fn hide_secrets(headers: &mut HeaderMap) {
    for name in [header::AUTHORIZATION, SYSTEM_HEADER, USER_HEADER] {
        if let header::Entry::Occupied(mut entry) = headers.entry(name) {
            entry.iter_mut().for_each(|value| value.set_sensitive(true));
        }
    }
}

/// Answers the browser's question before a `requestRemote`, which carries no token yet.
fn preflight(request: &Request, methods: &str) -> Response {
    let headers = request.headers();
    if !headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        let mut response = response::json_error(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "the handler of this path has another method",
        );
        if let Ok(methods) = HeaderValue::from_str(methods) {
            response.headers_mut().insert(header::ALLOW, methods);
        }
        return response;
    }
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let asked = asked.map_or_else(
        || HeaderValue::from_static("authorization, content-type"),
        without_oauth_headers,
    );
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("600"),
    );
    if let Ok(methods) = HeaderValue::from_str(methods) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    }
    response
}

/// The names of headers that a page's script may set: those that it asks for, without the headers
/// that only Forge sets.
fn without_oauth_headers(asked: &HeaderValue) -> HeaderValue {
    let is_forges = |name: &&str| {
        [SYSTEM_HEADER, USER_HEADER]
            .iter()
            .any(|own| name.eq_ignore_ascii_case(own.as_str()))
    };
    let names = asked.to_str().unwrap_or_default().split(',').map(str::trim);
    let names: Vec<&str> = names.filter(|name| !is_forges(name)).collect();
    HeaderValue::from_str(&names.join(",")).unwrap_or_else(|_| HeaderValue::from_static(""))
}

async fn readiness(work: Arc<Work>, verifier: Arc<Verifier>, tokens: Option<Tokens>) -> Response {
    if work.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    // Requests of the main cloud can be verified; a staging or isolated cloud that is down isn't
    // a reason to take them away. Nor is a tokens' store: requests are served without it.
    if verifier.keys().commercial.is_ready() {
        if tokens.is_some_and(|tokens| !tokens.is_connected()) {
            return "ready, but the tokens' store is not open: see the log\n".into_response();
        }
        "ready\n".into_response()
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "waiting for Atlassian's key set\n",
        )
            .into_response()
    }
}

fn not_found(request: &Request, limits: &LogLimits) -> Response {
    if let Some(Permit { suppressed }) = limits.permit("not_found") {
        let (method, path) = (request.method(), Foreign(request.uri().path()));
        tracing::info!(
            %method,
            %path,
            suppressed,
            "no handler has this path: compare it with the table that `routes` prints"
        );
    }
    response::json_error(
        StatusCode::NOT_FOUND,
        "not_found",
        "no handler has this path",
    )
}

fn method_not_allowed(request: &Request, limits: &LogLimits) -> Response {
    if let Some(Permit { suppressed }) = limits.permit("method_not_allowed") {
        let (method, path) = (request.method(), Foreign(request.uri().path()));
        tracing::info!(
            %method,
            %path,
            suppressed,
            "the handler of this path has another method"
        );
    }
    response::json_error(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "the handler of this path has another method",
    )
}
