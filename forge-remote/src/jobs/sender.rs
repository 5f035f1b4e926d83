//! The one way into an engine: contents are sealed, and stored as an envelope.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::engine::{Accepted, JobEngine};
use super::envelope::{Envelope, Repeats};
use super::report::EngineError;
use crate::fit::Clock;
use crate::token::{JobSeal, SealedCall};

/// Time limit of an engine: Forge waits 5 seconds.
/// Source: <https://developer.atlassian.com/platform/forge/remote/essentials/>
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(4);

/// Stores calls and jobs in the app's engine.
#[derive(Clone)]
pub(crate) struct Sender {
    engine: Arc<dyn JobEngine>,
    seal: JobSeal,
    clock: Arc<dyn Clock>,
}

/// The parcel to send: contents for a handler and an installation.
pub(crate) struct Parcel<'a> {
    pub(crate) handler: &'a str,
    pub(crate) installation_id: &'a str,
    pub(crate) contents: Zeroizing<Vec<u8>>,
    pub(crate) max_attempts: u32,
    /// Letters, digits, `-` and `_`; see [`Envelope::key`].
    pub(crate) key: &'a str,
    pub(crate) repeats: Repeats,
    /// When it runs at the earliest; `None` for at once.
    pub(crate) not_before: Option<SystemTime>,
}

/// Why a call or a job is not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotStored {
    #[error("the system's random source returned no bytes")]
    NotSealed,
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(
        "the engine did not respond within {} seconds: check that its database or server is reachable",
        ACCEPT_TIMEOUT.as_secs()
    )]
    TimedOut,
}

impl Sender {
    pub(crate) fn new(engine: Arc<dyn JobEngine>, seal: JobSeal, clock: Arc<dyn Clock>) -> Self {
        Self {
            engine,
            seal,
            clock,
        }
    }

    /// Stores a parcel, unless it repeats a stored one. It is durable when this returns. An error may
    /// hide that it was stored: one that is sent again has the same key.
    pub(crate) async fn send(&self, parcel: Parcel<'_>) -> Result<Accepted, NotStored> {
        self.accept(self.seal(parcel)?).await
    }

    /// Stores an envelope, as [`send`](Self::send) does.
    pub(crate) async fn accept(&self, envelope: Envelope) -> Result<Accepted, NotStored> {
        match tokio::time::timeout(ACCEPT_TIMEOUT, self.engine.accept(envelope)).await {
            Ok(accepted) => Ok(accepted?),
            Err(_) => Err(NotStored::TimedOut),
        }
    }

    /// Returns the envelope of a parcel, to store it otherwise.
    pub(crate) fn seal(&self, parcel: Parcel<'_>) -> Result<Envelope, NotStored> {
        let (handler, installation_id) = (parcel.handler, parcel.installation_id);
        let subject = SealedCall {
            handler,
            installation_id,
        };
        let sealed = self.seal.seal(subject, parcel.contents);
        let sealed = sealed.ok_or(NotStored::NotSealed)?;
        let mut envelope = Envelope::new(parcel.key, handler, installation_id, sealed);
        envelope.repeats = parcel.repeats;
        envelope.accepted_at = self.clock.now();
        envelope.not_before = parcel.not_before;
        envelope.max_attempts = parcel.max_attempts;
        Ok(envelope)
    }

    pub(crate) fn engine(&self) -> &dyn JobEngine {
        &*self.engine
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Returns the app's time after this pause, at most a hundred years.
    pub(crate) fn after(&self, pause: Duration) -> SystemTime {
        const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);
        self.clock.now() + pause.min(LONGEST)
    }
}
