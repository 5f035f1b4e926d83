//! The `dev` and `invoke` commands: the app on loopback, together with a Forge platform of its
//! own that signs for real. The same verification runs as in production.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State as AxumState};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use clap::ArgMatches;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::app::{complain, drift, print, told_to_stop};
use crate::error::Result;
use crate::fit::{self, HttpKeySource};
use crate::platform::{self, Platform};
use crate::registry::{Auth, Handler, Method, Registry};
use crate::{App, Built};

/// Where `invoke` looks for the platform of a running `dev`.
pub(crate) const DEFAULT_PLATFORM: &str = "http://127.0.0.1:8079";

/// An app that isn't registered yet gets this id while it is developed.
const UNREGISTERED: &str = "ari:cloud:ecosystem::app/00000000-0000-4000-a000-000000000000";

pub(crate) struct Options {
    pub(crate) once: bool,
    pub(crate) speed: u32,
    pub(crate) port: u16,
}

/// Serves and plays the platform; the exit status comes back.
pub(crate) async fn run(app: App, options: Options) -> i32 {
    match Session::start(app, &options).await {
        Ok(session) if options.once => session.once().await,
        Ok(session) => session.go_on(options.speed).await,
        Err(error) => {
            complain(&format!("error: {error:?}"));
            1
        }
    }
}

/// The app being served and the platform that calls it.
struct Session {
    caller: Arc<Caller>,
    app_task: tokio::task::JoinHandle<Result<()>>,
    stop: oneshot::Sender<()>,
    _platform_task: JoinSet<()>,
}

impl Session {
    async fn start(app: App, options: &Options) -> Result<Self> {
        if let Some(problem) = drift(&app) {
            complain(&format!("warning: {}", problem.message));
        }
        let settings = app.settings();
        if settings.app_id().is_none() {
            complain(&format!(
                "note: the app has no id yet; while it has none, `dev` uses {UNREGISTERED}"
            ));
        }
        let samples = app.samples();
        let app = app.tokens_in_memory().connect().await?;
        let (platform, app) = app.with_platform(UNREGISTERED)?;

        // --once is for scripts: ports that are free, whatever else runs.
        let port = |wanted: u16| if options.once { 0 } else { wanted };
        let platform_listener = listen(port(options.port), "--platform-port").await?;
        let platform_address = platform_listener.local_addr()?;
        let app_port = settings
            .bind
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .unwrap_or(8080);
        let app_listener = listen(port(app_port), "FORGE_REMOTE_BIND").await?;
        let app_address = app_listener.local_addr()?;

        let origin = format!("http://{platform_address}");
        platform.serves_apis_at(&origin);
        app.atlassian_of().forbid_others();
        app.atlassian_of().use_loopback(&origin)?;
        let key_set = format!("{origin}/.well-known/jwks.json");
        let built = app.key_source(HttpKeySource::new(&key_set)?).build()?;
        let caller = Arc::new(Caller {
            platform,
            app: built.clone(),
            origin: format!("http://{app_address}"),
            samples,
            client: reqwest::Client::builder()
                .no_proxy()
                .tls_certs_only([])
                .redirect(reqwest::redirect::Policy::none())
                .build()?,
        });
        let mut platform_task = JoinSet::new();
        let router = caller.router();
        platform_task.spawn(async move {
            if let Err(error) = axum::serve(platform_listener, router).await {
                complain(&format!("the local platform stopped: {error}"));
            }
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let app_task = tokio::spawn(built.serve(app_listener, async {
            let _ = stopped.await;
        }));
        print(&format!(
            "local Forge platform: http://{platform_address} (its own key; nothing here is Atlassian's)\n\
             app: http://{app_address}\n\n",
        ));
        Ok(Self {
            caller,
            app_task,
            stop,
            _platform_task: platform_task,
        })
    }

    async fn end(self) {
        let _ = self.stop.send(());
        let _ = self.app_task.await;
    }

    /// Every handler once.
    async fn once(self) -> i32 {
        let mut failed = 0_u32;
        let mut width = 0;
        for handler in self.caller.app.registry().handlers() {
            width = width.max(handler.key().len());
        }
        for handler in self.caller.app.registry().handlers() {
            let outcome = self.caller.call(handler, None, None).await;
            print(&format!("{}\n", outcome.line(width)));
            failed += u32::from(outcome.verdict() == Verdict::Failed);
        }
        self.end().await;
        i32::from(failed > 0)
    }

    /// Schedules fire at once and then at their intervals, until told to stop.
    async fn go_on(self, speed: u32) -> i32 {
        let handlers = self.caller.app.registry().handlers();
        let width = handlers
            .iter()
            .map(|handler| handler.key().len())
            .max()
            .unwrap_or(0);
        let mut schedules = JoinSet::new();
        for handler in handlers {
            let Some(interval) = handler.registration().kind.interval() else {
                continue;
            };
            let (caller, handler) = (Arc::clone(&self.caller), handler.clone());
            let mut ticks = tokio::time::interval(interval / speed.max(1));
            // A slow handler isn't called twice at once to catch up.
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            schedules.spawn(async move {
                loop {
                    ticks.tick().await;
                    print(&format!(
                        "{}\n",
                        caller.call(&handler, None, None).await.line(width)
                    ));
                }
            });
        }
        let callable: Vec<&str> = handlers.iter().map(Handler::key).collect();
        print(&format!(
            "call a handler with `cargo run -- invoke KEY [--body JSON]`, from another terminal; the keys: {}\n\
             stop with Ctrl-C\n\n",
            callable.join(", ")
        ));
        told_to_stop().await;
        schedules.shutdown().await;
        self.end().await;
        0
    }
}

/// Loopback alone: what a local platform signs for must not be reachable from elsewhere.
async fn listen(port: u16, setting: &str) -> Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).await.map_err(|error| {
        let message = format!("can't listen on {address} ({setting}): is another `dev` running?");
        crate::Error::status(StatusCode::INTERNAL_SERVER_ERROR, message).caused_by(error)
    })
}

