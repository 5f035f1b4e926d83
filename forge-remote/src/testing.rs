//! The test kit (feature `testing`): a local platform in the test process, whose calls pass the same
//! verification as in production.
//!
//! ```
//! use forge_remote::prelude::*;
//! use forge_remote::testing::Harness;
//!
//! #[scheduled_trigger(interval = "hour", auth = system)]
//! async fn refresh_index(token: SystemToken) -> Result<()> {
//!     assert!(!token.expose_secret().is_empty());
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let app = App::empty()
//!     .handler(forge_remote::handler!(refresh_index))
//!     .remote(Remote::new("backend").base_url("https://backend.example.com"));
//! let harness = Harness::new(app)?;
//!
//! let response = harness.call("refresh-index").send().await;
//! assert_eq!(response.status(), 200);
//!
//! // Every claim can be changed: another app's token is rejected.
//! let call = harness.call("refresh-index").fit(|fit| fit.set("/aud", "another".into()));
//! assert_eq!(call.send().await.status(), 401);
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower_service::Service as _;

pub use crate::platform::{
    ApiCall, ApiRequest, ApiResponse, AttackError, Call, FakeApis, Fit, FixtureError, Platform,
    PlatformError, SentTokens,
};

pub use crate::conformance::ConformanceError;
pub use crate::jobs::job_engine_conformance;
pub use crate::token::store::token_store_conformance;

use crate::app::{App, BackgroundError, BackgroundTasks, Service};
use crate::error::Result;
use crate::fit::{AllowedCaller, Clock};
use crate::registry::{Auth, BoxFuture, Handler, Method};
use crate::response;

/// The app id of tests that set none.
pub const TEST_APP_ID: &str = "ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107";

/// A clock that stands still until a test advances it.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<TestClockState>);

#[derive(Debug)]
struct TestClockState {
    /// The wall clock's time at an elapsed time of zero.
    start: Mutex<SystemTime>,
    elapsed: watch::Sender<Duration>,
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl TestClock {
    /// Creates a clock that shows the current time.
    pub fn new() -> Self {
        Self(Arc::new(TestClockState {
            start: Mutex::new(SystemTime::now()),
            elapsed: watch::Sender::new(Duration::ZERO),
        }))
    }

    /// Advances the clock and wakes sleepers that are due.
    pub fn advance(&self, duration: Duration) {
        self.0.elapsed.send_modify(|elapsed| *elapsed += duration);
    }

    /// Sets the wall clock, as an operator does or a virtual machine that resumes. The time
    /// [elapsed](Clock::elapsed) does not change.
    ///
    /// ```
    /// use std::time::Duration;
    /// use forge_remote::fit::Clock as _;
    /// use forge_remote::testing::TestClock;
    ///
    /// let clock = TestClock::new();
    /// clock.set(clock.now() - Duration::from_secs(3600));
    /// assert_eq!(clock.elapsed(), Duration::ZERO);
    /// ```
    pub fn set(&self, now: SystemTime) {
        *self.start() = now - *self.0.elapsed.borrow();
    }

    /// Returns the wall clock's time.
    pub fn now(&self) -> SystemTime {
        *self.start() + *self.0.elapsed.borrow()
    }

    fn start(&self) -> MutexGuard<'_, SystemTime> {
        self.0.start.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        self.now()
    }

    fn elapsed(&self) -> Duration {
        *self.0.elapsed.borrow()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        let until = self.elapsed() + duration;
        let mut elapsed = self.0.elapsed.subscribe();
        Box::pin(async move {
            // An error means that the clock was dropped.
            let _ = elapsed.wait_for(|elapsed| *elapsed >= until).await;
        })
    }
}

/// An app under test, with its local platform.
#[derive(Clone, Debug)]
pub struct Harness {
    platform: Platform,
    app: Service,
    apis: Option<Arc<ApiServer>>,
}

/// The server of the fake APIs, which stops when the last clone of its harness is dropped.
#[derive(Debug)]
struct ApiServer {
    origin: String,
    /// Whether apps keep tokens in their own store instead of memory.
    keeps_store: bool,
    _server: JoinSet<()>,
}

