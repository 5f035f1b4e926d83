//! The engine on a Restate server.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use forge_remote::fit::BoxFuture;
use forge_remote::jobs::{
    Accepted, EngineContext, EngineError, Envelope, Guarantees, JobEngine, JobInspector, Repeats,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::inspector::{Inspector, stored_jobs};
use crate::listener::listen;
use crate::objects::{JOB, endpoint};
use crate::server::{NewCall, SentStatus, Server};
use crate::serving::Serving;
use crate::stored_call::{IdempotencyKey, ObjectKey, Origin, StoredCall, nonce, to_millis};

/// How long Restate has, after the grace, to store the outcomes of the last attempts.
const LAST_OUTCOMES: Duration = Duration::from_secs(2);

/// Jobs on a [Restate](https://restate.dev) server, for several machines.
///
/// Restate stores the jobs, and calls the app to run them: on a listener of its own, which must not be
/// reachable from the internet. The app's public port does not serve it.
///
/// ```
/// use forge_remote::prelude::*;
/// use forge_remote_restate::RestateJobs;
///
/// let jobs = RestateJobs::new("http://restate:8080", "http://restate:9070")
///     .listen(([0, 0, 0, 0], 9080), "http://app:9080")
///     .identity_key("publickeyv1_w7YHemBctH5Ck2nQRQ47iBBqhNHy4FV7t2Usbye2A6f");
/// let app = App::new().jobs(jobs);
/// # let _ = app;
/// ```
#[derive(Clone)]
pub struct RestateJobs(pub(crate) Arc<Restate>);

#[derive(Clone)]
pub(crate) struct Restate {
    pub(crate) server: Server,
    address: SocketAddr,
    /// The URL at which Restate reaches the listener.
    url: String,
    registers: bool,
    identity_keys: Vec<String>,
    workers: u32,
    remember: Duration,
    keep_dead: Duration,
}

impl fmt::Debug for RestateJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestateJobs")
            .field("listen", &self.0.address)
            .finish_non_exhaustive()
    }
}

impl RestateJobs {
    /// Creates an engine on the Restate server with these URLs of its ingress and its admin API. It listens on
    /// `127.0.0.1:9080`, for a server on the same machine.
    pub fn new(ingress: impl Into<String>, admin: impl Into<String>) -> Self {
        Self(Arc::new(Restate {
            server: Server::new(ingress.into(), admin.into()),
            address: SocketAddr::from(([127, 0, 0, 1], 9080)),
            url: "http://127.0.0.1:9080".to_owned(),
            registers: true,
            identity_keys: Vec::new(),
            workers: 20,
            remember: Repeats::LONGEST_WINDOW,
            keep_dead: Duration::from_secs(30 * 24 * 3600),
        }))
    }

    /// Sets the address on which Restate calls the app, and the URL at which it reaches this address, perhaps
    /// through a load balancer that passes HTTP/2 on.
    ///
    /// Restate runs a job to its end at the URL where it began, so the URL stays the same in all versions of
    /// the app. An address other than loopback needs an [`identity_key`](Self::identity_key).
    #[must_use]
    pub fn listen(self, address: impl Into<SocketAddr>, url: impl Into<String>) -> Self {
        self.with(|restate| {
            restate.address = address.into();
            restate.url = url.into();
        })
    }

    /// Adds a public key of the Restate server, which begins with `publickeyv1_`: requests that are not
    /// signed with one of the keys are rejected.
    ///
    /// The server signs if it has `request-identity-private-key-pem-file` in the section `worker.invoker` of
    /// its configuration, and logs the public key when it starts.
    /// Source: <https://docs.restate.dev/services/security>
    #[must_use]
    pub fn identity_key(self, key: impl Into<String>) -> Self {
        self.with(|restate| restate.identity_keys.push(key.into()))
    }

