//! The `dev` and `invoke` commands: the app on loopback, together with a Forge platform of its
//! own that signs for real. The same verification runs as in production.

mod outcome;

use std::collections::BTreeMap;
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

use self::outcome::{Outcome, Verdict};
use crate::app::{App, Built};
use crate::app::{StopSignals, complain, drift, print};
use crate::error::Result;
use crate::fit::{self, HttpKeySource};
use crate::http_client::Network;
use crate::platform::{self, Platform, has_body};
use crate::registry::{Handler, Method, Registry, Simulation};

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
            complain(&problem.into_warning());
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
            client: Network::Loopback.client().build()?,
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

    /// Every handler once, and a trigger's once for each event.
    async fn once(self) -> i32 {
        let mut failed = 0_u32;
        let mut width = 0;
        for handler in self.caller.app.registry().handlers() {
            width = width.max(handler.key().len());
        }
        for handler in self.caller.app.registry().handlers() {
            for simulation in self.caller.simulations(handler) {
                let outcome = self
                    .caller
                    .call(handler, simulation, &Wishes::default())
                    .await;
                print(&format!("{}\n", outcome.line(width)));
                failed += u32::from(outcome.verdict() == Verdict::Failed);
            }
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
                    let simulation = caller.simulation(&handler, None);
                    let wishes = Wishes::default();
                    let outcome = caller.call(&handler, simulation, &wishes).await;
                    print(&format!("{}\n", outcome.line(width)));
                }
            });
        }
        let callable = self.caller.app.registry().labels();
        let signals = StopSignals::listen();
        print(&format!(
            "call a handler with `cargo run -- invoke KEY [--body JSON]`, from another terminal; the keys: {}\n\
             stop with Ctrl-C\n\n",
            callable.join(", ")
        ));
        signals.first().await;
        tokio::select! {
            () = async {
                schedules.shutdown().await;
                self.end().await;
            } => 0,
            () = signals.second() => 1,
        }
    }
}

/// Loopback alone: what a local platform signs for must not be reachable from elsewhere.
async fn listen(port: u16, setting: &str) -> Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).await.map_err(|error| {
        let message = format!("can't listen on {address} ({setting}): is another `dev` running?");
        crate::error::Error::status(StatusCode::INTERNAL_SERVER_ERROR, message).caused_by(error)
    })
}

/// The platform's side of a call.
struct Caller {
    platform: Platform,
    app: Built,
    origin: String,
    samples: BTreeMap<String, Vec<serde_json::Value>>,
    client: reqwest::Client,
}

impl Caller {
    /// The calls of a handler: its kind's, with the app's own bodies in place of the made-up ones.
    fn simulations(&self, handler: &Handler) -> Vec<Simulation> {
        let kind = handler.registration().kind;
        let mut simulations = kind.simulations();
        if simulations.is_empty() {
            simulations.push(kind.simulation());
        }
        if !has_body(handler.method()) {
            return simulations;
        }
        let samples = [handler.key(), handler.endpoint()];
        let samples = samples.iter().find_map(|key| self.samples.get(*key));
        for sample in samples.into_iter().flatten() {
            let event = |simulation: &Simulation| {
                let named = sample.get("eventType").or_else(|| sample.get("type"));
                simulation.event.is_some()
                    && named.and_then(|name| name.as_str()) == simulation.event
            };
            // One that is of none of the events stands for all.
            let at = simulations.iter().position(event);
            if at.is_none() {
                simulations.truncate(1);
                simulations[0].event = None;
            }
            let simulation = &mut simulations[at.unwrap_or_default()];
            simulation.body = Some(sample.clone());
            simulation.is_guess = false;
        }
        simulations
    }

    /// The call for this event; the first where none is named, or none of the handler's.
    fn simulation(&self, handler: &Handler, event: Option<&str>) -> Simulation {
        let mut all = self.simulations(handler);
        let named = all
            .iter()
            .position(|one| event.is_some() && one.event == event);
        all.swap_remove(named.unwrap_or_default())
    }

