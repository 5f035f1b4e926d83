//! The JSON of the console's API.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::rust_test::Copies;
use super::schedules::{NextCall, Schedule};
use crate::fit::{InstallationContext, Provenance};
use crate::jobs::JobRecord;
use crate::platform::{CallVerdict, LogLine, OutgoingCall, Record};
use crate::registry::{Handler, SampleCall};
use crate::token::{Installation, TokenSource};

/// The bytes of a body that are shown.
const MAX_SHOWN: usize = 256 * 1024;

/// Returns a time in milliseconds since 1970.
pub(super) fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(u64::MAX)
}

/// Returns milliseconds with three decimals.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[derive(Serialize)]
pub(super) struct HandlerView {
    /// The unique name: several handlers can share a key.
    id: String,
    module_type: &'static str,
    attribute: &'static str,
    key: String,
    endpoint: String,
    method: &'static str,
    any_method: bool,
    path: String,
    docs: &'static str,
    tokens: Vec<&'static str>,
    scopes: &'static [&'static str],
    source: String,
    events: Vec<&'static str>,
    interval_seconds: Option<u64>,
    cron: Option<CronView>,
    next_calls: Vec<NextCallView>,
    is_paused: bool,
    is_durable: bool,
    samples: Vec<SampleView>,
}

#[derive(Serialize)]
struct CronView {
    expression: &'static str,
    tz: &'static str,
    /// Whether it runs at the clock's first call after its time.
    waits_for_clock: bool,
}

#[derive(Serialize)]
struct NextCallView {
    at: u64,
    /// The time in the schedule's time zone.
    local: Option<String>,
}

impl NextCallView {
    fn new(call: NextCall) -> Self {
        Self {
            at: millis(call.at),
            local: call.local,
        }
    }
}

#[derive(Serialize)]
struct SampleView {
    event: Option<&'static str>,
    body: Option<String>,
    is_guess: bool,
}

impl HandlerView {
    pub(super) fn new(
        id: String,
        handler: &Handler,
        samples: Vec<SampleCall>,
        schedule: Option<Schedule>,
    ) -> Self {
        let record = handler.registration();
        let spec = record.kind.spec();
        let tokens = [(record.auth.system, "system"), (record.auth.user, "user")];
        let schedule = schedule.unwrap_or_default();
        let samples = samples.into_iter().map(|sample| SampleView {
            event: sample.event,
            body: sample.body.as_ref().map(|body| format!("{body:#}")),
            is_guess: sample.is_guess,
        });
        Self {
            id,
            module_type: spec.module_type,
            attribute: spec.attribute,
            key: handler.key().to_owned(),
            endpoint: handler.endpoint().to_owned(),
            method: handler.method().as_str(),
            any_method: spec.any_method,
            path: handler.path().to_owned(),
            docs: record.docs,
            tokens: tokens
                .into_iter()
                .filter(|(sent, _)| *sent)
                .map(|(_, name)| name)
                .collect(),
            scopes: record.scopes,
            source: record.location.to_string(),
            events: [record.kind.events(), record.kind.unknown_events()].concat(),
            interval_seconds: record.kind.interval().map(|interval| interval.as_secs()),
            cron: record.kind.cron().map(|cron| CronView {
                expression: cron.expression,
                tz: cron.tz,
                waits_for_clock: schedule.waits_for_clock,
            }),
            is_paused: schedule.is_paused,
            next_calls: schedule.next.into_iter().map(NextCallView::new).collect(),
            is_durable: record.durable.is_some(),
            samples: samples.collect(),
        }
    }
}

/// A call, in a list.
#[derive(Serialize)]
pub(crate) struct Summary {
    id: u64,
    at: u64,
    /// The id of the handler.
    handler: String,
    key: String,
    module_type: &'static str,
    method: &'static str,
    path: String,
    event: Option<String>,
    origin: &'static str,
    status: Option<u16>,
    outcome: &'static str,
    elapsed_ms: Option<f64>,
    tokens: Vec<&'static str>,
    repeats: Option<u64>,
    /// The handler with `cron` whose occurrence this call of the clock ran.
    fires: Option<String>,
    retry: Option<u32>,
    forgery: Option<&'static str>,
    verdict: Option<String>,
}

impl Summary {
    pub(crate) fn new(record: &Record) -> Self {
        let sent = &record.sent;
        let outcome = record.outcome.as_deref();
        let response = outcome.and_then(|outcome| outcome.response.as_ref().ok());
        Self {
            id: record.id,
            at: millis(record.at),
            handler: sent.handler.clone(),
            key: sent.key.clone(),
            module_type: sent.module_type,
            method: sent.method,
            path: sent.path.clone(),
            event: sent.event.clone(),
            origin: sent.origin.as_str(),
            status: response.map(|response| response.status.as_u16()),
            outcome: match outcome.map(|outcome| outcome.verdict()) {
                None => "running",
                Some(CallVerdict::Passed) => "passed",
                Some(CallVerdict::NeedsSample) => "needs_body",
                Some(CallVerdict::Failed) => "failed",
            },
            elapsed_ms: outcome.map(|outcome| milliseconds(outcome.elapsed)),
            tokens: sent.tokens.clone(),
            repeats: sent.changes.repeats,
            fires: sent.changes.fires.clone(),
            retry: sent.retry,
            forgery: sent.changes.forgery.map(|forgery| forgery.as_str()),
            verdict: outcome.and_then(|outcome| outcome.consequence()),
        }
    }
}

