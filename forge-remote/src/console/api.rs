//! The console's API: the data and the actions of the page.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::error::ApiError;
use super::rust_test::{Copies, invoke_command, rust_test};
use super::schedules::{self, no_schedule};
use super::state::Console;
use super::views::{CallView, HandlerView, InstallationView, JobView, Summary, millis};
use crate::app::UpdateEnd;
use crate::jobs::{EngineError, JobRecord, JobState};
use crate::platform::{CallChanges, Change, Forgery, RetryNumber};
use crate::registry::{Handler, Method};
use crate::token::Installation;

/// The time between two lines that keep the stream of events open.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The number of jobs that are listed.
const MAX_JOBS: usize = 200;

type Shared = State<Arc<Console>>;

pub(super) fn router(console: Arc<Console>) -> Router {
    Router::new()
        .route("/app", get(app))
        .route("/handlers", get(handlers))
        .route("/handlers/{handler}/call", post(call))
        .route("/calls", get(calls))
        .route("/calls/{id}", get(one_call))
        .route("/calls/{id}/again", post(again))
        .route("/events", get(events))
        .route("/tokens", get(tokens))
        .route("/jobs", get(jobs))
        .route("/jobs/{id}/retry", post(retry_job))
        .route("/jobs/{id}/discard", post(discard_job))
        .route("/manifest", get(manifest))
        .route("/manifest/write", post(write_manifest))
        .route("/schedules/{key}/fire", post(fire))
        .route("/schedules/{key}/pause", post(pause))
        .route("/schedules/{key}/resume", post(resume))
        .fallback(|| async { ApiError::not_found("the console's API has no such path") })
        .with_state(console)
}

async fn app(State(console): Shared) -> Json<Value> {
    let service = &console.caller.app;
    let ids = service.verifier().app_ids();
    Json(json!({
        "app_ids": ids.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
        "installation": console.caller.platform.installation_ari(),
        "app_url": console.caller.origin,
        "platform_url": console.platform_url,
        "speed": console.speed,
        "started": millis(console.started),
        "manifest_path": console.comparison.path().display().to_string(),
        "has_jobs": console.inspector.is_some(),
        "has_tokens": service.tokens().is_some(),
        "has_log": console.has_log,
        "max_retries": RetryNumber::MAX,
    }))
}

async fn handlers(State(console): Shared) -> Json<Vec<HandlerView>> {
    let caller = &console.caller;
    let view = |handler: &Handler| {
        let samples = caller.shown_samples(handler);
        let installation = caller.platform.installation_ari();
        let schedule = console
            .schedules
            .of(handler.key(), &caller.app, &installation);
        let id = caller.app.registry().label(handler);
        HandlerView::new(id, handler, samples, schedule)
    };
    Json(caller.app.registry().handlers().iter().map(view).collect())
}

/// The body of a request for a call.
#[derive(Default, Deserialize)]
#[serde(default)]
struct NewCall {
    method: Option<String>,
    event: Option<String>,
    body: Option<String>,
    subpath: Option<String>,
    query: Option<String>,
    retry: Option<RetryNumber>,
    forgery: Option<Forgery>,
}

async fn call(
    State(console): Shared,
    Path(handler): Path<String>,
    new: Result<Json<NewCall>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let Json(new) = new?;
    let method = match &new.method {
        Some(name) => Some(Method::named(name).ok_or_else(|| {
            ApiError::bad_request(format!("`{name}` is not a method that Forge uses"))
        })?),
        None => None,
    };
    let changes = CallChanges {
        method,
        json: None,
        raw_body: new.body,
        subpath: new.subpath,
        query: new.query,
        event: new.event,
        retry: new.retry,
        forgery: new.forgery,
        repeats: None,
        fires: None,
    };
    let id = console.send(&handler, changes).await?;
    Ok(Json(json!({ "id": id })))
}

/// The body of a request to make a call again.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Again {
    retry: Option<RetryNumber>,
}