impl ApiServer {
    async fn start(platform: &Platform, keeps_store: bool) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let origin = format!("http://{}", listener.local_addr()?);
        platform.serves_apis_at(&origin);
        let router = crate::platform::router(platform.clone());
        let mut server = JoinSet::new();
        server.spawn(async move {
            // Dropping the set stops it.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            origin,
            keeps_store,
            _server: server,
        })
    }

    /// Connects an app to the APIs and its token store, and builds it.
    async fn build(&self, mut app: App) -> Result<Service> {
        app.atlassian_of().forbid_others();
        app.atlassian_of().use_loopback(&self.origin)?;
        if !self.keeps_store {
            app = app.tokens_in_memory();
        }
        built(app.connect().await?)
    }
}

/// Builds an app. Nobody misses its background tasks in a test that does not start them.
fn built(app: App) -> Result<Service> {
    let app = app.build_compared()?;
    app.needs_no_tasks();
    Ok(app)
}

impl Harness {
    /// Builds the app with the test platform's key set instead of Atlassian's. The app id defaults to
    /// [`TEST_APP_ID`].
    pub fn new(app: App) -> Result<Self> {
        let (platform, app) = app.with_platform(TEST_APP_ID)?;
        app.atlassian_of().forbid_others();
        Ok(Self {
            platform,
            app: built(app)?,
            apis: None,
        })
    }

    /// Builds the app with fake Jira, Confluence, GraphQL and storage APIs, served on loopback.
    ///
    /// Otherwise as [`new`](Self::new). The [`FakeApis`] of the [`platform`](Self::platform) respond to
    /// the app's calls. (Without them such a call is an error: no test reaches Atlassian.) Tokens are
    /// kept in memory instead of the app's store.
    ///
    /// ```
    /// use forge_remote::{path, prelude::*};
    /// use forge_remote::testing::Harness;
    /// use serde_json::Value;
    ///
    /// #[endpoint(method = "GET", auth = user, scopes = ["read:jira-work"])]
    /// async fn summary(call: Invocation, token: UserToken) -> Result<Json<Value>> {
    ///     let issue: Value = call.jira().as_user(&token).get(path!("/rest/api/3/issue/{}", "DEV-2")).fetch().await?;
    ///     Ok(Json(issue["fields"]["summary"].clone()))
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// let app = App::empty()
    ///     .handler(forge_remote::handler!(summary))
    ///     .remote(Remote::new("backend").base_url("https://backend.example.com"));
    /// let harness = Harness::with_apis(app).await?;
    /// harness.platform().apis().add_issue(serde_json::json!({ "summary": "Water the plants" }));
    ///
    /// let response = harness.call("summary").send().await;
    /// assert_eq!(response.json(), "Water the plants");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn with_apis(app: App) -> Result<Self> {
        Self::serving_apis(app, false).await
    }

    /// Builds the app with fake APIs, as [`with_apis`](Self::with_apis) does, and with its own token
    /// store: to test what outlives a restart.
    ///
    /// The store gets the test platform's tokens, so give the app one of the test's own, for example a
    /// file in a temporary folder. The harness [connects](App::connect) it.
    ///
    /// ```no_run
    /// use forge_remote::prelude::*;
    /// use forge_remote::testing::Harness;
    /// # fn app() -> App { App::empty() }
    ///
    /// # async fn test() -> Result<()> {
    /// // `app()` keeps tokens in a file of a temporary folder.
    /// let harness = Harness::with_apis_and_store(app()).await?;
    /// harness.call("installed").send().await;
    ///
    /// let restarted = harness.another(app()).await?;
    /// assert_eq!(restarted.call("report").send().await.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn with_apis_and_store(app: App) -> Result<Self> {
        Self::serving_apis(app, true).await
    }

    async fn serving_apis(app: App, keeps_store: bool) -> Result<Self> {
        let (platform, app) = app.with_platform(TEST_APP_ID)?;
        let apis = ApiServer::start(&platform, keeps_store).await?;
        Ok(Self {
            app: apis.build(app).await?,
            platform,
            apis: Some(Arc::new(apis)),
        })
    }

    /// Builds another app on the same platform, with the same APIs: the app after a restart, a second
    /// instance of it, or its next version.
    ///
    /// The APIs accept the tokens that the platform issued before. The app's
    /// [`fixtures`](App::fixtures) are not applied again.
    pub async fn another(&self, app: App) -> Result<Self> {
        let app = app.on_platform(&self.platform)?;
        let app = match &self.apis {
            Some(apis) => apis.build(app).await?,
            None => {
                app.atlassian_of().forbid_others();
                built(app)?
            }
        };
        Ok(Self {
            platform: self.platform.clone(),
            app,
            apis: self.apis.clone(),
        })
    }

    /// Starts the app's [`background`](App::background) tasks, which otherwise only run while it
    /// serves. They are cancelled when the returned value is dropped;
    /// [`stop`](BackgroundTasks::stop) shuts them down gracefully.
    pub fn start_background(&self) -> Result<BackgroundTasks, BackgroundError> {
        self.app.start_background()
    }

    /// Returns the platform.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Returns the app.
    pub fn app(&self) -> &Service {
        &self.app
    }

    /// Returns the call that Forge would make to the handler with this module or endpoint key.
    ///
    /// # Panics
    ///
    /// Panics if no handler has this key.
    #[track_caller]
    #[allow(clippy::panic)]
    pub fn call(&self, key: &str) -> HarnessCall {
        let Some(handler) = self.app.registry().find(key).next() else {
            let keys: Vec<&str> = self
                .app
                .registry()
                .handlers()
                .iter()
                .map(|one| one.key())
                .collect();
            panic!(
                "no handler has the key `{key}`; the keys are: {}",
                keys.join(", ")
            );
        };
        HarnessCall {
            call: self.platform.call(handler),
            app: self.app.clone(),
            from_page: is_for_pages(handler),
        }
    }

    /// Returns the call with this method to the handler with this key: for handlers that share a key,
    /// and for a handler of any method.
    ///
    /// # Panics
    ///
    /// Panics if no handler has this method and key.
    #[track_caller]
    #[allow(clippy::panic)]
    pub fn call_method(&self, method: Method, key: &str) -> HarnessCall {
        let mut found = self.app.registry().find(key);
        let Some(handler) = found.find(|handler| handler.accepts(method)) else {
            panic!("no handler with the key `{key}` has the method {method}");
        };
        HarnessCall {
            call: self.platform.call(handler).method(method),
            app: self.app.clone(),
            from_page: is_for_pages(handler),
        }
    }
}

