//! The checks of `doctor` on the token store and the job engine: their own reports, and their contents.
//! Nothing is created, migrated or written.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::key_use::{KeyUse, KeyUsers};
use super::line::{Line, Minutes};
use super::schedules::{Schedules, Seen};
use crate::app::App;
use crate::diagnostic::{Check, CheckState, Diagnostic};
use crate::error::chain;
use crate::fit::BoxFuture;
use crate::jobs::{EngineError, JobEngine, JobState, KeyCount};
use crate::token::{Group, Survey, SurveyError, Tokens, configured_key_ids};

/// How much longer than a single response the list of all tokens may take.
const SURVEY_FACTOR: u32 = 6;
/// The number of jobs that are listed where the engine does not count them.
const MAX_LISTED: u32 = 1000;

/// The stored data of an app, and the schedules that are visible in it.
pub(super) struct Stored {
    tokens: Option<Tokens>,
    engine: Option<Arc<dyn JobEngine>>,
    /// Why the engine's jobs cannot be sealed.
    unsealed: Option<Diagnostic>,
    /// The ids of the keys of tokens and jobs, the sealing one first.
    key_ids: Vec<String>,
    schedules: Schedules,
}

impl Stored {
    pub(super) fn of(app: &App) -> Self {
        if let (Some(tokens), Ok(ids)) = (&app.token_store, app.settings().app_ids()) {
            tokens.belong_to(&ids, app.verification.accepted_environments());
        }
        let engine = app.jobs.as_ref().map(|jobs| Arc::clone(&jobs.engine));
        let unsealed = app.job_seal().err().map(|problem| *problem);
        Self {
            tokens: app.token_store.clone(),
            key_ids: configured_key_ids(app.token_store.as_ref()),
            unsealed: unsealed.filter(|_| engine.is_some()),
            engine,
            schedules: Schedules::of(app),
        }
    }

    /// Runs the checks. `timeout` is that of each one.
    pub(super) async fn checked(self, timeout: Duration) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut seen = Seen::default();
        let tokens = self.tokens.as_ref().filter(|one| one.are_stored());
        let engine = self.engine.as_deref().filter(|one| are_stored(*one));
        let mut keys = KeyUse::unread(tokens.map(Tokens::store_name), engine.map(JobEngine::name));
        if let Some(tokens) = &self.tokens {
            lines.extend(check_tokens(tokens, timeout, &mut seen, &mut keys).await);
        }
        if let Some(engine) = &self.engine {
            match self.unsealed {
                Some(problem) => {
                    let fix = problem.help.unwrap_or_default();
                    lines.push(Line::failed("jobs", problem.message, fix));
                }
                None => {
                    lines.extend(check_jobs(&**engine, timeout, &mut seen, &mut keys).await);
                }
            }
        }
        lines.extend(keys.checked(&self.key_ids));
        lines.extend(self.schedules.checked(&seen, SystemTime::now()));
        lines
    }
}

/// Returns the report of a store or an engine, and whether it can be read without changing it.
async fn own_checks(
    name: &str,
    timeout: Duration,
    checks: BoxFuture<Vec<Check>>,
) -> (Vec<Line>, bool) {
    let checks = tokio::time::timeout(timeout, checks).await;
    let checks = checks.unwrap_or_else(|_| vec![silent("store", name, timeout)]);
    let prevents = |check: &Check| matches!(check.state, CheckState::Failed | CheckState::Pending);
    let is_readable = !checks.iter().any(prevents);
    (checks.into_iter().map(Line::from).collect(), is_readable)
}

/// Returns the check of a store that did not respond in time.
fn silent(check: &'static str, name: &str, timeout: Duration) -> Check {
    let detail = format!("{name}: no response within {timeout:?}");
    let fix = "start it, or correct its address; if it is slow, allow more time with `--timeout`";
    Check::failed(check, detail, fix)
}

