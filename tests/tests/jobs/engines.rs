//! What every engine promises of keys and times.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use forge_remote::fit::{BoxFuture, SystemClock};
use forge_remote::jobs::{
    Accepted, EngineContext, Envelope, JobEngine, JobPolicy, JobRunner, PastAttempts, Repeats,
    Verdict,
};
use forge_remote_tests::engines::{ENGINE_WAIT, test_engines};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Reports each start.
struct Starts(UnboundedSender<(Envelope, SystemTime)>);

impl JobRunner for Starts {
    fn policy(&self, _: &str) -> Option<JobPolicy> {
        Some(JobPolicy::DEFAULT)
    }

    fn longest_timeout(&self) -> Duration {
        JobPolicy::DEFAULT.timeout()
    }

    fn run(self: Arc<Self>, envelope: Envelope, _: PastAttempts) -> BoxFuture<Verdict> {
        self.0.send((envelope, SystemTime::now())).unwrap();
        Box::pin(std::future::ready(Verdict::Done))
    }
}

/// An engine that serves until it is dropped.
struct Served {
    starts: UnboundedReceiver<(Envelope, SystemTime)>,
    _stop: oneshot::Sender<()>,
}

impl Served {
    fn start(engine: &Arc<dyn JobEngine>) -> Self {
        let (sender, starts) = unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let stopped = Box::pin(async {
            let _ = stopped.await;
        });
        let clock = Arc::new(SystemClock::default());
        let context = EngineContext::new(
            Arc::new(Starts(sender)),
            clock,
            stopped,
            Duration::from_secs(1),
        );
        let serving = engine.serve(context);
        tokio::spawn(async move { serving.await.unwrap() });
        Self {
            starts,
            _stop: stop,
        }
    }

    async fn next_start(&mut self) -> (Envelope, SystemTime) {
        let start = tokio::time::timeout(ENGINE_WAIT, self.starts.recv()).await;
        start.expect("no job starts").unwrap()
    }
}

fn envelope(key: &str) -> Envelope {
    let mut envelope = Envelope::new(key, "index", "ari:1", b"sealed".to_vec());
    envelope.accepted_at = SystemTime::now();
    envelope
}

fn unique(key: &str) -> Envelope {
    let mut envelope = envelope(key);
    envelope.repeats = Repeats::UnfinishedOrWithin(DAY);
    envelope
}

#[track_caller]
fn id(accepted: &Accepted) -> &str {
    match accepted {
        Accepted::New(id) | Accepted::Repeated(id) => id,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delayed_job_runs_at_its_time() {
    for test_engine in test_engines().await {
        let engine = test_engine.connect();
        engine.open().await.unwrap();
        let mut served = Served::start(&engine);
        let mut delayed = unique("delayed");
        let due = SystemTime::now() + Duration::from_millis(2500);
        delayed.not_before = Some(due);
        engine.accept(delayed.clone()).await.unwrap();
        engine.accept(envelope("at-once")).await.unwrap();
        assert_eq!(
            served.next_start().await.0.key,
            "at-once",
            "{test_engine:?}"
        );
        let (started, at) = served.next_start().await;
        assert_eq!(started.key, "delayed", "{test_engine:?}");
        assert_eq!(started.sealed, delayed.sealed, "{test_engine:?}");
        // The engine's clock has milliseconds.
        assert!(at >= due - Duration::from_millis(1), "{test_engine:?}");
        let late = at.duration_since(due).unwrap_or_default();
        assert!(
            late < Duration::from_secs(5),
            "{test_engine:?}: {late:?} late"
        );
    }
}

/// As a schedule sends its next occurrences at each tick, and a retried handler its job again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_with_the_key_of_a_known_one_is_ignored() {
    for test_engine in test_engines().await {
        let engine = test_engine.connect();
        engine.open().await.unwrap();
        let mut waiting = unique("waiting");
        waiting.accepted_at = SystemTime::now() - 3 * DAY;
        waiting.not_before = Some(SystemTime::now() + DAY);
        let first = engine.accept(waiting.clone()).await.unwrap();
        assert!(matches!(first, Accepted::New(_)), "{test_engine:?}");
        // Accepted long ago, and it still waits.
        let mut again = waiting.clone();
        again.accepted_at = SystemTime::now();
        let repeated = engine.accept(again.clone()).await.unwrap();
        assert_eq!(
            repeated,
            Accepted::Repeated(id(&first).to_owned()),
            "{test_engine:?}"
        );
        // To a retry by Forge, a call that was accepted long ago is another one.
        again.repeats = Repeats::Within(DAY);
        let new = engine.accept(again.clone()).await.unwrap();
        assert!(matches!(new, Accepted::New(_)), "{test_engine:?}");

        let done = engine.accept(unique("done")).await.unwrap();
        let mut served = Served::start(&engine);
        assert_eq!(served.next_start().await.0.key, "done");
        // Other connections know it as well, once it is done.
        let other = test_engine.connect();
        let repeated = other.accept(unique("done")).await.unwrap();
        assert_eq!(
            repeated,
            Accepted::Repeated(id(&done).to_owned()),
            "{test_engine:?}"
        );
        let mut later = unique("done");
        later.accepted_at = SystemTime::now() + 2 * DAY;
        until_new(&*engine, later).await;
    }
}

/// Waits until the engine has noted that the job before ended: for a moment, it is unfinished.
async fn until_new(engine: &dyn JobEngine, envelope: Envelope) {
    let new = async {
        while matches!(
            engine.accept(envelope.clone()).await.unwrap(),
            Accepted::Repeated(_)
        ) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(ENGINE_WAIT, new).await.unwrap();
}
