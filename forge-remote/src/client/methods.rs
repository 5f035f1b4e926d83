//! The HTTP methods of a client.

use axum::http::Method;

use super::path::{IntoPath, Path};
use super::product_client::ProductClient;
use super::request::Request;

impl ProductClient {
    /// A `GET`. See [`Path`](super::Path) for what a path can be.
    pub fn get(&self, path: impl IntoPath) -> Request {
        self.request(Method::GET, path)
    }

    /// A `POST`. It is made once, unless it is marked [`idempotent`](Request::idempotent).
    pub fn post(&self, path: impl IntoPath) -> Request {
        self.request(Method::POST, path)
    }

    /// A `PUT`.
    pub fn put(&self, path: impl IntoPath) -> Request {
        self.request(Method::PUT, path)
    }

    /// A `PATCH`. It is made once, unless it is marked [`idempotent`](Request::idempotent).
    pub fn patch(&self, path: impl IntoPath) -> Request {
        self.request(Method::PATCH, path)
    }

    /// A `DELETE`.
    pub fn delete(&self, path: impl IntoPath) -> Request {
        self.request(Method::DELETE, path)
    }

    /// A call with this method.
    pub fn request(&self, method: Method, path: impl IntoPath) -> Request {
        Request::new(self.clone(), method, path.into_path())
    }

    /// A `GET` of an address that the API gave in an answer: `self`, `_links.next`,
    /// `_links.download`, a `Location`.
    ///
    /// It must be one of this installation: below [`base_url`](Self::base_url), or the beginning `/`
    /// of a path there. Another one is an error, and nothing is sent. An address of the site itself
    /// (`https://….atlassian.net/…`) is another one: no token goes there.
    ///
    /// Confluence's are relative to `_links.base`, which ends with `/wiki`: put that before those
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