async fn check_tokens(
    tokens: &Tokens,
    timeout: Duration,
    seen: &mut Seen,
    keys: &mut KeyUse,
) -> Vec<Line> {
    let name = tokens.store_name();
    if !tokens.are_stored() {
        let detail = format!("they are in the memory of the running app ({name})");
        let fix = "the metrics `forge_remote.tokens.*` show them; to keep them across restarts, use a store";
        return vec![Line::unknown("tokens", detail, fix)];
    }
    let store = tokens.clone();
    let checks = Box::pin(async move { store.store_checks().await });
    let (mut lines, is_readable) = own_checks(&name, timeout, checks).await;
    if !is_readable {
        return lines;
    }
    let timeout = timeout * SURVEY_FACTOR;
    let Ok(survey) = tokio::time::timeout(timeout, tokens.survey()).await else {
        lines.push(silent("tokens", &name, timeout).into());
        return lines;
    };
    lines.push(match survey {
        Ok(survey) => {
            seen.newest_token = survey.issued.map(|(_, newest)| newest);
            let line = describe(&survey, SystemTime::now());
            let counts = survey.sealed_under.into_iter();
            let counts = counts.map(|(id, tokens)| {
                let count = KeyCount {
                    unfinished: tokens,
                    dead: 0,
                };
                (id, count)
            });
            keys.tokens = KeyUsers::Counted(counts.collect());
            line
        }
        Err(SurveyError::Keys(error)) => {
            let fix = "set FORGE_REMOTE_TOKEN_KEY as in the environment of the app";
            Line::failed("tokens", format!("{error}{}", chain(&error)), fix)
        }
        // A store that reports nothing of itself may have to be opened first, and opening writes.
        Err(error) if lines.is_empty() => Line::unknown(
            "tokens",
            format!("{name}: {error}{}", chain(&error)),
            "let `TokenStore::checks` of this store connect, so that `list` works after it",
        ),
        Err(error) => {
            let fix = "start the store, or correct its URL or its permissions";
            Line::failed("tokens", format!("{name}: {error}{}", chain(&error)), fix)
        }
    });
    lines
}

/// Returns the line of the stored tokens.
fn describe(survey: &Survey, now: SystemTime) -> Line {
    let Survey {
        installations,
        expired,
        rejected,
        shut,
        ..
    } = survey;
    if *installations == 0 {
        let fix =
            "nothing, if the app is not installed yet; otherwise see `App::keep_tokens_fresh`";
        return Line::warning("tokens", "no installation has a token", fix);
    }
    let plural = if *installations == 1 { "" } else { "s" };
    let mut detail = format!("{installations} installation{plural}");
    if let Some((oldest, _)) = survey.issued {
        detail += &format!(
            "; the oldest valid token is {} old",
            Minutes::since(oldest, now)
        );
    } else if survey.next_expiry.is_some() {
        detail += "; the tokens do not say how old they are";
    }
    if let Some(next) = survey.next_expiry {
        let left = Minutes(next.duration_since(now).unwrap_or_default());
        detail += &format!("; the next one expires in {left}");
    }
    let findings = [
        (shut, "sealed under another key or changed"),
        (expired, "expired"),
        (rejected, "rejected by Atlassian"),
    ];
    for (group, what) in findings {
        if group.count > 0 {
            detail += &format!("; {} {what}: {}", group.count, Named(group));
        }
    }
    if shut.count > 0 {
        let fix = "append the key that sealed them to FORGE_REMOTE_TOKEN_KEY after a comma; if it is lost, empty the \
            store: Forge delivers new tokens with its hourly calls";
        return Line::failed("tokens", detail, fix);
    }
    if expired.count > 0 {
        let fix = "check that Forge's calls with tokens reach the app, hourly with `App::keep_tokens_fresh`; an \
            installation whose removal was not delivered stays until it is purged";
        return Line::warning("tokens", detail, fix);
    }
    if rejected.count > 0 {
        let fix = "wait for the next hourly call, which delivers a new token; if the warning remains, compare the \
                   scopes";
        return Line::warning("tokens", detail, fix);
    }
    Line::passed("tokens", detail)
}

/// Returns whether an engine's jobs are on disk or a server.
fn are_stored(engine: &dyn JobEngine) -> bool {
    engine.guarantees().outlives_process
}

