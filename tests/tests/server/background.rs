//! Background tasks run while the app is served, restart after failures, and shut down gracefully.

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
struct EventSender(UnboundedSender<&'static str>);

struct SendsEndedOnDrop(EventSender);

impl Drop for SendsEndedOnDrop {
    fn drop(&mut self) {
        let _ = self.0.0.send("ended");
    }
}

async fn fails(State(sender): State<EventSender>) -> Result<()> {
    sender.0.send("started")?;
    Err("the site is down".into())
}

async fn panics(State(sender): State<EventSender>) -> Result<()> {
    sender.0.send("started")?;
    panic!("boom");
}

/// Panics before it returns a future.
fn panics_at_once(State(sender): State<EventSender>) -> std::future::Ready<Result<()>> {
    sender.0.send("started").unwrap();
    panic!("boom");
}

async fn runs_until_dropped(
    State(sender): State<EventSender>,
    _: Tokens,
    _: AtlassianClient,
) -> Result<()> {
    sender.0.send("started")?;
    let _ends = SendsEndedOnDrop(sender);
    std::future::pending().await
}

async fn served(change: impl FnOnce(App) -> App) -> (TestApp, UnboundedReceiver<&'static str>) {
    let (send, receive) = unbounded_channel();
    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        change(
            app.token_store(MemoryTokens::new())
                .state(EventSender(send)),
        )
    })
    .await;
    (app, receive)
}

/// Returns the next event, or `nothing` after [`SOON`].
async fn next_event(events: &mut UnboundedReceiver<&'static str>) -> Option<&'static str> {
    let events = tokio::time::timeout(SOON, events.recv()).await;
    events.unwrap_or(Some("nothing"))
}

/// Lets all other tasks run and checks that there is no event.
async fn assert_no_event(events: &mut UnboundedReceiver<&'static str>) {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert!(events.try_recv().is_err());
}

#[tokio::test]
async fn a_task_that_fails_or_panics_restarts_with_growing_pauses() {
    let tasks: [fn(App) -> App; 3] = [
        |app| app.background(fails),
        |app| app.background(panics),
        |app| app.background(panics_at_once),
    ];
    for task in tasks {
        let (app, mut events) = served(task).await;
        assert_eq!(next_event(&mut events).await, Some("started"));
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            // Lets the task fail and sleep.
            assert_no_event(&mut events).await;
            app.clock
                .advance(Duration::from_secs(seconds) - Duration::from_millis(1));
            assert_no_event(&mut events).await;
            app.clock.advance(Duration::from_millis(1));
            assert_eq!(next_event(&mut events).await, Some("started"));
        }
    }
}

