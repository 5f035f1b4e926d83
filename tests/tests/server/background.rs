//! Background tasks run while the app is served, restart after failures, and shut down gracefully.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use forge_remote::client::AtlassianClient;
use forge_remote::prelude::*;
use forge_remote::token::MemoryTokens;
use forge_remote::{BackgroundError, BoxError, Service, Shutdown, handler};
use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::published;
use forge_remote_tests::test_app::{SOON, TestApp};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

/// A sender of a task's events.
#[derive(Clone)]
struct Told(UnboundedSender<&'static str>);

struct Ends(Told);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.0.send("ended");
    }
}

async fn fails(State(told): State<Told>) -> Result<()> {
    told.0.send("started")?;
    Err("the site is down".into())
}

async fn panics(State(told): State<Told>) -> Result<()> {
    told.0.send("started")?;
    panic!("boom");
}

/// Panics before it returns a future.
fn panics_at_once(State(told): State<Told>) -> std::future::Ready<Result<()>> {
    told.0.send("started").unwrap();
    panic!("boom");
}

async fn goes_on(State(told): State<Told>, _: Tokens, _: AtlassianClient) -> Result<()> {
    told.0.send("started")?;
    let _ends = Ends(told);
    std::future::pending().await
}

async fn served(change: impl FnOnce(App) -> App) -> (TestApp, UnboundedReceiver<&'static str>) {
    let (send, receive) = unbounded_channel();
    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        change(app.token_store(MemoryTokens::new()).state(Told(send)))
    })
    .await;
    (app, receive)
}

/// Returns the next event, or `nothing` after [`SOON`].
async fn next(told: &mut UnboundedReceiver<&'static str>) -> Option<&'static str> {
    let told = tokio::time::timeout(SOON, told.recv()).await;
    told.unwrap_or(Some("nothing"))
}

/// Lets all other tasks run and checks that there is no event.
async fn nothing_comes(told: &mut UnboundedReceiver<&'static str>) {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn a_task_that_fails_or_panics_begins_anew_later_and_later() {
    let tasks: [fn(App) -> App; 3] = [
        |app| app.background(fails),
        |app| app.background(panics),
        |app| app.background(panics_at_once),
    ];
    for task in tasks {
        let (app, mut told) = served(task).await;
        assert_eq!(next(&mut told).await, Some("started"));
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            // Lets the task fail and sleep.
            nothing_comes(&mut told).await;
            app.clock
                .advance(Duration::from_secs(seconds) - Duration::from_millis(1));
            nothing_comes(&mut told).await;
            app.clock.advance(Duration::from_millis(1));
            assert_eq!(next(&mut told).await, Some("started"));
        }
    }
}

#[tokio::test]
async fn a_task_ends_with_the_server() {
    let (app, mut told) = served(|app| app.background(goes_on)).await;
    assert_eq!(next(&mut told).await, Some("started"));
    // The app serves calls at the same time.
    assert_eq!(app.status(&app.fit().token()).await, 200);
    assert!(told.try_recv().is_err());
    drop(app);
    assert_eq!(next(&mut told).await, Some("ended"));
}

#[endpoint]
async fn page() {}

fn app() -> App {
    App::empty()
        .handler(handler!(page))
        .app_id("ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107")
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
}

#[test]
fn what_a_task_takes_is_checked_at_launch() {
    let error = app().background(goes_on).build().map(drop).unwrap_err();
    let codes: Vec<&str> = error.problems().iter().map(|one| one.code).collect();
    assert_eq!(codes, ["missing-state", "no-tokens"]);
    for problem in error.problems() {
        assert!(
            problem.message.contains("the background task takes"),
            "{problem}"
        );
        let at = problem.locations.first().unwrap().location;
        assert!(at.file.ends_with("server/background.rs"), "{at}");
    }
}

#[tokio::test]
async fn a_task_does_not_run_before_the_state_is_connected() {
    let (send, mut told) = unbounded_channel();
    let connected = Arc::new(tokio::sync::Notify::new());
    let wait = Arc::clone(&connected);
    let app = app()
        .token_store(MemoryTokens::new())
        .state_async(async move {
            wait.notified().await;
            Ok::<_, BoxError>(Told(send))
        })
        .background(goes_on);
    let connecting = tokio::spawn(app.connect());
    nothing_comes(&mut told).await;
    connected.notify_one();
    let built = connecting.await.unwrap().unwrap().build().unwrap();
    // Only serving starts the task.
    nothing_comes(&mut told).await;
    let (stop, server) = serving(&built).await;
    assert_eq!(next(&mut told).await, Some("started"));
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    assert_eq!(next(&mut told).await, Some("ended"));
}

