//! The commands of an operator.

use std::time::Duration;

use serde_json::json;

use super::Fixture;

/// An operator lists dead jobs, reads why, runs one again and discards it.
async fn operated(fixture: Fixture) {
    let app = fixture.start().await;
    assert_eq!(app.deliver("fail-1").await, Some(202));
    assert_eq!(app.deliver("good").await, Some(202));
    fixture.until_attempts("fail-1", 4).await;
    let dead = async || {
        let (status, text) = fixture
            .run(&["jobs", "list", "--state", "dead", "--json"])
            .await;
        assert_eq!(status, 0, "{text}");
        serde_json::from_str::<Vec<serde_json::Value>>(&text).unwrap()
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let jobs = loop {
        let jobs = dead().await;
        if !jobs.is_empty() {
            break jobs;
        }
        assert!(tokio::time::Instant::now() < deadline, "it is not dead");
    };
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    assert_eq!(jobs[0]["handler"], "changes-trigger");
    assert_eq!(
        (&jobs[0]["attempts"], &jobs[0]["maxAttempts"]),
        (&json!(4), &json!(4))
    );
    assert_eq!(jobs[0]["lastRun"], "failed");
    let id = jobs[0]["id"].as_str().unwrap();
    // The list has no text of the handler's error; `show` opens it.
    assert!(!jobs[0].to_string().contains("search index"));
    let (status, text) = fixture.run(&["jobs", "show", id]).await;
    assert!(
        status == 0 && text.contains("the search index is down"),
        "{text}"
    );

    let (_, text) = fixture.run(&["doctor"]).await;
    let jobs = text
        .lines()
        .skip_while(|line| !line.starts_with("warn  jobs"));
    let jobs: Vec<&str> = jobs.take(2).collect();
    assert!(
        jobs[0].ends_with(": 0 unfinished; 1 dead") && jobs[1].contains("jobs list --state dead"),
        "{text}"
    );

    let (status, text) = fixture.run(&["jobs", "retry", id]).await;
    assert_eq!((status, text.trim()), (0, &*format!("job {id} runs again")));
    fixture
        .wait_until("one more", |fixture| fixture.count("fail-1", "start") == 5)
        .await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while dead().await.is_empty() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "it is not dead again"
        );
    }
    let (status, text) = fixture.run(&["jobs", "discard", id]).await;
    assert_eq!(
        (status, text.trim()),
        (0, &*format!("job {id} is discarded"))
    );
    assert!(dead().await.is_empty());
    let (status, text) = fixture.run(&["jobs", "retry", id, "none"]).await;
    assert!(
        status == 1 && text.contains("`jobs list` shows the ids"),
        "{text}"
    );
    app.stop().await;
}

#[tokio::test]
async fn dead_jobs_are_listed_run_again_and_discarded_on_sqlite() {
    operated(Fixture::sqlite().await).await;
}

#[tokio::test]
async fn dead_jobs_are_listed_run_again_and_discarded_on_postgresql() {
    if let Some(fixture) = Fixture::postgres().await {
        operated(fixture).await;
    }
}

#[tokio::test]
async fn a_missing_file_is_not_created_by_a_list() {
    let fixture = Fixture::sqlite().await;
    let (status, text) = fixture.run(&["jobs", "list"]).await;
    assert!(
        status != 0 && text.contains("jobs.db does not exist"),
        "{text}"
    );
    assert!(!fixture.folder.file("jobs.db").exists());
}

#[tokio::test]
async fn the_error_for_a_file_of_another_program_names_the_fix() {
    let fixture = Fixture::sqlite().await;
    let file = fixture.folder.file("jobs.db");
    std::fs::write(&file, "the notes of another program").unwrap();
    let (status, text) = fixture.run(&["jobs", "list"]).await;
    assert!(
        status != 0 && text.contains("name the file of the jobs"),
        "{text}"
    );
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "the notes of another program"
    );
}

#[tokio::test]
async fn an_empty_file_is_not_migrated_by_a_list() {
    let fixture = Fixture::sqlite().await;
    let path = fixture.folder.file("jobs.db");
    std::fs::write(&path, "").unwrap();
    for arguments in [&["jobs", "list"][..], &["jobs", "retry", "1"]] {
        let (status, text) = fixture.run(arguments).await;
        assert!(
            status != 0 && text.contains("has no current tables of jobs"),
            "{text}"
        );
    }
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    assert_eq!(std::fs::read_dir(fixture.folder.path()).unwrap().count(), 1);
}