/// A call with everything that is known of it.
#[derive(Serialize)]
pub(super) struct CallView {
    #[serde(flatten)]
    summary: Summary,
    request: Message,
    claims: serde_json::Value,
    response: Option<Message>,
    error: Option<String>,
    notes: Vec<String>,
    outgoing: Vec<OutgoingView>,
    log: Vec<LogView>,
    /// The number of lines and outgoing calls that are not kept, because there are too many.
    left_out: usize,
    /// Empty where `no_command` has the reason.
    invoke_command: String,
    no_command: Option<&'static str>,
    /// Empty where `no_test` has the reason.
    rust_test: String,
    no_test: Option<&'static str>,
}

#[derive(Serialize)]
struct Message {
    headers: Vec<(String, String)>,
    body: String,
    body_bytes: usize,
    is_cut: bool,
}

impl Message {
    /// Creates the view of a body that has `size` bytes, of which a part may be missing.
    fn new(headers: Vec<(String, String)>, body: &[u8], size: usize) -> Self {
        let shown = body.get(..MAX_SHOWN).unwrap_or(body);
        Self {
            headers,
            body: String::from_utf8_lossy(shown).into_owned(),
            body_bytes: size,
            is_cut: shown.len() < size,
        }
    }
}

#[derive(Serialize)]
struct OutgoingView {
    method: String,
    url: String,
    status: Option<u16>,
    started_ms: f64,
    elapsed_ms: f64,
    error: Option<&'static str>,
}

impl OutgoingView {
    fn new(call: OutgoingCall) -> Self {
        let started = call.ended_after.saturating_sub(call.elapsed);
        Self {
            method: call.method,
            url: format!("{} {}", call.api, call.path),
            status: call.status,
            started_ms: milliseconds(started),
            elapsed_ms: milliseconds(call.elapsed),
            error: call.status.is_none().then_some("no response"),
        }
    }
}

#[derive(Serialize)]
struct LogView {
    after_ms: f64,
    level: &'static str,
    target: String,
    message: String,
    fields: serde_json::Map<String, serde_json::Value>,
}

impl LogView {
    fn new(line: LogLine) -> Self {
        let fields = line.fields.into_iter();
        Self {
            after_ms: milliseconds(line.after),
            level: line.level.as_str(),
            target: line.target,
            message: line.message,
            fields: fields
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect(),
        }
    }
}

impl CallView {
    pub(super) fn new(record: Record, copies: Copies) -> Self {
        let summary = Summary::new(&record);
        let outcome = record.outcome.as_deref();
        let exchanged = outcome.map(|outcome| &outcome.response);
        let text = |value: &axum::http::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        let response = exchanged
            .and_then(|response| response.as_ref().ok())
            .map(|response| {
                let headers = response.headers.iter();
                let headers = headers.map(|(name, value)| (name.to_string(), text(value)));
                Message::new(headers.collect(), &response.body, response.size)
            });
        let sent = &record.sent;
        Self {
            request: Message::new(sent.headers.clone(), &sent.body, sent.body.len()),
            claims: sent.claims.clone(),
            response,
            error: exchanged.and_then(|response| response.as_ref().err().cloned()),
            notes: outcome.map(|outcome| outcome.notes()).unwrap_or_default(),
            outgoing: record.outgoing.into_iter().map(OutgoingView::new).collect(),
            log: record.log.into_iter().map(LogView::new).collect(),
            left_out: record.left_out,
            summary,
            no_command: copies.command.as_ref().err().copied(),
            invoke_command: copies.command.unwrap_or_default(),
            no_test: copies.test.as_ref().err().copied(),
            rust_test: copies.test.unwrap_or_default(),
        }
    }
}

/// An installation whose token is kept, without the token.
#[derive(Serialize)]
pub(super) struct InstallationView {
    installation_id: String,
    app_id: String,
    cloud_id: Option<String>,
    expires: u64,
    /// Who brought the token: `forge`, `page`, or `store` for one of an earlier start.
    source: &'static str,
    delivered: Option<u64>,
}

impl InstallationView {
    pub(super) fn new(installation: &Installation, source: Option<TokenSource>) -> Self {
        let contexts = installation.installation_contexts();
        let cloud_id = |context: &InstallationContext| context.cloud_id.clone();
        Self {
            installation_id: installation.installation_id().to_owned(),
            app_id: installation.app_id().to_owned(),
            cloud_id: contexts.iter().find_map(cloud_id),
            expires: millis(installation.expires_at()),
            source: match source {
                None => "store",
                Some(one) => match one.provenance {
                    Provenance::Platform => "forge",
                    Provenance::Function => "function",
                    _ => "page",
                },
            },
            delivered: source.map(|one| millis(one.at)),
        }
    }
}

/// A job, without its contents.
#[derive(Serialize)]
pub(super) struct JobView {
    id: String,
    handler: String,
    installation_id: String,
    state: &'static str,
    attempts: u32,
    max_attempts: u32,
    accepted: u64,
    next: Option<u64>,
    last_error: Option<String>,
}

impl JobView {
    pub(super) fn new(job: JobRecord, last_error: Option<String>) -> Self {
        Self {
            id: job.id,
            handler: job.handler,
            installation_id: job.installation_id,
            state: job.state.as_str(),
            attempts: job.attempts,
            max_attempts: job.max_attempts,
            accepted: millis(job.accepted_at),
            next: job.due.map(millis),
            last_error,
        }
    }
}
