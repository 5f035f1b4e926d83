//! Kept tokens when the store's server is killed, away, hangs or forgets, and what is in its files.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::testing::{Harness, TEST_APP_ID};
use forge_remote::token::{
    PageRequest, PostgresTokens, RedisTokens, SealedToken, SqliteTokens, StoreFuture, TokenError,
    TokenPage, TokenStore,
};
use forge_remote_tests::jws::{b64, unique_id};
use forge_remote_tests::logged::Logged;
use forge_remote_tests::rig::until;
use forge_remote_tests::servers::{OwnServer, tell_redis};
use forge_remote_tests::stores::{
    Flaky, Folder, KEYS, in_seconds, installation, oauth, places, sealed,
};
use sqlx::Executor as _;
use tokio::sync::watch;

#[scheduled_trigger(interval = "hour", auth = system)]
async fn renew() {}

/// An app with its tokens.
struct Kept {
    harness: Harness,
    tokens: Tokens,
}

impl Kept {
    async fn new(store: impl TokenStore) -> Self {
        let tokens = Tokens::new(store).keys(KEYS[0]);
        let app = App::empty()
            .handler(handler!(renew))
            .remote(Remote::new("backend").base_url("https://backend.example.com"))
            .app_id(TEST_APP_ID)
            .token_store(tokens.clone());
        let harness = Harness::new(app.connect().await.unwrap()).unwrap();
        Self { harness, tokens }
    }

    /// A request with a token: it is served whatever the store does.
    async fn deliver(&self, at: usize, token: &str) {
        let uuid = format!("00000000-0000-4000-a000-{at:012}");
        let call = self
            .harness
            .call("renew")
            .fit(|fit| fit.installation(&uuid));
        let answer = call.header("x-forge-oauth-system", token).send().await;
        assert_eq!(answer.status(), 200, "{answer:?}");
    }

    async fn system(&self, at: usize) -> Result<String, TokenError> {
        let token = self.tokens.system(&installation(at)).await;
        token.map(|token| token.expose_secret().to_owned())
    }

    fn failures(&self) -> u64 {
        self.tokens.stats().store_failures
    }
}

/// How often a server is killed: `FORGE_REMOTE_TEST_ROUNDS` for more.
fn rounds() -> usize {
    let rounds = std::env::var("FORGE_REMOTE_TEST_ROUNDS").ok();
    rounds.map_or(20, |rounds| rounds.parse().unwrap())
}

const INSTALLATIONS: usize = 20;

/// The ends of the tokens that a store said to have kept.
type Ends = [SystemTime; INSTALLATIONS];

/// Writes newer and newer tokens, one by one and all at once, until the store fails.
async fn write_on(store: Box<dyn TokenStore>, acknowledged: Arc<Mutex<Ends>>) {
    let newest = *acknowledged.lock().unwrap().iter().max().unwrap();
    for turn in 1.. {
        let ends = newest + Duration::from_secs(turn);
        let tokens: Vec<_> = (0..INSTALLATIONS).map(|at| sealed(at, ends)).collect();
        if turn % 2 == 0 {
            if store.put(tokens).await.is_err() {
                return;
            }
            *acknowledged.lock().unwrap() = [ends; INSTALLATIONS];
            continue;
        }
        for (at, token) in tokens.into_iter().enumerate() {
            if store.put(vec![token]).await.is_err() {
                return;
            }
            acknowledged.lock().unwrap()[at] = ends;
        }
    }
}

