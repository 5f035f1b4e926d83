//! Stores of tokens, each test's own: the same tests run over all of them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use forge_remote::token::{
    MemoryTokens, PageRequest, PostgresTokens, RedisTokens, SealedToken, SqliteTokens, StoreError,
    StoreFuture, TokenPage, TokenStore, Tokens,
};

use crate::jws::{b64, seconds, unique_id};

/// A key for tokens, and another.
pub const KEYS: [&str; 2] = [
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=",
];

/// A folder that goes with its owner.
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
    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The folder itself.
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }

    /// The bytes of every file in it.
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

/// A store with nothing in it, to be connected to any number of times.
pub struct Place {
    /// What it is called in messages.
    pub name: &'static str,
    connect: Box<dyn Fn() -> Box<dyn TokenStore> + Send + Sync>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Place {
    /// A connection of its own, as another instance has one.
    pub fn connect(&self) -> Box<dyn TokenStore> {
        (self.connect)()
    }

    /// A connection, opened.
    pub async fn open(&self) -> Box<dyn TokenStore> {
        let store = self.connect();
        store.open().await.unwrap();
        store
    }

    /// Kept tokens on a connection, opened.
    pub async fn tokens(&self) -> Tokens {
        let tokens = Tokens::new(self.connect()).keys(KEYS[0]);
        tokens.open().await.unwrap();
        tokens
    }
}

/// Memory that counts as outliving the process, so that it is sealed with a key from outside.
fn memory() -> Place {
    let shared = Flaky::default();
    Place {
        name: "memory",
        connect: Box::new(move || Box::new(shared.clone())),
    }
}

fn sqlite() -> Place {
    let folder = Folder::default();
    Place {
        name: "SQLite",
        connect: Box::new(move || Box::new(SqliteTokens::new(folder.file("tokens.db")))),
    }
}

/// The URL of a PostgreSQL schema of the test's own; `None` without a server.
pub async fn postgres_url() -> Option<String> {
    let url = variable("FORGE_REMOTE_TEST_POSTGRES")?;
    let schema = format!("test_{}", unique_id());
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .connect(&url)
        .await
        .unwrap();
    // A name of letters and digits, made here.
    let create = format!("CREATE SCHEMA {schema}");
    sqlx::Executor::execute(&pool, create.as_str())
        .await
        .unwrap();
    pool.close().await;
    let joint = if url.contains('?') { '&' } else { '?' };
    Some(format!("{url}{joint}options[search_path]={schema}"))
}

/// The URL of a Redis server, and a prefix of the test's own; `None` without a server.
pub fn redis_url() -> Option<(String, String)> {
    let url = variable("FORGE_REMOTE_TEST_REDIS")?;
    Some((url, format!("test-{}", unique_id())))
}

/// What `tests/servers` tells of a server. Without it, whoever runs the tests is told what is left
/// out; in CI, where nobody would read that, it is a failure.
pub fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(
            !is_ci,
            "{name} is not set: CI has to run the tests with `tests/servers`"
        );
        // Not captured by the test harness.
        let line = format!(
            "left out: {name} is not set, so nothing is tested on that server; `tests/servers cargo test` starts one\n"
        );
        let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    }
    value
}

/// The store that a process of its own is told of: `SQLITE` (a path), `POSTGRES` or `REDIS` (URLs),
/// with `REDIS_PREFIX`.
pub fn of_environment() -> Box<dyn TokenStore> {
    let variable = |name| std::env::var(name).ok();
    match (
        variable("SQLITE"),
        variable("POSTGRES"),
        variable("REDIS"),
        variable("REDIS_PREFIX"),
    ) {
        (Some(path), ..) => Box::new(SqliteTokens::new(path)),
        (_, Some(url), ..) => Box::new(PostgresTokens::new(url)),
        (.., Some(url), prefix) => {
            Box::new(RedisTokens::new(url).prefix(&prefix.unwrap_or_default()))
        }
        _ => Box::new(MemoryTokens::new()),
    }
}

/// Every kind of store that can be had here.
pub async fn places() -> Vec<Place> {
    let mut places = vec![memory(), sqlite()];
    if let Some(url) = postgres_url().await {
        places.push(Place {
            name: "PostgreSQL",
            connect: Box::new(move || Box::new(PostgresTokens::new(&url))),
        });
    }
    if let Some((url, prefix)) = redis_url() {
        places.push(Place {
            name: "Redis",
            connect: Box::new(move || Box::new(RedisTokens::new(&url).prefix(&prefix))),
        });
    }
    places
}

/// A store in memory that can be down, slow or forgetful, and remembers what it was asked.
#[derive(Clone, Debug, Default)]
pub struct Flaky(Arc<Inner>);

/// What another instance does to the store meanwhile.
struct Meanwhile(Box<dyn FnOnce(MemoryTokens) + Send>);

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meanwhile")
    }
}

#[derive(Debug, Default)]
struct Inner {
    store: Mutex<MemoryTokens>,
    is_down: AtomicBool,
    never_purges: AtomicBool,
    panics: AtomicBool,
    refused: Mutex<Option<String>>,
    before_get_returns: Mutex<Option<Meanwhile>>,
    holds_puts: tokio::sync::watch::Sender<bool>,
    gets: AtomicU32,
    puts: Mutex<Vec<usize>>,
}

