//! An app whose work is done after the response, to test `dev --once`: in a durable handler, in a job, and in spawned
//! work. `DURABLE`, `JOB` and `SPAWNED` say how that work ends: `fails`, `panics`, `waits` (for ever), `late` (in the
//! next call), `rejects` (the made-up body of the durable handler), `repeats` (a job sends itself), or anything else. With
//! `EVENT_BODY`, the durable handler has a sample body.

use std::time::Duration;

use forge_remote::jobs::{Args, Jobs, MemoryJobs};
use forge_remote::prelude::*;
use serde::Deserialize;
use tokio::sync::Notify;

/// Does the work of a place as its variable says.
async fn work(place: &str) -> Result<()> {
    let how = std::env::var(place).unwrap_or_default();
    // So that a response which is not waited for would be first.
    tokio::task::yield_now().await;
    match how.as_str() {
        "fails" => Err(format!("{place}: the disk is full").into()),
        "panics" => panic!("{place}: the index is torn"),
        "waits" => std::future::pending().await,
        "late" => {
            RELEASED.notified().await;
            ENDED.notify_one();
            Ok(())
        }
        _ => {
            println!("{place} is done");
            Ok(())
        }
    }
}

/// A later call has begun, and the late work has ended.
static RELEASED: Notify = Notify::const_new();
static ENDED: Notify = Notify::const_new();

/// A body that no sample has.
#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    number: Option<u32>,
}

// Atlassian documents no body of this event.
#[trigger(
    unknown_events = ["avi:jira:invented:thing"],
    durable(retries = 3, backoff = "1h..2h"),
    key = "index",
    endpoint = "index-end",
    path = "/index"
)]
async fn index(Event(body): Event<serde_json::Value>) -> Result<StatusCode> {
    let change = serde_json::from_value::<Change>(body);
    if std::env::var("DURABLE").as_deref() == Ok("rejects")
        && !change.is_ok_and(|change| change.number.is_some())
    {
        return Ok(StatusCode::UNPROCESSABLE_ENTITY);
    }
    work("DURABLE").await?;
    Ok(StatusCode::OK)
}

#[job(retries = 1, backoff = "1h..2h")]
async fn copy(jobs: Jobs, Args(step): Args<u32>) -> Result<()> {
    if std::env::var("JOB").as_deref() == Ok("repeats") {
        jobs.send(copy::args(step + 1)).await?;
        return Ok(());
    }
    work("JOB").await
}

#[endpoint(key = "send", path = "/send")]
async fn send(jobs: Jobs) -> Result<Json<u32>> {
    jobs.send(copy::args(1)).await?;
    Ok(Json(1))
}

#[endpoint(key = "spawn", path = "/spawn")]
async fn spawn(call: Invocation) -> Json<u32> {
    call.spawn(async { work("SPAWNED").await });
    Json(1)
}

/// Spawns work that ends after the late work of the call before.
#[endpoint(key = "spawn-next", path = "/spawn-next")]
async fn spawn_next(call: Invocation) -> Json<u32> {
    if std::env::var("SPAWNED").as_deref() == Ok("late") {
        RELEASED.notify_one();
        call.spawn(async {
            ENDED.notified().await;
            Ok(())
        });
    }
    Json(1)
}

#[tokio::main]
async fn main() -> Result<()> {
    forge_remote::testing::__sign_with_published_key();
    let mut app = App::new()
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .jobs(MemoryJobs::new());
    // Only work that never ends may exceed it: a panic's backtrace takes longer on a busy machine.
    if std::env::var("SPAWNED").as_deref() == Ok("waits") {
        app = app.shutdown_grace(Duration::from_millis(300));
    }
    // The work of the next call takes no time.
    if std::env::var("SPAWNED").as_deref() == Ok("late") {
        app = app.shutdown_grace(Duration::from_secs(3));
    }
    if std::env::var_os("EVENT_BODY").is_some() {
        app = app.sample_body("index", serde_json::json!({ "number": 7 }));
    }
    app.run().await
}
