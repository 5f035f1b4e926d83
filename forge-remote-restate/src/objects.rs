//! The virtual objects of Restate: jobs, turns of an installation, pauses, and the records of waiting jobs.

use std::sync::Arc;
use std::time::Duration;

use forge_remote::jobs::{Envelope, ReportCode};
use restate_sdk::endpoint::{Endpoint, ServiceOptions};
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::attempt::{Attempt, AttemptOutcome, Step};
use crate::serving::{Rejected, Serving};
use crate::stored_call::{StoredAttempts, StoredReport, to_millis};

/// The names of objects, which are the names of their types here.
pub(crate) const JOB: &str = "ForgeRemoteJob";
pub(crate) const RECORD: &str = "ForgeRemoteRecord";
/// The key of a record in the state of its object.
pub(crate) const RECORD_STATE: &str = "record";
/// The key of the job's call there.
const CALL_STATE: &str = "call";
const PAUSED_UNTIL: &str = "paused_until";

/// How long Restate waits without a message until it half closes the request of a job; see `PLACE_WAIT`.
const INACTIVE_AFTER: Duration = Duration::from_secs(60);
/// How long Restate waits after that until it ends an attempt: longer than the longest timeout of a
/// handler, one hour.
const ABORT_AFTER: Duration = Duration::from_secs(65 * 60);
/// The pauses after which Restate starts an invocation again whose process is gone.
const FIRST_RESTART: Duration = Duration::from_millis(100);
const LAST_RESTART: Duration = Duration::from_secs(5);

/// Returns the key of the calls of one handler for one installation.
fn group(call: &Envelope) -> String {
    format!("{} {}", call.handler, call.installation_id)
}

/// The common part of all objects.
#[derive(Clone)]
struct Shared {
    serving: Option<Arc<Serving>>,
    keep_dead: Duration,
}

impl Shared {
    fn serving(&self) -> Result<&Arc<Serving>, Rejected> {
        let serving = self.serving.as_ref().ok_or(Rejected::NotServing)?;
        serving.check_running()?;
        Ok(serving)
    }
}

/// A job: its attempts, and the pauses between them.
pub(crate) struct ForgeRemoteJob(Shared);

/// An installation's turn to run a handler that has `per_installation`: Restate runs the calls of one object
/// one after another.
pub(crate) struct ForgeRemoteSlot(Shared);

/// The pause of a handler for an installation.
pub(crate) struct ForgeRemotePause;

/// The record of a job that waits after an attempt, or is dead, with its call; its key is the job's invocation.
pub(crate) struct ForgeRemoteRecord;

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct TurnRequest {
    call: TurnCall,
    attempts: StoredAttempts,
}

/// How a turn gets the call. The job's journal keeps every request to a turn, so a job that waits repeatedly does
/// not send the call itself each time.
#[derive(Debug, Deserialize, Serialize)]
enum TurnCall {
    Whole(Envelope),
    /// The job, an invocation, has a record with the call.
    Recorded(String),
}

/// The limit of a job's handler in this version of the app.
#[derive(Debug, Deserialize, Serialize)]
enum Limit {
    /// The outcome of an app that lacks the handler.
    Without(AttemptOutcome),
    Unlimited,
    PerInstallation(u32),
}

/// See [`ForgeRemoteRecord`].
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Record {
    pub(crate) attempts: StoredAttempts,
    pub(crate) max_attempts: u32,
    pub(crate) is_dead: bool,
    /// The due time, in milliseconds since 1970.
    pub(crate) due: u64,
    /// Restate's name of the promise that ends the wait.
    pub(crate) wake: String,
}

/// The contents that a record stores.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RecordRequest {
    record: Record,
    /// The call, in the first request for a job.
    call: Option<Envelope>,
}

/// Runs an attempt, and returns its outcome. It looks for a pause once it has its permit; the one that it asks for is stored
/// before its permit is free, and before the installation's next turn.
///
/// A macro, because the SDK's traits do not let a function that is generic over contexts be `Send`.
macro_rules! in_two_steps {
    ($context:ident, $attempt:expr, $group:expr) => {{
        let (attempt, group) = ($attempt, $group);
        let pause = || $context.object_client::<ForgeRemotePauseClient>(group.clone());
        let start = $context.run(attempt.begin()).name("begin").await?;
        let paused_until = pause().until().call().await?;
        match attempt.run(start, paused_until) {
            Ok(run) => {
                let outcome = $context.run(run).name("attempt").await?.into_inner();
                if let AttemptOutcome::Later {
                    paused_until: Some(until),
                    ..
                } = outcome
                {
                    pause().pause(until).call().await?;
                }
                outcome
            }
            Err(outcome) => outcome,
        }
    }};
}

