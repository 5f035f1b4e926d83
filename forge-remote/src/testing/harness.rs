//! The app under test.

use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::call::HarnessCall;
use crate::app::{App, BackgroundError, BackgroundTasks, Service};
use crate::error::Result;
use crate::platform::Platform;
use crate::registry::{BoxFuture, Method};

/// The app id of tests that set none.
pub const TEST_APP_ID: &str = "ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107";

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
    /// Otherwise as [`new`](Self::new). The [`FakeApis`](crate::testing::FakeApis) of the
    /// [`platform`](Self::platform) respond to the app's calls. (Without them such a call is an error: no
    /// test reaches Atlassian.) Tokens are kept in memory instead of the app's store.
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

    // Boxed, as `send` is: compiled with this crate, and not again with each test program.
    fn serving_apis(app: App, keeps_store: bool) -> BoxFuture<Result<Self>> {
        Box::pin(async move {
            let (platform, app) = app.with_platform(TEST_APP_ID)?;
            let apis = ApiServer::start(&platform, keeps_store).await?;
            Ok(Self {
                app: apis.build(app).await?,
                platform,
                apis: Some(Arc::new(apis)),
            })
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
        HarnessCall::new(self.platform.call(handler), &self.app, handler)
    }

    /// Returns the call with this method to the handler with this key: for handlers that share a key,
    /// and for a handler of any method.
    ///
    /// # Panics
    ///
    /// Panics if no handler has this method and key.
    #[track_caller]
    pub fn call_method(&self, method: Method, key: &str) -> HarnessCall {
        let mut found = self.app.registry().find(key);
        let Some(handler) = found.find(|handler| handler.accepts(method)) else {
            panic!("no handler with the key `{key}` has the method {method}");
        };
        let call = self.platform.call(handler).method(method);
        HarnessCall::new(call, &self.app, handler)
    }
}
