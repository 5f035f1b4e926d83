//! The calls of the app's clock: each stores the coming occurrences of its installation, or, without an
//! engine, starts the handlers that have become due.

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tracing::Instrument as _;

use super::durable::{RunGuard, Runs, not_stored};
use super::handling::call;
use crate::client::CallingHandler;
use crate::credentials::VerifiedCall;
use crate::extract::rejection::StateRejection;
use crate::extract::{AppState, CallFacts, PlatformBody, Verified};
use crate::fit::Clock;
#[cfg(feature = "dev")]
use crate::jobs::random_key;
use crate::jobs::{Accepted, Contents, JobPolicy, NotStored, Parcel, Repeats, Sender};
use crate::log::LogLimits;
use crate::registry::{ErasedHandler, Handler, Registry, Requirement};
#[cfg(feature = "dev")]
use crate::response::json_error;
use crate::schedules::{Occurrence, Skipped, Timetable};
use crate::work::Work;

/// How long an installation's last tick is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// How many installations' last ticks are remembered at least, and how long.
const TICKS_KEPT: usize = 10_000;
/// How many occurrences of a tick are stored at once: a part of an engine's connections.
const STORED_AT_ONCE: usize = 4;
/// The body of an occurrence: Atlassian documents none for a remote.
const BODY: Bytes = Bytes::from_static(b"{}");
/// The handler whose next occurrence a local platform runs at once, as a header of the clock's call.
#[cfg(feature = "dev")]
pub(crate) const FIRE_HEADER: &str = "x-forge-remote-fire";

/// The handlers with `cron`, and what their runs need.
#[derive(Clone)]
pub(crate) struct Schedules(Arc<Inner>);

struct Inner {
    handlers: Vec<CronHandler>,
    /// The clock's interval.
    interval: Duration,
    /// `None` without an engine.
    sender: Option<Sender>,
    /// The last tick of each installation, without an engine.
    ticks: Mutex<HashMap<String, SystemTime>>,
    shared: Shared,
}

/// The state that schedules share with the rest of the service.
pub(super) struct Shared {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) runs: Arc<Runs>,
    pub(super) work: Arc<Work>,
    pub(super) log_limits: LogLimits,
    /// Whether a local platform calls the app, and may fire schedules.
    #[cfg(feature = "dev")]
    pub(super) is_local: bool,
}

/// A handler with `cron`.
pub(super) struct CronHandler {
    key: String,
    /// The first key that it ever had, so that a new one does not repeat stored occurrences.
    first_key: String,
    timetable: Arc<Timetable>,
    max_attempts: u32,
    /// Without an engine: an engine's runs have it by the policy.
    timeout: Duration,
    mount: Arc<dyn ErasedHandler>,
    reads_ahead: bool,
    calling: Option<CallingHandler>,
}

impl CronHandler {
    pub(super) fn new(
        handler: &Handler,
        timetable: &Arc<Timetable>,
        policy: JobPolicy,
        calling: Option<CallingHandler>,
    ) -> Self {
        let record = handler.registration();
        let mut needs = record.mount.needs().iter();
        Self {
            key: handler.key().to_owned(),
            first_key: (*record.also_key.first().unwrap_or(&handler.key())).to_owned(),
            timetable: Arc::clone(timetable),
            max_attempts: policy.max_attempts(),
            timeout: policy.timeout(),
            mount: Arc::clone(&record.mount),
            reads_ahead: needs.any(|need| matches!(need, Requirement::RetryContext)),
            calling,
        }
    }

    /// Returns the key of an occurrence: the same at every tick and in every instance.
    fn occurrence_key(&self, installation_id: &str, occurrence: SystemTime) -> String {
        let name = format!(
            "{}\0{installation_id}\0{}",
            self.first_key,
            seconds(occurrence)
        );
        let hash = digest(&SHA256, name.as_bytes());
        format!("cron-{}", URL_SAFE_NO_PAD.encode(hash))
    }
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// Returns the timetables of the handlers with `cron`, by their keys. Launch has checked them.
pub(super) fn timetables(registry: &Registry) -> HashMap<String, Arc<Timetable>> {
    let handlers = registry.handlers().iter();
    let timetable = |handler: &Handler| {
        let timetable = Timetable::new(handler.registration().kind.cron()?).ok()?;
        Some((handler.key().to_owned(), Arc::new(timetable)))
    };
    handlers.filter_map(timetable).collect()
}

impl Schedules {
    pub(super) fn new(
        handlers: Vec<CronHandler>,
        interval: Duration,
        sender: Option<Sender>,
        shared: Shared,
    ) -> Self {
        if sender.is_none() && !handlers.is_empty() {
            tracing::warn!(
                handlers = handlers.len(),
                "the app has `cron` handlers but no job engine (`App::jobs`): they run up to {} minutes late, \
                 occurrences around a restart are lost, and only one instance of the app may run",
                interval.as_secs() / 60
            );
        }
        Self(Arc::new(Inner {
            handlers,
            interval,
            sender,
            ticks: Mutex::default(),
            shared,
        }))
    }
}

/// The interface for a local platform.
#[cfg(feature = "dev")]
impl Schedules {
    /// Returns the timetable of a handler with `cron`.
    pub(crate) fn timetable(&self, key: &str) -> Option<&Timetable> {
        let found = self.0.handlers.iter().find(|handler| handler.key == key);
        found.map(|handler| &*handler.timetable)
    }

