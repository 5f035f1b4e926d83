//! The requests to a deployment: few, slow, counted.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::StreamBody;
use hyper::body::Frame;
use reqwest::tls::TlsInfo;
use reqwest::{Body, Client, Request, Url};
use serde_json::Value;

use super::certificate::{Validity, validity};
use crate::cli::doctor::keys::host_time;
use crate::error::chain;
use crate::fit::{Clock, KeysUnavailable, TokenRejection, VerifyError};
use crate::http_client::Network;

/// The largest number of requests.
pub(super) const MAX_REQUESTS: u32 = 60;
/// The pause between the starts of two requests: 2 a second.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long all requests may take: far more than a deployment needs whose responses take a second each.
const MAX_TIME: Duration = Duration::from_secs(300);
/// The part of a body that is sent at once, in bytes, and the pause before the rest.
const FIRST_PART: usize = 32 * 1024;
const PAUSE: Duration = Duration::from_secs(1);
/// The bytes of a response that are read.
const MAX_BODY: usize = 64 * 1024;

/// A series of requests to one deployment.
pub(super) struct Session {
    client: Client,
    base: Url,
    pace: Pace,
    /// The date of the last response, and when it came.
    dated: Option<(SystemTime, Instant)>,
    /// How long each response to a request without a body took.
    pub(super) took: Vec<Duration>,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    #[error("the limit of {MAX_REQUESTS} requests is reached")]
    Limit,
    #[error("the requests before it took more than {MAX_TIME:?}")]
    Late,
    #[error("{0}")]
    Failed(String),
}

/// The turns of requests: few, and 2 a second.
struct Pace {
    clock: Arc<dyn Clock>,
    next_at: Duration,
    ends_at: Duration,
    sent: u32,
}

impl Pace {
    fn new(clock: Arc<dyn Clock>) -> Self {
        let next_at = clock.elapsed();
        Self {
            clock,
            next_at,
            ends_at: next_at + MAX_TIME,
            sent: 0,
        }
    }

    /// Waits for the next request's turn.
    async fn turn(&mut self) -> Result<(), ProbeError> {
        if self.sent == MAX_REQUESTS {
            return Err(ProbeError::Limit);
        }
        if self.clock.elapsed() > self.ends_at {
            return Err(ProbeError::Late);
        }
        self.sent += 1;
        let wait = self.next_at.saturating_sub(self.clock.elapsed());
        if !wait.is_zero() {
            self.clock.sleep(wait).await;
        }
        self.next_at = self.clock.elapsed() + INTERVAL;
        Ok(())
    }
}

/// A response.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// The validity of the connection's certificate.
    pub(super) certificate: Option<Validity>,
}

impl Session {
    /// Starts a series. `timeout` is that of each response.
    pub(super) fn new(
        base: Url,
        clock: Arc<dyn Clock>,
        timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        let client = Network::of(&base).client().timeout(timeout).tls_info(true);
        Ok(Self {
            client: client.build()?,
            base,
            pace: Pace::new(clock),
            dated: None,
            took: Vec::new(),
        })
    }

    /// Returns the deployment's time, as far as its responses have a date.
    pub(super) fn now(&self) -> SystemTime {
        match self.dated {
            Some((date, since)) => date + since.elapsed(),
            None => self.pace.clock.now(),
        }
    }

    /// Returns a request for a path beneath the base URL, with any escapes as they are.
    pub(super) fn request(&self, method: Method, path: &str) -> Result<Request, ProbeError> {
        let base = self.base.as_str().trim_end_matches('/');
        let url = format!("{base}{path}");
        let url = Url::parse(&url).map_err(|error| ProbeError::Failed(error.to_string()))?;
        Ok(Request::new(method, url))
    }

    /// Sends a request without a body, when its turn has come.
    pub(super) async fn get(&mut self, method: Method, path: &str) -> Result<Answer, ProbeError> {
        let request = self.request(method, path)?;
        self.send(request).await
    }

