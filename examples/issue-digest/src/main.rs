#![doc = include_str!("../README.md")]

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use forge_remote::jobs::{Args, Attempt, JobCall, Jobs};
use forge_remote::prelude::*;
use forge_remote::schedules::Occurrence;
use forge_remote::token::SqliteTokens;
use forge_remote_river::{PostgresJobs, SqliteJobs};
use serde::{Deserialize, Serialize};

/// How the runs are reported, and how long they take.
#[derive(Clone, Debug, Default)]
struct Digest {
    report: Option<PathBuf>,
    work: Duration,
}

impl Digest {
    /// Appends a line to the report, in one write.
    fn report(&self, id: &str, attempt: &Attempt, what: &str) -> std::io::Result<()> {
        let Some(path) = &self.report else {
            return Ok(());
        };
        let line = format!("{id} {} {what}\n", attempt.number());
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(line.as_bytes())
    }
}

/// An event, with the id that the tests give it.
#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    id: String,
}

/// Digests a changed work item.
#[trigger(
    events = ["avi:jira:updated:issue"],
    path = "/events",
    durable(retries = 3, backoff = "1s..1m", timeout = "2m", per_installation = 2),
)]
async fn changes(
    attempt: Attempt,
    State(digest): State<Digest>,
    Event(change): Event<Change>,
) -> Result<()> {
    digest.report(&change.id, &attempt, "start")?;
    if change.id.starts_with("poison-") {
        tokio::time::sleep(digest.work / 2).await;
        // As a fault in a C library would.
        std::process::abort();
    }
    tokio::time::sleep(digest.work).await;
    if change.id.starts_with("fail-") {
        digest.report(&change.id, &attempt, "failed")?;
        return Err("the search index is down".into());
    }
    digest.report(&change.id, &attempt, "done")?;
    Ok(())
}

/// Sends the job that mails the daily digest, on weekdays at 7:00. The job is separate so that a failed mail
/// is retried without the rest.
#[scheduled_trigger(cron = "0 7 * * 1-5", tz = "Europe/Berlin", jitter = "10m", durable)]
async fn daily(occurrence: Occurrence, jobs: Jobs) -> Result<()> {
    let since = occurrence
        .scheduled_for()
        .duration_since(SystemTime::UNIX_EPOCH)?;
    let day = since.as_secs() / (24 * 3600);
    // This handler may run twice; `unique` sends the mail once.
    let mail = jobs.send(mail::args(Mail { day })).unique(day.to_string());
    mail.await?;
    Ok(())
}

/// A digest to be mailed.
#[derive(Deserialize, Serialize)]
struct Mail {
    /// The day, in days since 1970.
    day: u64,
}

/// Mails the digest of a day.
#[job(retries = 5, backoff = "1m..1h", per_installation = 1)]
async fn mail(Args(mail): Args<Mail>, call: JobCall) -> Result<()> {
    println!(
        "the digest of day {} for {}",
        mail.day,
        call.installation_id()
    );
    Ok(())
}

fn app() -> App {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let path = |name: &str, default: &str| variable(name).unwrap_or_else(|| default.to_owned());
    let work = variable("DIGEST_WORK_MS").and_then(|work| work.parse().ok());
    let app = App::new()
        .remote(Remote::new("digest-backend").base_url("https://digest.example.com"))
        .token_store(SqliteTokens::new(path("DIGEST_TOKENS", "digest-tokens.db")))
        .state(Digest {
            report: variable("DIGEST_OUT").map(PathBuf::from),
            work: Duration::from_millis(work.unwrap_or_default()),
        });
    match variable("DATABASE_URL") {
        Some(url) => app.jobs(PostgresJobs::new(url)),
        None => app.jobs(SqliteJobs::new(path("DIGEST_DB", "digest.db"))),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    app().run().await
}

forge_remote::test_manifest!(app());
