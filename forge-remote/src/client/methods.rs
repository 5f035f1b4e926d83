//! The constructors of requests, one for each HTTP method.

use axum::http::Method;

use super::path::{IntoPath, Path};
use super::product_client::ProductClient;
use super::request::Request;

impl ProductClient {
    /// Creates a `GET` request. See [`Path`](super::Path) for valid paths.
    pub fn get(&self, path: impl IntoPath) -> Request {
        self.request(Method::GET, path)
    }

    /// Creates a `POST` request. It is not retried unless it is marked [`idempotent`](Request::idempotent).
    pub fn post(&self, path: impl IntoPath) -> Request {
        self.request(Method::POST, path)
    }

    /// Creates a `PUT` request.
    pub fn put(&self, path: impl IntoPath) -> Request {
        self.request(Method::PUT, path)
    }

    /// Creates a `PATCH` request. It is not retried unless it is marked [`idempotent`](Request::idempotent).
    pub fn patch(&self, path: impl IntoPath) -> Request {
        self.request(Method::PATCH, path)
    }

    /// Creates a `DELETE` request.
    pub fn delete(&self, path: impl IntoPath) -> Request {
        self.request(Method::DELETE, path)
    }

    /// Creates a request with the given method.
    pub fn request(&self, method: Method, path: impl IntoPath) -> Request {
        Request::new(self.clone(), method, path.into_path())
    }

    /// Creates a `GET` request for a link in a response: `self`, `_links.next`, `_links.download`, a
    /// `Location`.
    ///
    /// The link must belong to this installation: a URL below [`base_url`](Self::base_url), or a path
    /// that starts with `/`. Any other link is an error and nothing is sent. That includes URLs of the
    /// site itself (`https://….atlassian.net/…`), which must not receive the token.
    ///
    /// Confluence's links are relative to `_links.base`, which ends with `/wiki`: prepend it to links
    /// that lack it.
    ///
    /// ```
    /// use forge_remote::client::ProductClient;
    /// use forge_remote::Result;
    /// # #[derive(serde::Deserialize)] struct Issue { key: String }
    ///
    /// async fn parent(jira: &ProductClient, issue: &serde_json::Value) -> Result<Issue> {
    ///     let address = issue["fields"]["parent"]["self"].as_str().unwrap_or_default();
    ///     Ok(jira.get_link(address).fetch().await?)
    /// }
    /// ```
    pub fn get_link(&self, address: &str) -> Request {
        self.get(Path::of_api()).link(address)
    }
}