async fn again(
    State(console): Shared,
    Path(id): Path<u64>,
    again: Result<Json<Again>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let Json(Again { retry }) = again?;
    let record = console.find(id)?;
    let sent = &record.sent;
    // An empty body is one as well, if it was sent instead of the sample.
    let has_body = !sent.body.is_empty() || sent.changes.raw_body.is_some();
    let body = String::from_utf8_lossy(&sent.body);
    let changes = CallChanges {
        raw_body: has_body.then(|| body.into_owned()),
        event: sent.event.clone(),
        // A body that is a retry's already is sent byte for byte, with any number.
        retry: retry.or(sent.retry.and_then(|number| number.try_into().ok())),
        repeats: Some(id),
        ..sent.changes.clone()
    };
    let id = console.send(&sent.handler, changes).await?;
    Ok(Json(json!({ "id": id })))
}

async fn calls(State(console): Shared) -> Json<Value> {
    let calls = console.caller.journal.calls(Summary::new);
    Json(json!({ "calls": calls }))
}

async fn one_call(State(console): Shared, Path(id): Path<u64>) -> Result<Json<CallView>, ApiError> {
    let record = console.find(id)?;
    let copies = Copies {
        command: invoke_command(&record, &console.platform_url),
        test: rust_test(&record, &console),
    };
    Ok(Json(CallView::new(record, copies)))
}

/// Streams the changes of calls and schedules.
async fn events(
    State(console): Shared,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let changes = console.caller.journal.subscribe();
    let events = stream::unfold((changes, console), |(mut changes, console)| async move {
        loop {
            let event = match changes.recv().await {
                Ok(Change::Began(id) | Change::Ended(id)) => {
                    let Some(summary) = console.caller.journal.view(id, Summary::new) else {
                        continue;
                    };
                    let data = serde_json::to_string(&summary).unwrap_or_default();
                    Event::default().event("call").data(data)
                }
                Ok(Change::Logged(id)) => {
                    let data = json!({ "id": id }).to_string();
                    Event::default().event("log").data(data)
                }
                Ok(Change::Schedules) => Event::default().event("handlers").data("{}"),
                // The page reads the list again when it has missed some.
                Err(RecvError::Lagged(_)) => Event::default().event("missed").data("{}"),
                Err(RecvError::Closed) => return None,
            };
            return Some((Ok(event), (changes, console)));
        }
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT))
}

async fn tokens(State(console): Shared) -> Result<Json<Value>, ApiError> {
    let Some(tokens) = console.caller.app.tokens() else {
        return Err(ApiError::not_found(
            "the app has no token store: give it one with `App::token_store`",
        ));
    };
    let installations = tokens.installations().await;
    let installations = installations.map_err(|error| ApiError::internal(&error))?;
    let view = |one: &Installation| {
        let source = tokens.source(one.installation_id());
        InstallationView::new(one, source)
    };
    let installations: Vec<_> = installations.iter().map(view).collect();
    Ok(Json(json!({ "installations": installations })))
}

/// The query of a list of jobs.
#[derive(Default, Deserialize)]
#[serde(default)]
struct JobsQuery {
    state: Option<JobFilter>,
}

/// The jobs of a list. To the engine, a failed job is one that waits.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum JobFilter {
    Waiting,
    Running,
    Failed,
    Done,
    Dead,
    Discarded,
}

impl JobFilter {
    /// Returns the engine's state of these jobs.
    fn state(self) -> JobState {
        match self {
            Self::Waiting | Self::Failed => JobState::Waiting,
            Self::Running => JobState::Running,
            Self::Done => JobState::Done,
            Self::Dead => JobState::Dead,
            Self::Discarded => JobState::Discarded,
        }
    }

    /// Returns whether a job in this state is one of these.
    fn has(self, job: &JobRecord) -> bool {
        match self {
            Self::Waiting => job.attempts == 0,
            Self::Failed => job.attempts > 0,
            Self::Running | Self::Done | Self::Dead | Self::Discarded => true,
        }
    }
}

