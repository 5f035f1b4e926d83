//! A fake of Atlassian's APIs that returns scripted responses and records its requests, verified
//! calls to make requests from, and a clock that does not wait.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use forge_remote::axum::body::Bytes;
use forge_remote::axum::extract::{DefaultBodyLimit, State as Shared};
use forge_remote::axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use forge_remote::axum::response::{IntoResponse, Response};
use forge_remote::axum::{Router, serve};
use forge_remote::client::{AtlassianClient, ClientError, PageStream};
use forge_remote::fit::Clock;
use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The site of every installation here.
pub const SITE: &str = "d0d52620-3203-4cfa-8db5-f2587155f0dd";

/// A request that the server received.
#[derive(Clone, Debug)]
pub struct ReceivedRequest {
    /// The method.
    pub method: String,
    /// The path and query as received.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as JSON; `null` when it isn't JSON.
    pub body: Value,
    /// The body as received.
    pub bytes: Bytes,
}

impl ReceivedRequest {
    /// Returns a header's value, or an empty string when it is missing.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }
}

/// A scripted response of the server.
#[derive(Clone, Debug)]
pub struct CannedResponse {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    delay: Duration,
}

/// Returns a response with this status and JSON body.
pub fn respond(status: u16, body: Value) -> CannedResponse {
    CannedResponse {
        status,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.to_string(),
        delay: Duration::ZERO,
    }
}

impl CannedResponse {
    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Replaces the body.
    #[must_use]
    pub fn text(mut self, body: &str) -> Self {
        self.body = body.to_owned();
        self
    }

    /// Delays the response.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

type Respond =
    dyn Fn(usize, &ReceivedRequest) -> (CannedResponse, Option<Arc<Semaphore>>) + Send + Sync;

/// A fake API server, which stops when it is dropped.
pub struct Server {
    /// `http://127.0.0.1:…`
    pub origin: String,
    requests: Arc<Mutex<Vec<ReceivedRequest>>>,
    _task: JoinSet<()>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.origin)
    }
}

#[derive(Clone)]
struct ServerState {
    requests: Arc<Mutex<Vec<ReceivedRequest>>>,
    respond_to: Arc<Respond>,
}

impl Server {
    /// Starts a server that computes each response from the request and its number, counted from 0.
    pub fn start(
        respond_to: impl Fn(usize, &ReceivedRequest) -> CannedResponse + Send + Sync + 'static,
    ) -> BoxFuture<'static, Self> {
        Self::gated(move |count, request| (respond_to(count, request), None))
    }

    /// Starts a server that sends a response only once its semaphore, if any, has a permit.
    pub fn gated(
        respond_to: impl Fn(usize, &ReceivedRequest) -> (CannedResponse, Option<Arc<Semaphore>>)
        + Send
        + Sync
        + 'static,
    ) -> BoxFuture<'static, Self> {
        Self::serve(Arc::new(respond_to))
    }

    fn serve(respond_to: Arc<Respond>) -> BoxFuture<'static, Self> {
        Box::pin(async move {
            let requests = Arc::default();
            let state = ServerState {
                requests: Arc::clone(&requests),
                respond_to,
            };
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let origin = format!("http://{}", listener.local_addr().unwrap());
            let router = Router::new()
                .fallback(handle)
                .layer(DefaultBodyLimit::disable())
                .with_state(state);
            let mut task = JoinSet::new();
            task.spawn(async move { serve(listener, router).await.unwrap() });
            Self {
                origin,
                requests,
                _task: task,
            }
        })
    }

    /// Starts a server that returns these responses in order, then repeats the last one.
    pub async fn in_turn(responses: Vec<CannedResponse>) -> Self {
        Self::start(move |count, _| responses[count.min(responses.len() - 1)].clone()).await
    }

    /// Returns the requests received so far.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.requests.lock().unwrap().clone()
    }

    /// Returns the method, path and query of each request received so far.
    pub fn lines(&self) -> Vec<String> {
        let requests = self.requests();
        requests
            .iter()
            .map(|one| format!("{} {}", one.method, one.target))
            .collect()
    }
}

/// Returns a client that calls this server.
pub fn local(server: &Server) -> AtlassianClient {
    AtlassianClient::on_loopback(&server.origin).unwrap()
}

/// Returns a client that calls this server and does not wait between retries.
pub fn instant_client(server: &Server) -> AtlassianClient {
    local(server).clock(InstantClock::default())
}

/// Returns the `Display` and `Debug` text of an error and its sources.
pub fn error_text(error: &ClientError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(" {error} {error:?}"));
        cause = error.source();
    }
    text
}

/// All items, or those before the error.
type Collected = Result<Vec<u64>, (Vec<u64>, ClientError)>;

