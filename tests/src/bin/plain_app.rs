//! An app without state, run as a process. With `DYNAMIC` set, it has a handler of modules that are
//! registered at run time. With `STAYS` set, a background task does not end when the
//! app stops; with `BLOCKS`, one blocks its thread for an hour. With `OWN_ROUTES`, it has its own webhook; with
//! `BAD_REMOTE`, an invalid base URL; with `CRON`, handlers with cron schedules, and with `BAD_CRON`, one without an
//! occurrence. With `INSTANT_CLOCK`, its clock does not wait; with `LARGE`, it has a handler with the default limit of
//! bodies; with `SYSTEM`, one with a system token; with `FALLBACK`, a route of every path; with `SQLITE`, `POSTGRES` or
//! `REDIS`, a token store; with `JOBS` (a path or a URL), an engine and a durable handler; with `VOTES`, one that reads
//! what fixtures have; with `ACTION`, one with a former key; with `MANY`, handlers of twenty pages; with `NOTES`, one of
//! GET, and no other one if it is `only`. With `HANGS`, its state is never connected; if it is `thread`, that blocks
//! its thread, and if it is `pool`, a thread for blocking work; if it is `retries`, each of many starts fails, and it
//! pauses then. `STAGING` lets it accept the
//! staging cloud, `ISOLATED` (a URL) an isolated one, and `KEY_SOURCE` (a URL, or
//! `vault`) is its own source of keys.

use forge_remote::axum::Router;
use forge_remote::axum::routing::{any, post};
use forge_remote::fit::{BoxFuture, FetchError, HttpKeySource, JwksDocument, KeySource};
use forge_remote::prelude::*;
use forge_remote::schedules::Occurrence;
use forge_remote::{Shutdown, handler};
use forge_remote_river::{PostgresJobs, SqliteJobs};
use forge_remote_tests::{jws, stores};

// `tick` and `votes`.
forge_remote_tests::recorded_handlers!();

#[trigger(dynamic)]
async fn follow() {}

#[scheduled_trigger(interval = "day", path = "/large")]
async fn large() {}

/// Sends the report of the night.
#[scheduled_trigger(cron = "30 2 29 2 *", tz = "Europe/Berlin")]
async fn report(occurrence: Occurrence) {
    println!("report {:?}", occurrence.scheduled_for());
}

#[scheduled_trigger(interval = "day", path = "/renew", auth = system, scopes = ["read:jira-work"])]
async fn renew(_token: SystemToken) {}

#[scheduled_trigger(
    interval = "hour",
    key = "index-trigger",
    endpoint = "index",
    path = "/index",
    durable
)]
async fn index() {}

#[scheduled_trigger(cron = "@hourly", auth = system)]
async fn hourly(_token: SystemToken) {}

#[scheduled_trigger(cron = "0 0 30 2 *", tz = "Europe/Berln")]
async fn never() {}

#[endpoint(method = "GET", path = "/notes", key = "notes")]
async fn notes() {}

/// Logs time.
#[action(
    verb = "CREATE",
    name = "Log",
    key = "log-time-action",
    endpoint = "log-time",
    path = "/log-time",
    also_key = "log"
)]
async fn log_time() {}

/// Defines handlers of pages, and a function that adds them all.
macro_rules! pages {
    ($($name:ident)*) => {
        $(
            #[endpoint]
            async fn $name() {}
        )*

        fn with_pages(app: App) -> App {
            app$(.handler(handler!($name)))*
        }
    };
}

pages! {
    page_1 page_2 page_3 page_4 page_5 page_6 page_7 page_8 page_9 page_10
    page_11 page_12 page_13 page_14 page_15 page_16 page_17 page_18 page_19 page_20
}

/// A source of keys without a URL.
struct Vault;

impl KeySource for Vault {
    fn fetch(&self) -> BoxFuture<std::result::Result<JwksDocument, FetchError>> {
        let document = jws::published().to_string().into();
        Box::pin(std::future::ready(Ok(JwksDocument {
            document,
            max_age: None,
        })))
    }

    fn name(&self) -> &str {
        "the vault"
    }
}

/// A connection to a database that does not respond.
async fn never_connected(hangs: String) -> std::io::Result<u8> {
    let hour = std::time::Duration::from_secs(3600);
    match &*hangs {
        "thread" => {
            eprintln!("connecting");
            std::thread::sleep(hour);
        }
        "pool" => {
            let blocking = tokio::task::spawn_blocking(move || {
                eprintln!("connecting");
                std::thread::sleep(hour);
            });
            blocking.await?;
        }
        _ => eprintln!("connecting"),
    }
    std::future::pending().await
}

