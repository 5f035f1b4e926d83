//! Every token store passes the same suite, with corrupt rows, key checks and concurrent writers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use forge_remote::testing::token_store_conformance;
use forge_remote::token::{
    OpenError, PageRequest, PostgresTokens, RedisTokens, SealedToken, SqliteTokens, TokenStore,
    Tokens,
};
use forge_remote_tests::store_servers::redis_command;
use forge_remote_tests::stores::{
    Folder, KEYS, TestStore, in_seconds, installation, postgres_url, redis_url, sealed, test_stores,
};
use forge_remote_tests::test_app::eventually;
use sqlx::{AssertSqlSafe, Executor as _};

async fn get(store: &dyn TokenStore, at: usize) -> Option<SealedToken> {
    store.get(&installation(at)).await.unwrap()
}

async fn all(store: &dyn TokenStore, limit: u32, ends_before: Option<SystemTime>) -> Vec<String> {
    let mut page = PageRequest {
        ends_before,
        ..PageRequest::first(limit)
    };
    let mut ids = Vec::new();
    loop {
        let listed = store.list(page.clone()).await.unwrap();
        assert!(listed.tokens.len() <= limit as usize);
        ids.extend(listed.tokens.into_iter().map(|token| token.installation_id));
        match listed.next {
            Some(next) => page.after = Some(next),
            None => return ids,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_store_fulfils_the_traits_contract() {
    for test_store in test_stores().await {
        let checked = token_store_conformance(test_store.connect().into()).await;
        checked.unwrap_or_else(|error| panic!("{test_store:?}: {error:?}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn instances_may_open_at_once() {
    for test_store in test_stores().await {
        let test_store: Arc<TestStore> = Arc::new(test_store);
        let opening: Vec<_> = (0..12)
            .map(|at| {
                let test_store = Arc::clone(&test_store);
                tokio::spawn(async move {
                    let store = test_store.open().await;
                    store.put(vec![sealed(at, in_seconds(100))]).await.unwrap();
                })
            })
            .collect();
        for opened in opening {
            opened.await.unwrap();
        }
        let store = test_store.open().await;
        assert_eq!(all(&*store, 100, None).await.len(), 12, "{test_store:?}");
    }
}

/// Two instances with different keys cannot both start on an empty store.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn instances_with_different_keys_do_not_start_on_one_store() {
    let open = async |test_store: &TestStore, keys: String| {
        let opened = Tokens::new(test_store.connect()).keys(keys).open().await;
        match opened {
            Ok(()) => true,
            Err(OpenError::OtherKey { .. }) => false,
            Err(error) => panic!("{test_store:?}: {error:?}"),
        }
    };
    let [one, other] = KEYS.map(str::to_owned);
    let rotating = [format!("{one},{other}"), format!("{other},{one}")];
    for test_store in test_stores().await {
        let test_store = Arc::new(test_store);
        // Concurrently: only the instances with the first one's key start.
        let opening: Vec<_> = (0..12)
            .map(|at| {
                let (test_store, keys) = (Arc::clone(&test_store), KEYS[at % 2].to_owned());
                tokio::spawn(async move {
                    let tokens = Tokens::new(test_store.connect()).keys(keys);
                    (at % 2, tokens.open().await.is_ok())
                })
            })
            .collect();
        let mut started = [0, 0];
        for opened in opening {
            let (key, is_open) = opened.await.unwrap();
            started[key] += u32::from(is_open);
        }
        assert!(
            started == [6, 0] || started == [0, 6],
            "{test_store:?}: {started:?}"
        );
        let (old, new) = if started[0] > 0 {
            (&one, &other)
        } else {
            (&other, &one)
        };
        let (before, after) = if started[0] > 0 {
            (&rotating[0], &rotating[1])
        } else {
            (&rotating[1], &rotating[0])
        };

        // The key settings `old`, then `old,new`, then `new,old`, then `new`.
        assert!(!open(&test_store, new.clone()).await, "{test_store:?}");
        assert!(open(&test_store, before.clone()).await, "{test_store:?}");
        assert!(open(&test_store, old.clone()).await, "{test_store:?}");
        assert!(!open(&test_store, new.clone()).await, "{test_store:?}");
        assert!(open(&test_store, after.clone()).await, "{test_store:?}");
        assert!(!open(&test_store, old.clone()).await, "{test_store:?}");
        assert!(open(&test_store, new.clone()).await, "{test_store:?}");

        // A corrupt record matches no key.
        let store = test_store.open().await;
        let record = store
            .compare_and_swap_key_check(None, Vec::new())
            .await
            .unwrap();
        store
            .compare_and_swap_key_check(Some(record), b"?".to_vec())
            .await
            .unwrap();
        assert!(open(&test_store, new.clone()).await, "{test_store:?}");
        assert!(!open(&test_store, old.clone()).await, "{test_store:?}");
    }
}

/// Checks that a corrupt row is skipped in listings, is an error when read, and is overwritten by
/// the next token.
async fn corrupt_rows_are_skipped(store: &dyn TokenStore, bad: &[usize]) {
    let ids = all(store, 3, None).await;
    let expected: Vec<_> = (0..10)
        .filter(|at| !bad.contains(at))
        .map(installation)
        .collect();
    assert_eq!(ids, expected);
    assert_eq!(
        store.find_by_site("everywhere").await.unwrap().len(),
        expected.len()
    );
    for &at in bad {
        let error = store.get(&installation(at)).await.unwrap_err().to_string();
        assert!(
            error.contains(&installation(at)) && error.contains("cannot be read"),
            "{error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }
    let tokens: Vec<_> = (0..10).map(|at| sealed(at, in_seconds(2000))).collect();
    store.put(tokens.clone()).await.unwrap();
    assert!(store.list(PageRequest::first(10)).await.unwrap().tokens == tokens);
    assert_eq!(store.find_by_site("everywhere").await.unwrap().len(), 10);
}

fn ten() -> Vec<SealedToken> {
    (0..10).map(|at| sealed(at, in_seconds(1000))).collect()
}

#[tokio::test]
async fn corrupt_rows_in_sqlite_affect_no_other() {
    let folder = Folder::default();
    let store = SqliteTokens::new(folder.file("tokens.db"));
    store.open().await.unwrap();
    store.put(ten()).await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.file("tokens.db"));
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    for (at, change) in [(2, "expires_at = 'hunter2'"), (3, "expires_at = x'00'")] {
        let id = installation(at);
        let update =
            format!("UPDATE forge_remote_tokens SET {change} WHERE installation_id = '{id}'");
        pool.execute(AssertSqlSafe(update)).await.unwrap();
    }
    corrupt_rows_are_skipped(&store, &[2, 3]).await;
}

#[tokio::test]
async fn corrupt_rows_in_postgresql_affect_no_other() {
    let Some(url) = postgres_url().await else {
        return;
    };
    let store = PostgresTokens::new(&url);
    store.open().await.unwrap();
    store.put(ten()).await.unwrap();
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let free = "ALTER TABLE forge_remote_tokens ALTER sealed DROP NOT NULL";
    pool.execute(free).await.unwrap();
    for (at, change) in [
        (2, "sealed = NULL"),
        (9, "cloud_ids = ARRAY['everywhere', NULL]"),
    ] {
        let id = installation(at);
        let update =
            format!("UPDATE forge_remote_tokens SET {change} WHERE installation_id = '{id}'");
        pool.execute(AssertSqlSafe(update)).await.unwrap();
    }
    corrupt_rows_are_skipped(&store, &[2, 9]).await;
}

#[tokio::test]
async fn corrupt_rows_in_redis_affect_no_other() {
    let Some((url, prefix)) = redis_url() else {
        return;
    };
    let store = RedisTokens::new(&url).prefix(&prefix);
    store.open().await.unwrap();
    store.put(ten()).await.unwrap();
    let key = |at| format!("{prefix}:token:{}", installation(at));
    redis_command(&url, &["HSET", &key(2), "expires_at", "hunter2"]);
    redis_command(&url, &["SET", &key(3), "hunter2"]);
    redis_command(&url, &["HDEL", &key(4), "sealed"]);
    redis_command(&url, &["SET", &format!("{prefix}:site:cloud-4"), "hunter2"]);
    corrupt_rows_are_skipped(&store, &[2, 3, 4]).await;
    assert_eq!(store.find_by_site("cloud-4").await.unwrap().len(), 2);
}

/// A role that cannot create tables works with existing ones and the documented privileges.
#[tokio::test]
async fn a_postgresql_role_with_few_rights_is_enough() {
    let Some(url) = postgres_url().await else {
        return;
    };
    let owner = sqlx::PgPool::connect(&url).await.unwrap();
    let (schema,): (String,) = sqlx::query_as("SELECT current_schema()::TEXT")
        .fetch_one(&owner)
        .await
        .unwrap();
    let role = format!("role_{schema}");
    let run = async |statement: &str| {
        let statement = AssertSqlSafe(statement.to_owned());
        owner.execute(statement).await.unwrap();
    };
    run(&format!("CREATE ROLE {role} LOGIN")).await;
    run(&format!("GRANT USAGE ON SCHEMA {schema} TO {role}")).await;
    let store = || PostgresTokens::new(url.replacen("test@", &format!("{role}@"), 1));

    let error = store().open().await.unwrap_err().to_string();
    assert!(
        error.contains("CREATE on the schema")
            && error.contains("documentation of `PostgresTokens`"),
        "{error}"
    );
    run(&PostgresTokens::schema()).await;
    let error = store().open().await.unwrap_err().to_string();
    assert!(error.contains("lacks a permission"), "{error}");

    // The documented statements.
    run(&format!("GRANT SELECT ON forge_remote_schema TO {role}")).await;
    run(&format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON forge_remote_tokens TO {role}"
    ))
    .await;
    Tokens::new(store()).keys(KEYS[0]).open().await.unwrap();
    let store = store();
    for ends in [100, 200] {
        store.put(vec![sealed(1, in_seconds(ends))]).await.unwrap();
    }
    assert_eq!(all(&store, 10, None).await.len(), 1);
    store.purge(in_seconds(150)).await.unwrap();
    let there = get(&store, 1).await.unwrap();
    assert!(
        store
            .remove_if(&installation(1), there.sealed)
            .await
            .unwrap()
    );
    assert!(all(&store, 10, None).await.is_empty());
    run(&format!("DROP OWNED BY {role}")).await;
    run(&format!("DROP ROLE {role}")).await;
}

/// A write that waits for a lock fails before its caller gives up, so that nothing is written later.
#[tokio::test]
async fn a_postgresql_write_that_times_out_is_not_done_later() {
    let Some(url) = postgres_url().await else {
        return;
    };
    let store = PostgresTokens::new(&url);
    store.open().await.unwrap();
    let (old, new) = (sealed(1, in_seconds(100)), sealed(1, in_seconds(200)));
    store.put(vec![old.clone()]).await.unwrap();
    let other = sqlx::PgPool::connect(&url).await.unwrap();
    let mut transaction = other.begin().await.unwrap();
    let lock = "SELECT 1 FROM forge_remote_tokens FOR UPDATE";
    transaction.execute(lock).await.unwrap();
    // The keeper waits for 10 seconds.
    let put = tokio::time::timeout(Duration::from_secs(9), store.put(vec![new])).await;
    let error = put.unwrap().unwrap_err().to_string();
    assert!(error.contains("another client locks its rows"), "{error}");
    transaction.rollback().await.unwrap();
    assert!(get(&store, 1).await == Some(old));
}

/// A write that waits for another one succeeds, regardless of the database's default isolation level.
#[tokio::test]
async fn a_postgresql_write_sees_what_it_waited_for() {
    let Some(url) = postgres_url().await else {
        return;
    };
    let strict = format!("{url}&options[default_transaction_isolation]=serializable");
    let store = PostgresTokens::new(&strict);
    store.open().await.unwrap();
    let (old, new) = (sealed(1, in_seconds(100)), sealed(1, in_seconds(200)));
    store.put(vec![old]).await.unwrap();
    let other = sqlx::PgPool::connect(&url).await.unwrap();
    let mut transaction = other.begin().await.unwrap();
    let update = "UPDATE forge_remote_tokens SET expires_at = expires_at + 1";
    transaction.execute(update).await.unwrap();
    let put = tokio::spawn(store.put(vec![new.clone()]));
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))";
    while sqlx::query_scalar::<_, i64>(waiting)
        .fetch_one(&mut *transaction)
        .await
        .unwrap()
        == 0
    {
        assert!(!put.is_finished(), "the write does not wait");
    }
    transaction.commit().await.unwrap();
    put.await.unwrap().unwrap();
    assert!(get(&store, 1).await == Some(new));
}

/// The app may have the file open. The system drops all of a process's locks on a file when the
/// process closes any handle of it, and then two may write at once.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn opening_an_sqlite_file_leaves_the_apps_locks_on_it() {
    let folder = Folder::default();
    let file = folder.file("app.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&file)
        .create_if_missing(true);
    let app = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let mut transaction = app.begin_with("BEGIN EXCLUSIVE").await.unwrap();
    transaction
        .execute("CREATE TABLE of_the_app (x)")
        .await
        .unwrap();
    let locks = || {
        let inode = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&file).unwrap());
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        let ours = format!(":{inode} ");
        locks.lines().filter(|line| line.contains(&ours)).count()
    };
    let before = locks();
    assert!(before > 0);
    let store = SqliteTokens::new(&file);
    let mut opening = store.open();
    // As far as it gets without waiting.
    tokio::select! {
        biased;
        _ = &mut opening => panic!("the app holds the file"),
        () = std::future::ready(()) => {}
    }
    // Linux may leave out a line while other locks change.
    assert!(eventually(|| locks() == before).await);
    transaction.commit().await.unwrap();
    opening.await.unwrap();
    let tables = "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table'";
    let (tables,): (i64,) = sqlx::query_as(tables).fetch_one(&app).await.unwrap();
    assert_eq!(tables, 4);
}

/// Returns shuffled numbers, the same for each seed.
fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut state = seed;
    let mut keyed: Vec<(u64, usize)> = (0..count)
        .map(|at| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(seed | 1);
            (state >> 20, at)
        })
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, at)| at).collect()
}

