//! A call of the app under test.

use tower_service::Service as _;

use super::response::TestResponse;
use crate::app::Service;
use crate::fit::AllowedCaller;
use crate::platform::{AttackError, Call, Fit, SentTokens};
use crate::registry::{Auth, BoxFuture, Handler, Method};

/// A call on its way to the app under test.
#[derive(Debug)]
#[must_use = "a call does nothing until it is sent"]
pub struct HarnessCall {
    call: Call,
    app: Service,
    from_page: bool,
}

impl HarnessCall {
    pub(super) fn new(call: Call, app: &Service, handler: &Handler) -> Self {
        Self {
            call,
            app: app.clone(),
            from_page: handler.registration().kind.caller() == AllowedCaller::Page,
        }
    }

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
        self.send_boxed().await
    }

    fn send_boxed(self) -> BoxFuture<TestResponse> {
        Box::pin(self.send_through_app())
    }

    async fn send_through_app(self) -> TestResponse {
        let mut router = self.app.router();
        let response = match router.call(self.call.into_request()).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        TestResponse::read(response, self.from_page).await
    }
}
