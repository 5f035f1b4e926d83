//! Atlassian's GraphQL gateway.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::api::Api;
use super::atlassian::AtlassianClient;
use super::error::{self, ClientError, GraphQlError};
use super::installation_ref::InstallationRef;
use super::product::ProductApi;
use super::product_client::ProductClient;
use super::request::{Request, Response};
use crate::credentials::{SystemToken, UserToken};
use crate::json::repair;

/// Upper bound on the errors kept of a response.
const MAX_ERRORS: usize = 100;

/// The GraphQL gateway of an installation. Choose who calls it with [`as_app`](Self::as_app) or
/// [`as_user`](Self::as_user).
///
/// ```
/// use forge_remote::prelude::*;
///
/// #[derive(serde::Deserialize)]
/// struct Me { me: User }
/// #[derive(serde::Deserialize)]
/// struct User { user: Name }
/// #[derive(serde::Deserialize)]
/// struct Name { name: String }
///
/// #[endpoint(auth = user, scopes = ["read:me"])]
/// async fn name(call: Invocation, token: UserToken) -> Result<Json<String>> {
///     let graphql = call.graphql().as_user(&token);
///     let data: Me = graphql.operation("query { me { user { name } } }").fetch().await?;
///     Ok(Json(data.me.user.name))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct GraphQl(pub(super) ProductApi);

/// A GraphQL client, which acts as the app or as a user.
#[derive(Clone, Debug)]
pub struct GraphQlClient(pub(super) ProductClient);

impl AtlassianClient {
    /// Returns the GraphQL gateway, `https://api.atlassian.com/graphql`.
    pub fn graphql(&self, installation: &impl InstallationRef) -> GraphQl {
        GraphQl(ProductApi::new(self, Api::GraphQl, installation))
    }

    /// Returns Compass, whose API is GraphQL. Most operations need the [`cloud_id`](GraphQl::cloud_id).
    pub fn compass(&self, installation: &impl InstallationRef) -> GraphQl {
        GraphQl(ProductApi::new(self, Api::Compass, installation))
    }
}

impl GraphQl {
    /// Creates a client that acts as the app.
    pub fn as_app(&self, token: &SystemToken) -> GraphQlClient {
        GraphQlClient(self.0.as_app(token))
    }

    /// Creates a client that acts as the token's user.
    pub fn as_user(&self, token: &UserToken) -> GraphQlClient {
        GraphQlClient(self.0.as_user(token))
    }

    /// Returns the site's cloud id, if Forge sent it.
    pub fn cloud_id(&self) -> Option<&str> {
        self.0.cloud_id()
    }
}

impl GraphQlClient {
    /// Creates a request from a GraphQL document with one operation.
    ///
    /// Pass variable values with [`variable`](GraphQlRequest::variable), never in the text.
    pub fn operation(&self, document: &str) -> GraphQlRequest {
        let mut request = self.0.post("/graphql");
        if is_query(document) {
            request = request.idempotent();
        }
        GraphQlRequest {
            request,
            document: document.to_owned(),
            variables: Map::new(),
            problem: None,
        }
    }
}

/// Returns whether a document contains only queries, which are safe to repeat.
fn is_query(document: &str) -> bool {
    let mut code = document
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    let first = code.find_map(|line| line.split_whitespace().next());
    let reads = first.is_some_and(|word| word.starts_with("query") || word.starts_with('{'));
    reads && !document.contains("mutation")
}

/// A GraphQL request that has not been sent yet.
///
/// A query is retried like a `GET`; a mutation is not retried.
#[must_use = "a request does nothing until it is sent"]
pub struct GraphQlRequest {
    request: Request,
    document: String,
    variables: Map<String, Value>,
    problem: Option<String>,
}

impl fmt::Debug for GraphQlRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GraphQlRequest({:?})", self.request)
    }
}

/// A GraphQL response: data, which may be partial, and errors.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GraphQlResponse<T> {
    /// The data.
    pub data: Option<T>,
    /// The first hundred errors.
    pub errors: Vec<GraphQlError>,
    /// Atlassian's trace id.
    pub trace_id: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    query: &'a str,
    variables: &'a Map<String, Value>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    data: Option<&'a serde_json::value::RawValue>,
    errors: Option<Vec<RawError>>,
}

/// An error of any shape: members that cannot be read are ignored.
#[derive(Deserialize)]
struct RawError {
    #[serde(default)]
    message: Value,
    #[serde(default)]
    path: Value,
    #[serde(default)]
    extensions: Value,
}