/// 4 writers, each with its own connection, write 4 tokens for each of 1,000 installations, in
/// random order and random batches.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_installations_end_with_the_newest_token() {
    const INSTALLATIONS: usize = 1000;
    const WRITERS: usize = 4;
    const EACH: usize = 4;
    for test_store in test_stores().await {
        let base = in_seconds(1000);
        let end = move |version: usize| base + Duration::from_secs(version as u64);
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let store = test_store.open().await;
            writers.push(tokio::spawn(async move {
                let order = shuffled(INSTALLATIONS * EACH, writer as u64 + 1);
                for (turn, batch) in order.chunks(97).enumerate() {
                    let tokens = batch.iter().map(|number| {
                        let (at, version) = (number / EACH, number % EACH);
                        sealed(at, end(version * WRITERS + (writer + at) % WRITERS))
                    });
                    if turn % 3 == 0 {
                        for token in tokens {
                            store.put(vec![token]).await.unwrap();
                        }
                    } else {
                        store.put(tokens.collect()).await.unwrap();
                    }
                }
            }));
        }
        for writer in writers {
            writer.await.unwrap();
        }
        let store = test_store.open().await;
        let newest = end(WRITERS * EACH - 1);
        let mut stored = BTreeMap::new();
        let mut page = PageRequest::first(300);
        loop {
            let listed = store.list(page.clone()).await.unwrap();
            for token in listed.tokens {
                stored.insert(token.installation_id.clone(), token);
            }
            match listed.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        assert_eq!(stored.len(), INSTALLATIONS, "{test_store:?}");
        for at in 0..INSTALLATIONS {
            let expected = sealed(at, newest);
            assert!(
                stored[&expected.installation_id] == expected,
                "{test_store:?}: {at}"
            );
        }
    }
}