/// The server is killed at moments of chance while a client writes. What it said to have written is
/// there afterwards, or a newer one, whole.
async fn killed_while_it_writes(
    server: &mut OwnServer,
    connect: impl AsyncFn() -> Box<dyn TokenStore>,
    kill: impl AsyncFn(&mut OwnServer, usize),
) {
    let start = in_seconds(10_000);
    let mut store = connect().await;
    let first = (0..INSTALLATIONS).map(|at| sealed(at, start));
    store.put(first.collect()).await.unwrap();
    let acknowledged = Arc::new(Mutex::new([start; INSTALLATIONS]));
    for round in 0..rounds() {
        let before = *acknowledged.lock().unwrap();
        let writer = tokio::spawn(write_on(store, Arc::clone(&acknowledged)));
        assert!(until(|| *acknowledged.lock().unwrap() != before).await);
        let mut chance = [0];
        aws_lc_rs::rand::fill(&mut chance).unwrap();
        // The moment is what is tested, nothing is waited for.
        tokio::time::sleep(Duration::from_micros(u64::from(chance[0]) * 100)).await;
        kill(server, round).await;
        // It would go on with the next server.
        writer.abort();
        let _ = writer.await;
        let least = *acknowledged.lock().unwrap();
        server.restart().await;

        store = connect().await;
        let listed = store.list(PageRequest::first(100)).await.unwrap();
        assert_eq!(listed.tokens.len(), INSTALLATIONS, "round {round}");
        for (at, token) in listed.tokens.into_iter().enumerate() {
            assert!(token == sealed(at, token.expires_at), "round {round}: {at}");
            assert!(token.expires_at >= least[at], "round {round}: {at}");
            acknowledged.lock().unwrap()[at] = token.expires_at;
        }
        let find_by_site = store.find_by_site("everywhere").await.unwrap();
        assert_eq!(find_by_site.len(), INSTALLATIONS, "round {round}");
    }
}

/// Opens a store whose server may listen already, and still bring its data in order.
async fn opened(store: impl TokenStore, starting: &str) -> Box<dyn TokenStore> {
    for _ in 0..10 {
        match store.open().await {
            Ok(()) => return Box::new(store),
            Err(error) => assert!(format!("{error:?}").contains(starting), "{error:?}"),
        }
    }
    panic!("the server doesn't come to an end with it");
}

/// SIGKILL to the first of PostgreSQL's processes, or an end at once of all (`SIGQUIT`): either way
/// it recovers from its log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_server_killed_at_any_moment_has_an_old_or_a_new_token() {
    let Some(mut server) = OwnServer::postgres().await else {
        return;
    };
    let url = server.postgres_url();
    let connect = async || opened(PostgresTokens::new(&url), "PoolTimedOut").await;
    killed_while_it_writes(&mut server, connect, async |server, round| {
        if round % 2 == 0 {
            server.kill().await;
        } else {
            server.stop("-QUIT").await;
        }
    })
    .await;
}

/// With `appendfsync always`, an answer means that the write is on the disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_server_killed_at_any_moment_has_an_old_or_a_new_token() {
    let options = ["--appendonly", "yes", "--appendfsync", "always"];
    let Some(mut server) = OwnServer::redis(&options).await else {
        return;
    };
    let url = server.redis_url();
    let connect = async || opened(RedisTokens::new(&url), "LOADING").await;
    let kill = async |server: &mut OwnServer, _| server.kill().await;
    killed_while_it_writes(&mut server, connect, kill).await;
}

/// Twenty installations' tokens, renewed and removed, leave none in what the server wrote to its
/// disk.
async fn no_token_in_the_files(kept: &Kept, server: &OwnServer, save: impl AsyncFn()) {
    let mut secrets = vec!["apiBaseUrl".to_owned(), "productName".to_owned()];
    let mut deliver = async |at, minutes: u64| {
        let mark = format!("plainly-visible-{}", unique_id());
        let token = oauth(in_seconds(minutes * 60), &mark);
        kept.deliver(at, &token).await;
        secrets.extend([b64(&mark), mark]);
        secrets.extend(token.split('.').skip(1).map(str::to_owned));
    };
    for minutes in [100, 200] {
        for at in 0..20 {
            deliver(at, minutes).await;
        }
        kept.tokens.flush().await.unwrap();
    }
    for at in 0..5 {
        kept.tokens.remove(&installation(at)).await.unwrap();
    }
    save().await;
    // Or it looks in the wrong place.
    let ids: Vec<String> = (0..20).map(installation).collect();
    assert_eq!(server.held(&ids).await, ids);
    assert_eq!(server.held(&secrets).await, Vec::<String>::new());
}

