//! The running of stored calls.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::FutureExt as _;
use tracing::{Instrument as _, Span};

use super::handler::DurableHandler;
use super::restore::{NotRestored, Restored, restored_call, restored_job, stored_head, subject};
use super::runs::{RunGuard, Runs};
use crate::app::service::context::ServiceContext;
use crate::app::service::handling::call;
use crate::app::service::spans;
use crate::client::ClientError;
use crate::credentials::SystemToken;
use crate::error::HandlerFailure;
use crate::extract::StoredCall;
use crate::fit::BoxFuture;
use crate::jobs::{
    Contents, Envelope, JobPolicy, JobRunner, PastAttempts, Report, ReportCode, RunningAttempt,
    UnreadableContents, Verdict,
};
use crate::schedules::{Occurrence, Skipped};
use crate::telemetry::record::{self, Stopwatch};
use crate::telemetry::span::record_result;
use crate::token::{InstallState, JobSeal, SealError};
use crate::work::panic_text;

/// The pause of a call that waits for a token, a key or its handler.
const WAIT: Duration = Duration::from_secs(30);
/// How long a call waits for its installation's first token.
const TOKEN_WAIT: Duration = Duration::from_secs(24 * 3600);
/// How long a process waits for tokens after its start, even for calls that are due for longer.
const TOKEN_GRACE: Duration = Duration::from_secs(2 * 3600);
/// How long a call that Atlassian limits waits without spending attempts.
const LIMITED_WAIT: Duration = Duration::from_secs(24 * 3600);
/// Bounds on the pause that Atlassian asks for.
const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(24 * 3600);
/// How long after the end of a run the record of a removal lasts at least, if it settled during the run.
const REMOVAL_LASTS: Duration = Duration::from_secs(3600);
/// The longest text of a report, in bytes.
const MAX_REPORT: usize = 4096;

/// The state that all durable handlers need.
pub(in crate::app::service) struct Runner {
    seal: JobSeal,
    context: ServiceContext,
    handlers: HashMap<String, DurableHandler>,
    runs: Arc<Runs>,
    /// When this process began to run calls, by the clock's `elapsed`, in seconds.
    started: AtomicU64,
}

impl JobRunner for Runner {
    fn policy(&self, handler: &str) -> Option<JobPolicy> {
        self.handlers.get(handler).map(|handler| handler.policy)
    }

    fn longest_timeout(&self) -> Duration {
        let timeouts = self
            .handlers
            .values()
            .map(|handler| handler.policy.timeout());
        timeouts.max().unwrap_or_default()
    }

    fn run(self: Arc<Self>, envelope: Envelope, past: PastAttempts) -> BoxFuture<Verdict> {
        let number = past.count.saturating_add(1);
        let span = spans::of_job(&envelope.handler, number);
        if self.context.on_span.is_set()
            && let Some(handler) = self.handlers.get(&envelope.handler)
            && let Some(head) = stored_head(handler, &self.seal, &envelope)
        {
            self.context.on_span.call(&span, &head);
        }
        let log_limits = self.context.log_limits.clone();
        let run = async move {
            let (took, wait) = (Stopwatch::start(), self.first_wait(&envelope, &past));
            let ended = self.run_once(&envelope, number, &past).await;
            let mut verdict =
                ended.unwrap_or_else(|not_done| not_done.verdict(&self.seal, &envelope));
            if let Verdict::Later { report, .. } = &mut verdict {
                *report = report.clone().after(past.last.as_ref());
            }
            // The engine has ended what waited; this one ran meanwhile.
            if let Verdict::Retry { after, .. } | Verdict::Later { after, .. } = &verdict
                && *after > REMOVAL_LASTS
                && self.presence(&envelope).await == InstallState::Removed
            {
                verdict = uninstalled().verdict(&self.seal, &envelope);
            }
            let handler = self.handlers.get(&envelope.handler);
            let handler = handler.map(|handler| &*handler.endpoint);
            let is_last = number >= envelope.max_attempts;
            record::job_run(handler, outcome(&verdict, is_last), wait, took);
            if let Verdict::Retry { report, .. } | Verdict::Dead { report } = &verdict {
                record_result(&Span::current(), None, Some(report.code.as_str()));
            }
            verdict
        };
        Box::pin(log_limits.scope(run).instrument(span))
    }
}

/// Why a run is not done.
struct NotDone {
    code: ReportCode,
    text: String,
    then: Then,
}