    /// Returns the app's time.
    pub(crate) fn now(&self) -> SystemTime {
        self.0.shared.clock.now()
    }

    /// Returns whether an engine runs occurrences at their time. Without one they run at the clock's next call.
    pub(crate) fn has_engine(&self) -> bool {
        self.0.sender.is_some()
    }
}

/// A call of the clock for one installation.
pub(crate) struct Tick {
    schedules: Schedules,
    call: Verified,
    parts: Parts,
    state: AppState,
}

impl FromRequestParts<AppState> for Tick {
    type Rejection = StateRejection;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &AppState,
    ) -> Result<Self, StateRejection> {
        let missing = || StateRejection::new("Tick", "the framework alone registers the clock");
        let schedules = state.get::<Schedules>().ok_or_else(missing)?.clone();
        let call = parts.extensions.get::<Verified>().ok_or_else(missing)?;
        Ok(Self {
            call: call.clone(),
            schedules,
            parts: parts.clone(),
            state: state.clone(),
        })
    }
}

impl Tick {
    /// Stores or starts the occurrences, and returns the response: 202, or 503 if one is not stored.
    pub(crate) async fn run(self) -> Response {
        #[cfg(feature = "dev")]
        if let Some(key) = self.fired() {
            return self.fire(key).await;
        }
        let schedules = self.schedules.clone();
        match &schedules.0.sender {
            Some(sender) => match self.store(sender).await {
                Ok(stored) => {
                    tracing::debug!(stored, "the clock's call is handled");
                    StatusCode::ACCEPTED.into_response()
                }
                Err(error) => not_stored(&error),
            },
            None => {
                self.start();
                StatusCode::ACCEPTED.into_response()
            }
        }
    }

    fn inner(&self) -> &Inner {
        &self.schedules.0
    }

    fn installation_id(&self) -> &str {
        self.call.claims().installation_id()
    }

    /// Stores the occurrences until after the next tick, and the last one that was missed.
    async fn store(&self, sender: &Sender) -> Result<usize, NotStored> {
        let (inner, installation_id) = (self.inner(), self.installation_id());
        // Half an interval more: a tick can be late.
        let ahead = inner.interval + inner.interval / 2;
        let now = inner.shared.clock.now();
        let occurrences = inner.handlers.iter().flat_map(|handler| {
            let occurrences = handler.timetable.around(installation_id, now, ahead);
            occurrences.into_iter().map(move |at| (handler, at))
        });
        let storing =
            occurrences.map(|(handler, at)| self.store_at_its_time(sender, handler, at, now));
        // Forge waits 5 seconds for all of them.
        let accepted = stream::iter(storing.collect::<Vec<_>>()).buffer_unordered(STORED_AT_ONCE);
        let is_new = |accepted| matches!(accepted, Accepted::New(_));
        let count = |stored, accepted| ready(Ok(stored + usize::from(is_new(accepted))));
        accepted.try_fold(0, count).await
    }

    /// Stores an occurrence once, however many ticks and instances see it.
    async fn store_at_its_time(
        &self,
        sender: &Sender,
        handler: &CronHandler,
        at: SystemTime,
        now: SystemTime,
    ) -> Result<Accepted, NotStored> {
        let installation_id = self.installation_id();
        let due = handler.timetable.due(at, installation_id);
        let not_before = Some(due).filter(|due| *due > now);
        let key = handler.occurrence_key(installation_id, at);
        let contents = self.contents(at);
        self.store_contents(sender, handler, &contents, &key, not_before)
            .await
    }

    fn contents(&self, at: SystemTime) -> Contents {
        let contents = Contents::new(self.call.claims(), &self.parts, &BODY);
        contents.of_occurrence(Occurrence::new(at))
    }

    async fn store_contents(
        &self,
        sender: &Sender,
        handler: &CronHandler,
        contents: &Contents,
        key: &str,
        not_before: Option<SystemTime>,
    ) -> Result<Accepted, NotStored> {
        let parcel = Parcel {
            handler: &handler.key,
            installation_id: self.installation_id(),
            contents: contents.write(),
            max_attempts: handler.max_attempts,
            key,
            // It is stored up to an hour and a half ahead, and again until `jitter` and `catch_up`
            // (at most 12 hours each) have passed.
            repeats: Repeats::UnfinishedOrWithin(Repeats::LONGEST_WINDOW),
            not_before,
        };
        sender.send(parcel).await
    }