/// A call on its way to the app under test.
#[derive(Debug)]
#[must_use = "a call does nothing until it is sent"]
pub struct HarnessCall {
    call: Call,
    app: Service,
    from_page: bool,
}

impl HarnessCall {
    /// Sets the method: for handlers of any method (web triggers, design and security information
    /// providers). GET and DELETE have no body, unless one is set after this.
    ///
    /// ```
    /// use forge_remote::kinds::{WebTriggerRequest, WebTriggerResponse};
    /// use forge_remote::prelude::*;
    /// use forge_remote::registry::Method;
    /// use forge_remote::testing::Harness;
    ///
    /// #[web_trigger]
    /// async fn orders(request: WebTriggerRequest) -> WebTriggerResponse {
    ///     WebTriggerResponse::new(200, format!("{} {}", request.method, request.user_path))
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let app = App::empty()
    /// #     .handler(forge_remote::handler!(orders))
    /// #     .remote(Remote::new("backend").base_url("https://backend.example.com"));
    /// # let harness = Harness::new(app)?;
    /// let response = harness.call("orders").method(Method::Get).subpath("/7").send().await;
    /// assert_eq!(response.json()["body"], "GET /7");
    /// # Ok(())
    /// # }
    /// ```
    pub fn method(mut self, method: Method) -> Self {
        self.call = self.call.method(method);
        self
    }

    /// Sets the path, such as one that an older major version of the app calls (`also_at`).
    pub fn at_path(mut self, path: &str) -> Self {
        self.call = self.call.at_path(path);
        self
    }

    /// Sets a path below the handler's own, such as `/orders/7`: callers of a web trigger's URL can use
    /// one.
    pub fn subpath(mut self, path: &str) -> Self {
        self.call = self.call.subpath(path);
        self
    }