/// The platform's side of a call.
struct Caller {
    platform: Platform,
    app: Built,
    origin: String,
    samples: BTreeMap<String, serde_json::Value>,
    client: reqwest::Client,
}

impl Caller {
    /// Signs one call and sends it.
    async fn call(&self, handler: &Handler, body: Option<Vec<u8>>, query: Option<&str>) -> Outcome {
        let mut call = self.platform.call(handler);
        let takes_body = !matches!(handler.registration().method, Method::Get | Method::Delete);
        let sample = [handler.key(), handler.endpoint()]
            .iter()
            .find_map(|key| self.samples.get(*key))
            .filter(|_| takes_body);
        let has_body = body.is_some() || sample.is_some();
        if let Some(body) = body {
            call = call.body(body);
        } else if let Some(sample) = sample {
            call = call.json(sample);
        }
        if let Some(query) = query {
            call = call.query(query);
        }
        let mut outcome = Outcome {
            key: handler.key().to_owned(),
            method: handler.method(),
            path: handler.path().to_owned(),
            tokens: call.auth(),
            has_body,
            from_page: handler.registration().kind.caller() == fit::Caller::Page,
            elapsed: Duration::ZERO,
            answer: Err("not sent".to_owned()),
        };
        let timeout = call.timeout();
        let started = Instant::now();
        let answer = async {
            let request = reqwest::Request::try_from(call.signed(&self.origin))
                .map_err(|error| error.to_string())?;
            let response = self
                .client
                .execute(request)
                .await
                .map_err(|error| error.without_url().to_string())?;
            let status = response.status();
            let body = response
                .bytes()
                .await
                .map_err(|error| error.without_url().to_string())?;
            Ok((status, String::from_utf8_lossy(&body).into_owned()))
        };
        outcome.answer = match tokio::time::timeout(timeout, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(format!(
                "no answer within {} s: Forge would have hung up",
                timeout.as_secs()
            )),
        };
        outcome.elapsed = started.elapsed();
        outcome
    }

    /// The platform's own server: its key set, and calls on request.
    fn router(self: &Arc<Self>) -> Router {
        let key_set = self.platform.key_set();
        Router::new()
            .route(
                "/.well-known/jwks.json",
                get(move || async move { axum::Json(key_set) }),
            )
            .route("/invoke/{key}", post(invoke_on_request))
            .with_state(Arc::clone(self))
            .fallback_service(platform::router(self.platform.clone()))
    }
}

/// What a page in a browser can't send to loopback by itself: a JSON body from another origin.
fn is_from_a_tool(headers: &HeaderMap) -> bool {
    let json = headers
        .get("content-type")
        .is_some_and(|value| value == "application/json");
    let host = headers
        .get("host")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let loopback = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    json && loopback && !headers.contains_key("origin")
}

#[derive(serde::Deserialize, serde::Serialize)]
struct InvokeRequest {
    method: Option<String>,
    body: Option<serde_json::Value>,
    query: Option<String>,
}

#[derive(serde::Deserialize, serde::Serialize)]
struct InvokeAnswer {
    line: String,
    failed: bool,
    body: String,
}

async fn invoke_on_request(
    AxumState(caller): AxumState<Arc<Caller>>,
    Path(key): Path<String>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let refuse = |status: StatusCode, message: String| (status, message).into_response();
    if !is_from_a_tool(&headers) {
        return refuse(
            StatusCode::FORBIDDEN,
            "POST application/json from this machine, not from a page".to_owned(),
        );
    }
    let request: InvokeRequest = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => {
            return refuse(
                StatusCode::BAD_REQUEST,
                format!("expected {{\"body\": …, \"query\": …}}: {error}"),
            );
        }
    };
    let wanted = |handler: &&Handler| {
        let method = handler.registration().method.as_str();
        request
            .method
            .as_ref()
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
    };
    let Some(handler) = caller.app.registry().find(&key).find(wanted) else {
        return refuse(
            StatusCode::NOT_FOUND,
            unknown_key(&key, caller.app.registry()),
        );
    };
    let body = request.body.map(|body| body.to_string().into_bytes());
    let outcome = caller.call(handler, body, request.query.as_deref()).await;
    let line = outcome.line(0);
    print(&format!("{line}\n"));
    let failed = outcome.verdict() != Verdict::Passed;
    let body = outcome.answer.map_or_else(|error| error, |(_, body)| body);
    axum::Json(InvokeAnswer { line, failed, body }).into_response()
}