    /// Starts each handler that has become due since the last tick, once.
    fn start(&self) {
        let inner = self.inner();
        let now = inner.shared.clock.now();
        let Some(last) = inner.last_tick(self.installation_id(), now) else {
            return;
        };
        for handler in &inner.handlers {
            let occurrences = handler.timetable.between(last, now);
            let Some(occurrence) = occurrences.last() else {
                continue;
            };
            if handler.timetable.is_paused() {
                Skipped::Paused.log();
                continue;
            }
            // Without an engine, every occurrence is up to an interval late.
            let in_time = now.checked_sub(inner.interval).unwrap_or(now);
            let late = handler.timetable.is_late(occurrence, in_time);
            if late {
                Skipped::Late.log();
                continue;
            }
            self.start_occurrence(handler, occurrence);
        }
    }

    /// Starts a handler, unless the occurrence before still runs.
    fn start_occurrence(&self, handler: &CronHandler, occurrence: SystemTime) {
        let skips = handler.timetable.skips_overlaps();
        let due = skips.then_some(occurrence);
        let (runs, installation_id) = (&self.inner().shared.runs, self.installation_id());
        match runs.start(&handler.key, installation_id, occurrence, due) {
            Some(run) => self.spawn(handler, occurrence, Some(run)),
            None => Skipped::Overlapping.log(),
        }
    }

    /// Runs a handler after the response, with the tokens of this tick.
    fn spawn(&self, handler: &CronHandler, occurrence: SystemTime, run: Option<RunGuard>) {
        let Shared {
            work, log_limits, ..
        } = &self.inner().shared;
        let mut request = Request::from_parts(self.parts.clone(), Body::from(BODY));
        let atlassian = self.call.atlassian().clone().without_deadline();
        let verified = Verified::new(CallFacts {
            call: VerifiedCall::new(self.call.claims().clone(), self.call.provenance()),
            endpoint: handler.key.as_str().into(),
            atlassian: atlassian.called_by(handler.calling),
            work: Arc::clone(work),
            trace: *self.call.trace(),
            platform_body: Some(PlatformBody { may_be_empty: true }),
            is_for_functions: false,
        });
        let extensions = request.extensions_mut();
        verified.extend(extensions);
        extensions.insert(Occurrence::new(occurrence));
        let mount = Arc::clone(&handler.mount);
        let running = call(mount, self.state.clone(), request, handler.reads_ahead);
        let span = tracing::info_span!("schedule", handler = handler.key);
        let log_limits = log_limits.clone();
        let timeout = handler.timeout;
        let running = async move {
            // A failure is logged where the response is made.
            let response = tokio::time::timeout(timeout, log_limits.scope(running)).await;
            let succeeded = match response {
                Ok(response) => {
                    tracing::debug!(status = response.status().as_u16(), "the handler has run");
                    response.status().as_u16() < 400
                }
                Err(_) => {
                    tracing::error!(
                        ?timeout,
                        "the handler of a schedule exceeded its timeout and was cancelled"
                    );
                    false
                }
            };
            drop(run);
            succeeded
        };
        span.in_scope(|| work.spawn_logged(running.in_current_span()));
    }
}

/// A handler that a local platform fires.
#[cfg(feature = "dev")]
impl Tick {
    /// Returns the key of the handler to fire. No call of Forge fires one.
    fn fired(&self) -> Option<&str> {
        let fired = self.parts.headers.get(FIRE_HEADER)?.to_str().ok();
        fired.filter(|_| self.inner().shared.is_local)
    }

    /// Runs a handler's next occurrence ahead of its time, as this tick would at its time, regardless of other runs. The
    /// occurrence itself runs too.
    async fn fire(&self, key: &str) -> Response {
        let (inner, installation_id) = (self.inner(), self.installation_id());
        let now = inner.shared.clock.now();
        let handler = inner.handlers.iter().find(|one| one.key == key);
        let next = handler.and_then(|one| one.timetable.next_due(installation_id, now));
        let (Some(handler), Some(at)) = (handler, next) else {
            let message = "no handler with `cron` has this key, or it has no occurrence";
            return json_error(StatusCode::NOT_FOUND, "not_found", message);
        };
        let Some(sender) = &inner.sender else {
            self.spawn(handler, at, None);
            return StatusCode::ACCEPTED.into_response();
        };
        // A retry of the call fires nothing.
        let call = self.call.trace().trace_id().map(str::to_owned);
        let key = format!(
            "cron-fired-{}",
            call.or_else(random_key).unwrap_or_default()
        );
        let contents = self.contents(at).fired();
        let stored = self
            .store_contents(sender, handler, &contents, &key, None)
            .await;
        match stored {
            Ok(_) => StatusCode::ACCEPTED.into_response(),
            Err(error) => not_stored(&error),
        }
    }
}

impl Inner {
    /// Returns an installation's last tick, and records this one.
    fn last_tick(&self, installation_id: &str, now: SystemTime) -> Option<SystemTime> {
        let mut ticks = self.ticks.lock().unwrap_or_else(PoisonError::into_inner);
        if ticks.len() >= TICKS_KEPT {
            ticks.retain(|_, last| now.duration_since(*last).is_ok_and(|age| age < REMEMBERED));
        }
        ticks.insert(installation_id.to_owned(), now)
    }
}
