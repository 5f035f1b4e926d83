//! A stand-in for Atlassian's APIs that answers as it is told and writes down what it was asked,
//! a call to make requests from, and a clock that only counts.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
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
use forge_remote::registry::BoxFuture;
use forge_remote::testing::Harness;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The site of every call here.
pub const SITE: &str = "d0d52620-3203-4cfa-8db5-f2587155f0dd";

/// What the server was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// Path and query, as they came.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, `null` when it isn't JSON.
    pub body: Value,
    /// The body, as it came.
    pub bytes: Bytes,
}

impl Asked {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }
}

/// What the server answers.
#[derive(Clone, Debug)]
pub struct Told {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    delay: Duration,
}

/// An answer of this status and JSON.
pub fn told(status: u16, body: Value) -> Told {
    Told {
        status,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.to_string(),
        delay: Duration::ZERO,
    }
}

impl Told {
    /// With this header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn text(mut self, body: &str) -> Self {
        self.body = body.to_owned();
        self
    }

    /// After this time.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

type Answers = dyn Fn(usize, &Asked) -> (Told, Option<Arc<Semaphore>>) + Send + Sync;

/// The server. It stops when it is dropped.
pub struct Server {
    /// `http://127.0.0.1:…`
    pub origin: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _task: JoinSet<()>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.origin)
    }
}

#[derive(Clone)]
struct Inner {
    asked: Arc<Mutex<Vec<Asked>>>,
    answers: Arc<Answers>,
}

impl Server {
    /// Answers each request, which are counted from 0.
    pub async fn start(answers: impl Fn(usize, &Asked) -> Told + Send + Sync + 'static) -> Self {
        Self::gated(move |count, asked| (answers(count, asked), None)).await
    }

    /// The same, each once there is a permit where it waits for one.
    pub async fn gated(
        answers: impl Fn(usize, &Asked) -> (Told, Option<Arc<Semaphore>>) + Send + Sync + 'static,
    ) -> Self {
        let asked = Arc::default();
        let inner = Inner {
            asked: Arc::clone(&asked),
            answers: Arc::new(answers),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::disable())
            .with_state(inner);
        let mut task = JoinSet::new();
        task.spawn(async move { serve(listener, router).await.unwrap() });
        Self {
            origin,
            asked,
            _task: task,
        }
    }

    /// Answers the requests one after the other; the last answer stays.
    pub async fn in_turn(answers: Vec<Told>) -> Self {
        Self::start(move |count, _| answers[count.min(answers.len() - 1)].clone()).await
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Method, path and query of what it was asked so far.
    pub fn lines(&self) -> Vec<String> {
        let asked = self.asked();
        asked
            .iter()
            .map(|one| format!("{} {}", one.method, one.target))
            .collect()
    }
}

/// What calls this server.
pub fn local(server: &Server) -> AtlassianClient {
    AtlassianClient::on_loopback(&server.origin).unwrap()
}

/// Everything that can be read of an error.
pub fn words(error: &ClientError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(" {error} {error:?}"));
        cause = error.source();
    }
    text
}

/// What pages hold; with an error, what came before it. After that they end.
pub async fn numbers(mut pages: PageStream<u64>) -> Result<Vec<u64>, (Vec<u64>, ClientError)> {
    let mut found = Vec::new();
    while let Some(item) = pages.next().await {
        match item {
            Ok(item) => found.push(item),
            Err(error) => {
                assert!(pages.next().await.is_none(), "it goes on after an error");
                return Err((found, error));
            }
        }
    }
    Ok(found)
}

/// A server whose answers are bytes: for those that no HTTP library would send.
#[derive(Debug)]
pub struct Raw {
    /// `http://127.0.0.1:…`
    pub origin: String,
    answered: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Raw {
    /// Answers each connection's first request with `begin` and as many of `piece`; then it closes
    /// the connection, or says nothing more.
    pub async fn start(begin: &str, piece: String, pieces: usize, closes: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let begin = begin.to_owned();
        let answered = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&answered);
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
            answered,
            _task: task,
        }
    }

    /// How many connections there were.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }
}

async fn answer(
    Shared(inner): Shared<Inner>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let one = Asked {
        method: method.to_string(),
        target: uri.to_string(),
        headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        bytes: body,
    };
    let count = {
        let mut asked = inner.asked.lock().unwrap();
        asked.push(one.clone());
        asked.len() - 1
    };
    let (told, gate) = (inner.answers)(count, &one);
    if let Some(gate) = gate {
        let _permit = gate.acquire().await.unwrap();
    }
    tokio::time::sleep(told.delay).await;
    let mut response = told.body.into_response();
    *response.status_mut() = StatusCode::from_u16(told.status).unwrap();
    response.headers_mut().clear();
    for (name, value) in told.headers {
        let name: HeaderName = name.parse().unwrap();
        response
            .headers_mut()
            .append(name, HeaderValue::from_str(&value).unwrap());
    }
    response
}

/// A verified call and the tokens that came with it.
#[derive(Clone)]
#[allow(missing_debug_implementations)]
pub struct Came {
    /// The call.
    pub call: Invocation,
    /// The app's token.
    pub system: SystemToken,
    /// A user's token.
    pub user: UserToken,
    from: Installed,
}