fn unknown_key(key: &str, registry: &Registry) -> String {
    let keys: Vec<&str> = registry.handlers().iter().map(Handler::key).collect();
    format!(
        "no handler has the key `{key}`; there are: {}",
        keys.join(", ")
    )
}

/// The `invoke` command: asks the platform of a running `dev`, which alone holds its key.
pub(crate) async fn invoke(options: &ArgMatches) -> i32 {
    match try_invoke(options).await {
        Ok(failed) => i32::from(failed),
        Err(error) => {
            complain(&format!("error: {error:?}"));
            2
        }
    }
}

async fn try_invoke(options: &ArgMatches) -> Result<bool> {
    let text = |name: &str| options.get_one::<String>(name).cloned();
    let problem = |message: String| crate::Error::status(StatusCode::BAD_REQUEST, message);
    let body = match text("body") {
        Some(body) => Some(
            serde_json::from_str(&body)
                .map_err(|error| problem("--body is not JSON".to_owned()).caused_by(error))?,
        ),
        None => None,
    };
    let platform = text("platform").unwrap_or_else(|| DEFAULT_PLATFORM.to_owned());
    let mut url = reqwest::Url::parse(&platform).map_err(|error| {
        problem(format!("--platform `{platform}` is not a URL")).caused_by(error)
    })?;
    if let Ok(mut path) = url.path_segments_mut() {
        path.extend(["invoke", &text("key").unwrap_or_default()]);
    }
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(crate::app::PATIENCE)
        .build()?;
    let request = InvokeRequest {
        method: text("method"),
        body,
        query: text("query"),
    };
    let response = client
        .post(url)
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&request)?)
        .send()
        .await
        .map_err(|error| {
            problem(format!(
                "no local platform at {platform}: start one with `cargo run -- dev`"
            ))
            .caused_by(error)
        })?;
    let status = response.status();
    let answer = response.bytes().await?;
    if !status.is_success() {
        return Err(problem(String::from_utf8_lossy(&answer).into_owned()));
    }
    let answer: InvokeAnswer = serde_json::from_slice(&answer)?;
    print(&format!("{}\n", answer.line));
    if !answer.body.is_empty() {
        print(&format!("{}\n", answer.body));
    }
    Ok(answer.failed)
}

/// What came of a call.
struct Outcome {
    key: String,
    method: Method,
    path: String,
    tokens: Auth,
    has_body: bool,
    from_page: bool,
    elapsed: Duration,
    answer: Result<(StatusCode, String), String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    /// Verified, but the made-up body didn't fit.
    NeedsSample,
    Failed,
}

impl Outcome {
    fn verdict(&self) -> Verdict {
        match &self.answer {
            Ok((status, _)) if status.is_success() => Verdict::Passed,
            Ok((status, _))
                if self.from_page
                    && !self.has_body
                    && matches!(status.as_u16(), 400 | 415 | 422) =>
            {
                Verdict::NeedsSample
            }
            _ => Verdict::Failed,
        }
    }

    /// A line for people: what was called, what came back, in which time, with which tokens.
    fn line(&self, width: usize) -> String {
        let color = io::stdout().is_terminal();
        let paint = |code: &str, text: &str| {
            if color {
                format!("\u{1b}[{code}m{text}\u{1b}[0m")
            } else {
                text.to_owned()
            }
        };
        let verdict = match self.verdict() {
            Verdict::Passed => paint("32", "ok  "),
            Verdict::NeedsSample => paint("33", "body"),
            Verdict::Failed => paint("31", "FAIL"),
        };
        let status = match &self.answer {
            Ok((status, _)) => status.as_u16().to_string(),
            Err(_) => "---".to_owned(),
        };
        let Self {
            key,
            method,
            path,
            elapsed,
            tokens,
            ..
        } = self;
        let tokens = if tokens.any() {
            format!("tokens: {tokens}")
        } else {
            "no tokens".to_owned()
        };
        let call = format!("{method} {path}");
        let mut line = format!(
            "{verdict}  {key:width$}  {call}  {status}  {} ms  {tokens}",
            Millis(*elapsed)
        );
        match (&self.answer, self.verdict()) {
            (Err(reason), _) => line.push_str(&format!("\n      {reason}")),
            (_, Verdict::NeedsSample) => {
                line.push_str(&format!(
                    "\n      verified, but it needs a body: give `dev` one with `App::sample(\"{key}\", json)`"
                ));
            }
            (Ok((_, body)), Verdict::Failed) if !body.is_empty() => {
                line.push_str(&format!("\n      {body}"))
            }
            _ => {}
        }
        line
    }
}

/// Milliseconds with one decimal below ten.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_secs_f64() * 1000.0;
        if millis < 10.0 {
            write!(f, "{millis:.1}")
        } else {
            write!(f, "{millis:.0}")
        }
    }
}