impl RawError {
    fn read(self, secret: &str) -> GraphQlError {
        let plain = |text: &str| error::plain(text, secret);
        let message = self.message.as_str().map(plain);
        let steps = self.path.as_array().into_iter().flatten();
        let steps = steps.map(|step| {
            step.as_str()
                .map_or_else(|| step.to_string(), str::to_owned)
        });
        let extensions = match self.extensions {
            Value::Object(extensions) => extensions,
            _ => Map::new(),
        };
        let text = |name: &str| extensions.get(name).and_then(Value::as_str).map(plain);
        let code = extensions.get("statusCode").and_then(|code| match code {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        });
        GraphQlError {
            message: message.unwrap_or_else(|| "an error without a message".to_owned()),
            path: plain(&steps.collect::<Vec<_>>().join(".")),
            classification: text("classification").or_else(|| text("errorType")),
            status_code: code.and_then(|code| u16::try_from(code).ok()),
            extensions,
        }
    }
}

impl GraphQlRequest {
    /// Sets a variable.
    pub fn variable(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        let name = name.into();
        match serde_json::to_value(value) {
            Ok(value) => {
                self.variables.insert(name, value);
            }
            Err(error) => {
                let problem =
                    format!("the variable `{name}` cannot be serialized as JSON: {error}");
                self.problem = Some(problem);
            }
        }
        self
    }

    /// Sets a header. Parts of the API require one, such as `X-ExperimentalApi`.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// Marks a mutation as safe to repeat, so that it is retried.
    pub fn idempotent(mut self) -> Self {
        self.request = self.request.idempotent();
        self
    }

    /// Sends the request and returns its data. Errors in the response are an error, even with partial data.
    pub async fn fetch<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        let response = self.send().await?;
        let parsed: GraphQlResponse<T> = read(&response)?;
        match parsed.data {
            Some(data) if parsed.errors.is_empty() => Ok(data),
            _ => Err(failed(&response, parsed.errors)),
        }
    }

    /// Sends the request and returns data and errors.
    pub async fn response<T: DeserializeOwned>(self) -> Result<GraphQlResponse<T>, ClientError> {
        read(&self.send().await?)
    }

    pub(super) async fn send(self) -> Result<Response, ClientError> {
        if let Some(problem) = self.problem {
            return Err(self.request.invalid(problem));
        }
        let body = Body {
            query: &self.document,
            variables: &self.variables,
        };
        self.request.json(&body).send().await
    }
}

pub(super) fn failed(response: &Response, mut errors: Vec<GraphQlError>) -> ClientError {
    if errors.is_empty() {
        errors.push(GraphQlError::new(
            "the response has neither data nor errors",
        ));
    }
    ClientError::GraphQl {
        call: response.call().clone(),
        errors,
        trace_id: response.trace_id(),
    }
}

pub(super) fn read<T: DeserializeOwned>(
    response: &Response,
) -> Result<GraphQlResponse<T>, ClientError> {
    let unreadable = |error| response.unreadable(std::any::type_name::<T>(), &error);
    let body = repair(response.bytes());
    let raw: Raw<'_> = serde_json::from_slice(&body).map_err(unreadable)?;
    let errors = raw.errors.into_iter().flatten().take(MAX_ERRORS);
    let errors: Vec<GraphQlError> = errors.map(|one| one.read(response.secret())).collect();
    let data = match raw.data {
        Some(data) if data.get() != "null" => match serde_json::from_str(data.get()) {
            Ok(data) => Some(data),
            // Partial data may not fit the type; the errors are reported instead.
            Err(_) if !errors.is_empty() => None,
            Err(error) => return Err(unreadable(error)),
        },
        _ => None,
    };
    Ok(GraphQlResponse {
        data,
        errors,
        trace_id: response.trace_id(),
    })
}

#[cfg(test)]
mod tests {
    use super::is_query;

    #[test]
    fn only_queries_are_safe_to_repeat() {
        assert!(is_query("{ me { name } }"));
        assert!(is_query("# who\n  query Me { me { name } }"));
        assert!(is_query("query($a: ID!) { b(c: $a) { d } }"));
        assert!(!is_query("mutation Forget { forget }"));
        assert!(!is_query("fragment A on B { c } mutation D { e }"));
        assert!(!is_query("query A { b } mutation C { d }"));
        assert!(!is_query(""));
    }
}
