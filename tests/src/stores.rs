//! Token stores for tests: the same tests run on every store.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use forge_remote::token::{
    MemoryTokens, PageRequest, PostgresTokens, RedisTokens, SealedToken, SqliteTokens, StoreError,
    StoreFuture, TokenPage, TokenStore, Tokens,
};
use futures_util::future::BoxFuture;

use crate::encoding::b64;
use crate::jws::{seconds, unique_id};

/// Two keys for tokens.
pub const KEYS: [&str; 2] = [
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=",
];

/// A temporary directory, which is removed on drop.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Default for Folder {
    fn default() -> Self {
        let path = std::env::temp_dir().join(format!("forge-remote-tokens-{}", unique_id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Folder {
    /// Returns the path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Returns the directory's path.
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }

    /// Returns the bytes of every file in it.
    pub fn bytes(&self) -> Vec<u8> {
        let files = std::fs::read_dir(&self.0).unwrap();
        files
            .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An empty store, which accepts any number of connections.
pub struct TestStore {
    /// The name in messages.
    pub name: &'static str,
    connect: Box<dyn Fn() -> Box<dyn TokenStore> + Send + Sync>,
}

impl std::fmt::Debug for TestStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl TestStore {
    /// Returns a new connection, as another instance has.
    pub fn connect(&self) -> Box<dyn TokenStore> {
        (self.connect)()
    }

    /// Returns a new connection, opened.
    pub async fn open(&self) -> Box<dyn TokenStore> {
        let store = self.connect();
        store.open().await.unwrap();
        store
    }

    /// Returns tokens on a new connection, opened.
    pub async fn tokens(&self) -> Tokens {
        let tokens = Tokens::new(self.connect()).keys(KEYS[0]);
        tokens.open().await.unwrap();
        tokens
    }
}

/// Returns a memory store that counts as persistent, so that its tokens are sealed with a
/// configured key.
fn memory() -> TestStore {
    let shared = FlakyStore::default();
    TestStore {
        name: "memory",
        connect: Box::new(move || Box::new(shared.clone())),
    }
}

/// Runs a statement in a PostgreSQL database.
pub async fn execute_postgres(url: &str, statement: &'static str) {
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(url)
        .await
        .unwrap();
    sqlx::query(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::Connection::close(connection).await.unwrap();
}

/// Runs a statement in an SQLite file.
pub async fn execute_sqlite(path: &std::path::Path, statement: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(Duration::from_secs(10));
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::query(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::Connection::close(connection).await.unwrap();
}

/// Returns the URL of a new PostgreSQL schema for this test; `None` without a server.
pub async fn postgres_url() -> Option<String> {
    let url = server_variable("FORGE_REMOTE_TEST_POSTGRES")?;
    let schema = format!("test_{}", unique_id());
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .connect(&url)
        .await
        .unwrap();
    // Not user input: the name is letters and digits generated above.
    let create = format!("CREATE SCHEMA {schema}");
    sqlx::Executor::execute(&pool, sqlx::AssertSqlSafe(create))
        .await
        .unwrap();
    pool.close().await;
    let joint = if url.contains('?') { '&' } else { '?' };
    Some(format!("{url}{joint}options[search_path]={schema}"))
}

/// Returns the URL of a Redis server and a prefix for this test; `None` without a server.
pub fn redis_url() -> Option<(String, String)> {
    let url = server_variable("FORGE_REMOTE_TEST_REDIS")?;
    Some((url, format!("test-{}", unique_id())))
}

/// Returns a variable that `tests/servers` sets. Without it, a message names the skipped tests; in
/// CI, where nobody would read the message, the test fails.
pub fn server_variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(
            !is_ci,
            "{name} is not set: CI has to run the tests with `tests/servers`"
        );
        // Written directly, so that the test harness does not capture it.
        let line = format!(
            "skipped: {name} is not set, so nothing is tested on that server; `tests/servers cargo test` starts one\n"
        );
        let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    }
    value
}

/// A token store with a driver, as the tests use it.
#[derive(Clone, Copy)]
pub struct StoreRow {
    /// The name in messages.
    pub name: &'static str,
    /// The variable that names such a store to a program of the tests.
    pub variable: &'static str,
    /// Makes an empty store; `None` without a server.
    empty: fn() -> BoxFuture<'static, Option<EmptyStore>>,
    /// Returns a store for a value of the variable.
    connect: fn(&str) -> Box<dyn TokenStore>,
}

/// The place of an empty store.
struct EmptyStore {
    /// The value of the variable.
    value: String,
    /// The directory of its file, if it has one.
    _folder: Option<Folder>,
}

impl EmptyStore {
    /// A method, so that a closure that needs the value keeps the directory, too.
    fn value(&self) -> &str {
        &self.value
    }

    fn on_server(value: String) -> Self {
        Self {
            value,
            _folder: None,
        }
    }

    fn in_file() -> Self {
        let folder = Folder::default();
        let value = folder.file("tokens.db").to_string_lossy().into_owned();
        Self {
            value,
            _folder: Some(folder),
        }
    }
}

impl std::fmt::Debug for StoreRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The token stores with a driver.
pub const STORES: &[StoreRow] = &[
    StoreRow {
        name: "SQLite",
        variable: "SQLITE",
        empty: || Box::pin(async { Some(EmptyStore::in_file()) }),
        connect: |path| Box::new(SqliteTokens::new(path)),
    },
    StoreRow {
        name: "PostgreSQL",
        variable: "POSTGRES",
        empty: || Box::pin(async { postgres_url().await.map(EmptyStore::on_server) }),
        connect: |url| Box::new(PostgresTokens::new(url)),
    },
    StoreRow {
        name: "Redis",
        variable: "REDIS",
        empty: || {
            Box::pin(async {
                let (url, prefix) = redis_url()?;
                Some(EmptyStore::on_server(format!("{url}#{prefix}")))
            })
        },
        connect: |url| {
            let (url, prefix) = url.split_once('#').unwrap_or((url, ""));
            Box::new(RedisTokens::new(url).prefix(prefix))
        },
    },
];

/// Returns the store that a variable of [`STORES`] names, or memory.
pub fn from_environment() -> Box<dyn TokenStore> {
    let named = STORES
        .iter()
        .find_map(|row| Some((row.connect)(&std::env::var(row.variable).ok()?)));
    named.unwrap_or_else(|| Box::new(MemoryTokens::new()))
}

/// Returns every kind of store that is available on this machine.
pub async fn test_stores() -> Vec<TestStore> {
    let mut test_stores = vec![memory()];
    for row in STORES {
        if let Some(empty) = (row.empty)().await {
            test_stores.push(TestStore {
                name: row.name,
                connect: Box::new(move || (row.connect)(empty.value())),
            });
        }
    }
    test_stores
}

/// A memory store that can fail, stall or lose its data, and counts its operations.
#[derive(Clone, Debug, Default)]
pub struct FlakyStore(Arc<FlakyState>);

/// A change that another instance makes to the store during a read.
struct Meanwhile(Box<dyn FnOnce(MemoryTokens) + Send>);

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meanwhile")
    }
}

/// The clock of the store's server.
struct ServerClock(Box<dyn Fn() -> SystemTime + Send + Sync>);

impl std::fmt::Debug for ServerClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerClock")
    }
}