/// Collects the items of pages. An error comes with the items before it, and must end the stream.
pub fn collect_numbers(mut pages: PageStream<u64>) -> BoxFuture<'static, Collected> {
    Box::pin(async move {
        let mut found = Vec::new();
        while let Some(item) = pages.next().await {
            match item {
                Ok(item) => found.push(item),
                Err(error) => {
                    assert!(pages.next().await.is_none(), "an item follows the error");
                    return Err((found, error));
                }
            }
        }
        Ok(found)
    })
}

/// A server whose responses are raw bytes that no HTTP library would send.
#[derive(Debug)]
pub struct RawServer {
    /// `http://127.0.0.1:…`
    pub origin: String,
    connections: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl RawServer {
    /// Responds to each connection's first request with `begin` and `pieces` times `piece`. Then it
    /// closes the connection, or leaves it open without sending more.
    pub fn start(
        begin: &str,
        piece: String,
        pieces: usize,
        closes: bool,
    ) -> BoxFuture<'static, Self> {
        Self::serve(begin.to_owned(), piece, pieces, closes)
    }

    fn serve(
        begin: String,
        piece: String,
        pieces: usize,
        closes: bool,
    ) -> BoxFuture<'static, Self> {
        Box::pin(async move {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let origin = format!("http://{}", listener.local_addr().unwrap());
            let connections = Arc::<AtomicUsize>::default();
            let count = Arc::clone(&connections);
            let mut task = JoinSet::new();
            task.spawn(async move {
                let mut open = Vec::new();
                while let Ok((mut stream, _)) = listener.accept().await {
                    count.fetch_add(1, Ordering::SeqCst);
                    let _ = stream.read(&mut [0; 8192]).await;
                    let mut sent = stream.write_all(begin.as_bytes()).await;
                    for _ in 0..pieces {
                        if sent.is_err() {
                            break;
                        }
                        sent = stream.write_all(piece.as_bytes()).await;
                    }
                    if !closes {
                        open.push(stream);
                    }
                }
            });
            Self {
                origin,
                connections,
                _task: task,
            }
        })
    }

    /// Returns the number of connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn handle(
    Shared(state): Shared<ServerState>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let one = ReceivedRequest {
        method: method.to_string(),
        target: uri.to_string(),
        headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        bytes: body,
    };
    let count = {
        let mut requests = state.requests.lock().unwrap();
        requests.push(one.clone());
        requests.len() - 1
    };
    let (canned, gate) = (state.respond_to)(count, &one);
    if let Some(gate) = gate {
        let _permit = gate.acquire().await.unwrap();
    }
    // A sleep takes a millisecond at least.
    if !canned.delay.is_zero() {
        tokio::time::sleep(canned.delay).await;
    }
    let mut response = canned.body.into_response();
    *response.status_mut() = StatusCode::from_u16(canned.status).unwrap();
    response.headers_mut().clear();
    for (name, value) in canned.headers {
        let name: HeaderName = name.parse().unwrap();
        response
            .headers_mut()
            .append(name, HeaderValue::from_str(&value).unwrap());
    }
    response
}

/// A verified call and the tokens it carried.
#[derive(Clone)]
#[allow(missing_debug_implementations)]
pub struct ReceivedCall {
    /// The call.
    pub call: Invocation,
    /// The system token.
    pub system: SystemToken,
    /// The user token.
    pub user: UserToken,
    from: TestInstallation,
}

impl ReceivedCall {
    /// Makes another call of the same kind by the same installation, with other tokens.
    pub async fn again(&self) -> Self {
        self.from.call(self.from.key, None).await
    }

    /// Makes a page's call of the same installation, with this system token.
    pub async fn from_page(&self, token: &str) -> Self {
        self.from.call("open", Some(token)).await
    }

    /// Makes a web trigger call of the same installation, with this system token. Anyone can call a
    /// web trigger.
    pub async fn from_anyone(&self, token: &str) -> Self {
        self.from.call("hook", Some(token)).await
    }

    /// Returns whether a text contains one of its tokens.
    pub fn is_in(&self, text: &str) -> bool {
        let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
        [self.system.expose_secret(), self.user.expose_secret()]
            .iter()
            .any(|token| text.contains(&signature(token)))
    }
}

/// The extractors' values that a handler stores.
type CallRecord = (Invocation, SystemToken, Option<UserToken>);

#[derive(Clone, Default)]
struct CallSlot(Arc<Mutex<Option<CallRecord>>>);

#[endpoint(auth = [system, user])]
async fn open(
    call: Invocation,
    system: SystemToken,
    user: UserToken,
    State(into): State<CallSlot>,
) {
    *into.0.lock().unwrap() = Some((call, system, Some(user)));
}

#[scheduled_trigger(interval = "hour", auth = system)]
async fn hourly(call: Invocation, system: SystemToken, State(into): State<CallSlot>) {
    *into.0.lock().unwrap() = Some((call, system, None));
}