#[restate_sdk::object]
impl ForgeRemoteJob {
    #[handler]
    async fn run(
        &self,
        context: SharedObjectContext<'_>,
        call: Json<Envelope>,
    ) -> HandlerResult<()> {
        let serving = self.0.serving()?;
        let call = call.into_inner();
        let mut attempts = StoredAttempts::default();
        let mut max_attempts = call.max_attempts;
        let mut is_recorded = false;
        for step in 0.. {
            let outcome =
                one_attempt(serving, &context, step, &call, &attempts, is_recorded).await?;
            if outcome.is_complete() {
                attempts.complete();
            }
            let (wait, is_dead) = match outcome {
                AttemptOutcome::Done => break,
                AttemptOutcome::HandedBack => {
                    attempts.last = Some(StoredReport::bare(ReportCode::Interrupted));
                    serving.check_running()?;
                    continue;
                }
                AttemptOutcome::Paused { wait } => (wait, false),
                AttemptOutcome::Later { wait, report, .. } => {
                    attempts.last = Some(report);
                    (wait, false)
                }
                AttemptOutcome::Retry { wait, report } => {
                    attempts.count += 1;
                    attempts.last = Some(report);
                    (wait, attempts.count >= max_attempts)
                }
                AttemptOutcome::Interrupted {
                    wait,
                    is_given_back,
                } => {
                    attempts.count += 1;
                    attempts.ended_processes += 1;
                    if is_given_back {
                        attempts.given_back += 1;
                        max_attempts += 1;
                    } else {
                        max_attempts -= attempts.given_back;
                        attempts.given_back = 0;
                    }
                    attempts.last = Some(StoredReport::bare(ReportCode::Interrupted));
                    (wait, attempts.count >= max_attempts)
                }
                AttemptOutcome::Dead { report, counts } => {
                    attempts.count += u32::from(counts);
                    attempts.last = Some(report);
                    (0, true)
                }
            };
            let wait = match is_dead {
                true => self.0.keep_dead,
                false => Duration::from_millis(wait),
            };
            if is_dead {
                log_dead(&context, &call, &attempts).await?;
            }
            let new = (!is_recorded).then_some(&call);
            let woken = pause_job(&context, new, &attempts, max_attempts, is_dead, wait).await?;
            is_recorded = true;
            if is_dead {
                if !woken {
                    forget_record(&context);
                    return Err(TerminalError::new("dead, and kept long enough").into());
                }
                max_attempts = attempts.count + 1;
            }
        }
        if is_recorded {
            forget_record(&context);
        }
        Ok(())
    }
}

/// Runs a job once, in the installation's turn if its handler has `per_installation`.
async fn one_attempt(
    serving: &Arc<Serving>,
    context: &SharedObjectContext<'_>,
    step: u32,
    call: &Envelope,
    attempts: &StoredAttempts,
    is_recorded: bool,
) -> HandlerResult<AttemptOutcome> {
    let (runner, stored) = (Arc::clone(&serving.runner), call.clone());
    let limit = Step::new(async move {
        let policy = runner.policy(&stored.handler);
        Ok(Json(match policy.map(|policy| policy.per_installation()) {
            None => Limit::Without(AttemptOutcome::without_handler(&stored)),
            Some(None) => Limit::Unlimited,
            Some(Some(limit)) => Limit::PerInstallation(limit),
        }))
    });
    let id = context.invocation_id();
    match context.run(limit).name("limit").await?.into_inner() {
        Limit::Without(outcome) => Ok(outcome),
        Limit::Unlimited => {
            let attempt = Attempt::new(serving, id, step, call, attempts);
            Ok(in_two_steps!(context, attempt, group(call)))
        }
        Limit::PerInstallation(limit) => {
            let spread = id.bytes().map(u32::from).sum::<u32>() % limit.max(1);
            let turn = format!("{spread} {}", group(call));
            let request = TurnRequest {
                call: match is_recorded {
                    true => TurnCall::Recorded(id.to_owned()),
                    false => TurnCall::Whole(call.clone()),
                },
                attempts: attempts.clone(),
            };
            let turn = context.object_client::<ForgeRemoteSlotClient>(turn);
            Ok(turn.attempt(Json(request)).call().await?.into_inner())
        }
    }
}

/// Logs once that a job is dead.
async fn log_dead(
    context: &SharedObjectContext<'_>,
    call: &Envelope,
    attempts: &StoredAttempts,
) -> HandlerResult<()> {
    let (id, call) = (context.invocation_id().to_owned(), call.clone());
    let past = attempts.past();
    let log = Step::new(async move {
        if let Some(report) = &past.last {
            call.log_dead(&id, past.count, report);
        }
        Ok(())
    });
    Ok(context.run(log).name("dead").await?)
}