#[derive(Debug, Default)]
struct FlakyState {
    store: Mutex<MemoryTokens>,
    is_down: AtomicBool,
    never_purges: AtomicBool,
    panics: AtomicBool,
    rejected: Mutex<Vec<String>>,
    before_get_returns: Mutex<Option<Meanwhile>>,
    server_clock: Mutex<Option<ServerClock>>,
    holds_puts: tokio::sync::watch::Sender<bool>,
    holds_gets: tokio::sync::watch::Sender<bool>,
    holds_replacements: tokio::sync::watch::Sender<bool>,
    replacements: AtomicU32,
    /// The number of reads of one record that fail from now on.
    failing_gets: AtomicU32,
    gets: AtomicU32,
    puts: Mutex<Vec<usize>>,
}

impl FlakyStore {
    /// Makes every operation fail, or succeed again.
    pub fn down(&self, is_down: bool) {
        self.0.is_down.store(is_down, Ordering::SeqCst);
    }

    /// Loses all data, as a server without persistence does at a restart.
    pub fn lose_everything(&self) {
        *self.0.store.lock().unwrap() = MemoryTokens::new();
    }

    /// Makes only purges fail.
    pub fn never_purges(&self) {
        self.0.never_purges.store(true, Ordering::SeqCst);
    }

