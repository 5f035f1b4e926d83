//! The engine: it registers the app, stores jobs, and runs what Restate calls.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use forge_remote::diagnostic::Check;
use forge_remote::jobs::{Accepted, EngineContext, EngineError, Envelope};
use restate_sdk::endpoint::Endpoint;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::listener::listen;
use crate::objects::{JOB, endpoint};
use crate::server::{Deployment, NewCall, SentStatus, Server};
use crate::serving::Serving;
use crate::stored_call::{IdempotencyKey, ObjectKey, Origin, nonce, to_millis};
use crate::stored_job::stored_jobs;

/// How long Restate has, after the grace, to store the outcomes of the last attempts.
const LAST_OUTCOMES: Duration = Duration::from_secs(2);
/// The difference between two clocks that is not logged.
const MAX_SKEW: Duration = Duration::from_secs(1);

/// A Restate server, and how it reaches the app.
#[derive(Clone)]
pub(crate) struct Restate {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    /// The URL at which Restate reaches the listener.
    pub(crate) url: String,
    pub(crate) registers: bool,
    pub(crate) identity_keys: Vec<String>,
    pub(crate) workers: u32,
    pub(crate) remember: Duration,
    pub(crate) keep_dead: Duration,
}

impl Restate {
    /// Returns the endpoint that Restate calls.
    fn endpoint(&self, serving: Option<Arc<Serving>>) -> Result<Endpoint, EngineError> {
        if self.identity_keys.is_empty() && !self.address.ip().is_loopback() {
            return Err(EngineError::new(
                "without an identity key, anything that reaches the address for calls by Restate could run jobs: \
                give the engine the server's key with `identity_key`, or `listen` on loopback",
            ));
        }
        endpoint(serving, self.remember, self.keep_dead, &self.identity_keys).map_err(|key| {
            EngineError::new(format!(
                "an identity key of the Restate server is not valid, expected `publickeyv1_…`: {key}"
            ))
        })
    }

    pub(crate) async fn open(&self) -> Result<(), EngineError> {
        let endpoint = self.endpoint(None)?;
        if !self.registers {
            return Ok(());
        }
        self.check_other_apps().await?;
        self.check_clock().await?;
        let register = self.server.register(&self.url);
        match TcpListener::bind(self.address).await {
            Ok(listener) => tokio::select! {
                registered = register => registered,
                () = listen(listener, endpoint, CancellationToken::new()) => Ok(()),
            },
            // Another process of this machine serves the address.
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => register.await,
            Err(error) => Err(self.not_bound(error)),
        }
    }

    /// Checks, without changing anything, that the server runs this app's jobs at this app's URL.
    pub(crate) async fn check(&self) -> Check {
        let url = &self.url;
        match self.server.deployment_of(JOB).await {
            Ok(Some(deployment)) if deployment.is_at(url) => {
                Check::passed("engine", format!("Restate runs the jobs at {url}"))
            }
            Ok(Some(Deployment { uri, .. })) => Check::failed(
                "engine",
                format!("Restate runs the jobs at {uri}, and this app is at {url}"),
                "give each environment of each app a separate server; after a move, see `register_by_hand`",
            ),
            Ok(None) => Check::pending(
                "engine",
                "this app is not registered with the Restate server",
                "start the app, which registers, unless `register_by_hand` is set",
            ),
            Err(error) => Check::failed(
                "engine",
                format!("Restate: {error}"),
                "start the server, or correct the URL of its admin API",
            ),
        }
    }

    /// Logs if this machine's clock and the server's differ: jobs and pauses would end too early or too late.
    async fn check_clock(&self) -> Result<(), EngineError> {
        let skew = self.server.clock_skew().await?;
        if skew > MAX_SKEW {
            tracing::warn!(
                seconds = skew.as_secs_f64(),
                "this machine's clock and the Restate server's differ: set them by NTP"
            );
        }
        Ok(())
    }

