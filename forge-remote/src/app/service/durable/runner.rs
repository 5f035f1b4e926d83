//! The running of stored calls.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use futures_util::FutureExt as _;
use tracing::Instrument as _;

use crate::app::service::handling::call;
use crate::client::{AtlassianClient, CallingHandler, ClientError};
use crate::credentials::SystemToken;
use crate::error::HandlerFailure;
use crate::extract::{AppState, PlatformBody, StoredCall, Verified, trace_id};
use crate::fit::{BoxFuture, Clock, EndpointTarget, Provenance, Verifier};
use crate::jobs::{
    Contents, Envelope, JobPolicy, JobRunner, PastAttempts, Report, ReportCode, RunningAttempt,
    UnreadableContents, Verdict,
};
use crate::log::LogLimits;
use crate::registry::{ErasedHandler, Handler, Requirement};
use crate::token::{JobSeal, SealError, SealedCall, Tokens};
use crate::work::{Work, panic_text};

/// The pause of a call that waits for a token, a key or its handler.
const WAIT: Duration = Duration::from_secs(30);
/// How long a call waits for its installation's first token.
const TOKEN_WAIT: Duration = Duration::from_secs(24 * 3600);
/// Bounds on the pause that Atlassian asks for.
const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(3600);
/// The longest text of a report, in bytes.
const MAX_REPORT: usize = 4096;

/// What all durable handlers need to run.
pub(in crate::app::service) struct Runner {
    pub(in crate::app::service) seal: JobSeal,
    pub(in crate::app::service) verifier: Arc<Verifier>,
    pub(in crate::app::service) state: AppState,
    pub(in crate::app::service) atlassian: AtlassianClient,
    pub(in crate::app::service) tokens: Option<Tokens>,
    pub(in crate::app::service) clock: Arc<dyn Clock>,
    pub(in crate::app::service) work: Arc<Work>,
    pub(in crate::app::service) log_limits: LogLimits,
    pub(in crate::app::service) handlers: HashMap<String, DurableHandler>,
}

/// A durable handler.
#[derive(Clone)]
pub(in crate::app::service) struct DurableHandler {
    policy: JobPolicy,
    target: EndpointTarget,
    endpoint: Arc<str>,
    mount: Arc<dyn ErasedHandler>,
    reads_ahead: bool,
    body_optional: bool,
    /// Whether it takes a `SystemToken`, and whether it runs without one.
    takes_token: bool,
    needs_token: bool,
    /// The handler, if its scopes are checked before its calls to Atlassian.
    pub(in crate::app::service) calling: Option<CallingHandler>,
}