    /// Makes writes panic, alternately in the call and in its future, or work again.
    pub fn panics(&self, panics: bool) {
        self.0.panics.store(panics, Ordering::SeqCst);
    }

    /// Gives the store a separate clock, as servers have.
    pub fn server_clock(&self, now: impl Fn() -> SystemTime + Send + Sync + 'static) {
        *self.0.server_clock.lock().unwrap() = Some(ServerClock(Box::new(now)));
    }

    /// Rejects every write that has a record of this installation.
    pub fn reject(&self, installation_id: Option<String>) {
        self.reject_all(installation_id);
    }

    /// Rejects every write that has a record of one of these installations.
    pub fn reject_all(&self, installation_ids: impl IntoIterator<Item = String>) {
        *self.0.rejected.lock().unwrap() = installation_ids.into_iter().collect();
    }

    /// Changes the store after the next read of one record, before the record is returned.
    pub fn after_get(&self, meanwhile: impl FnOnce(MemoryTokens) + Send + 'static) {
        *self.0.before_get_returns.lock().unwrap() = Some(Meanwhile(Box::new(meanwhile)));
    }

    /// Makes writers wait, or lets them continue.
    pub fn hold_puts(&self, holds: bool) {
        self.0.holds_puts.send_replace(holds);
    }

    /// Makes readers of one record wait, or lets them continue.
    pub fn hold_gets(&self, holds: bool) {
        self.0.holds_gets.send_replace(holds);
    }

    /// Makes writers wait for the responses of replacements, which are carried out at once, or lets them continue.
    pub fn hold_replacements(&self, holds: bool) {
        self.0.holds_replacements.send_replace(holds);
    }

    /// Makes only reads of one record fail, or succeed again.
    pub fn fail_gets(&self, fails: bool) {
        let failing = if fails { u32::MAX } else { 0 };
        self.0.failing_gets.store(failing, Ordering::SeqCst);
    }

    /// Makes only the next read of one record fail.
    pub fn fail_next_get(&self) {
        self.0.failing_gets.store(1, Ordering::SeqCst);
    }

    fn store(&self) -> MemoryTokens {
        self.0.store.lock().unwrap().clone()
    }

    /// Returns the number of reads of one token.
    pub fn gets(&self) -> u32 {
        self.0.gets.load(Ordering::SeqCst)
    }

    /// Returns the number of replacements.
    pub fn replacements(&self) -> u32 {
        self.0.replacements.load(Ordering::SeqCst)
    }

    /// Returns the number of tokens in each write.
    pub fn puts(&self) -> Vec<usize> {
        self.0.puts.lock().unwrap().clone()
    }

    fn unless_down<T: Send + 'static>(
        &self,
        operation: impl FnOnce() -> StoreFuture<T>,
    ) -> StoreFuture<T> {
        if self.0.is_down.load(Ordering::SeqCst) {
            Box::pin(async { Err(StoreError::new("it is down")) })
        } else {
            operation()
        }
    }
}

impl TokenStore for FlakyStore {
    fn name(&self) -> String {
        "a flaky store".to_owned()
    }

    fn open(&self) -> StoreFuture<()> {
        self.unless_down(|| self.store().open())
    }