    /// Returns an error if the server calls another URL to run jobs: two apps would get each other's.
    async fn check_other_apps(&self) -> Result<(), EngineError> {
        let Some(other) = self.server.deployment_of(JOB).await? else {
            return Ok(());
        };
        if other.is_at(&self.url) {
            return Ok(());
        }
        let Deployment { id, uri } = other;
        Err(EngineError::new(format!(
            "the Restate server runs jobs at `{uri}`, and this app is at `{}`: a server is for one environment of one \
            app. If the app has moved, start it with `register_by_hand`, and send `PATCH /deployments/{id}` with `{{\"uri\": \"{}\"}}` to the server's admin API",
            self.url, self.url
        )))
    }

    fn not_bound(&self, error: std::io::Error) -> EngineError {
        let message = format!(
            "the address {} for Restate's calls is not free",
            self.address
        );
        EngineError::new(message).with_source(error)
    }

    pub(crate) async fn accept(&self, envelope: &Envelope) -> Result<Accepted, EngineError> {
        let object = ObjectKey::of(envelope);
        let origin = match envelope.repeats.window() {
            None => Origin::Always {
                accepted_at: to_millis(envelope.accepted_at),
                nonce: nonce().ok_or_else(|| {
                    EngineError::new("the system's random source returned no bytes")
                })?,
            },
            Some((window, or_unfinished)) => {
                let earlier = stored_jobs(&self.server, &object).await?;
                let repeated = earlier.iter().find(|job| {
                    let age = envelope.accepted_at.duration_since(job.accepted_at);
                    let is_repeated =
                        age.unwrap_or_default() < window || or_unfinished && job.is_unfinished();
                    is_repeated && !job.is_uninstalled()
                });
                if let Some(job) = repeated {
                    return Ok(Accepted::Repeated(job.id.clone()));
                }
                Origin::After(earlier.into_iter().next().map(|job| job.id))
            }
        };
        let idempotency_key = IdempotencyKey {
            max_attempts: envelope.max_attempts,
            origin,
        };
        let input = serde_json::to_vec(envelope);
        let unwritable = |error| EngineError::new("the job cannot be written").with_source(error);
        // A millisecond more than the rest of a millisecond that is cut off.
        let delay = envelope.not_before.and_then(|due| {
            let delay = due.duration_since(SystemTime::now()).ok()?;
            Some(delay + Duration::from_millis(1))
        });
        let call = NewCall {
            service: JOB,
            object: &object.to_string(),
            handler: "run",
            idempotency_key: &idempotency_key.to_string(),
            delay,
            input: input.map_err(unwritable)?,
        };
        let sent = self.server.send(call).await?;
        Ok(match sent.status {
            SentStatus::Accepted => Accepted::New(sent.invocation_id),
            SentStatus::PreviouslyAccepted => Accepted::Repeated(sent.invocation_id),
        })
    }

    pub(crate) async fn serve(&self, context: EngineContext) -> Result<(), EngineError> {
        let process = nonce()
            .ok_or_else(|| EngineError::new("the system's random source returned no bytes"))?;
        let serving = Arc::new(Serving::new(context.runner, process, self.workers));
        let endpoint = self.endpoint(Some(Arc::clone(&serving)))?;
        let listener = TcpListener::bind(self.address).await;
        let listener = listener.map_err(|error| self.not_bound(error))?;
        let listening = listen(listener, endpoint, serving.stopping.clone());
        let running = async {
            context.stop.await;
            serving.stopping.cancel();
            serving.attempts.close();
            let ended = tokio::time::timeout(context.grace, serving.attempts.wait()).await;
            if ended.is_err() {
                serving.over.cancel();
                let _ = tokio::time::timeout(LAST_OUTCOMES, serving.attempts.wait()).await;
            }
        };
        // The remaining jobs wait. Restate continues them elsewhere.
        tokio::select! {
            () = running => {}
            () = async {
                listening.await;
                std::future::pending().await
            } => {}
        }
        Ok(())
    }
}