/// The outcome of an unsuccessful run.
enum Then {
    Retry(Duration),
    Later(Duration),
    Pause(Duration),
    Dead,
}

impl NotDone {
    fn new(code: ReportCode, text: impl Into<String>, then: Then) -> Self {
        let text = text.into();
        Self { code, text, then }
    }

    fn verdict(self, seal: &JobSeal, envelope: &Envelope) -> Verdict {
        let mut text = self.text;
        text.truncate(text.floor_char_boundary(MAX_REPORT));
        let report = Report::new(self.code, seal.seal_report(subject(envelope), &text));
        match self.then {
            Then::Retry(after) => Verdict::Retry { after, report },
            Then::Later(after) => Verdict::Later {
                after,
                report,
                pauses_installation: false,
            },
            Then::Pause(after) => Verdict::Later {
                after,
                report,
                pauses_installation: true,
            },
            Then::Dead => Verdict::Dead { report },
        }
    }
}

impl Runner {
    pub(in crate::app::service) fn new(
        context: ServiceContext,
        seal: JobSeal,
        handlers: HashMap<String, DurableHandler>,
        runs: Arc<Runs>,
    ) -> Self {
        Self {
            seal,
            context,
            handlers,
            runs,
            started: AtomicU64::new(0),
        }
    }

    /// Records that the engine starts to run calls.
    pub(in crate::app::service) fn starts(&self) {
        self.started
            .store(self.context.clock.elapsed().as_secs(), Relaxed);
    }

    /// Returns how long a job was due before this run, if it is the first.
    fn first_wait(&self, envelope: &Envelope, past: &PastAttempts) -> Option<Duration> {
        let is_first = past.count == 0 && past.last.is_none();
        let wait = self.context.clock.now().duration_since(envelope.due());
        is_first.then(|| wait.unwrap_or_default())
    }

    async fn run_once(
        &self,
        envelope: &Envelope,
        number: u32,
        past: &PastAttempts,
    ) -> Result<Verdict, NotDone> {
        let Some(handler) = self.handlers.get(&envelope.handler) else {
            let text = "this version of the app does not have the handler";
            return Err(self.without_handler(envelope, past, ReportCode::UnknownHandler, text));
        };
        let Some(restored) = self.restored(handler, envelope, past)? else {
            return self.of_former_expression(handler, envelope, past);
        };
        let Restored {
            mut request,
            app_id,
            occurrence,
            is_fired,
        } = restored;
        let run = match occurrence {
            Some(occurrence) if !is_fired => self.admit(handler, envelope, occurrence, past),
            _ => Ok(None),
        };
        let _run = match run {
            Ok(run) => run,
            Err(Skipped::Changed) => return self.of_former_expression(handler, envelope, past),
            Err(skipped) => {
                skipped.log();
                return Ok(Verdict::Done);
            }
        };
        let token = match self.token(handler, envelope, &app_id).await {
            Err(NotDone {
                code: ReportCode::Uninstalled,
                ..
            }) if occurrence.is_some() => {
                // No operator has to look at it.
                Skipped::Uninstalled.log();
                return Ok(Verdict::Done);
            }
            token => token?,
        };
        let last = past.last.as_ref();
        let last_error =
            last.and_then(|report| self.seal.open_report(subject(envelope), &report.sealed));
        let extensions = request.extensions_mut();
        extensions.insert(StoredCall(token));
        if let Some(occurrence) = occurrence {
            extensions.insert(occurrence);
        }
        extensions.insert(RunningAttempt {
            number,
            first_seen: envelope.accepted_at,
            last_error,
        });
        self.call_handler(handler, envelope, request, number).await
    }

    /// Opens a stored call, and returns it as a request; `None` for an occurrence whose handler has no cron
    /// expression in this version of the app.
    fn restored(
        &self,
        handler: &DurableHandler,
        envelope: &Envelope,
        past: &PastAttempts,
    ) -> Result<Option<Restored>, NotDone> {
        let plain = self.seal.open(subject(envelope), &envelope.sealed);
        let plain = plain.map_err(|error| match error {
            SealError::OtherKey(id) => {
                tracing::error!(
                    key_id = id,
                    "a stored call is encrypted with a key that FORGE_REMOTE_TOKEN_KEY does not contain, so it \
                     waits: append the old key after a comma"
                );
                let text = format!("it was sealed under the key {id}, which is not configured");
                self.without_handler(envelope, past, ReportCode::OtherKey, text)
            }
            SealError::Damaged => damaged(),
        })?;
        let restored = match &handler.target {
            Some(target) => match Contents::read(&plain) {
                Ok(contents) if contents.occurrence().is_some() && handler.timetable.is_none() => {
                    return Ok(None);
                }
                Ok(contents) => restored_call(&self.context, handler, target, &contents),
                Err(unreadable) => Err(unreadable.into()),
            },
            None => restored_job(&self.context, handler, &plain),
        };
        let restored = restored.map_err(|reason| self.not_restored(envelope, past, reason))?;
        Ok(Some(restored))
    }