    /// Sends a request when its turn has come.
    pub(super) async fn send(&mut self, mut request: Request) -> Result<Answer, ProbeError> {
        self.pace.turn().await?;
        let has_body = request.body().is_some();
        // Some front ends reject a POST without a length, which Forge's calls have.
        if !has_body && ![Method::GET, Method::HEAD].contains(request.method()) {
            let none = HeaderValue::from_static("0");
            request.headers_mut().insert(header::CONTENT_LENGTH, none);
        }
        let started = Instant::now();
        let response = self.client.execute(request).await;
        let mut response = response.map_err(failed)?;
        let leaf = response.extensions().get::<TlsInfo>();
        let leaf = leaf.and_then(|info| info.peer_certificate());
        let certificate = leaf.and_then(validity);
        let (status, headers) = (response.status(), response.headers().clone());
        if let Some(date) = host_time(&headers) {
            self.dated = Some((date, Instant::now()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BODY {
                break;
            }
        }
        // Sending a large body takes its time, and a pause.
        if !has_body {
            self.took.push(started.elapsed());
        }
        Ok(Answer {
            status,
            headers,
            body,
            certificate,
        })
    }
}

fn failed(error: reqwest::Error) -> ProbeError {
    let error = error.without_url();
    ProbeError::Failed(format!("{error}{}", chain(&error)))
}

impl Answer {
    /// Returns whether the app rejected a call, with or without a FIT.
    pub(super) fn is_rejection(&self) -> bool {
        self.is_without_token() || self.is_of_token()
    }

    /// Returns whether the app rejected a call because no FIT arrived.
    pub(super) fn is_without_token(&self) -> bool {
        self.is_rejected_for(TokenRejection::MissingHeader)
    }

    /// Returns whether the app rejected a call with a FIT, for any reason.
    pub(super) fn is_of_token(&self) -> bool {
        self.is_rejected_for(TokenRejection::BadSignature)
    }

    /// Returns whether the response is the one to this rejection. Gateways may rename headers of a response, so only
    /// status and body are compared.
    fn is_rejected_for(&self, rejection: TokenRejection) -> bool {
        let expected = VerifyError::from(rejection).to_response::<String>();
        self.status == expected.status() && self.body == expected.body().as_bytes()
    }

    /// Returns whether the response has the header of the app's rejections.
    pub(super) fn has_challenge(&self) -> bool {
        let expected = VerifyError::from(TokenRejection::MissingHeader).to_response::<String>();
        let name = header::WWW_AUTHENTICATE;
        self.headers.get(&name) == expected.headers().get(&name)
    }

    /// Returns whether the app had no key for the FIT: it has none at all, or may not look for this one yet.
    pub(super) fn is_without_key(&self) -> bool {
        self.code().as_deref() == Some(KeysUnavailable::NotFetched.code())
    }

    /// Returns the code of an error response of forge-remote.
    pub(super) fn code(&self) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        let code = body.pointer("/error/code")?.as_str()?;
        body.pointer("/error/message")?;
        Some(code.to_owned())
    }

    /// Returns whether a cache responded.
    /// Source: <https://www.rfc-editor.org/rfc/rfc9111#section-5.1>
    pub(super) fn is_cached(&self) -> bool {
        let is_hit = |name: &str| {
            let value = self.headers.get(name).and_then(|value| value.to_str().ok());
            value.is_some_and(|value| value.to_ascii_lowercase().contains("hit"))
        };
        self.headers.contains_key(header::AGE)
            || [
                "x-cache",
                "cf-cache-status",
                "cache-status",
                "x-cache-status",
            ]
            .iter()
            .any(|name| is_hit(name))
    }
}

/// Returns a body in two parts. A server that rejects a call without reading its body does so before the
/// second part, so that its response is not lost with the connection.
pub(super) fn in_two_parts(bytes: &[u8]) -> Body {
    let (first, rest) = bytes.split_at(bytes.len().min(FIRST_PART));
    let frame = |part: &[u8]| {
        let part = Bytes::copy_from_slice(part);
        Ok::<_, Infallible>(Frame::data(part))
    };
    let first = stream::iter([frame(first)]);
    let rest = (!rest.is_empty()).then(|| frame(rest));
    let rest = stream::iter(rest).then(|frame| async {
        tokio::time::sleep(PAUSE).await;
        frame
    });
    Body::wrap(StreamBody::new(first.chain(rest)))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::SystemTime;

    use axum::Router;
    use tokio::net::TcpListener;

    use super::*;
    use crate::registry::BoxFuture;

    /// A clock that advances by its sleeps alone.
    #[derive(Default)]
    struct Sleeps(Mutex<Duration>);

    impl Clock for Sleeps {
        fn now(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }

        fn elapsed(&self) -> Duration {
            *self.0.lock().unwrap()
        }

        fn sleep(&self, time: Duration) -> BoxFuture<()> {
            *self.0.lock().unwrap() += time;
            Box::pin(std::future::ready(()))
        }
    }

    /// Starts a deployment that responds to every request, and counts them.
    async fn deployment() -> (Url, Arc<AtomicU32>) {
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        let router = Router::new().fallback(async move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (url.parse().unwrap(), count)
    }

    #[tokio::test]
    async fn sixty_requests_are_sent_in_half_a_minute_and_no_more() {
        let clock = Arc::new(Sleeps::default());
        let (url, count) = deployment().await;
        let mut session = Session::new(url, clock.clone(), Duration::from_secs(10)).unwrap();
        for turn in 0..60 {
            session.get(Method::GET, "/").await.unwrap();
            assert_eq!(clock.elapsed(), INTERVAL * turn);
        }
        let more = session.get(Method::GET, "/").await;
        assert!(matches!(more, Err(ProbeError::Limit)));
        assert_eq!(count.load(Ordering::Relaxed), 60);
        assert_eq!(clock.elapsed(), Duration::from_millis(29_500));
    }

    #[tokio::test]
    async fn a_deployment_that_takes_minutes_gets_no_further_request() {
        let clock = Arc::new(Sleeps::default());
        let (url, count) = deployment().await;
        let mut session = Session::new(url, clock.clone(), Duration::from_secs(10)).unwrap();
        session.get(Method::GET, "/").await.unwrap();
        *clock.0.lock().unwrap() += MAX_TIME + INTERVAL;
        let late = session.get(Method::GET, "/").await;
        assert!(matches!(late, Err(ProbeError::Late)));
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }
}