#[web_trigger(auth = system)]
async fn hook(call: Invocation, system: SystemToken, State(into): State<CallSlot>) {
    *into.0.lock().unwrap() = Some((call, system, None));
}

/// An installation of an app whose handlers store the call they receive.
#[derive(Clone)]
struct TestInstallation {
    harness: Harness,
    into: CallSlot,
    /// The app's API base URL and the installation's contexts.
    claims: (Value, Value),
    /// The key of the handler to call.
    key: &'static str,
}

impl TestInstallation {
    fn new(atlassian: AtlassianClient, products: &[(&str, &str)], key: &'static str) -> Self {
        // Each app has one local installation, so another app has another one.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let into = CallSlot::default();
        let app = App::empty()
            .app_id(format!("00000000-0000-4000-8000-{number:012}"))
            .handler(handler!(open))
            .handler(handler!(hourly))
            .handler(handler!(hook))
            .remote(Remote::new("backend").base_url("https://backend.example.com"))
            .client(atlassian)
            .state(into.clone());
        let contexts: Vec<Value> = products
            .iter()
            .map(|(name, url)| json!({ "name": name, "apiBaseUrl": url, "cloudId": SITE }))
            .collect();
        let first = products.first().map_or("", |(_, url)| url);
        Self {
            harness: Harness::new(app).unwrap(),
            into,
            claims: (first.into(), contexts.into()),
            key,
        }
    }

    fn call<'a>(&'a self, key: &'a str, token: Option<&'a str>) -> BoxFuture<'a, ReceivedCall> {
        Box::pin(async move {
            let (first, contexts) = self.claims.clone();
            let call = self.harness.call(key).fit(|fit| {
                fit.set("/app/installation/contexts", contexts)
                    .set("/app/apiBaseUrl", first)
            });
            let call = match token {
                Some(token) => call.header("x-forge-oauth-system", token),
                None => call,
            };
            let response = call.send().await;
            assert_eq!(response.status(), 200, "{response:?}");
            let (call, system, user) = self.into.0.lock().unwrap().take().unwrap();
            ReceivedCall {
                call,
                system,
                user: user.unwrap_or_else(|| self.harness.platform().user_token("somebody")),
                from: self.clone(),
            }
        })
    }
}

/// Makes a scheduled call of an installation with these products, each a name and a base URL.
pub async fn scheduled_call(products: &[(&str, &str)]) -> ReceivedCall {
    scheduled_call_with(AtlassianClient::new(), products).await
}

/// Makes a scheduled call to an app with this client.
pub async fn scheduled_call_with(
    atlassian: AtlassianClient,
    products: &[(&str, &str)],
) -> ReceivedCall {
    let installed = TestInstallation::new(atlassian, products, "hourly");
    installed.call("hourly", None).await
}

/// Makes a page's call of an installation whose products are on this server.
pub async fn page_call_for(server: &Server) -> ReceivedCall {
    installed_in(server, "open").call("open", None).await
}

/// Makes a page's call with this system token.
pub async fn page_call_with(server: &Server, token: &str) -> ReceivedCall {
    installed_in(server, "open").call("open", Some(token)).await
}

/// Makes a scheduled call of an installation whose products are on this server. Only Forge can
/// choose the tokens of such a call.
pub async fn scheduled_call_for(server: &Server) -> ReceivedCall {
    installed_in(server, "hourly").call("hourly", None).await
}

fn installed_in(server: &Server, key: &'static str) -> TestInstallation {
    let [jira, confluence] =
        ["jira", "confluence"].map(|name| format!("{}/ex/{name}/{SITE}", server.origin));
    let bitbucket = server.origin.as_str();
    let products = [
        ("jira", jira.as_str()),
        ("confluence", confluence.as_str()),
        ("bitbucket", bitbucket),
    ];
    TestInstallation::new(AtlassianClient::new(), &products, key)
}

/// A clock that returns from each sleep at once and advances by its duration.
#[derive(Clone, Debug)]
pub struct InstantClock {
    start: SystemTime,
    waits: Arc<Mutex<(Duration, Vec<Duration>)>>,
}

impl Default for InstantClock {
    fn default() -> Self {
        Self {
            start: SystemTime::now(),
            waits: Arc::default(),
        }
    }
}

impl InstantClock {
    /// Returns the durations of the sleeps so far.
    pub fn waits(&self) -> Vec<Duration> {
        self.waits.lock().unwrap().1.clone()
    }

    /// Advances the clock.
    pub fn advance(&self, time: Duration) {
        self.waits.lock().unwrap().0 += time;
    }
}

impl Clock for InstantClock {
    fn now(&self) -> SystemTime {
        self.start + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        self.waits.lock().unwrap().0
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut waits = self.waits.lock().unwrap();
        waits.0 += duration;
        waits.1.push(duration);
        Box::pin(std::future::ready(()))
    }
}