#[tokio::test]
async fn whoever_serves_the_router_starts_the_tasks() {
    let (send, mut told) = unbounded_channel();
    let app = app().token_store(MemoryTokens::new()).state(Told(send));
    let built = app.background(goes_on).build().unwrap();
    let _router = built.router();
    nothing_comes(&mut told).await;
    let tasks = built.start_background().unwrap();
    assert_eq!(next(&mut told).await, Some("started"));
    drop(tasks);
    assert_eq!(next(&mut told).await, Some("ended"));
}

/// Tasks that ran twice would process every installation twice.
#[tokio::test]
async fn tasks_run_once() {
    let (send, mut told) = unbounded_channel();
    let app = app().token_store(MemoryTokens::new()).state(Told(send));
    let built = app.background(goes_on).build().unwrap();
    let tasks = built.start_background().unwrap();
    assert_eq!(next(&mut told).await, Some("started"));
    let again = built.clone().start_background().unwrap_err();
    assert_eq!(again, BackgroundError::AlreadyRunning);
    assert!(again.to_string().contains("run already"), "{again}");
    // A second server serves but does not start or stop the tasks.
    let (stop, server) = serving(&built).await;
    nothing_comes(&mut told).await;
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    nothing_comes(&mut told).await;
    tasks.stop(SOON).await;
    // The tasks have been dropped.
    assert_eq!(told.try_recv(), Ok("ended"));
    let _anew = built.start_background().unwrap();
    assert_eq!(next(&mut told).await, Some("started"));
}

#[test]
fn without_a_runtime_there_is_an_error() {
    let built = app().build().unwrap();
    let error = built.start_background().unwrap_err();
    assert_eq!(error, BackgroundError::NoRuntime);
}

async fn serving(built: &Service) -> (oneshot::Sender<()>, JoinHandle<Result<()>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(built.clone().serve(listener, async {
        let _ = stopped.await;
    }));
    (stop, server)
}

/// A gate that lets a task continue.
#[derive(Clone)]
struct Gate(Arc<Semaphore>);

/// Finishes its work after the shutdown request.
async fn ends_well(
    shutdown: Shutdown,
    State(told): State<Told>,
    State(gate): State<Gate>,
) -> Result<()> {
    told.0.send("started")?;
    let _ends = Ends(told.clone());
    shutdown.requested().await;
    assert!(shutdown.is_requested());
    told.0.send("told")?;
    let _permit = gate.0.acquire().await?;
    told.0.send("finished")?;
    Ok(())
}

#[tokio::test]
async fn a_task_is_told_of_the_end_and_waited_for() {
    let (send, mut told) = unbounded_channel();
    let gate = Gate(Arc::new(Semaphore::new(0)));
    let app = app().state(Told(send)).state(gate.clone());
    let built = app.background(ends_well).build().unwrap();
    let (stop, server) = serving(&built).await;
    assert_eq!(next(&mut told).await, Some("started"));
    nothing_comes(&mut told).await;
    stop.send(()).unwrap();
    assert_eq!(next(&mut told).await, Some("told"));
    nothing_comes(&mut told).await;
    assert!(!server.is_finished());
    gate.0.add_permits(1);
    server.await.unwrap().unwrap();
    // Before the server ended.
    assert_eq!(told.try_recv(), Ok("finished"));
    assert_eq!(told.try_recv(), Ok("ended"));
}

#[tokio::test]
async fn a_task_that_does_not_end_in_time_is_cut_off() {
    let (send, mut told) = unbounded_channel();
    let gate = Gate(Arc::new(Semaphore::new(0)));
    let app = app().state(Told(send)).state(gate.clone());
    let app = app.shutdown_grace(Duration::from_millis(50));
    let built = app.background(ends_well).build().unwrap();
    let (stop, server) = serving(&built).await;
    assert_eq!(next(&mut told).await, Some("started"));
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    assert_eq!(told.try_recv(), Ok("told"));
    assert_eq!(told.try_recv(), Ok("ended"));
}

/// Fails after the shutdown request.
async fn fails_at_the_end(shutdown: Shutdown, State(told): State<Told>) -> Result<()> {
    told.0.send("started")?;
    shutdown.requested().await;
    Err("too late".into())
}

#[tokio::test]
async fn nothing_begins_anew_at_the_end() {
    let (send, mut told) = unbounded_channel();
    let app = app().state(Told(send));
    // The other task waits for its restart.
    let built = app
        .background(fails_at_the_end)
        .background(fails)
        .build()
        .unwrap();
    let tasks = built.start_background().unwrap();
    assert_eq!(next(&mut told).await, Some("started"));
    assert_eq!(next(&mut told).await, Some("started"));
    tasks.stop(SOON).await;
    assert!(told.try_recv().is_err());
}