/// Starts an app whose database is down, many times.
async fn retries(url: &str) -> Result<()> {
    eprintln!("connecting");
    for _ in 0..100 {
        let app = App::empty().handler(handler!(tick));
        let app = app.remote(Remote::new("backend").base_url(url));
        let down = std::future::ready(Err::<u8, _>(std::io::Error::other("it is down")));
        let started = app.state_async(down).serve().await;
        assert!(started.is_err(), "an app without its state");
    }
    eprintln!("pausing");
    std::future::pending().await
}

async fn stays(shutdown: Shutdown) -> Result<()> {
    shutdown.requested().await;
    std::future::pending().await
}

async fn blocks() -> Result<()> {
    std::thread::sleep(std::time::Duration::from_secs(3600));
    Ok(())
}

// One thread may be blocked, also on one core.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    forge_remote::testing::__sign_with_published_key();
    let url = match std::env::var_os("BAD_REMOTE") {
        Some(_) => "http://backend.example.com",
        None => "https://backend.example.com",
    };
    if std::env::var("HANGS").is_ok_and(|hangs| hangs == "retries") {
        return retries(url).await;
    }
    if std::env::var_os("SERVES_BEFORE").is_some() {
        let app = App::empty().handler(handler!(tick));
        app.remote(Remote::new("backend").base_url(url))
            .run()
            .await?;
    }
    let mut app = App::empty();
    if std::env::var_os("LARGE").is_some() {
        app = app.handler(handler!(large));
    }
    if std::env::var_os("VOTES").is_some() {
        app = app.handler(handler!(votes));
    }
    if std::env::var_os("SYSTEM").is_some() {
        app = app.handler(handler!(renew));
    }
    let notes = std::env::var("NOTES").ok();
    if notes.is_some() {
        app = app.handler(handler!(notes));
    }
    if notes.as_deref() != Some("only") {
        app = app.handler(handler!(tick));
    }
    app = app.remote(Remote::new("backend").base_url(url));
    if stores::STORES
        .iter()
        .any(|row| std::env::var_os(row.variable).is_some())
    {
        app = app.token_store(Tokens::new(stores::from_environment()));
    }
    if let Ok(jobs) = std::env::var("JOBS") {
        app = app.handler(handler!(index));
        app = match jobs.starts_with("postgres:") {
            true => app.jobs(PostgresJobs::new(jobs)),
            false => app.jobs(SqliteJobs::new(jobs)),
        };
    }
    if std::env::var_os("ACTION").is_some() {
        app = app.handler(handler!(log_time));
    }
    if std::env::var_os("MANY").is_some() {
        app = with_pages(app);
    }
    if std::env::var_os("STAGING").is_some() {
        app = app.staging_cloud();
    }
    if let Ok(url) = std::env::var("ISOLATED") {
        app = app.isolated_cloud("orange", &*url);
    }
    app = match std::env::var("KEY_SOURCE").as_deref() {
        Ok("vault") => app.key_source(Vault),
        Ok(url) => app.key_source(HttpKeySource::new(url)?),
        Err(_) => app,
    };
    if let Ok(hangs) = std::env::var("HANGS") {
        app = app.state_async(never_connected(hangs));
    }
    if std::env::var_os("STAYS").is_some() {
        app = app.background(stays);
    }
    if std::env::var_os("BLOCKS").is_some() {
        app = app.background(blocks);
    }
    if std::env::var_os("DYNAMIC").is_some() {
        app = app.handler(handler!(follow));
    }
    if std::env::var_os("OWN_ROUTES").is_some() {
        app = app.routes(Router::new().route("/webhook", post(async || "ok")));
    }
    if std::env::var_os("FALLBACK").is_some() {
        app = app.routes(Router::new().route("/{*path}", any(async || "<h1>The app</h1>")));
    }
    if std::env::var_os("CRON").is_some() {
        app = app.handler(handler!(report)).handler(handler!(hourly));
    }
    if std::env::var_os("INSTANT_CLOCK").is_some() {
        app = app.clock(forge_remote_tests::fake_api::InstantClock::default());
    }
    if std::env::var_os("BAD_CRON").is_some() {
        app = app.handler(handler!(never));
    }
    app.run().await
}