async fn jobs(
    State(console): Shared,
    query: Result<Query<JobsQuery>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(JobsQuery { state: filter }) = query?;
    let all = || JobState::ALL.to_vec();
    let states = filter.map_or_else(all, |filter| vec![filter.state()]);
    // Jobs of `dev` are in memory, so all of them can be looked at.
    let jobs = console.inspector()?.list(states, None, u32::MAX).await;
    let mut jobs = jobs.map_err(|error| ApiError::internal(&error))?;
    jobs.retain(|job| filter.is_none_or(|filter| filter.has(job)));
    let count = jobs.len();
    jobs.truncate(MAX_JOBS);
    let seal = console.caller.app.job_seal();
    let view = |job: JobRecord| {
        let last_error = job.last_error(seal);
        JobView::new(job, last_error)
    };
    let jobs: Vec<JobView> = jobs.into_iter().map(view).collect();
    Ok(Json(json!({ "jobs": jobs, "count": count })))
}

async fn retry_job(
    State(console): Shared,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    found(console.inspector()?.retry(id.clone()).await, &id)
}

async fn discard_job(
    State(console): Shared,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    found(console.inspector()?.discard(id.clone()).await, &id)
}

fn found(done: Result<bool, EngineError>, id: &str) -> Result<Json<Value>, ApiError> {
    match done {
        Ok(true) => Ok(Json(json!({}))),
        Ok(false) => Err(ApiError::not_found(format!("there is no such job: {id}"))),
        Err(error) => Err(ApiError::internal(&error)),
    }
}

async fn manifest(State(console): Shared) -> Result<Json<Value>, ApiError> {
    let report = console.comparison.report(false);
    let report = report.map_err(|error| ApiError::internal(&error))?;
    let diff = console.comparison.diff();
    let diff = diff.map_err(|error| ApiError::internal(&error))?;
    let findings = report.findings.iter().map(|finding| {
        json!({
            "code": finding.code,
            "severity": finding.severity,
            "message": finding.message,
            "line": finding.manifest.map(|at| at.line),
            "column": finding.manifest.map(|at| at.column),
            "help": finding.help,
            "notes": finding.notes,
            "explanation": explanation(finding.code),
        })
    });
    Ok(Json(json!({
        "path": console.comparison.path().display().to_string(),
        "is_same": report.agrees,
        "diff": diff,
        "findings": findings.collect::<Vec<_>>(),
    })))
}

/// Returns the explanation of a finding's code.
fn explanation(code: &str) -> Option<&'static str> {
    let mut rules = crate::manifest::rules().chain(crate::app::rules());
    rules
        .find(|rule| rule.code == code)
        .map(|rule| rule.explanation)
}

async fn write_manifest(State(console): Shared) -> Result<Json<Value>, ApiError> {
    let comparison = &console.comparison;
    let file = comparison.read();
    let updated =
        file.and_then(|file| comparison.update(&file, BTreeSet::new(), Duration::ZERO, false));
    let updated = updated.map_err(|error| ApiError::internal(&error))?;
    let is_complete = updated.end == UpdateEnd::Complete;
    Ok(Json(
        json!({ "report": updated.text, "is_complete": is_complete }),
    ))
}

/// Calls a handler as its schedule does.
async fn fire(State(console): Shared, Path(key): Path<String>) -> Result<Json<Value>, ApiError> {
    let handler = console.caller.app.registry().find(&key).next();
    let handler = handler.ok_or_else(|| ApiError::not_found(no_schedule(&key)))?;
    let clock = schedules::clock(&console.caller.app);
    let (target, fires) = match clock.filter(|_| handler.is_cron()) {
        Some(clock) => (clock.key(), Some(handler.key().to_owned())),
        None if handler.registration().kind.interval().is_some() => (handler.key(), None),
        None => return Err(ApiError::not_found(no_schedule(&key))),
    };
    let changes = CallChanges {
        fires,
        ..CallChanges::default()
    };
    let id = console.send(target, changes).await?;
    Ok(Json(json!({ "id": id })))
}

async fn pause(State(console): Shared, Path(key): Path<String>) -> Result<Json<Value>, ApiError> {
    console.set_paused(&key, true)
}

async fn resume(State(console): Shared, Path(key): Path<String>) -> Result<Json<Value>, ApiError> {
    console.set_paused(&key, false)
}