async fn check_jobs(
    engine: &dyn JobEngine,
    timeout: Duration,
    seen: &mut Seen,
    keys: &mut KeyUse,
) -> Vec<Line> {
    let name = engine.name();
    if !are_stored(engine) {
        let detail = format!("they are in the memory of the running app ({name})");
        let fix = "the metrics `forge_remote.jobs.*` show them; to keep them across restarts, use an engine with a store";
        return vec![Line::unknown("jobs", detail, fix)];
    }
    let (mut lines, is_readable) = own_checks(&name, timeout, engine.checks()).await;
    if !is_readable {
        return lines;
    }
    let jobs = tokio::time::timeout(timeout, jobs(engine)).await;
    lines.push(jobs.unwrap_or_else(|_| silent("jobs", &name, timeout).into()));
    let needed = tokio::time::timeout(timeout * SURVEY_FACTOR, engine.key_counts()).await;
    keys.jobs = match needed {
        Ok(Ok(Some(counts))) => KeyUsers::Counted(counts),
        Ok(Ok(None)) => KeyUsers::Unknown(format!("{name} does not show them")),
        Ok(Err(error)) => KeyUsers::Unknown(format!("{name}: {error}{}", chain(&error))),
        Err(_) => KeyUsers::Unknown(format!("{name}: no response in time")),
    };
    if let Ok(Ok(last)) = tokio::time::timeout(timeout, engine.last_accepted()).await {
        seen.accepted = last;
    }
    lines
}

/// Looks at the stored jobs.
async fn jobs(engine: &dyn JobEngine) -> Line {
    let name = engine.name();
    let counted = match engine.counts().await {
        Ok(Some(counts)) => Ok(Some((counts.pending, counts.dead, counts.oldest_due, ""))),
        Ok(None) => listed(engine).await,
        Err(error) => Err(error),
    };
    let (pending, dead, oldest, at_least) = match counted {
        Ok(Some(counted)) => counted,
        Ok(None) => {
            let fix = "let `JobEngine::counts` of this engine count them";
            return Line::unknown("jobs", format!("{name} does not count them"), fix);
        }
        Err(error) => {
            let detail = format!("{name}: {error}{}", chain(&error));
            return Line::failed("jobs", detail, "see the cause above");
        }
    };
    let late = oldest.and_then(|oldest| oldest.elapsed().ok()).map(Minutes);
    let late = late.map_or(String::new(), |late| {
        format!(", the oldest is due for {late}")
    });
    let detail = format!("{name}: {at_least}{pending} unfinished{late}; {at_least}{dead} dead");
    match dead {
        0 => Line::passed("jobs", detail),
        _ => Line::warning("jobs", detail, "`jobs list --state dead` lists them"),
    }
}

/// Unfinished and dead jobs, when the oldest is due, and `at least ` if there may be more.
type Counted = (u64, u64, Option<SystemTime>, &'static str);

/// Counts the jobs that the engine lists; `None` if it lists none.
async fn listed(engine: &dyn JobEngine) -> Result<Option<Counted>, EngineError> {
    let Some(inspector) = engine.inspector() else {
        return Ok(None);
    };
    let unfinished = vec![JobState::Waiting, JobState::Running];
    let unfinished = inspector.list(unfinished, None, MAX_LISTED).await?;
    let dead = inspector
        .list(vec![JobState::Dead], None, MAX_LISTED)
        .await?;
    let is_cut = [&unfinished, &dead]
        .iter()
        .any(|jobs| jobs.len() >= MAX_LISTED as usize);
    let oldest = unfinished.iter().filter_map(|job| job.due).min();
    let at_least = if is_cut { "at least " } else { "" };
    Ok(Some((
        unfinished.len() as u64,
        dead.len() as u64,
        oldest,
        at_least,
    )))
}

/// The first installations of a group.
struct Named<'a>(&'a Group);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Group { count, named } = self.0;
        f.write_str(&named.join(", "))?;
        match count.saturating_sub(named.len() as u64) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
