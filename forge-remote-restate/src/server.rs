//! The client of a Restate server: its ingress, and its admin API.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use forge_remote::jobs::EngineError;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::json;
use tokio::sync::OnceCell;

/// Upper bound on one request. The app ends an `accept` before that: Forge waits 5 seconds.
const TIMEOUT: Duration = Duration::from_secs(10);
const JSON: &str = "application/json";

/// A Restate server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) ingress: String,
    pub(crate) admin: String,
    client: OnceCell<Client>,
}

/// A call to store.
pub(crate) struct NewCall<'a> {
    pub(crate) service: &'a str,
    pub(crate) object: &'a str,
    pub(crate) handler: &'a str,
    pub(crate) idempotency_key: &'a str,
    pub(crate) delay: Option<Duration>,
    pub(crate) input: Vec<u8>,
}

/// A URL that Restate calls.
#[derive(Debug, Deserialize)]
pub(crate) struct Deployment {
    pub(crate) id: String,
    pub(crate) uri: String,
}

impl Deployment {
    pub(crate) fn is_at(&self, url: &str) -> bool {
        match (Url::parse(&self.uri), Url::parse(url)) {
            (Ok(one), Ok(other)) => one == other,
            _ => false,
        }
    }
}

/// The ingress's response to a [`NewCall`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sent {
    pub(crate) invocation_id: String,
    pub(crate) status: SentStatus,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
pub(crate) enum SentStatus {
    Accepted,
    PreviouslyAccepted,
}

impl Server {
    pub(crate) fn new(ingress: String, admin: String) -> Self {
        Self {
            ingress,
            admin,
            client: OnceCell::new(),
        }
    }

    async fn client(&self) -> Result<&Client, EngineError> {
        let build = async || {
            let mut client = Client::builder().timeout(TIMEOUT).redirect(Policy::none());
            // As everywhere in forge-remote, this machine is not reached through a proxy.
            if is_loopback(&self.ingress) && is_loopback(&self.admin) {
                client = client.no_proxy();
            }
            client
                .build()
                .map_err(|error| EngineError::new("no HTTP client").with_source(error))
        };
        self.client.get_or_try_init(build).await
    }

    /// Stores a call. It is durable when this returns.
    pub(crate) async fn send(&self, call: NewCall<'_>) -> Result<Sent, EngineError> {
        let path = [call.service, call.object, call.handler, "send"];
        let mut url = url(&self.ingress, path)?;
        if let Some(delay) = call.delay {
            let delay = format!("{}ms", delay.as_millis());
            url.query_pairs_mut().append_pair("delay", &delay);
        }
        let request = self.client().await?.post(url);
        let request = request
            .header("idempotency-key", call.idempotency_key)
            .header(CONTENT_TYPE, JSON)
            .body(call.input);
        read(request, "accept a job").await
    }

    /// Resolves an awakeable of a job; `false` if it does not exist.
    pub(crate) async fn wake(&self, awakeable: &str) -> Result<bool, EngineError> {
        let path = ["restate", "awakeables", awakeable, "resolve"];
        let request = self.client().await?.post(url(&self.ingress, path)?);
        let request = request.header(CONTENT_TYPE, JSON).body("null");
        is_done(request, "wake a job").await
    }

    /// Reads rows from Restate's tables.
    pub(crate) async fn query<T: DeserializeOwned>(
        &self,
        sql: &str,
    ) -> Result<Vec<T>, EngineError> {
        #[derive(Deserialize)]
        struct Rows<T> {
            rows: Vec<T>,
        }
        let request = self.client().await?.post(url(&self.admin, ["query"])?);
        let request = request
            .header(CONTENT_TYPE, JSON)
            .body(json!({ "query": sql }).to_string());
        let rows: Rows<T> = read(request, "read its tables").await?;
        Ok(rows.rows)
    }

    /// Returns the difference between this machine's clock and the server's.
    pub(crate) async fn clock_skew(&self) -> Result<Duration, EngineError> {
        #[derive(Deserialize)]
        struct Now {
            nanos: u64,
        }
        let sent = SystemTime::now();
        let rows = self.query::<Now>("SELECT CAST(now() AS BIGINT) AS nanos");
        let now = rows.await?.into_iter().next();
        let now = now.ok_or_else(|| EngineError::new("Restate did not show its time"))?;
        let server = UNIX_EPOCH + Duration::from_nanos(now.nanos);
        Ok(skew(sent, SystemTime::now(), server))
    }

    /// Returns the deployment that runs a service; `None` if there is no such service yet.
    pub(crate) async fn deployment_of(
        &self,
        service: &str,
    ) -> Result<Option<Deployment>, EngineError> {
        #[derive(Deserialize)]
        struct Service {
            deployment_id: String,
        }
        let doing = "show its deployments";
        let request = self.client().await?;
        let request = request.get(url(&self.admin, ["services", service])?);
        let Some(service) = find::<Service>(request, doing).await? else {
            return Ok(None);
        };
        let path = ["deployments", service.deployment_id.as_str()];
        let request = self.client().await?.get(url(&self.admin, path)?);
        find(request, doing).await
    }