    /// Sends the sample body of this event, as `dev` does, instead of the handler's first event.
    pub fn event(mut self, event: &str) -> Self {
        self.call = self.call.event(event);
        self
    }

    /// Changes the FIT.
    pub fn fit(mut self, change: impl FnOnce(Fit) -> Fit) -> Self {
        self.call = self.call.fit(change);
        self
    }

    /// Sends this JSON.
    pub fn json(mut self, body: &serde_json::Value) -> Self {
        self.call = self.call.json(body);
        self
    }

    /// Sends these bytes.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.call = self.call.body(body);
        self
    }

    /// Makes the call a retry by Forge: the `count`th, for this reason.
    pub fn as_retry(mut self, count: u32, reason: &str) -> Self {
        self.call = self.call.as_retry(count, reason);
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.call = self.call.header(name, value);
        self
    }

    /// Sets the query string, without the `?`.
    pub fn query(mut self, query: &str) -> Self {
        self.call = self.call.query(query);
        self
    }

    /// Sets the OAuth tokens that are sent.
    pub fn tokens(mut self, auth: Auth) -> Self {
        self.call = self.call.tokens(SentTokens::Exactly(auth));
        self
    }

    /// Sends each forged FIT of `forge-remote-attacks` to this handler, and returns their number. This takes some
    /// seconds.
    ///
    /// # Errors
    ///
    /// At least one FIT was not rejected, for example because a layer responds before verification.
    ///
    /// ```no_run
    /// # async fn test(harness: forge_remote::testing::Harness) -> forge_remote::Result<()> {
    /// harness.call("hourly").attack().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn attack(self) -> Result<usize, AttackError> {
        crate::platform::attack(self.call, &self.app).await
    }

    /// Sends the call through the app.
    pub async fn send(self) -> TestResponse {
        let mut router = self.app.router();
        let response = match router.call(self.call.into_request()).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (parts, body) = response.into_parts();
        let body = read(body).await;
        let from_page = self.from_page;
        let error = from_page.then(|| response::invoke_remote_error(&parts.headers, &body));
        TestResponse {
            status: parts.status,
            headers: parts.headers,
            body,
            invoke_remote_error: error.flatten(),
        }
    }
}

/// Returns whether pages call a handler.
fn is_for_pages(handler: &Handler) -> bool {
    handler.registration().kind.caller() == AllowedCaller::Page
}

async fn read(body: Body) -> Vec<u8> {
    axum::body::to_bytes(body, usize::MAX)
        .await
        .map(Into::into)
        .unwrap_or_default()
}

/// The response to a test call.
#[derive(Clone)]
pub struct TestResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    invoke_remote_error: Option<&'static str>,
}

impl fmt::Debug for TestResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.text())?;
        match self.invoke_remote_error {
            Some(reason) => write!(f, " (`invokeRemote` rejects this response: {reason})"),
            None => Ok(()),
        }
    }
}

impl TestResponse {
    /// Returns the status, as a number.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// Returns the headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the reason why a page's `invokeRemote` rejects this response of an `#[endpoint]`;
    /// `None` if it accepts it, and for handlers that pages do not call.
    ///
    /// `invokeRemote` accepts only JSON with the content type `application/json`, regardless of the
    /// status. `requestRemote` accepts any response.
    ///
    /// ```
    /// use forge_remote::prelude::*;
    /// use forge_remote::testing::Harness;
    ///
    /// #[endpoint]
    /// async fn greet() -> &'static str {
    ///     "Good morning"
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let app = App::empty()
    /// #     .handler(forge_remote::handler!(greet))
    /// #     .remote(Remote::new("backend").base_url("https://backend.example.com"));
    /// # let harness = Harness::new(app)?;
    /// let response = harness.call("greet").send().await;
    /// assert!(response.invoke_remote_error().is_some());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Source: <https://developer.atlassian.com/platform/forge/apis-reference/ui-api-bridge/invokeRemote/>
    pub fn invoke_remote_error(&self) -> Option<&'static str> {
        self.invoke_remote_error
    }

    /// Returns the body as text; invalid UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the body as JSON; `null` when it isn't JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}
