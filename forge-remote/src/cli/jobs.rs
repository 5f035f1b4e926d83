//! The `jobs` command: lists stored jobs, runs them again, discards them.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::output::{FAILED, NEGATIVE, OK, flag, print, print_error};
use crate::app::App;
use crate::jobs::{EngineError, JobInspector, JobRecord, JobState};
use crate::token::JobSeal;

const DEFAULT_LIMIT: u32 = 50;

pub(super) fn command() -> Command {
    let ids = || {
        Arg::new("id")
            .value_name("ID")
            .help("The id of the job, from `jobs list`")
            .num_args(1..)
            .required(true)
    };
    Command::new("jobs")
        .about("List, show, retry or discard stored calls and jobs")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("list")
                .about("List the jobs that are not done, the newest first")
                .arg(
                    Arg::new("state")
                        .long("state")
                        .value_name("STATE")
                        .help("Only jobs in this state; may be repeated")
                        .action(ArgAction::Append)
                        .value_parser(JobState::ALL.map(JobState::as_str)),
                )
                .arg(
                    Arg::new("handler")
                        .long("handler")
                        .value_name("KEY")
                        .help("Only jobs of this handler"),
                )
                .arg(
                    Arg::new("limit")
                        .long("limit")
                        .value_name("N")
                        .help("The largest number of jobs (default: 50)")
                        .value_parser(value_parser!(u32).range(1..=10_000)),
                )
                .arg(flag("json", "Print JSON, for machines")),
        )
        .subcommand(
            Command::new("show")
                .about("Show one job with the error of its last run, which may contain user data")
                .arg(
                    Arg::new("id")
                        .value_name("ID")
                        .help("The id of the job, from `jobs list`")
                        .required(true),
                )
                .arg(flag("json", "Print JSON, for machines")),
        )
        .subcommand(
            Command::new("retry")
                .about("Retry dead jobs, and run waiting jobs now")
                .arg(ids()),
        )
        .subcommand(
            Command::new("discard")
                .about("Discard jobs: waiting ones do not run, dead ones are deleted")
                .arg(ids()),
        )
}

/// Runs the command, and returns its exit status.
pub(super) async fn run(app: App, options: &ArgMatches) -> i32 {
    let Some(jobs) = &app.jobs else {
        print_error(&"error: the app has no engine for jobs: give it one with `App::jobs`");
        return NEGATIVE;
    };
    let Some(inspector) = jobs.engine.inspector() else {
        let name = jobs.engine.name();
        print_error(&format!(
            "error: the engine of the app ({name}) does not show its jobs: implement `JobEngine::inspector`, or use the \
             engine's own tools"
        ));
        return NEGATIVE;
    };
    let seal = app.job_seal().ok().flatten();
    drop(app);
    let done = match options.subcommand() {
        Some(("show", options)) => show(seal.as_ref(), &*inspector, options).await,
        Some(("retry", options)) => each(options, |id| inspector.retry(id), "runs again").await,
        Some(("discard", options)) => {
            each(options, |id| inspector.discard(id), "is discarded").await
        }
        Some((_, options)) => list(&*inspector, options).await,
        None => Ok(FAILED),
    };
    done.unwrap_or_else(|error| {
        print_error(&format!("error: {error}{}", crate::error::chain(&error)));
        FAILED
    })
}

async fn list(inspector: &dyn JobInspector, options: &ArgMatches) -> Result<i32, EngineError> {
    let named: Vec<&String> = options.get_many("state").into_iter().flatten().collect();
    let is_listed = |state: &JobState| match named.is_empty() {
        true => *state != JobState::Done,
        false => named.iter().any(|name| *name == state.as_str()),
    };
    let states = JobState::ALL.into_iter().filter(is_listed).collect();
    let handler = options.get_one::<String>("handler").cloned();
    let limit = options.get_one("limit").copied().unwrap_or(DEFAULT_LIMIT);
    let jobs = inspector.list(states, handler, limit).await?;
    if options.get_flag("json") {
        let rows: Vec<Row<'_>> = jobs.iter().map(|job| Row::new(job, None)).collect();
        print(&format!(
            "{}\n",
            serde_json::to_string_pretty(&rows).unwrap_or_default()
        ));
        return Ok(OK);
    }
    if jobs.is_empty() {
        print("no jobs\n");
    }
    for job in &jobs {
        print(&format!("{}\n", line(job)));
    }
    if jobs.len() == limit as usize {
        print(&format!("(the newest {limit}; `--limit` shows more)\n"));
    }
    Ok(OK)
}