    /// Registers the deployment at this URL. The URL serves every version of the app, so an earlier
    /// registration is replaced.
    pub(crate) async fn register(&self, deployment: &str) -> Result<(), EngineError> {
        let request = self
            .client()
            .await?
            .post(url(&self.admin, ["deployments"])?);
        let body = json!({ "uri": deployment, "force": true });
        let request = request.header(CONTENT_TYPE, JSON).body(body.to_string());
        read::<IgnoredAny>(request, "register the app's URL")
            .await
            .map(|_| ())
    }

    /// Ends an invocation: `how` is `cancel` or `kill`; or `purge`, for one that has ended. Returns `false` if it does not
    /// exist.
    pub(crate) async fn end(&self, id: &str, how: &str) -> Result<bool, EngineError> {
        let path = ["invocations", id, how];
        let request = self.client().await?.patch(url(&self.admin, path)?);
        is_done(request, "end a job").await
    }

    /// Removes the state of a virtual object.
    pub(crate) async fn clear_state(&self, service: &str, object: &str) -> Result<(), EngineError> {
        let path = ["services", service, "state"];
        let request = self.client().await?.post(url(&self.admin, path)?);
        let body = json!({ "object_key": object, "new_state": {} });
        let request = request.header(CONTENT_TYPE, JSON).body(body.to_string());
        is_done(request, "remove a job's record").await.map(|_| ())
    }
}

/// Returns whether a URL names this machine.
fn is_loopback(url: &str) -> bool {
    let url = Url::parse(url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Returns how far the server's time is outside of the times at which it was asked for and arrived.
fn skew(sent: SystemTime, received: SystemTime, server: SystemTime) -> Duration {
    let early = sent.duration_since(server).unwrap_or_default();
    let late = server.duration_since(received).unwrap_or_default();
    early.max(late)
}

fn url<const N: usize>(base: &str, path: [&str; N]) -> Result<Url, EngineError> {
    let invalid = || {
        EngineError::new(
            "a URL of the Restate server is not valid: expected for example `http://127.0.0.1:8080`",
        )
    };
    let mut url = Url::parse(base).map_err(|_| invalid())?;
    url.path_segments_mut()
        .map_err(|()| invalid())?
        .pop_if_empty()
        .extend(path);
    Ok(url)
}

/// Sends a request. Errors do not have the URL, which contains an installation.
async fn send(request: RequestBuilder, doing: &str) -> Result<(StatusCode, Vec<u8>), EngineError> {
    let failed = |error: reqwest::Error| {
        EngineError::new(format!("Restate did not {doing}")).with_source(error.without_url())
    };
    let response = request.header(ACCEPT, JSON).send().await.map_err(failed)?;
    let status = response.status();
    let body = response.bytes().await.map_err(failed)?;
    Ok((status, body.to_vec()))
}

fn rejected(doing: &str, status: StatusCode, body: &[u8]) -> EngineError {
    #[derive(Default, Deserialize)]
    struct Problem {
        #[serde(default)]
        message: String,
    }
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let message = problem.message;
    EngineError::new(format!(
        "Restate did not {doing}: status {status}: {message}"
    ))
}

async fn read<T: DeserializeOwned>(request: RequestBuilder, doing: &str) -> Result<T, EngineError> {
    let (status, body) = send(request, doing).await?;
    parse(status, &body, doing)
}

/// Reads a resource; `None` if it does not exist.
async fn find<T: DeserializeOwned>(
    request: RequestBuilder,
    doing: &str,
) -> Result<Option<T>, EngineError> {
    let (status, body) = send(request, doing).await?;
    match status {
        StatusCode::NOT_FOUND => Ok(None),
        status => parse(status, &body, doing).map(Some),
    }
}

fn parse<T: DeserializeOwned>(
    status: StatusCode,
    body: &[u8],
    doing: &str,
) -> Result<T, EngineError> {
    if !status.is_success() {
        return Err(rejected(doing, status, body));
    }
    serde_json::from_slice(body).map_err(|error| {
        EngineError::new(format!("Restate did not {doing}: unreadable response")).with_source(error)
    })
}

async fn is_done(request: RequestBuilder, doing: &str) -> Result<bool, EngineError> {
    let (status, body) = send(request, doing).await?;
    match status {
        StatusCode::NOT_FOUND => Ok(false),
        status if status.is_success() => Ok(true),
        status => Err(rejected(doing, status, &body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_differs_only_by_what_the_request_does_not_explain() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let seconds = |server| skew(at(100), at(104), at(server)).as_secs();
        assert_eq!([97, 100, 104, 107].map(seconds), [3, 0, 0, 3]);
    }
}