impl Came {
    /// Another call of the same kind by the same installation, with other tokens.
    pub async fn again(&self) -> Self {
        self.from.call(self.from.key, None).await
    }

    /// A page's call of the same installation, with this for the app's token.
    pub async fn from_page(&self, token: &str) -> Self {
        self.from.call("open", Some(token)).await
    }

    /// A call of a web trigger of the same installation, with this for the app's token: anybody can
    /// make one.
    pub async fn from_anybody(&self, token: &str) -> Self {
        self.from.call("hook", Some(token)).await
    }

    /// Whether one of its tokens is in a text.
    pub fn is_in(&self, text: &str) -> bool {
        let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
        [self.system.expose_secret(), self.user.expose_secret()]
            .iter()
            .any(|token| text.contains(&signature(token)))
    }
}

/// What a handler leaves.
type Left = (Invocation, SystemToken, Option<UserToken>);

#[derive(Clone, Default)]
struct Opened(Arc<Mutex<Option<Left>>>);

#[endpoint(auth = [system, user])]
async fn open(call: Invocation, system: SystemToken, user: UserToken, State(into): State<Opened>) {
    *into.0.lock().unwrap() = Some((call, system, Some(user)));
}

#[scheduled_trigger(interval = "hour", auth = system)]
async fn hourly(call: Invocation, system: SystemToken, State(into): State<Opened>) {
    *into.0.lock().unwrap() = Some((call, system, None));
}

#[web_trigger(auth = system)]
async fn hook(call: Invocation, system: SystemToken, State(into): State<Opened>) {
    *into.0.lock().unwrap() = Some((call, system, None));
}

/// An installation of an app whose handlers leave what came.
#[derive(Clone)]
struct Installed {
    harness: Harness,
    into: Opened,
    /// The app's API, and what it is installed in.
    claims: (Value, Value),
    /// The handler that is called.
    key: &'static str,
}

impl Installed {
    fn new(atlassian: AtlassianClient, products: &[(&str, &str)], key: &'static str) -> Self {
        let into = Opened::default();
        let app = App::empty()
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

    async fn call(&self, key: &str, token: Option<&str>) -> Came {
        let (first, contexts) = self.claims.clone();
        let call = self.harness.call(key).fit(|fit| {
            fit.set("/app/installation/contexts", contexts)
                .set("/app/apiBaseUrl", first)
        });
        let call = match token {
            Some(token) => call.header("x-forge-oauth-system", token),
            None => call,
        };
        let answer = call.send().await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        let (call, system, user) = self.into.0.lock().unwrap().take().unwrap();
        Came {
            call,
            system,
            user: user.unwrap_or_else(|| self.harness.platform().user_token("somebody")),
            from: self.clone(),
        }
    }
}

/// A schedule's call of an installation with these products, each a name and a base URL.
pub async fn came(products: &[(&str, &str)]) -> Came {
    came_to(AtlassianClient::new(), products).await
}

/// The same, of an app that calls back so.
pub async fn came_to(atlassian: AtlassianClient, products: &[(&str, &str)]) -> Came {
    let installed = Installed::new(atlassian, products, "hourly");
    installed.call("hourly", None).await
}

/// A call of an installation whose products are this server's, whose tokens nobody but the platform
/// could choose.
pub async fn came_from(server: &Server) -> Came {
    delivered_from(server).await
}

/// The same from a page.
pub async fn came_from_page(server: &Server) -> Came {
    installed_in(server, "open").call("open", None).await
}

/// The same, with this system token.
pub async fn came_with(server: &Server, token: &str) -> Came {
    installed_in(server, "open").call("open", Some(token)).await
}

/// A schedule's call, whose tokens Forge itself delivers.
pub async fn delivered_from(server: &Server) -> Came {
    installed_in(server, "hourly").call("hourly", None).await
}

fn installed_in(server: &Server, key: &'static str) -> Installed {
    let [jira, confluence] =
        ["jira", "confluence"].map(|name| format!("{}/ex/{name}/{SITE}", server.origin));
    let bitbucket = server.origin.as_str();
    let products = [
        ("jira", jira.as_str()),
        ("confluence", confluence.as_str()),
        ("bitbucket", bitbucket),
    ];
    Installed::new(AtlassianClient::new(), &products, key)
}

/// A clock on which nobody waits: it moves on by what it is asked to wait.
#[derive(Clone, Debug)]
pub struct Counting {
    start: SystemTime,
    waits: Arc<Mutex<(Duration, Vec<Duration>)>>,
}

impl Default for Counting {
    fn default() -> Self {
        Self {
            start: SystemTime::now(),
            waits: Arc::default(),
        }
    }
}

impl Counting {
    /// The waits so far.
    pub fn waits(&self) -> Vec<Duration> {
        self.waits.lock().unwrap().1.clone()
    }

    /// Moves on.
    pub fn advance(&self, time: Duration) {
        self.waits.lock().unwrap().0 += time;
    }
}

impl Clock for Counting {
    fn now(&self) -> SystemTime {
        self.start + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        self.waits.lock().unwrap().0
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        let mut waits = self.waits.lock().unwrap();
        waits.0 += duration;
        waits.1.push(duration);
        Box::pin(std::future::ready(()))
    }
}