    /// Signs one call and sends it.
    async fn call(&self, handler: &Handler, simulation: Simulation, wishes: &Wishes) -> Outcome {
        let is_guess = simulation.is_guess;
        let made_up = simulation.event.filter(|_| wishes.body.is_none());
        let event = wishes.event.clone().or(made_up.map(str::to_owned));
        let has_body = wishes.body.is_some() || simulation.body.is_some();
        let mut call = self.platform.call_as(handler, simulation);
        let method = wishes.method.unwrap_or(handler.method());
        call = call.method(method);
        if let Some(body) = &wishes.body {
            call = call.json(body);
        }
        if let Some(path) = &wishes.below {
            call = call.below(path);
        }
        if let Some(query) = &wishes.query {
            call = call.query(query);
        }
        if let Some(count) = wishes.retry {
            call = call.retried(count, "INVALID_REMOTE_INVOCATION_ERROR");
        }
        let mut outcome = Outcome {
            key: handler.key().to_owned(),
            method,
            path: call.path().to_owned(),
            event,
            tokens: call.auth(),
            has_body,
            is_guess: is_guess && wishes.body.is_none(),
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

/// How a call is to differ from the one that the platform makes.
#[derive(Default, serde::Deserialize, serde::Serialize)]
#[serde(default)]
struct Wishes {
    #[serde(with = "method")]
    method: Option<Method>,
    body: Option<serde_json::Value>,
    below: Option<String>,
    query: Option<String>,
    event: Option<String>,
    retry: Option<u32>,
}

/// A method by its name.
mod method {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::registry::Method;

    pub(super) fn serialize<S: Serializer>(
        method: &Option<Method>,
        writer: S,
    ) -> Result<S::Ok, S::Error> {
        method.map(Method::as_str).serialize(writer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        reader: D,
    ) -> Result<Option<Method>, D::Error> {
        let Some(name) = Option::<String>::deserialize(reader)? else {
            return Ok(None);
        };
        let known = Method::named(&name);
        known.map(Some).ok_or_else(|| {
            serde::de::Error::custom(format!("`{name}` is no method that Forge calls with"))
        })
    }
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
    let wishes: Wishes = match serde_json::from_slice(&body) {
        Ok(wishes) => wishes,
        Err(error) => {
            return refuse(
                StatusCode::BAD_REQUEST,
                format!("expected {{\"body\": …, \"query\": …}}: {error}"),
            );
        }
    };
    let wanted = |handler: &&Handler| wishes.method.is_none_or(|method| handler.answers(method));
    let Some(handler) = caller.app.registry().find(&key).find(wanted) else {
        return refuse(
            StatusCode::NOT_FOUND,
            unknown_key(&key, caller.app.registry()),
        );
    };
    let simulation = caller.simulation(handler, wishes.event.as_deref());
    let wishes = match &wishes.event {
        Some(event) if !is_for_events(handler) => {
            return refuse(
                StatusCode::BAD_REQUEST,
                format!("`{key}` isn't called for events, so not for `{event}`"),
            );
        }
        // One that the handler doesn't declare: to see what it would make of it.
        Some(event) if simulation.event != Some(event) && wishes.body.is_none() => Wishes {
            body: Some(crate::kinds::event_sample(event)),
            ..wishes
        },
        _ => wishes,
    };
    let outcome = caller.call(handler, simulation, &wishes).await;
    let line = outcome.line(0);
    print(&format!("{line}\n"));
    let failed = outcome.verdict() != Verdict::Passed;
    let body = outcome.answer.map_or_else(|error| error, |(_, body)| body);
    axum::Json(InvokeAnswer { line, failed, body }).into_response()
}

fn is_for_events(handler: &Handler) -> bool {
    let simulations = handler.registration().kind.simulations();
    simulations.iter().any(|one| one.event.is_some())
}

fn unknown_key(key: &str, registry: &Registry) -> String {
    let keys = registry.labels().join(", ");
    format!("no handler has the key `{key}`; there are: {keys}")
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
    let problem = |message: String| crate::error::Error::status(StatusCode::BAD_REQUEST, message);
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
    let wishes = Wishes {
        method: text("method").and_then(|name| Method::named(&name)),
        body,
        below: text("below"),
        query: text("query"),
        event: text("event"),
        retry: options.get_one::<u32>("retry").copied(),
    };
    let response = client
        .post(url)
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&wishes)?)
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
