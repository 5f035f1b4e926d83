//! One suite over every store of tokens.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use forge_remote::testing::token_store_conformance;
use forge_remote::token::{
    OpenError, PageRequest, PostgresTokens, RedisTokens, SealedToken, SqliteTokens, TokenStore,
    Tokens,
};
use forge_remote_tests::servers::tell_redis;
use forge_remote_tests::stores::{
    Folder, KEYS, Place, in_seconds, installation, places, postgres_url, redis_url, sealed,
};
use sqlx::Executor as _;

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
async fn every_store_does_what_the_trait_asks_for() {
    for place in places().await {
        let checked = token_store_conformance(place.connect().into()).await;
        checked.unwrap_or_else(|error| panic!("{place:?}: {error:?}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn instances_may_open_at_once() {
    for place in places().await {
        let place: Arc<Place> = Arc::new(place);
        let opening: Vec<_> = (0..12)
            .map(|at| {
                let place = Arc::clone(&place);
                tokio::spawn(async move {
                    let store = place.open().await;
                    store.put(vec![sealed(at, in_seconds(100))]).await.unwrap();
                })
            })
            .collect();
        for opened in opening {
            opened.await.unwrap();
        }
        let store = place.open().await;
        assert_eq!(all(&*store, 100, None).await.len(), 12, "{place:?}");
    }
}

/// An empty store is no place for two keys either.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn instances_with_different_keys_do_not_start_on_one_store() {
    let open = async |place: &Place, keys: String| {
        let opened = Tokens::new(place.connect()).keys(keys).open().await;
        match opened {
            Ok(()) => true,
            Err(OpenError::OtherKey { .. }) => false,
            Err(error) => panic!("{place:?}: {error:?}"),
        }
    };
    let [one, other] = KEYS.map(str::to_owned);
    let rotating = [format!("{one},{other}"), format!("{other},{one}")];
    for place in places().await {
        let place = Arc::new(place);
        // At once: those with the key of whoever was first start, and nobody else.
        let opening: Vec<_> = (0..12)
            .map(|at| {
                let (place, keys) = (Arc::clone(&place), KEYS[at % 2].to_owned());
                tokio::spawn(async move {
                    let tokens = Tokens::new(place.connect()).keys(keys);
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
            "{place:?}: {started:?}"
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

        // `old`, then `old,new`, then `new,old`, then `new`.
        assert!(!open(&place, new.clone()).await, "{place:?}");
        assert!(open(&place, before.clone()).await, "{place:?}");
        assert!(open(&place, old.clone()).await, "{place:?}");
        assert!(!open(&place, new.clone()).await, "{place:?}");
        assert!(open(&place, after.clone()).await, "{place:?}");
        assert!(!open(&place, old.clone()).await, "{place:?}");
        assert!(open(&place, new.clone()).await, "{place:?}");

        // A damaged record is nobody's key.
        let store = place.open().await;
        let record = store
            .compare_and_swap_key_check(None, Vec::new())
            .await
            .unwrap();
        store
            .compare_and_swap_key_check(Some(record), b"?".to_vec())
            .await
            .unwrap();
        assert!(open(&place, new.clone()).await, "{place:?}");
        assert!(!open(&place, old.clone()).await, "{place:?}");
    }
}

/// What is no token is passed over by those who look for others, told to who asks for it, and
/// overwritten by the next one.
async fn rows_that_can_not_be_read(store: &dyn TokenStore, bad: &[usize]) {
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
            error.contains(&installation(at)) && error.contains("can't be read"),
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
async fn bad_rows_in_sqlite_cost_no_other() {
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
        pool.execute(update.as_str()).await.unwrap();
    }
    rows_that_can_not_be_read(&store, &[2, 3]).await;
}

#[tokio::test]
async fn bad_rows_in_postgresql_cost_no_other() {
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
        pool.execute(update.as_str()).await.unwrap();
    }
    rows_that_can_not_be_read(&store, &[2, 9]).await;
}

#[tokio::test]
async fn bad_rows_in_redis_cost_no_other() {
    let Some((url, prefix)) = redis_url() else {
        return;
    };
    let store = RedisTokens::new(&url).prefix(&prefix);
    store.open().await.unwrap();
    store.put(ten()).await.unwrap();
    let key = |at| format!("{prefix}:token:{}", installation(at));
    tell_redis(&url, &["HSET", &key(2), "expires_at", "hunter2"]);
    tell_redis(&url, &["SET", &key(3), "hunter2"]);
    tell_redis(&url, &["HDEL", &key(4), "sealed"]);
    tell_redis(&url, &["SET", &format!("{prefix}:site:cloud-4"), "hunter2"]);
    rows_that_can_not_be_read(&store, &[2, 3, 4]).await;
    assert_eq!(store.find_by_site("cloud-4").await.unwrap().len(), 2);
}

/// A role that may not make tables needs them made, and no more than it is granted.
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

    // As the documentation has them.
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

/// A write that waits for a lock ends before its caller gives up: nothing is written later.
#[tokio::test]
async fn a_postgresql_write_that_can_not_end_in_time_is_not_done_later() {
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

/// The file may be one that the app has open: the system drops all of a process's locks on a file
/// when it closes any handle of that file, and then two may write at once.
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
    // As far as it comes without waiting.
    tokio::select! {
        biased;
        _ = &mut opening => panic!("the app holds the file"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(locks(), before);
    transaction.commit().await.unwrap();
    opening.await.unwrap();
    let tables = "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table'";
    let (tables,): (i64,) = sqlx::query_as(tables).fetch_one(&app).await.unwrap();
    assert_eq!(tables, 4);
}

/// Numbers in no order; always the same.
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

/// 1,000 installations, 4 writers with connections of their own, each with 4 tokens for each
/// installation, in random order and random batches.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_installations_end_with_the_newest_token() {
    const INSTALLATIONS: usize = 1000;
    const WRITERS: usize = 4;
    const EACH: usize = 4;
    for place in places().await {
        let base = in_seconds(1000);
        let end = move |version: usize| base + Duration::from_secs(version as u64);
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let store = place.open().await;
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
        let store = place.open().await;
        let newest = end(WRITERS * EACH - 1);
        let mut kept = BTreeMap::new();
        let mut page = PageRequest::first(300);
        loop {
            let listed = store.list(page.clone()).await.unwrap();
            for token in listed.tokens {
                kept.insert(token.installation_id.clone(), token);
            }
            match listed.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        assert_eq!(kept.len(), INSTALLATIONS, "{place:?}");
        for at in 0..INSTALLATIONS {
            let expected = sealed(at, newest);
            assert!(
                kept[&expected.installation_id] == expected,
                "{place:?}: {at}"
            );
        }
    }
}
