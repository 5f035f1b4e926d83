//! The public type of the engine, and its settings.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use forge_remote::diagnostic::Check;
use forge_remote::fit::BoxFuture;
use forge_remote::jobs::{
    Accepted, EngineContext, EngineError, Envelope, Guarantees, JobEngine, JobInspector, Repeats,
};

use crate::engine::Restate;
use crate::inspector::Inspector;
use crate::server::Server;

/// Jobs on a [Restate](https://restate.dev) server, for several machines.
///
/// Restate stores the jobs, and calls the app to run them: on a separate listener, which must not be
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
pub struct RestateJobs(Arc<Restate>);

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

    /// Sets the address on which Restate calls the app, and the URL at which it reaches this address,
    /// possibly through a load balancer that supports HTTP/2.
    ///
    /// Restate runs a job to completion at the URL where it started, so the URL stays the same in all
    /// versions of the app. An address other than loopback needs an [`identity_key`](Self::identity_key).
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

    /// Disables the registration of the URL of [`listen`](Self::listen) at launch; register it yourself.
    /// Behind a load balancer that checks the app's health first, register it once, and again after an
    /// update of this crate, while the app runs:
    ///
    /// ```text
    /// curl http://restate:9070/deployments -H 'content-type: application/json' \
    ///     -d '{"uri": "http://app:9080", "force": true}'
    /// ```
    ///
    /// Until the URL is registered, no job is accepted. The launch then does not check whether another
    /// app uses the server.
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

    fn end_installation(&self, installation_id: &str) -> BoxFuture<Result<u64, EngineError>> {
        let (restate, installation) = (Arc::clone(&self.0), installation_id.to_owned());
        Box::pin(async move { restate.end_installation(&installation).await })
    }

    fn checks(&self) -> BoxFuture<Vec<Check>> {
        let restate = Arc::clone(&self.0);
        Box::pin(async move { vec![restate.check().await] })
    }

    fn inspector(&self) -> Option<Arc<dyn JobInspector>> {
        Some(Arc::new(Inspector(Arc::clone(&self.0))))
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::new()
            .outlives_process()
            .limits_installations()
            .spans_machines()
            .ends_installations()
    }
}
