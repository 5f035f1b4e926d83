//! Work beside requests: when it runs, what it is given, and what comes of a failure.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use forge_remote::client::AtlassianClient;
use forge_remote::prelude::*;
use forge_remote::token::MemoryTokens;
use forge_remote::{BackgroundError, BoxError, Service, Shutdown, handler};
use forge_remote_tests::jws::published;
use forge_remote_tests::rig::{Rig, SOON};
use forge_remote_tests::source::Answer;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

/// What a task tells: when it starts, and, by its drop, when it ends.
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

/// Panics before there is a future to wait for.
fn panics_at_once(State(told): State<Told>) -> std::future::Ready<Result<()>> {
    told.0.send("started").unwrap();
    panic!("boom");
}

async fn goes_on(State(told): State<Told>, _: Tokens, _: AtlassianClient) -> Result<()> {
    told.0.send("started")?;
    let _ends = Ends(told);
    std::future::pending().await
}

async fn served(change: impl FnOnce(App) -> App) -> (Rig, UnboundedReceiver<&'static str>) {
    let (send, receive) = unbounded_channel();
    let rig = Rig::with(Answer::Keys(published()), |app| {
        change(app.token_store(MemoryTokens::new()).state(Told(send)))
    })
    .await;
    (rig, receive)
}

/// What is told next, or nothing in good time.
async fn next(told: &mut UnboundedReceiver<&'static str>) -> Option<&'static str> {
    let told = tokio::time::timeout(SOON, told.recv()).await;
    told.unwrap_or(Some("nothing"))
}

/// Gives every other task its turn: nothing may come.
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
        let (rig, mut told) = served(task).await;
        assert_eq!(next(&mut told).await, Some("started"));
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            // Until it sleeps: its failure is told before.
            nothing_comes(&mut told).await;
            rig.clock
                .advance(Duration::from_secs(seconds) - Duration::from_millis(1));
            nothing_comes(&mut told).await;
            rig.clock.advance(Duration::from_millis(1));
            assert_eq!(next(&mut told).await, Some("started"));
        }
    }
}

#[tokio::test]
async fn a_task_ends_with_the_server() {
    let (rig, mut told) = served(|app| app.background(goes_on)).await;
    assert_eq!(next(&mut told).await, Some("started"));
    // The app answers beside it.
    assert_eq!(rig.status(&rig.fit().token()).await, 200);
    assert!(told.try_recv().is_err());
    drop(rig);
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
    // Only what serves runs it.
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

/// Started twice, every installation would be worked for twice.
#[tokio::test]
async fn tasks_run_once() {
    let (send, mut told) = unbounded_channel();
    let app = app().token_store(MemoryTokens::new()).state(Told(send));
    let built = app.background(goes_on).build().unwrap();
    let tasks = built.start_background().unwrap();
    assert_eq!(next(&mut told).await, Some("started"));
    let again = built.clone().start_background().unwrap_err();
    assert_eq!(again, BackgroundError::AlreadyRunning);
    assert!(again.to_string().contains("already running"), "{again}");
    // Who serves beside it serves, and leaves the tasks to those who began them.
    let (stop, server) = serving(&built).await;
    nothing_comes(&mut told).await;
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    nothing_comes(&mut told).await;
    tasks.stop(SOON).await;
    // Nothing of them runs any more: they have been dropped by now.
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

/// Lets a task go on.
#[derive(Clone)]
struct Gate(Arc<Semaphore>);

/// A round of work is finished, and a token that came last is kept.
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
    // Before the server's last word.
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

/// Fails once it is told.
async fn fails_at_the_end(shutdown: Shutdown, State(told): State<Told>) -> Result<()> {
    told.0.send("started")?;
    shutdown.requested().await;
    Err("too late".into())
}

#[tokio::test]
async fn nothing_begins_anew_at_the_end() {
    let (send, mut told) = unbounded_channel();
    let app = app().state(Told(send));
    // The other one waits to begin anew.
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
