//! `doctor` shows which keys stored tokens and jobs need, so that a key is not removed too early.

use std::time::{Duration, SystemTime};

use forge_remote::jobs::{Envelope, JobEngine, KeyCount, KeyCounts};
use forge_remote::token::{PageRequest, SqliteTokens, TokenStore as _};
use forge_remote_river::{PostgresJobs, SqliteJobs};
use forge_remote_tests::stores::{Folder, KEYS, execute_postgres, postgres_url};
use forge_remote_tests::token_app::{MINUTE, ONE, ari};

use crate::doctor::{app_in, lines};
use crate::doctor_stores::{deliver, deployed, doctor, run};

const ENVIRONMENT: [(&str, &str); 3] = [
    ("SQLITE", "tokens.db"),
    ("JOBS", "jobs.db"),
    ("SYSTEM", "1"),
];

/// Runs `doctor` with these keys.
async fn doctor_with(folder: &Folder, keys: &str) -> (i32, String) {
    let keys = [("FORGE_REMOTE_TOKEN_KEY", keys)];
    doctor(folder, &[&ENVIRONMENT[..], &keys].concat()).await
}

/// A deployment with a token and a delayed job under the first key.
async fn sealed() -> Folder {
    let folder = deployed(&ENVIRONMENT).await;
    deliver(&folder, ONE, MINUTE, KEYS[0]).await;
    let tokens = SqliteTokens::new(folder.file("tokens.db"));
    tokens.open().await.unwrap();
    let stored = tokens.list(PageRequest::first(10)).await.unwrap().tokens;
    let jobs = SqliteJobs::new(folder.file("jobs.db"));
    jobs.open().await.unwrap();
    // Tokens and jobs are sealed in one format, which begins with the key's id.
    let mut envelope = Envelope::new("key", "index-trigger", ari(ONE), stored[0].sealed.clone());
    envelope.accepted_at = SystemTime::now();
    envelope.not_before = Some(SystemTime::now() + Duration::from_secs(30 * 24 * 3600));
    assert_eq!(envelope.key_id().unwrap().len(), 16);
    jobs.accept(envelope).await.unwrap();
    folder
}

#[tokio::test]
async fn each_key_is_shown_with_the_tokens_and_jobs_that_need_it() {
    let folder = sealed().await;
    let (status, text) = doctor_with(&folder, &format!("{},{}", KEYS[1], KEYS[0])).await;
    let (line, _) = lines(&text, "token keys");
    assert!(line.starts_with("ok  "), "{text}");
    let [new, old] = line.split("; ").collect::<Vec<_>>()[..] else {
        panic!("{text}");
    };
    assert!(new.contains("key 1 ("), "{text}");
    assert!(
        new.ends_with(") seals, and is needed by no token and no job"),
        "{text}"
    );
    assert!(old.starts_with("key 2 ("), "{text}");
    assert!(old.ends_with(") is needed by 1 token and 1 job"), "{text}");
    assert_eq!(status, 0, "{text}");
    // A single key that opens everything needs no line.
    let (_, text) = doctor_with(&folder, KEYS[0]).await;
    assert!(!text.contains("token keys"), "{text}");
}

/// A key that is still needed must not look free because a store or an engine could not be read.
#[tokio::test]
async fn a_store_that_was_not_read_makes_the_keys_unknown() {
    const DOWN: &str = "postgres://nobody@127.0.0.1:1/none";
    let folder = sealed().await;
    let keys = format!("{},{}", KEYS[1], KEYS[0]);
    let check = async |environment: &[(&str, &str)], counted: &str, unknown: &str| {
        let system = [("SYSTEM", "1"), ("FORGE_REMOTE_TOKEN_KEY", &*keys)];
        let (_, text) = doctor(&folder, &[environment, &system].concat()).await;
        let (line, fix) = lines(&text, "token keys");
        assert!(line.starts_with("?   "), "{text}");
        let parts: Vec<&str> = line.split("; ").collect();
        assert!(
            parts[1].ends_with(&format!(" is needed by {counted}")),
            "{text}"
        );
        assert!(
            parts[2].starts_with(unknown) && parts[2].ends_with("was not read"),
            "{text}"
        );
        let (one, _) = unknown.split_once("s: ").unwrap();
        assert!(!line.contains(&format!("no {one}")), "{text}");
        assert!(fix.contains("keep every key"), "{text}");
    };
    let (tokens, jobs) = (ENVIRONMENT[0], ENVIRONMENT[1]);
    // The server is down, and the file was never created.
    for other in [DOWN, "other.db"] {
        check(&[tokens, ("JOBS", other)], "1 token", "jobs: ").await;
    }
    for other in [("POSTGRES", DOWN), ("SQLITE", "other.db")] {
        check(&[other, jobs], "1 job", "tokens: ").await;
    }
    // The store passes its checks, and cannot be listed.
    let damage = "ALTER TABLE forge_remote_tokens RENAME COLUMN sealed TO other";
    run(&folder, "tokens.db", damage).await;
    check(&[tokens, jobs], "1 job", "tokens: ").await;

    // Neither was read.
    let environment = [
        ("POSTGRES", DOWN),
        ("JOBS", DOWN),
        ("FORGE_REMOTE_TOKEN_KEY", &keys),
    ];
    let (_, text) = doctor(&folder, &environment).await;
    let (line, _) = lines(&text, "token keys");
    assert!(
        line.starts_with("?   ") && !line.contains("is needed by"),
        "{text}"
    );
}