impl Flaky {
    /// Takes it down, or brings it back.
    pub fn down(&self, is_down: bool) {
        self.0.is_down.store(is_down, Ordering::SeqCst);
    }

    /// Loses everything, as a server that keeps nothing on its disk does at a restart.
    pub fn lose_everything(&self) {
        *self.0.store.lock().unwrap() = MemoryTokens::new();
    }

    /// Makes purging fail, and nothing else.
    pub fn never_purges(&self) {
        self.0.never_purges.store(true, Ordering::SeqCst);
    }

    /// Makes writing panic, or lets it work.
    pub fn panics(&self, panics: bool) {
        self.0.panics.store(panics, Ordering::SeqCst);
    }

    /// Refuses every write that has a record of this installation.
    pub fn refuse(&self, installation_id: Option<String>) {
        *self.0.refused.lock().unwrap() = installation_id;
    }

    /// Does something to the store after the next reading of one record, before it is returned.
    pub fn after_get(&self, meanwhile: impl FnOnce(MemoryTokens) + Send + 'static) {
        *self.0.before_get_returns.lock().unwrap() = Some(Meanwhile(Box::new(meanwhile)));
    }

    /// Makes whoever writes wait, or lets them go on.
    pub fn hold_puts(&self, holds: bool) {
        self.0.holds_puts.send_replace(holds);
    }

    fn store(&self) -> MemoryTokens {
        self.0.store.lock().unwrap().clone()
    }

    /// How often it was asked for one token.
    pub fn gets(&self) -> u32 {
        self.0.gets.load(Ordering::SeqCst)
    }

    /// How many tokens each writing brought.
    pub fn puts(&self) -> Vec<usize> {
        self.0.puts.lock().unwrap().clone()
    }

    fn unless_down<T: Send + 'static>(
        &self,
        answer: impl FnOnce() -> StoreFuture<T>,
    ) -> StoreFuture<T> {
        if self.0.is_down.load(Ordering::SeqCst) {
            Box::pin(async { Err(StoreError::new("it is down")) })
        } else {
            answer()
        }
    }
}

impl TokenStore for Flaky {
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

    fn put(&self, tokens: Vec<SealedToken>) -> StoreFuture<()> {
        self.0.puts.lock().unwrap().push(tokens.len());
        assert!(!self.0.panics.load(Ordering::SeqCst), "the store panics");
        let refused = self.0.refused.lock().unwrap().clone();
        if tokens
            .iter()
            .any(|one| Some(&one.installation_id) == refused.as_ref())
        {
            return Box::pin(async { Err(StoreError::new("it refuses a record")) });
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
        let got = self.unless_down(|| self.store().get(installation_id));
        if let Some(meanwhile) = self.0.before_get_returns.lock().unwrap().take() {
            (meanwhile.0)(self.store());
        }
        got
    }

    fn find_by_site(&self, cloud_id: &str) -> StoreFuture<Vec<SealedToken>> {
        self.unless_down(|| self.store().find_by_site(cloud_id))
    }

    fn list(&self, page: PageRequest) -> StoreFuture<TokenPage> {
        self.unless_down(|| self.store().list(page))
    }

    fn replace_if(&self, expected: Vec<u8>, new: SealedToken) -> StoreFuture<bool> {
        self.unless_down(|| self.store().replace_if(expected, new))
    }

    fn remove_if(&self, installation_id: &str, expected: Vec<u8>) -> StoreFuture<bool> {
        self.unless_down(|| self.store().remove_if(installation_id, expected))
    }

    fn purge(&self, ended_before: SystemTime) -> StoreFuture<u64> {
        if self.0.never_purges.load(Ordering::SeqCst) {
            return Box::pin(async { Err(StoreError::new("it does not purge")) });
        }
        self.unless_down(|| self.store().purge(ended_before))
    }
}

/// The ARI of a test's installation.
pub fn installation(at: usize) -> String {
    format!("ari:cloud:ecosystem::installation/00000000-0000-4000-a000-{at:012}")
}

/// A sealed token as a store sees one; its bytes tell which it is.
pub fn sealed(at: usize, ends: SystemTime) -> SealedToken {
    let installation_id = installation(at);
    SealedToken {
        sealed: format!("{installation_id} {}", seconds(ends)).into_bytes(),
        cloud_ids: vec![format!("cloud-{}", at / 2), "everywhere".to_owned()],
        expires_at: ends,
        installation_id,
    }
}

/// Whole seconds from now: what every store can write.
pub fn in_seconds(from_now: u64) -> SystemTime {
    let now = u64::try_from(seconds(SystemTime::now())).unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_secs(now + from_now)
}

/// An OAuth token with this end, as far as anybody can read it.
pub fn oauth(ends: SystemTime, mark: &str) -> String {
    let claims = format!(r#"{{"exp":{},"mark":"{mark}"}}"#, seconds(ends));
    format!("{}.{}.{}", b64("{}"), b64(claims), b64(mark))
}

/// A mark as it stands at the end of a token of [`oauth`].
pub fn b64_of(mark: &str) -> String {
    b64(mark)
}