/// Returns a job as one line: `7  dead  4/4  changes-trigger  failed  Sat, 28 Nov 2026 …`.
fn line(job: &JobRecord) -> String {
    let attempts = format!("{}/{}", job.attempts, job.max_attempts);
    let reason = job.last.as_ref().map_or("-", |report| report.code.as_str());
    let (id, state, handler) = (&job.id, job.state.as_str(), &job.handler);
    let time = httpdate::fmt_http_date(job.accepted_at);
    let key = job.key_id.as_ref();
    let key = key.map_or(String::new(), |key| format!("  key {key}"));
    format!("{id:<8} {state:<9} {attempts:>6}  {handler:<28} {reason:<15} {time}{key}")
}

async fn show(
    seal: Option<&JobSeal>,
    inspector: &dyn JobInspector,
    options: &ArgMatches,
) -> Result<i32, EngineError> {
    let id = options.get_one::<String>("id").cloned().unwrap_or_default();
    let Some(job) = inspector.find(id.clone()).await? else {
        print_error(&format!(
            "error: no job has the id {id}; `jobs list` shows the ids"
        ));
        return Ok(NEGATIVE);
    };
    let error = job.last_error(seal);
    if options.get_flag("json") {
        let row = Row::new(&job, error.as_deref());
        print(&format!(
            "{}\n",
            serde_json::to_string_pretty(&row).unwrap_or_default()
        ));
        return Ok(OK);
    }
    let mut text = format!(
        "job           {}\nstate         {}\nhandler       {}\ninstallation  {}\nattempts      {} of {}\naccepted      {}\n",
        job.id,
        job.state.as_str(),
        job.handler,
        job.installation_id,
        job.attempts,
        job.max_attempts,
        httpdate::fmt_http_date(job.accepted_at),
    );
    if let Some(due) = job.due {
        text += &format!("due           {}\n", httpdate::fmt_http_date(due));
    }
    if let Some(key) = &job.key_id {
        text += &format!("key           {key}\n");
    }
    if let Some(report) = &job.last {
        text += &format!("last run      {}\n", report.code.as_str());
    }
    if let Some(error) = error {
        text += &format!(
            "error         {}\n",
            error.replace('\n', "\n              ")
        );
    }
    print(&text);
    Ok(OK)
}

/// Does something with each job that the arguments name.
async fn each<F>(
    options: &ArgMatches,
    mut act: impl FnMut(String) -> F,
    done: &str,
) -> Result<i32, EngineError>
where
    F: Future<Output = Result<bool, EngineError>>,
{
    let mut status = OK;
    for id in options.get_many::<String>("id").into_iter().flatten() {
        if act(id.clone()).await? {
            print(&format!("job {id} {done}\n"));
        } else {
            print_error(&format!(
                "error: no job with the id {id} can be changed: `jobs list` shows the ids"
            ));
            status = NEGATIVE;
        }
    }
    Ok(status)
}

/// A job as JSON; times are in milliseconds since 1970.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    id: &'a str,
    state: &'static str,
    handler: &'a str,
    installation_id: &'a str,
    attempts: u32,
    max_attempts: u32,
    accepted_at: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_run: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn new(job: &'a JobRecord, last_error: Option<&'a str>) -> Self {
        let millis = |time: SystemTime| {
            time.duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_millis()
        };
        Self {
            id: &job.id,
            state: job.state.as_str(),
            handler: &job.handler,
            installation_id: &job.installation_id,
            attempts: job.attempts,
            max_attempts: job.max_attempts,
            accepted_at: millis(job.accepted_at),
            due: job.due.map(millis),
            last_run: job.last.as_ref().map(|report| report.code.as_str()),
            last_error,
            key_id: job.key_id.as_deref(),
        }
    }
}