#[tokio::test]
async fn an_app_that_stores_nothing_has_no_line_of_its_keys() {
    let folder = deployed(&[]).await;
    let keys = format!("{},{}", KEYS[1], KEYS[0]);
    let (status, text) = doctor(&folder, &[("FORGE_REMOTE_TOKEN_KEY", &keys)]).await;
    assert!(!text.contains("token keys"), "{text}");
    assert_eq!(status, 0, "{text}");
}

/// Tokens are delivered again, but a job's contents are lost with its key.
#[tokio::test]
async fn a_job_whose_key_was_removed_fails() {
    let folder = sealed().await;
    let (status, text) = doctor_with(&folder, KEYS[1]).await;
    let (line, fix) = lines(&text, "token keys");
    assert!(
        line.starts_with("FAIL") && line.contains("1 job under "),
        "{text}"
    );
    assert!(
        fix.contains("append these keys to FORGE_REMOTE_TOKEN_KEY"),
        "{text}"
    );
    assert_eq!(status, 1, "{text}");
}

/// A dead job needs its key only to be retried, so it fails no deployment.
#[tokio::test]
async fn a_dead_job_whose_key_was_removed_is_a_warning() {
    let folder = sealed().await;
    let dead = "UPDATE river_job SET state = 'discarded', finalized_at = CURRENT_TIMESTAMP";
    run(&folder, "jobs.db", dead).await;
    let (_, text) = doctor_with(&folder, KEYS[1]).await;
    let (line, fix) = lines(&text, "token keys");
    let (line, id) = line.rsplit_once(" under ").unwrap();
    assert!(
        line.starts_with("warn") && line.ends_with(": 1 dead job"),
        "{text}"
    );
    assert!(fix.contains("`jobs list --state dead`"), "{text}");
    // The commands show the job's key.
    for command in [
        &["jobs", "list", "--state", "dead"][..],
        &["jobs", "show", "1"],
    ] {
        let output = app_in(&folder, command).envs(ENVIRONMENT).output().await;
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        assert!(text.contains(&format!("{id}\n")), "{text}");
    }

    let (status, text) = doctor_with(&folder, &format!("{},{}", KEYS[1], KEYS[0])).await;
    let (line, _) = lines(&text, "token keys");
    let needed = " is needed by 1 token and 1 dead job";
    assert!(line.starts_with("ok  ") && line.ends_with(needed), "{text}");
    assert_eq!(status, 0, "{text}");
}

/// Stores two jobs under one key, one under another, and one that no app has sealed.
async fn stored(jobs: &impl JobEngine) {
    jobs.open().await.unwrap();
    for (at, first) in [7, 7, 9].into_iter().enumerate() {
        // The format, the key's id, and the rest.
        let sealed = [1, first].into_iter().chain([0; 40]).collect();
        let envelope = Envelope::new(format!("key-{at}"), "index-trigger", ari(ONE), sealed);
        jobs.accept(envelope).await.unwrap();
    }
    let unsealed = Envelope::new("unsealed", "index-trigger", ari(ONE), vec![0; 3]);
    jobs.accept(unsealed).await.unwrap();
}

#[tokio::test]
async fn each_database_counts_the_jobs_of_a_key() {
    let expected: KeyCounts = [("0700000000000000", 1, 1), ("0900000000000000", 1, 0)]
        .map(|(id, unfinished, dead)| {
            let mut count = KeyCount::default();
            (count.unfinished, count.dead) = (unfinished, dead);
            (id.to_owned(), count)
        })
        .into();
    let folder = Folder::default();
    const DEAD: &str =
        "UPDATE river_job SET state = 'discarded', finalized_at = CURRENT_TIMESTAMP WHERE id = 1";
    let jobs = SqliteJobs::new(folder.file("jobs.db"));
    stored(&jobs).await;
    run(&folder, "jobs.db", DEAD).await;
    assert_eq!(jobs.key_counts().await.unwrap().unwrap(), expected);
    if let Some(url) = postgres_url().await {
        let jobs = PostgresJobs::new(&url);
        stored(&jobs).await;
        execute_postgres(&url, DEAD).await;
        assert_eq!(jobs.key_counts().await.unwrap().unwrap(), expected);
    }
}