#[tokio::test]
async fn a_task_ends_with_the_server() {
    let (app, mut events) = served(|app| app.background(runs_until_dropped)).await;
    assert_eq!(next_event(&mut events).await, Some("started"));
    // The app serves calls at the same time.
    assert_eq!(app.status(&app.fit().token()).await, 200);
    assert!(events.try_recv().is_err());
    drop(app);
    assert_eq!(next_event(&mut events).await, Some("ended"));
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
fn a_tasks_arguments_are_checked_at_launch() {
    let error = app()
        .background(runs_until_dropped)
        .build()
        .map(drop)
        .unwrap_err();
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
    let (send, mut events) = unbounded_channel();
    let connected = Arc::new(tokio::sync::Notify::new());
    let wait = Arc::clone(&connected);
    let app = app()
        .token_store(MemoryTokens::new())
        .state_async(async move {
            wait.notified().await;
            Ok::<_, BoxError>(EventSender(send))
        })
        .background(runs_until_dropped);
    let connecting = tokio::spawn(app.connect());
    assert_no_event(&mut events).await;
    connected.notify_one();
    let built = connecting.await.unwrap().unwrap().build().unwrap();
    // Only serving starts the task.
    assert_no_event(&mut events).await;
    let (stop, server) = serving(&built).await;
    assert_eq!(next_event(&mut events).await, Some("started"));
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    assert_eq!(next_event(&mut events).await, Some("ended"));
}

#[tokio::test]
async fn tasks_of_a_router_are_started_explicitly() {
    let (send, mut events) = unbounded_channel();
    let app = app()
        .token_store(MemoryTokens::new())
        .state(EventSender(send));
    let built = app.background(runs_until_dropped).build().unwrap();
    let _router = built.router();
    assert_no_event(&mut events).await;
    let tasks = built.start_background().unwrap();
    assert_eq!(next_event(&mut events).await, Some("started"));
    drop(tasks);
    assert_eq!(next_event(&mut events).await, Some("ended"));
}

/// Tasks that ran twice would process every installation twice.
#[tokio::test]
async fn tasks_cannot_be_started_twice() {
    let (send, mut events) = unbounded_channel();
    let app = app()
        .token_store(MemoryTokens::new())
        .state(EventSender(send));
    let built = app.background(runs_until_dropped).build().unwrap();
    let tasks = built.start_background().unwrap();
    assert_eq!(next_event(&mut events).await, Some("started"));
    let again = built.clone().start_background().unwrap_err();
    assert_eq!(again, BackgroundError::AlreadyRunning);
    assert!(again.to_string().contains("already running"), "{again}");
    // A second server serves but does not start or stop the tasks.
    let (stop, server) = serving(&built).await;
    assert_no_event(&mut events).await;
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    assert_no_event(&mut events).await;
    tasks.stop(SOON).await;
    // The tasks have been dropped.
    assert_eq!(events.try_recv(), Ok("ended"));
    let _restarted = built.start_background().unwrap();
    assert_eq!(next_event(&mut events).await, Some("started"));
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
async fn finishes_after_shutdown(
    shutdown: Shutdown,
    State(sender): State<EventSender>,
    State(gate): State<Gate>,
) -> Result<()> {
    sender.0.send("started")?;
    let _ends = SendsEndedOnDrop(sender.clone());
    shutdown.requested().await;
    assert!(shutdown.is_requested());
    sender.0.send("shutting down")?;
    let _permit = gate.0.acquire().await?;
    sender.0.send("finished")?;
    Ok(())
}

#[tokio::test]
async fn a_task_is_notified_of_the_shutdown_and_awaited() {
    let (send, mut events) = unbounded_channel();
    let gate = Gate(Arc::new(Semaphore::new(0)));
    let app = app().state(EventSender(send)).state(gate.clone());
    let built = app.background(finishes_after_shutdown).build().unwrap();
    let (stop, server) = serving(&built).await;
    assert_eq!(next_event(&mut events).await, Some("started"));
    assert_no_event(&mut events).await;
    stop.send(()).unwrap();
    assert_eq!(next_event(&mut events).await, Some("shutting down"));
    assert_no_event(&mut events).await;
    assert!(!server.is_finished());
    gate.0.add_permits(1);
    server.await.unwrap().unwrap();
    // Before the server ended.
    assert_eq!(events.try_recv(), Ok("finished"));
    assert_eq!(events.try_recv(), Ok("ended"));
}

#[tokio::test]
async fn a_task_that_does_not_end_in_time_is_cut_off() {
    let (send, mut events) = unbounded_channel();
    let gate = Gate(Arc::new(Semaphore::new(0)));
    let app = app().state(EventSender(send)).state(gate.clone());
    let app = app.shutdown_grace(Duration::from_millis(50));
    let built = app.background(finishes_after_shutdown).build().unwrap();
    let (stop, server) = serving(&built).await;
    assert_eq!(next_event(&mut events).await, Some("started"));
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    assert_eq!(events.try_recv(), Ok("shutting down"));
    assert_eq!(events.try_recv(), Ok("ended"));
}

/// Fails after the shutdown request.
async fn fails_after_shutdown(shutdown: Shutdown, State(sender): State<EventSender>) -> Result<()> {
    sender.0.send("started")?;
    shutdown.requested().await;
    Err("too late".into())
}

#[tokio::test]
async fn nothing_restarts_during_shutdown() {
    let (send, mut events) = unbounded_channel();
    let app = app().state(EventSender(send));
    // The other task waits for its restart.
    let built = app
        .background(fails_after_shutdown)
        .background(fails)
        .build()
        .unwrap();
    let tasks = built.start_background().unwrap();
    assert_eq!(next_event(&mut events).await, Some("started"));
    assert_eq!(next_event(&mut events).await, Some("started"));
    tasks.stop(SOON).await;
    assert!(events.try_recv().is_err());
}
