//! Tokens survive a store that is killed, down, hanging or empty, and are unreadable in its files.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use forge_remote::prelude::*;
use forge_remote::testing::{Harness, TEST_APP_ID};
use forge_remote::token::{
    PageRequest, PostgresTokens, RedisTokens, SealedToken, SqliteTokens, StoreFuture, TokenError,
    TokenPage, TokenStore,
};
use forge_remote_tests::encoding::b64;
use forge_remote_tests::jws::unique_id;
use forge_remote_tests::log_capture::LogCapture;
use forge_remote_tests::store_servers::{StoreServer, redis_command};
use forge_remote_tests::stores::{
    FlakyStore, Folder, KEYS, in_seconds, installation, oauth, sealed, test_stores,
};
use forge_remote_tests::test_app::eventually;
use forge_remote_tests::token_app::renewing_app;
use sqlx::Executor as _;
use tokio::sync::watch;

/// An app with its tokens, on the system clock.
struct StoreApp {
    harness: Harness,
    tokens: Tokens,
}

impl StoreApp {
    async fn new(store: impl TokenStore) -> Self {
        let tokens = Tokens::new(store).keys(KEYS[0]);
        let builder = renewing_app()
            .app_id(TEST_APP_ID)
            .token_store(tokens.clone());
        let harness = Harness::new(builder.connect().await.unwrap()).unwrap();
        Self { harness, tokens }
    }

    /// Makes a request with a token, which must be served regardless of the store.
    async fn deliver(&self, at: usize, token: &str) {
        let uuid = format!("00000000-0000-4000-a000-{at:012}");
        let call = self
            .harness
            .call("renew")
            .fit(|fit| fit.installation(&uuid));
        let response = call.header("x-forge-oauth-system", token).send().await;
        assert_eq!(response.status(), 200, "{response:?}");
    }

    async fn system(&self, at: usize) -> Result<String, TokenError> {
        let token = self.tokens.system(&installation(at)).await;
        token.map(|token| token.expose_secret().to_owned())
    }

    fn failures(&self) -> u64 {
        self.tokens.stats().store_failures
    }
}

/// Returns how often to kill a server; `FORGE_REMOTE_TEST_ROUNDS` overrides it.
fn rounds() -> usize {
    let rounds = std::env::var("FORGE_REMOTE_TEST_ROUNDS").ok();
    rounds.map_or(20, |rounds| rounds.parse().unwrap())
}

const INSTALLATIONS: usize = 20;

/// The expiries of the tokens whose writes a store confirmed.
type Ends = [SystemTime; INSTALLATIONS];

/// Writes ever newer tokens, one by one and in batches, until the store fails.
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