    /// Calls the handler within its time limit, and returns the verdict on its response.
    async fn call_handler(
        &self,
        handler: &DurableHandler,
        envelope: &Envelope,
        request: Request,
        number: u32,
    ) -> Result<Verdict, NotDone> {
        let mount = Arc::clone(&handler.mount);
        let state = self.context.state.clone();
        let running = call(mount, state, request, handler.reads_ahead);
        let running = AssertUnwindSafe(running).catch_unwind();
        let timeout = handler.timeout();
        let backoff = handler.policy.pause_after(number, &envelope.key);
        let (code, text) = match tokio::time::timeout(timeout, running).await {
            Ok(Ok(response)) => {
                let age = self.context.clock.now().duration_since(envelope.due());
                return check(&response, backoff, age.unwrap_or_default());
            }
            Ok(Err(panic)) => {
                let text = panic_text(&*panic).to_owned();
                tracing::error!(panic = text, "the durable handler panicked");
                (ReportCode::Panicked, text)
            }
            Err(_) => {
                tracing::error!(?timeout, "the durable handler exceeded its timeout");
                let text = format!("it did not end within {timeout:?}");
                (ReportCode::TimedOut, text)
            }
        };
        Err(NotDone::new(code, text, Then::Retry(backoff)))
    }

    /// Records the run of an occurrence until the returned guard is dropped, or returns why it is
    /// skipped. An occurrence that has started once is no longer skipped.
    fn admit(
        &self,
        handler: &DurableHandler,
        envelope: &Envelope,
        occurrence: Occurrence,
        past: &PastAttempts,
    ) -> Result<Option<RunGuard>, Skipped> {
        // The handler may have had a cron expression in another version of the app.
        let timetable = handler.timetable.as_ref().ok_or(Skipped::Changed)?;
        let is_first = !past.has_started();
        let installation_id = &*envelope.installation_id;
        let at = occurrence.scheduled_for();
        let skipped = timetable.skipped(at, installation_id, self.context.clock.now());
        if let Some(skipped) = skipped.filter(|_| is_first) {
            return Err(skipped);
        }
        if !timetable.skips_overlaps() {
            return Ok(None);
        }
        let due = is_first.then(|| timetable.due(at, installation_id));
        let run = self.runs.start(&handler.endpoint, installation_id, at, due);
        run.map(Some).ok_or(Skipped::Overlapping)
    }

    /// Returns the end of an occurrence that this version of the app does not have. In a rolling deployment, an
    /// instance of the version that stored it runs it, until it is late.
    fn of_former_expression(
        &self,
        handler: &DurableHandler,
        envelope: &Envelope,
        past: &PastAttempts,
    ) -> Result<Verdict, NotDone> {
        if handler.is_late(envelope, self.context.clock.now()) {
            Skipped::Changed.log();
            return Ok(Verdict::Done);
        }
        let text = "this version of the app has another cron expression";
        Err(self.without_handler(envelope, past, ReportCode::UnknownHandler, text))
    }

    /// Returns the outcome of a call that this version of the app cannot read or would not accept: another version may
    /// have stored it a moment ago.
    fn not_restored(
        &self,
        envelope: &Envelope,
        past: &PastAttempts,
        reason: NotRestored,
    ) -> NotDone {
        let (code, text) = match reason {
            NotRestored::Unreadable(UnreadableContents::Damaged) => return damaged(),
            NotRestored::Unreadable(UnreadableContents::Newer) => (
                ReportCode::UnknownHandler,
                "a newer version of forge-remote stored it".to_owned(),
            ),
            NotRestored::Rejected(text) => (ReportCode::Rejected, text),
        };
        self.without_handler(envelope, past, code, text)
    }