impl DurableHandler {
    pub(in crate::app::service) fn new(
        handler: &Handler,
        policy: JobPolicy,
        target: EndpointTarget,
    ) -> Self {
        let record = handler.registration();
        let needs = |wanted: fn(&Requirement) -> bool| record.mount.needs().iter().any(wanted);
        let needs_token = needs(|need| matches!(need, Requirement::SystemToken));
        Self {
            policy,
            target,
            endpoint: handler.key().into(),
            mount: Arc::clone(&record.mount),
            reads_ahead: needs(|need| matches!(need, Requirement::RetryContext)),
            body_optional: record.kind.body_optional(),
            takes_token: needs_token
                || needs(|need| matches!(need, Requirement::OptionalSystemToken)),
            needs_token,
            calling: None,
        }
    }
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
        let span = tracing::info_span!(
            "job",
            handler = envelope.handler,
            attempt = number,
            trace_id = tracing::field::Empty,
        );
        let log_limits = self.log_limits.clone();
        let run = async move {
            let ended = self.run_once(&envelope, number, &past).await;
            ended.unwrap_or_else(|not_done| not_done.verdict(&self.seal, &envelope))
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

/// What happens to a run that is not done.
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

impl From<UnreadableContents> for NotDone {
    fn from(_: UnreadableContents) -> Self {
        Self::new(
            ReportCode::Damaged,
            "the stored call can't be read",
            Then::Dead,
        )
    }
}

fn subject(envelope: &Envelope) -> SealedCall<'_> {
    SealedCall {
        handler: &envelope.handler,
        installation_id: &envelope.installation_id,
    }
}

impl Runner {
    async fn run_once(
        &self,
        envelope: &Envelope,
        number: u32,
        past: &PastAttempts,
    ) -> Result<Verdict, NotDone> {
        let Some(handler) = self.handlers.get(&envelope.handler) else {
            let text = "this version of the app does not have the handler";
            return Err(NotDone::new(
                ReportCode::UnknownHandler,
                text,
                Then::Later(WAIT),
            ));
        };
        let plain = self.seal.open(subject(envelope), &envelope.sealed);
        let plain = plain.map_err(|error| match error {
            SealError::OtherKey(id) => {
                tracing::error!(
                    key_id = id,
                    "a stored call was sealed under a key that FORGE_REMOTE_TOKEN_KEY lacks; it waits: \
                     add that key after the new one and a comma"
                );
                let text = format!("it was sealed under the key {id}, which is not configured");
                NotDone::new(ReportCode::OtherKey, text, Then::Later(WAIT))
            }
            SealError::Damaged => UnreadableContents.into(),
        })?;
        let contents = Contents::read(&plain)?;
        let claims = contents.claims(&self.verifier, &handler.target);
        let claims = claims
            .map_err(|error| NotDone::new(ReportCode::Rejected, error.to_string(), Then::Dead))?;
        let token = self.token(handler, envelope, claims.app_id()).await?;
        let mut request = contents.request()?;
        drop((plain, contents));
        if let Some(trace) = trace_id(request.headers()) {
            tracing::Span::current().record("trace_id", trace);
        }
        let provenance = Provenance::of(&claims, &handler.target);
        let timeout = handler.policy.timeout();
        let atlassian = self.atlassian.clone().answered_within(timeout);
        let verified = Verified::new(
            claims,
            Arc::clone(&handler.endpoint),
            atlassian.called_by(handler.calling),
            request.headers(),
            provenance,
            Arc::clone(&self.work),
        );
        let last = past.last.as_ref();
        let last_error =
            last.and_then(|report| self.seal.open_report(subject(envelope), &report.sealed));
        let extensions = request.extensions_mut();
        verified.extend(extensions);
        extensions.insert(PlatformBody {
            may_be_empty: handler.body_optional,
        });
        extensions.insert(StoredCall(token));
        extensions.insert(RunningAttempt {
            number,
            first_seen: envelope.accepted_at,
            last_error,
        });
        let mount = Arc::clone(&handler.mount);
        let running = call(mount, self.state.clone(), request, handler.reads_ahead);
        let running = AssertUnwindSafe(running).catch_unwind();
        let backoff = handler.policy.backoff_of(number, &envelope.key);
        match tokio::time::timeout(timeout, running).await {
            Ok(Ok(response)) => check(&response, backoff),
            Ok(Err(panic)) => {
                let text = panic_text(&*panic).to_owned();
                tracing::error!(panic = text, "the durable handler panicked");
                Err(NotDone::new(
                    ReportCode::Panicked,
                    text,
                    Then::Retry(backoff),
                ))
            }
            Err(_) => {
                tracing::error!(?timeout, "the durable handler exceeded its timeout");
                let text = format!("it did not end within {timeout:?}");
                Err(NotDone::new(
                    ReportCode::TimedOut,
                    text,
                    Then::Retry(backoff),
                ))
            }
        }
    }

    /// Returns the kept token of the call's installation, if the handler takes one.
    async fn token(
        &self,
        handler: &DurableHandler,
        envelope: &Envelope,
        app_id: &str,
    ) -> Result<Option<SystemToken>, NotDone> {
        let Some(tokens) = &self.tokens else {
            return Ok(None);
        };
        let tokens = tokens.of_app(app_id);
        let installation_id = envelope.installation_id.as_str();
        if tokens.is_removed(installation_id) {
            let text = "the app was uninstalled";
            return Err(NotDone::new(ReportCode::Uninstalled, text, Then::Dead));
        }
        if !handler.takes_token {
            return Ok(None);
        }
        match tokens.system(installation_id).await {
            Ok(token) => Ok(Some(token)),
            Err(_) if !handler.needs_token => Ok(None),
            Err(error) => {
                let due = envelope.not_before.unwrap_or(envelope.accepted_at);
                let age = self.clock.now().duration_since(due);
                let then = match age {
                    Ok(age) if age > TOKEN_WAIT => Then::Dead,
                    _ => Then::Later(WAIT),
                };
                tracing::warn!(%error, "a stored call waits for a system token");
                Err(NotDone::new(ReportCode::NoToken, error.to_string(), then))
            }
        }
    }
}

/// Decides by the handler's response.
fn check(response: &Response, backoff: Duration) -> Result<Verdict, NotDone> {
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
        return Err(NotDone::new(
            ReportCode::RateLimited,
            text,
            Then::Pause(after),
        ));
    }
    Err(NotDone::new(ReportCode::Failed, text, Then::Retry(backoff)))
}