/// Kills the server at random moments while a client writes. Each confirmed token, or a newer one,
/// is there afterwards, uncorrupted.
async fn killed_while_it_writes(
    server: &mut StoreServer,
    connect: impl AsyncFn() -> Box<dyn TokenStore>,
    kill: impl AsyncFn(&mut StoreServer, usize),
) {
    let start = in_seconds(10_000);
    let mut store = connect().await;
    let first = (0..INSTALLATIONS).map(|at| sealed(at, start));
    store.put(first.collect()).await.unwrap();
    let acknowledged = Arc::new(Mutex::new([start; INSTALLATIONS]));
    for round in 0..rounds() {
        let before = *acknowledged.lock().unwrap();
        let writer = tokio::spawn(write_on(store, Arc::clone(&acknowledged)));
        assert!(eventually(|| *acknowledged.lock().unwrap() != before).await);
        let mut chance = [0];
        aws_lc_rs::rand::fill(&mut chance).unwrap();
        // The random moment is the test; nothing is awaited.
        tokio::time::sleep(Duration::from_micros(u64::from(chance[0]) * 100)).await;
        kill(server, round).await;
        // It would continue with the next server.
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

/// Opens a store whose server may already listen while it still recovers its data.
async fn opened(store: impl TokenStore, starting: &str) -> Box<dyn TokenStore> {
    for _ in 0..10 {
        match store.open().await {
            Ok(()) => return Box::new(store),
            Err(error) => assert!(format!("{error:?}").contains(starting), "{error:?}"),
        }
    }
    panic!("the server does not finish its recovery");
}

/// PostgreSQL recovers from its log after SIGKILL to its first process and after SIGQUIT.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_server_killed_at_any_moment_has_an_old_or_a_new_token() {
    let Some(mut server) = StoreServer::postgres().await else {
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

/// With `appendfsync always`, a reply means that the write is on the disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_server_killed_at_any_moment_has_an_old_or_a_new_token() {
    let options = ["--appendonly", "yes", "--appendfsync", "always"];
    let Some(mut server) = StoreServer::redis(&options).await else {
        return;
    };
    let url = server.redis_url();
    let connect = async || opened(RedisTokens::new(&url), "LOADING").await;
    let kill = async |server: &mut StoreServer, _| server.kill().await;
    killed_while_it_writes(&mut server, connect, kill).await;
}

/// Renews and removes twenty installations' tokens, and checks that none is in the server's files.
async fn no_token_in_the_files(app: &StoreApp, server: &StoreServer, save: impl AsyncFn()) {
    let mut secrets = vec!["apiBaseUrl".to_owned(), "productName".to_owned()];
    let mut deliver = async |at, minutes: u64| {
        let mark = format!("plainly-visible-{}", unique_id());
        let token = oauth(in_seconds(minutes * 60), &mark);
        app.deliver(at, &token).await;
        secrets.extend([b64(&mark), mark]);
        secrets.extend(token.split('.').skip(1).map(str::to_owned));
    };
    for minutes in [100, 200] {
        for at in 0..20 {
            deliver(at, minutes).await;
        }
        app.tokens.flush().await.unwrap();
    }
    for at in 0..5 {
        app.tokens.remove(&installation(at)).await.unwrap();
    }
    save().await;
    // Proves that the search looks in the right place.
    let ids: Vec<String> = (0..20).map(installation).collect();
    assert_eq!(server.held(&ids).await, ids);
    assert_eq!(server.held(&secrets).await, Vec::<String>::new());
}

#[tokio::test]
async fn postgresqls_files_hold_no_token() {
    let Some(server) = StoreServer::postgres().await else {
        return;
    };
    let app = StoreApp::new(PostgresTokens::new(server.postgres_url())).await;
    no_token_in_the_files(&app, &server, async || {
        let pool = sqlx::PgPool::connect(&server.postgres_url()).await.unwrap();
        pool.execute("CHECKPOINT").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn redis_files_hold_no_token() {
    // Without compression, which would hide a token.
    let plain = ["--rdbcompression", "no", "--aof-use-rdb-preamble", "no"];
    let options = [&["--appendonly", "yes"][..], &plain].concat();
    let Some(server) = StoreServer::redis(&options).await else {
        return;
    };
    let app = StoreApp::new(RedisTokens::new(server.redis_url())).await;
    no_token_in_the_files(&app, &server, async || {
        redis_command(&server.redis_url(), &["SAVE"]);
    })
    .await;
}

/// While the server is down, requests are served; their tokens are written once it is back.
async fn stopped_and_started(app: &StoreApp, server: &mut StoreServer, logged: &LogCapture) {
    let token = |mark: &str, minutes: u64| oauth(in_seconds(minutes * 60), mark);
    app.deliver(1, &token("old", 60)).await;
    app.tokens.flush().await.unwrap();
    assert_eq!(app.failures(), 0);
    server.stop("-INT").await;

    let newest = token("newest", 120);
    for at in [1, 2] {
        app.deliver(at, &newest).await;
        assert_eq!(app.system(at).await.unwrap(), newest);
    }
    let error = app.tokens.flush().await.unwrap_err();
    assert!(matches!(error, TokenError::Store(_)), "{error}");
    assert!(matches!(app.system(3).await, Err(TokenError::Store(_))));
    assert!(app.failures() >= 2);
    assert_eq!(app.tokens.stats().pending, 2);
    assert!(logged.has("tokens cannot be written"));
    assert!(logged.has("the token store cannot be read"));

    server.restart().await;
    assert!(
        eventually(|| app.tokens.stats().pending == 0).await,
        "the token is not written"
    );
}

#[tokio::test]
async fn a_postgresql_that_was_down_gets_the_pending_tokens() {
    let Some(mut server) = StoreServer::postgres().await else {
        return;
    };
    let logged = LogCapture::default();
    let _listening = logged.start();
    let store = PostgresTokens::new(server.postgres_url());
    let app = StoreApp::new(store.clone()).await;
    stopped_and_started(&app, &mut server, &logged).await;
    let ids = store.list(PageRequest::first(9)).await.unwrap().tokens;
    assert_eq!(ids.len(), 2);
}

/// A restarted Redis without a file is empty; the store and its scripts keep working.
#[tokio::test]
async fn a_redis_that_was_down_and_lost_its_data_gets_the_tokens() {
    let Some(mut server) = StoreServer::redis(&[]).await else {
        return;
    };
    let logged = LogCapture::default();
    let _listening = logged.start();
    let store = RedisTokens::new(server.redis_url());
    let app = StoreApp::new(store.clone()).await;
    app.deliver(9, &oauth(in_seconds(3600), "")).await;
    stopped_and_started(&app, &mut server, &logged).await;
    let tokens = store.list(PageRequest::first(9)).await.unwrap().tokens;
    assert_eq!(tokens.len(), 2);
    assert!(store.get(&installation(9)).await.unwrap().is_none());
    assert_eq!(store.purge(in_seconds(0)).await.unwrap(), 0);
    assert!(store.find_by_site("nowhere").await.unwrap().is_empty());
}

/// A store whose operations can hang.
#[derive(Clone, Default)]
struct Hanging {
    store: FlakyStore,
    hangs: Arc<watch::Sender<bool>>,
}

impl Hanging {
    fn unless_it_hangs<T: Send + 'static>(&self, response: StoreFuture<T>) -> StoreFuture<T> {
        let mut hangs = self.hangs.subscribe();
        Box::pin(async move {
            let _ = hangs.wait_for(|hangs| !hangs).await;
            response.await
        })
    }
}

impl TokenStore for Hanging {
    fn name(&self) -> String {
        "a hanging store".to_owned()
    }

    fn put(&self, tokens: Vec<SealedToken>) -> StoreFuture<Vec<String>> {
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

/// A custom store without a key check stops responding.
#[tokio::test(start_paused = true)]
async fn a_hanging_store_costs_no_request_and_no_token() {
    let logged = LogCapture::default();
    let _listening = logged.start();
    let store = Hanging::default();
    let app = StoreApp::new(store.clone()).await;
    store.hangs.send_replace(true);
    let token = oauth(in_seconds(3600), "");
    app.deliver(1, &token).await;
    assert_eq!(app.system(1).await.unwrap(), token);
    let (flushed, read) = tokio::join!(app.tokens.flush(), app.system(2));
    assert!(matches!(flushed, Err(TokenError::Store(_))));
    assert!(matches!(read, Err(TokenError::Store(_))));
    assert_eq!(app.failures(), 2);
    assert!(logged.has("no response within 10s") && logged.has("no response within 3s"));
    store.hangs.send_replace(false);
    assert!(eventually(|| app.tokens.stats().pending == 0).await);
    assert!(store.get(&installation(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn an_sqlite_file_that_stays_locked_costs_no_request_and_no_token() {
    let logged = LogCapture::default();
    let _listening = logged.start();
    let folder = Folder::default();
    let store = SqliteTokens::new(folder.file("tokens.db"));
    let app = StoreApp::new(store.clone()).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.file("tokens.db"));
    let other = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let locked = other.begin_with("BEGIN EXCLUSIVE").await.unwrap();

    let token = oauth(in_seconds(3600), "");
    app.deliver(1, &token).await;
    assert_eq!(app.system(1).await.unwrap(), token);
    assert!(app.tokens.flush().await.is_err());
    assert_eq!(app.failures(), 1);
    assert!(logged.has("locks the file for too long"));
    // Readers do not block writers.
    assert!(matches!(
        app.system(2).await,
        Err(TokenError::NeverSeen { .. })
    ));
    locked.rollback().await.unwrap();
    assert!(eventually(|| app.tokens.stats().pending == 0).await);
    assert!(store.get(&installation(1)).await.unwrap().is_some());
}

/// 4 instances receive a token of each of 1,000 installations by requests, in random order, as in
/// production except for the network.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_instances_end_with_the_newest_tokens_of_a_thousand_installations() {
    const COUNT: usize = 1000;
    const INSTANCES: usize = 4;
    // The memory store would prove nothing more, and these are many requests.
    let test_stores = test_stores().await.into_iter();
    for test_store in test_stores.filter(|test_store| test_store.name != "memory") {
        let token = |at: usize, instance: usize| {
            // Each instance has the newest token of some installations.
            let order = (instance + at) % INSTANCES;
            oauth(
                in_seconds(7200 + order as u64 * 600),
                &format!("{at} {order}"),
            )
        };
        let mut delivering = Vec::new();
        for instance in 0..INSTANCES {
            let app = StoreApp::new(test_store.connect()).await;
            delivering.push(tokio::spawn(async move {
                // A permutation: these steps are coprime to 1,000.
                let step = [7, 389, 611, 993][instance];
                for turn in 0..COUNT {
                    let at = (turn * step + instance * 251) % COUNT;
                    app.deliver(at, &token(at, instance)).await;
                }
                app.tokens.flush().await.unwrap();
                let counts = app.tokens.stats();
                assert_eq!((counts.seen, counts.store_failures), (COUNT as u64, 0));
            }));
        }
        for instance in delivering {
            instance.await.unwrap();
        }
        let tokens = test_store.tokens().await;
        assert_eq!(
            tokens.installations().await.unwrap().len(),
            COUNT,
            "{test_store:?}"
        );
        for at in 0..COUNT {
            let app = tokens.system(&installation(at)).await.unwrap();
            let mark = b64(format!("{at} {}", INSTANCES - 1));
            assert!(
                app.expose_secret().ends_with(&format!(".{mark}")),
                "{test_store:?}: {at}"
            );
        }
    }
}