    /// Returns that a call waits for an instance of the app that can run it, for at most a week.
    fn without_handler(
        &self,
        envelope: &Envelope,
        past: &PastAttempts,
        code: ReportCode,
        text: impl Into<String>,
    ) -> NotDone {
        let pause = envelope.pause_without_handler(self.context.clock.now(), past.last.as_ref());
        NotDone::new(code, text, pause.map_or(Then::Dead, Then::Later))
    }

    async fn presence(&self, envelope: &Envelope) -> InstallState {
        match &self.context.tokens {
            Some(tokens) => tokens.presence(&envelope.installation_id).await,
            None => InstallState::Present,
        }
    }

    /// Returns the stored token of the call's installation, if the handler takes one.
    async fn token(
        &self,
        handler: &DurableHandler,
        envelope: &Envelope,
        app_id: &str,
    ) -> Result<Option<SystemToken>, NotDone> {
        let Some(tokens) = &self.context.tokens else {
            return Ok(None);
        };
        let tokens = tokens.of_app(app_id);
        let installation_id = envelope.installation_id.as_str();
        match tokens.presence(installation_id).await {
            InstallState::Present => {}
            InstallState::Settling => {
                let text = "the app may have been uninstalled: the call waits until the removal has settled";
                return Err(NotDone::new(ReportCode::NoToken, text, Then::Later(WAIT)));
            }
            InstallState::Removed => return Err(uninstalled()),
        }
        if !handler.takes_token {
            return Ok(None);
        }
        match tokens.system(installation_id).await {
            Ok(token) => Ok(Some(token)),
            Err(_) if !handler.needs_token => Ok(None),
            Err(error) => {
                let age = self.context.clock.now().duration_since(envelope.due());
                // After an outage, Forge delivers tokens again within the hour.
                let has_run = self
                    .context
                    .clock
                    .elapsed()
                    .as_secs()
                    .saturating_sub(self.started.load(Relaxed));
                let then = match age {
                    Ok(age) if age > TOKEN_WAIT && has_run > TOKEN_GRACE.as_secs() => Then::Dead,
                    _ => Then::Later(WAIT),
                };
                tracing::warn!(%error, "a stored call waits for a system token");
                Err(NotDone::new(ReportCode::NoToken, error.to_string(), then))
            }
        }
    }
}

fn damaged() -> NotDone {
    let text = "the stored call cannot be read";
    NotDone::new(ReportCode::Damaged, text, Then::Dead)
}

fn uninstalled() -> NotDone {
    let text = "the app was uninstalled";
    NotDone::new(ReportCode::Uninstalled, text, Then::Dead)
}

/// Returns a verdict's name in metrics. After the last attempt, a job that would be retried is dead.
fn outcome(verdict: &Verdict, is_last: bool) -> &'static str {
    match verdict {
        Verdict::Done => "done",
        Verdict::Retry { .. } if !is_last => "retry",
        Verdict::Later { .. } => "later",
        Verdict::Retry { .. } | Verdict::Dead { .. } => "dead",
    }
}

/// Decides by the handler's response to a call that was due this long ago.
fn check(response: &Response, backoff: Duration, age: Duration) -> Result<Verdict, NotDone> {
    let status = response.status();
    let Some(failure) = response.extensions().get::<HandlerFailure>() else {
        if status.as_u16() < 400 {
            return Ok(Verdict::Done);
        }
        let text = format!("the handler's response was {status}");
        return Err(NotDone::new(ReportCode::Failed, text, Then::Retry(backoff)));
    };
    let text = format!("{:?}", failure.error);
    if failure.is_permanent() {
        return Err(NotDone::new(ReportCode::Failed, text, Then::Dead));
    }
    if let Some(after) = failure.retry_after() {
        return Err(NotDone::new(ReportCode::Failed, text, Then::Retry(after)));
    }
    let limited = failure.cause::<ClientError>().filter(|error| {
        let status = error.status();
        status == Some(StatusCode::TOO_MANY_REQUESTS)
            || status == Some(StatusCode::SERVICE_UNAVAILABLE)
    });
    if let Some(after) = limited.and_then(ClientError::retry_after) {
        let after = after.clamp(MIN_PAUSE, MAX_PAUSE);
        let then = match age < LIMITED_WAIT {
            true => Then::Pause(after),
            false => Then::Retry(after.max(backoff)),
        };
        return Err(NotDone::new(ReportCode::RateLimited, text, then));
    }
    Err(NotDone::new(ReportCode::Failed, text, Then::Retry(backoff)))
}