    fn compare_and_swap_key_check(
        &self,
        there: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> StoreFuture<Vec<u8>> {
        self.unless_down(|| self.store().compare_and_swap_key_check(there, new))
    }

    fn put(&self, tokens: Vec<SealedToken>) -> StoreFuture<Vec<String>> {
        let puts = {
            let mut puts = self.0.puts.lock().unwrap();
            puts.push(tokens.len());
            puts.len()
        };
        if self.0.panics.load(Ordering::SeqCst) {
            assert!(puts.is_multiple_of(2), "the store panics in a call");
            return Box::pin(async { panic!("the store panics in a call's future") });
        }
        let rejected = self.0.rejected.lock().unwrap().clone();
        if tokens
            .iter()
            .any(|one| rejected.contains(&one.installation_id))
        {
            return Box::pin(async { Err(StoreError::new("it rejects a record")) });
        }
        let this = self.clone();
        let mut holds = self.0.holds_puts.subscribe();
        Box::pin(async move {
            holds.wait_for(|holds| !holds).await.unwrap();
            this.unless_down(|| this.store().put(tokens)).await
        })
    }

    fn get(&self, installation_id: &str) -> StoreFuture<Option<SealedToken>> {
        self.0.gets.fetch_add(1, Ordering::SeqCst);
        let failing = &self.0.failing_gets;
        let (set, load) = (Ordering::SeqCst, Ordering::SeqCst);
        let fails = failing.fetch_update(set, load, |left| left.checked_sub(1));
        if fails.is_ok() {
            return Box::pin(async { Err(StoreError::new("it cannot be read")) });
        }
        let got = self.unless_down(|| self.store().get(installation_id));
        if let Some(meanwhile) = self.0.before_get_returns.lock().unwrap().take() {
            (meanwhile.0)(self.store());
        }
        let mut holds = self.0.holds_gets.subscribe();
        Box::pin(async move {
            holds.wait_for(|holds| !holds).await.unwrap();
            got.await
        })
    }

    fn find_by_site(&self, cloud_id: &str) -> StoreFuture<Vec<SealedToken>> {
        self.unless_down(|| self.store().find_by_site(cloud_id))
    }

    fn list(&self, page: PageRequest) -> StoreFuture<TokenPage> {
        self.unless_down(|| self.store().list(page))
    }

    fn replace_if(&self, expected: Vec<u8>, new: SealedToken) -> StoreFuture<bool> {
        let replaced = self.unless_down(|| self.store().replace_if(expected, new));
        self.0.replacements.fetch_add(1, Ordering::SeqCst);
        let mut holds = self.0.holds_replacements.subscribe();
        Box::pin(async move {
            holds.wait_for(|holds| !holds).await.unwrap();
            replaced.await
        })
    }

    fn remove_if(&self, installation_id: &str, expected: Vec<u8>) -> StoreFuture<bool> {
        self.unless_down(|| self.store().remove_if(installation_id, expected))
    }

    fn server_time(&self) -> StoreFuture<Option<SystemTime>> {
        let clock = self.0.server_clock.lock().unwrap();
        let now = clock.as_ref().map(|clock| clock.0());
        self.unless_down(|| Box::pin(async move { Ok(now) }))
    }

    fn purge(&self, ended_before: SystemTime) -> StoreFuture<u64> {
        if self.0.never_purges.load(Ordering::SeqCst) {
            return Box::pin(async { Err(StoreError::new("it does not purge")) });
        }
        self.unless_down(|| self.store().purge(ended_before))
    }
}

/// Returns the ARI of a test installation.
pub fn installation(at: usize) -> String {
    format!("ari:cloud:ecosystem::installation/00000000-0000-4000-a000-{at:012}")
}

/// Returns a sealed token as a store sees it; its bytes identify it.
pub fn sealed(at: usize, ends: SystemTime) -> SealedToken {
    let installation_id = installation(at);
    SealedToken {
        sealed: format!("{installation_id} {}", seconds(ends)).into_bytes(),
        cloud_ids: vec![format!("cloud-{}", at / 2), "everywhere".to_owned()],
        expires_at: ends,
        installation_id,
    }
}

/// Returns a time in whole seconds from now, which every store can write exactly.
pub fn in_seconds(from_now: u64) -> SystemTime {
    let now = u64::try_from(seconds(SystemTime::now())).unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_secs(now + from_now)
}

/// Returns an OAuth token with this expiry in its claims.
pub fn oauth(ends: SystemTime, mark: &str) -> String {
    let claims = format!(r#"{{"exp":{},"mark":"{mark}"}}"#, seconds(ends));
    format!("{}.{}.{}", b64("{}"), b64(claims), b64(mark))
}

/// Returns a mark as it is encoded at the end of a token of [`oauth`].
pub fn b64_of(mark: &str) -> String {
    b64(mark)
}