#[tokio::test]
async fn postgresqls_files_hold_no_token() {
    let Some(server) = OwnServer::postgres().await else {
        return;
    };
    let kept = Kept::new(PostgresTokens::new(server.postgres_url())).await;
    no_token_in_the_files(&kept, &server, async || {
        let pool = sqlx::PgPool::connect(&server.postgres_url()).await.unwrap();
        pool.execute("CHECKPOINT").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn redis_files_hold_no_token() {
    // As plain as can be: compression would hide a token.
    let plain = ["--rdbcompression", "no", "--aof-use-rdb-preamble", "no"];
    let options = [&["--appendonly", "yes"][..], &plain].concat();
    let Some(server) = OwnServer::redis(&options).await else {
        return;
    };
    let kept = Kept::new(RedisTokens::new(server.redis_url())).await;
    no_token_in_the_files(&kept, &server, async || {
        tell_redis(&server.redis_url(), &["SAVE"]);
    })
    .await;
}

/// While the server is away requests are served; what they brought is written when it is back.
async fn stopped_and_started(kept: &Kept, server: &mut OwnServer, logged: &Logged) {
    let token = |mark: &str, minutes: u64| oauth(in_seconds(minutes * 60), mark);
    kept.deliver(1, &token("old", 60)).await;
    kept.tokens.flush().await.unwrap();
    assert_eq!(kept.failures(), 0);
    server.stop("-INT").await;

    let newest = token("newest", 120);
    for at in [1, 2] {
        kept.deliver(at, &newest).await;
        assert_eq!(kept.system(at).await.unwrap(), newest);
    }
    let error = kept.tokens.flush().await.unwrap_err();
    assert!(matches!(error, TokenError::Store(_)), "{error}");
    assert!(matches!(kept.system(3).await, Err(TokenError::Store(_))));
    assert!(kept.failures() >= 2);
    assert_eq!(kept.tokens.stats().pending, 2);
    assert!(logged.has("tokens can't be written"));
    assert!(logged.has("the token store can't be read"));

    server.restart().await;
    assert!(
        until(|| kept.tokens.stats().pending == 0).await,
        "it isn't written"
    );
}

#[tokio::test]
async fn a_postgresql_that_was_away_gets_what_came_meanwhile() {
    let Some(mut server) = OwnServer::postgres().await else {
        return;
    };
    let logged = Logged::default();
    let _listening = logged.listen();
    let store = PostgresTokens::new(server.postgres_url());
    let kept = Kept::new(store.clone()).await;
    stopped_and_started(&kept, &mut server, &logged).await;
    let ids = store.list(PageRequest::first(9)).await.unwrap().tokens;
    assert_eq!(ids.len(), 2);
}

/// Without a file to come back from, it is empty: the store goes on, and so do its scripts.
#[tokio::test]
async fn a_redis_that_was_away_and_forgot_all_gets_what_came_meanwhile() {
    let Some(mut server) = OwnServer::redis(&[]).await else {
        return;
    };
    let logged = Logged::default();
    let _listening = logged.listen();
    let store = RedisTokens::new(server.redis_url());
    let kept = Kept::new(store.clone()).await;
    kept.deliver(9, &oauth(in_seconds(3600), "")).await;
    stopped_and_started(&kept, &mut server, &logged).await;
    let tokens = store.list(PageRequest::first(9)).await.unwrap().tokens;
    assert_eq!(tokens.len(), 2);
    assert!(store.get(&installation(9)).await.unwrap().is_none());
    assert_eq!(store.purge(in_seconds(0)).await.unwrap(), 0);
    assert!(store.find_by_site("nowhere").await.unwrap().is_empty());
}

/// A store that may not answer for long.
#[derive(Clone, Default)]
struct Hanging {
    store: Flaky,
    hangs: Arc<watch::Sender<bool>>,
}

impl Hanging {
    fn unless_it_hangs<T: Send + 'static>(&self, answer: StoreFuture<T>) -> StoreFuture<T> {
        let mut hangs = self.hangs.subscribe();
        Box::pin(async move {
            let _ = hangs.wait_for(|hangs| !hangs).await;
            answer.await
        })
    }
}

impl TokenStore for Hanging {
    fn name(&self) -> String {
        "a hanging store".to_owned()
    }

    fn put(&self, tokens: Vec<SealedToken>) -> StoreFuture<()> {
        self.unless_it_hangs(self.store.put(tokens))
    }

    fn get(&self, installation_id: &str) -> StoreFuture<Option<SealedToken>> {
        self.unless_it_hangs(self.store.get(installation_id))
    }

    fn find_by_site(&self, cloud_id: &str) -> StoreFuture<Vec<SealedToken>> {
        self.unless_it_hangs(self.store.find_by_site(cloud_id))
    }

    fn list(&self, page: PageRequest) -> StoreFuture<TokenPage> {
        self.unless_it_hangs(self.store.list(page))
    }

    fn replace_if(&self, expected: Vec<u8>, new: SealedToken) -> StoreFuture<bool> {
        self.unless_it_hangs(self.store.replace_if(expected, new))
    }

    fn remove_if(&self, installation_id: &str, expected: Vec<u8>) -> StoreFuture<bool> {
        self.unless_it_hangs(self.store.remove_if(installation_id, expected))
    }

    fn purge(&self, ended_before: SystemTime) -> StoreFuture<u64> {
        self.unless_it_hangs(self.store.purge(ended_before))
    }
}

/// A store of somebody's own, without a place for a key check, that stops answering.
#[tokio::test]
async fn a_store_that_hangs_costs_no_request_and_no_token() {
    let logged = Logged::default();
    let _listening = logged.listen();
    let store = Hanging::default();
    let kept = Kept::new(store.clone()).await;
    store.hangs.send_replace(true);
    let token = oauth(in_seconds(3600), "");
    kept.deliver(1, &token).await;
    assert_eq!(kept.system(1).await.unwrap(), token);
    let (flushed, read) = tokio::join!(kept.tokens.flush(), kept.system(2));
    assert!(matches!(flushed, Err(TokenError::Store(_))));
    assert!(matches!(read, Err(TokenError::Store(_))));
    assert_eq!(kept.failures(), 2);
    assert!(logged.has("no answer within 10s") && logged.has("no answer within 3s"));
    store.hangs.send_replace(false);
    assert!(until(|| kept.tokens.stats().pending == 0).await);
    assert!(store.get(&installation(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn an_sqlite_file_that_stays_locked_costs_no_request_and_no_token() {
    let logged = Logged::default();
    let _listening = logged.listen();
    let folder = Folder::default();
    let store = SqliteTokens::new(folder.file("tokens.db"));
    let kept = Kept::new(store.clone()).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.file("tokens.db"));
    let other = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let locked = other.begin_with("BEGIN EXCLUSIVE").await.unwrap();

    let token = oauth(in_seconds(3600), "");
    kept.deliver(1, &token).await;
    assert_eq!(kept.system(1).await.unwrap(), token);
    assert!(kept.tokens.flush().await.is_err());
    assert_eq!(kept.failures(), 1);
    assert!(logged.has("locks the file for too long"));
    // Whoever reads isn't in the way of who writes.
    assert!(matches!(
        kept.system(2).await,
        Err(TokenError::NeverSeen { .. })
    ));
    locked.rollback().await.unwrap();
    assert!(until(|| kept.tokens.stats().pending == 0).await);
    assert!(store.get(&installation(1)).await.unwrap().is_some());
}

/// 1,000 installations, 4 instances that are given a token of each by requests, in random order: as
/// in production, but for the network.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_instances_of_an_app_end_with_the_newest_token_of_a_thousand_installations() {
    const COUNT: usize = 1000;
    const INSTANCES: usize = 4;
    // The one in memory shows nothing more here, and these are many requests.
    let places = places().await.into_iter();
    for place in places.filter(|place| place.name != "memory") {
        let token = |at: usize, instance: usize| {
            // Each is the last one for some.
            let order = (instance + at) % INSTANCES;
            oauth(
                in_seconds(7200 + order as u64 * 600),
                &format!("{at} {order}"),
            )
        };
        let mut delivering = Vec::new();
        for instance in 0..INSTANCES {
            let kept = Kept::new(place.connect()).await;
            delivering.push(tokio::spawn(async move {
                // Numbers in no order: 1,000 and these have no factor in common.
                let step = [7, 389, 611, 993][instance];
                for turn in 0..COUNT {
                    let at = (turn * step + instance * 251) % COUNT;
                    kept.deliver(at, &token(at, instance)).await;
                }
                kept.tokens.flush().await.unwrap();
                let counts = kept.tokens.stats();
                assert_eq!((counts.seen, counts.store_failures), (COUNT as u64, 0));
            }));
        }
        for instance in delivering {
            instance.await.unwrap();
        }
        let tokens = place.tokens().await;
        assert_eq!(
            tokens.installations().await.unwrap().len(),
            COUNT,
            "{place:?}"
        );
        for at in 0..COUNT {
            let kept = tokens.system(&installation(at)).await.unwrap();
            let mark = b64(format!("{at} {}", INSTANCES - 1));
            assert!(
                kept.expose_secret().ends_with(&format!(".{mark}")),
                "{place:?}: {at}"
            );
        }
    }
}
