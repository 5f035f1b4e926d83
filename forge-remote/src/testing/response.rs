//! The response of the app under test.

use std::fmt;

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode};

use crate::response;

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
    /// Reads a response, of a handler that pages call or of another one.
    pub(super) async fn read(response: Response<Body>, from_page: bool) -> Self {
        let (parts, body) = response.into_parts();
        let body: Vec<u8> = axum::body::to_bytes(body, usize::MAX)
            .await
            .map(Into::into)
            .unwrap_or_default();
        // A rejected FIT has to get a 401, which no handler returned.
        let is_of_handler = parts.extensions.get::<response::FitRejected>().is_none();
        let error = (from_page && is_of_handler)
            .then(|| response::invoke_remote_error(parts.status, &parts.headers, &body));
        Self {
            status: parts.status,
            headers: parts.headers,
            body,
            invoke_remote_error: error.flatten(),
        }
    }

    /// Returns the status, as a number.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// Returns the headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the reason why a page's `invokeRemote` rejects this response of an `#[endpoint]`;
    /// `None` if it accepts it, for a call whose FIT the remote rejects, and for handlers that pages do not call.
    ///
    /// The rule is in [`Endpoint`](crate::kinds::Endpoint#the-response). `requestRemote` accepts any response.
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