    /// Leaves it to you to register the URL of [`listen`](Self::listen). Default: the app registers it when
    /// it starts. Behind a load balancer that checks the app's health first, register it once, and again
    /// after an update of this crate, while the app runs:
    ///
    /// ```text
    /// curl http://restate:9070/deployments -H 'content-type: application/json' \
    ///     -d '{"uri": "http://app:9080", "force": true}'
    /// ```
    ///
    /// Until it is registered, no job is accepted.
    #[must_use]
    pub fn register_by_hand(self) -> Self {
        self.with(|restate| restate.registers = false)
    }

    /// Sets how many jobs run at once in this process (default: 20, at least 1).
    #[must_use]
    pub fn workers(self, workers: u16) -> Self {
        self.with(|restate| restate.workers = u32::from(workers.max(1)))
    }

    /// Sets how long the key of a call or job is remembered after its job ended, so that Forge's retries and
    /// repeated occurrences of a schedule are recognised (default: 26 hours, at least that).
    #[must_use]
    pub fn remember(self, time: Duration) -> Self {
        self.with(|restate| restate.remember = time.max(Repeats::LONGEST_WINDOW))
    }

    /// Sets how long dead jobs are kept (default: 30 days).
    #[must_use]
    pub fn keep_dead(self, time: Duration) -> Self {
        self.with(|restate| restate.keep_dead = time)
    }

    fn with(self, change: impl FnOnce(&mut Restate)) -> Self {
        let mut restate = (*self.0).clone();
        change(&mut restate);
        Self(Arc::new(restate))
    }
}

impl JobEngine for RestateJobs {
    fn name(&self) -> String {
        "Restate".to_owned()
    }

    fn open(&self) -> BoxFuture<Result<(), EngineError>> {
        let restate = Arc::clone(&self.0);
        Box::pin(async move { restate.open().await })
    }

    fn accept(&self, envelope: Envelope) -> BoxFuture<Result<Accepted, EngineError>> {
        let restate = Arc::clone(&self.0);
        Box::pin(async move { restate.accept(&envelope).await })
    }

    fn serve(&self, context: EngineContext) -> BoxFuture<Result<(), EngineError>> {
        let restate = Arc::clone(&self.0);
        Box::pin(async move { restate.serve(context).await })
    }

    fn inspector(&self) -> Option<Arc<dyn JobInspector>> {
        Some(Arc::new(Inspector(Arc::clone(&self.0))))
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::new()
            .outlives_process()
            .limits_installations()
            .spans_machines()
    }
}

impl Restate {
    /// Returns what Restate calls.
    fn endpoint(
        &self,
        serving: Option<Arc<Serving>>,
    ) -> Result<restate_sdk::endpoint::Endpoint, EngineError> {
        if self.identity_keys.is_empty() && !self.address.ip().is_loopback() {
            return Err(EngineError::new(
                "without an identity key, whoever reaches the address of Restate's calls could run jobs: give \
                the engine the server's key with `identity_key`, or `listen` on loopback",
            ));
        }
        endpoint(serving, self.remember, self.keep_dead, &self.identity_keys).map_err(|key| {
            EngineError::new(format!(
                "an identity key of the Restate server is not valid, expected `publickeyv1_…`: {key}"
            ))
        })
    }

    async fn open(&self) -> Result<(), EngineError> {
        let endpoint = self.endpoint(None)?;
        if !self.registers {
            return Ok(());
        }
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

    fn not_bound(&self, error: std::io::Error) -> EngineError {
        let message = format!(
            "the address {} for Restate's calls is not free",
            self.address
        );
        EngineError::new(message).with_source(error)
    }

    async fn accept(&self, envelope: &Envelope) -> Result<Accepted, EngineError> {
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
                    age.unwrap_or_default() < window || or_unfinished && job.is_unfinished()
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
        let input = serde_json::to_vec(&StoredCall::new(envelope));
        let unwritable = |error| EngineError::new("the job can't be written").with_source(error);
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

    async fn serve(&self, context: EngineContext) -> Result<(), EngineError> {
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
        // What is left are jobs that wait. Restate continues them elsewhere.
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
