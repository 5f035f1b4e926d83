//! The name of a call in messages.

use std::fmt;

use axum::http::Method;

use crate::client::api::Api;

/// A call as messages name it: no host, and `{}` for what varies in the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    pub(in crate::client) api: Api,
    pub(in crate::client) method: Method,
    pub(in crate::client) path: String,
}

impl Operation {
    /// The API.
    pub fn api(&self) -> Api {
        self.api
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path, with `{}` for what varies.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.api, self.method, self.path)
    }
}