/// Waits, with a record that shows why; the first one of a job has its call. Returns whether an operator ended the
/// wait.
async fn pause_job(
    context: &SharedObjectContext<'_>,
    new: Option<&Envelope>,
    attempts: &StoredAttempts,
    max_attempts: u32,
    is_dead: bool,
    wait: Duration,
) -> HandlerResult<bool> {
    let (wake, woken) = context.awakeable::<()>();
    let due = Step::new(async move { Ok(to_millis(std::time::SystemTime::now() + wait)) });
    let mut record = Record {
        attempts: attempts.clone(),
        max_attempts,
        is_dead,
        due: context.run(due).name("due").await?,
        wake,
    };
    let records = || context.object_client::<ForgeRemoteRecordClient>(context.invocation_id());
    let request = RecordRequest {
        record: record.clone(),
        call: new.cloned(),
    };
    records().put(Json(request)).call().await?;
    let is_woken = restate_sdk::select! {
        woken = woken => {
            woken?;
            true
        },
        slept = context.sleep(wait) => {
            slept?;
            false
        }
    };
    if is_woken {
        record.due = 0;
        if is_dead {
            record.is_dead = false;
            record.max_attempts = attempts.count + 1;
        }
        let request = RecordRequest { record, call: None };
        records().put(Json(request)).call().await?;
    }
    Ok(is_woken)
}

fn forget_record(context: &SharedObjectContext<'_>) {
    let id = context.invocation_id();
    context
        .object_client::<ForgeRemoteRecordClient>(id)
        .forget()
        .send();
}

#[restate_sdk::object]
impl ForgeRemoteSlot {
    #[handler]
    async fn attempt(
        &self,
        context: ObjectContext<'_>,
        request: Json<TurnRequest>,
    ) -> HandlerResult<Json<AttemptOutcome>> {
        let serving = self.0.serving()?;
        let TurnRequest { call, attempts } = request.into_inner();
        let call = match call {
            TurnCall::Whole(call) => call,
            TurnCall::Recorded(job) => {
                let record = context.object_client::<ForgeRemoteRecordClient>(job);
                let call = record.recorded_call().call().await?.into_inner();
                call.ok_or_else(|| TerminalError::new("the record of the job was removed"))?
            }
        };
        let id = context.invocation_id();
        let attempt = Attempt::new(serving, id, 0, &call, &attempts);
        Ok(Json(in_two_steps!(context, attempt, group(&call))))
    }
}

#[restate_sdk::object]
impl ForgeRemotePause {
    #[handler]
    async fn pause(&self, context: ObjectContext<'_>, until: u64) -> HandlerResult<()> {
        let stored: Option<u64> = context.get(PAUSED_UNTIL).await?;
        context.set(PAUSED_UNTIL, until.max(stored.unwrap_or_default()));
        Ok(())
    }

    #[handler]
    async fn until(&self, context: SharedObjectContext<'_>) -> HandlerResult<u64> {
        Ok(context.get(PAUSED_UNTIL).await?.unwrap_or_default())
    }
}

#[restate_sdk::object]
impl ForgeRemoteRecord {
    #[handler]
    async fn put(
        &self,
        context: ObjectContext<'_>,
        request: Json<RecordRequest>,
    ) -> HandlerResult<()> {
        let RecordRequest { record, call } = request.into_inner();
        context.set(RECORD_STATE, Json(record));
        if let Some(call) = call {
            context.set(CALL_STATE, Json(call));
        }
        Ok(())
    }

    #[handler]
    async fn recorded_call(
        &self,
        context: SharedObjectContext<'_>,
    ) -> HandlerResult<Json<Option<Envelope>>> {
        let call: Option<Json<Envelope>> = context.get(CALL_STATE).await?;
        Ok(Json(call.map(Json::into_inner)))
    }

    #[handler]
    async fn forget(&self, context: ObjectContext<'_>) -> HandlerResult<()> {
        context.clear_all();
        Ok(())
    }
}

/// Returns the endpoint that Restate calls. Without `serving`, it shows its objects and runs
/// nothing.
pub(crate) fn endpoint(
    serving: Option<Arc<Serving>>,
    remember: Duration,
    keep_dead: Duration,
    identity_keys: &[String],
) -> Result<Endpoint, String> {
    let shared = Shared { serving, keep_dead };
    let options = || {
        ServiceOptions::new()
            .inactivity_timeout(INACTIVE_AFTER)
            .abort_timeout(ABORT_AFTER)
            .journal_retention(Duration::ZERO)
            .retry_policy_initial_interval(FIRST_RESTART)
            .retry_policy_exponentiation_factor(2.0)
            .retry_policy_max_interval(LAST_RESTART)
            // The end of a process is no reason to give up.
            .retry_policy_max_attempts(u64::from(u32::MAX))
    };
    let inner = || options().ingress_private(true);
    let job = ForgeRemoteJob(shared.clone()).into_service_definition();
    let turn = ForgeRemoteSlot(shared).into_service_definition();
    let pause = ForgeRemotePause.into_service_definition();
    let record = ForgeRemoteRecord.into_service_definition();
    let mut builder = Endpoint::builder()
        .bind(job.options(options().idempotency_retention(remember)))
        .bind(turn.options(inner()))
        .bind(pause.options(inner()))
        .bind(record.options(inner()));
    for key in identity_keys {
        builder = builder
            .identity_key(key)
            .map_err(|error| error.to_string())?;
    }
    Ok(builder.build())
}
