//! Jobs that end their process, and their neighbours.

use std::time::Duration;

use forge_remote_tests::stores::{execute_postgres, execute_sqlite};

use super::{App, Fixture, deliver, installation};

/// Leaves the jobs that are stored now one attempt.
async fn take_retries(fixture: &Fixture) {
    let once = "UPDATE river_job SET max_attempts = 1";
    match &fixture.postgres {
        Some(url) => execute_postgres(url, once).await,
        None => execute_sqlite(&fixture.folder.file("jobs.db"), once).await,
    }
}

/// The poison ends its process at each of its attempts. The attempts of its neighbours, which have no retry, are not
/// counted: each is done.
async fn contained(fixture: Fixture, poison_retries: bool) {
    // The first crash, together with the others, counts once the job has ended a process alone.
    let poison_max = if poison_retries { 4 } else { 2 };
    let neighbours: Vec<String> = (0..9).map(|number| format!("neighbour-{number}")).collect();
    let app = fixture.start().await;
    for (number, id) in (1..).zip(&neighbours) {
        let status = deliver(app.address, id, &installation(number), 0).await;
        assert_eq!(status, Some(202));
    }
    if poison_retries {
        take_retries(&fixture).await;
    }
    // It may end the process before it responds; the call is stored then, and is not repeated here.
    deliver(app.address, "poison-1", &installation(0), 0).await;
    if !poison_retries {
        take_retries(&fixture).await;
    }
    let mut running = Some(app);
    for _ in 0..20 {
        let mut app = match running.take() {
            Some(app) => app,
            None => fixture.start().await,
        };
        let ended = tokio::time::timeout(Duration::from_secs(60), async {
            let done = fixture.wait_until_done(&neighbours);
            tokio::select! {
                _ = app.child.wait() => true,
                () = done => {
                    fixture.count("poison-1", "start") < poison_max && app.child.wait().await.is_ok()
                }
            }
        });
        if !ended.await.unwrap_or(false) {
            break;
        }
    }
    let app = fixture.start().await;
    fixture.wait_until_done(&neighbours).await;
    assert_eq!(
        fixture.count("poison-1", "start"),
        poison_max,
        "{:?}",
        fixture.runs()
    );
    assert_eq!(fixture.count("poison-1", "done"), 0);
    app.stop().await;
}

#[tokio::test]
async fn a_crashing_job_costs_no_other_job_an_attempt_on_sqlite() {
    contained(Fixture::sqlite().await.with_work(400), true).await;
}

#[tokio::test]
async fn a_crashing_job_costs_no_other_job_an_attempt_on_postgresql() {
    if let Some(fixture) = Fixture::postgres().await {
        contained(fixture.with_work(400), false).await;
    }
}

/// Returns the id of the one job that runs.
async fn running_job(fixture: &Fixture) -> String {
    let arguments = ["jobs", "list", "--state", "running", "--json"];
    let (status, text) = fixture.run(&arguments).await;
    assert_eq!(status, 0, "{text}");
    let jobs: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(jobs.len(), 1, "{text}");
    jobs[0]["id"].as_str().unwrap().to_owned()
}

async fn until_started(fixture: &Fixture, id: &str, attempt: u32) {
    let run = (id.to_owned(), attempt, "start".to_owned());
    let started = |fixture: &Fixture| fixture.runs().contains(&run);
    fixture.wait_until("it starts", started).await;
}

async fn accepted(app: &App, id: &str, number: u32) {
    let status = deliver(app.address, id, &installation(number), 0).await;
    assert_eq!(status, Some(202), "{id}");
}

/// An operator discards a job that runs, and its process is killed: the job does not run again.
#[tokio::test]
async fn a_discarded_job_does_not_run_again_after_a_crash() {
    let fixture = Fixture::sqlite().await.with_work(60_000);
    let app = fixture.start().await;
    accepted(&app, "endless", 0).await;
    until_started(&fixture, "endless", 1).await;
    let id = running_job(&fixture).await;
    // SQLite does not notify the process that runs it.
    let (status, text) = fixture.run(&["jobs", "discard", &id]).await;
    assert_eq!(status, 0, "{text}");
    app.kill().await;

    let app = fixture.start().await;
    // A later job runs, and it does not.
    accepted(&app, "later", 1).await;
    until_started(&fixture, "later", 1).await;
    assert_eq!(fixture.count("endless", "start"), 1);
    let (_, text) = fixture.run(&["jobs", "show", &id]).await;
    assert!(text.contains("state         discarded"), "{text}");
    app.kill().await;
}

/// A job whose process was killed runs alone until it has completed a run. Then it runs concurrently
/// with others.
#[tokio::test]
async fn a_completed_suspect_runs_concurrently_again() {
    let fixture = Fixture::sqlite().await.with_work(4000);
    let app = fixture.start().await;
    accepted(&app, "fail-1", 0).await;
    until_started(&fixture, "fail-1", 1).await;
    app.kill().await;

    let app = fixture.start().await;
    until_started(&fixture, "fail-1", 2).await;
    accepted(&app, "waits", 1).await;
    until_started(&fixture, "waits", 1).await;
    until_started(&fixture, "fail-1", 3).await;
    accepted(&app, "together", 2).await;
    until_started(&fixture, "together", 1).await;
    app.kill().await;
    let runs = fixture.runs();
    let place = |id: &str, attempt: u32, what: &str| {
        let run = (id.to_owned(), attempt, what.to_owned());
        runs.iter().position(|one| *one == run)
    };
    let failed = place("fail-1", 2, "failed");
    assert!(
        failed.is_some() && failed < place("waits", 1, "start"),
        "{runs:?}"
    );
    let failed = place("fail-1", 3, "failed");
    assert!(
        failed.is_none() || place("together", 1, "start") < failed,
        "{runs:?}"
    );
}
