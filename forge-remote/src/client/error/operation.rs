//! The name of a call in messages.

use std::fmt;

use axum::http::Method;

use crate::client::api::Api;

/// The name of a call in messages: API, method and path, without the host.
///
/// The path has `{}` for variable segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    pub(in crate::client) api: Api,
    pub(in crate::client) method: Method,
    pub(in crate::client) path: String,
}

impl Operation {
    /// Returns the API.
    pub fn api(&self) -> Api {
        self.api
    }

    /// Returns the method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the path, with `{}` for variable segments.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.api, self.method, self.path)
    }
}
