//! An engine that serves in a test, whose runs the test ends one by one.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::conformance::{Case, Failure, expect, same};
use crate::fit::{BoxFuture, SystemClock};
use crate::jobs::engine::{Accepted, EngineContext, JobEngine, JobRunner, PastAttempts, Verdict};
use crate::jobs::envelope::Envelope;
use crate::jobs::inspect::{JobInspector, JobState};
use crate::jobs::policy::JobPolicy;
use crate::jobs::report::{EngineError, Report, ReportCode};

pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);
pub(super) const SOON: Duration = Duration::from_millis(100);
/// The longest delay of a job that is due, with an idle engine.
pub(super) const LATE: Duration = Duration::from_secs(10);
/// The longest wait for what an engine has to do soon.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many runs of an installation the handler [`LIMITED`] allows at once.
pub(super) const LIMIT: u32 = 2;
/// A handler without a limit, one with, and one that some instances of the app lack.
pub(super) const PLAIN: &str = "plain";
pub(super) const LIMITED: &str = "limited";
pub(super) const NEW: &str = "new";

/// Connects to the engine's jobs, as another process does.
pub(super) type Connect<'a> = &'a dyn Fn() -> Arc<dyn JobEngine>;

/// A run that has started.
pub(super) struct Run {
    pub(super) envelope: Envelope,
    pub(super) past: PastAttempts,
    pub(super) at: SystemTime,
    end: oneshot::Sender<Verdict>,
}

impl Run {
    /// Ends the run. An engine that has stopped does not wait for it.
    pub(super) fn end(self, verdict: Verdict) {
        let _ = self.end.send(verdict);
    }
}

/// Runs envelopes with the verdicts that the test sets.
struct Script {
    runs: mpsc::UnboundedSender<Run>,
    knows_new: bool,
}

impl JobRunner for Script {
    fn policy(&self, handler: &str) -> Option<JobPolicy> {
        match handler {
            PLAIN => Some(JobPolicy::DEFAULT),
            LIMITED => Some(JobPolicy::DEFAULT.with_per_installation(LIMIT)),
            NEW if self.knows_new => Some(JobPolicy::DEFAULT),
            _ => None,
        }
    }

    fn longest_timeout(&self) -> Duration {
        JobPolicy::DEFAULT.timeout()
    }

    fn run(self: Arc<Self>, envelope: Envelope, past: PastAttempts) -> BoxFuture<Verdict> {
        Box::pin(async move {
            let (end, ended) = oneshot::channel();
            let at = SystemTime::now();
            let run = Run {
                envelope,
                past,
                at,
                end,
            };
            if self.runs.send(run).is_err() {
                return std::future::pending().await;
            }
            match ended.await {
                Ok(verdict) => verdict,
                // The test let it go: it runs until the engine stops.
                Err(_) => std::future::pending().await,
            }
        })
    }
}

/// An engine that serves.
pub(super) struct Stage {
    runs: mpsc::UnboundedReceiver<Run>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), EngineError>>,
}

impl Stage {
    pub(super) fn start(engine: &Arc<dyn JobEngine>) -> Self {
        Self::start_with(engine, Duration::from_secs(5), false)
    }

    pub(super) fn start_with(
        engine: &Arc<dyn JobEngine>,
        grace: Duration,
        knows_new: bool,
    ) -> Self {
        let (sender, runs) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let stopped = Box::pin(async {
            // Dropped by a case that failed.
            let _ = stopped.await;
        });
        let runner = Arc::new(Script {
            runs: sender,
            knows_new,
        });
        let clock = Arc::new(SystemClock::default());
        let context = EngineContext::new(runner, clock, stopped, grace);
        Self {
            runs,
            stop,
            serving: tokio::spawn(engine.serve(context)),
        }
    }

    /// Returns the next run that starts.
    pub(super) async fn next(&mut self) -> Result<Run, Failure> {
        let next = tokio::time::timeout(PATIENCE, self.runs.recv()).await;
        let problem = || format!("no job started within {PATIENCE:?}");
        next.ok()
            .flatten()
            .ok_or_else(|| Failure::Unexpected(problem()))
    }

    /// Returns the next run, which has to be of this key.
    pub(super) async fn next_of(&mut self, key: &str) -> Result<Run, Failure> {
        let run = self.next().await?;
        same(run.envelope.key.as_str(), key, "the job that started")?;
        Ok(run)
    }

    /// Returns the next run, if one starts within this time.
    pub(super) async fn next_within(&mut self, time: Duration) -> Option<Run> {
        let next = tokio::time::timeout(time, self.runs.recv()).await;
        next.ok().flatten()
    }

    /// Makes a delayed job run, and expects that no other starts before it.
    pub(super) async fn expect_rest(&mut self, engine: &Arc<dyn JobEngine>, key: &str) -> Case {
        let mut probe = envelope(key, PLAIN, "ari:probe");
        probe.not_before = Some(SystemTime::now() + Duration::from_secs(1));
        engine.accept(probe).await?;
        self.next_of(key).await?.end(Verdict::Done);
        Ok(())
    }

    /// Stops the engine as a process that ends does, and waits for it.
    pub(super) async fn stop(self) -> Case {
        let _ = self.stop.send(());
        match tokio::time::timeout(PATIENCE, self.serving).await {
            Ok(Ok(served)) => Ok(served?),
            Ok(Err(panicked)) => Err(panicked.into()),
            Err(_) => expect(false, format!("it did not stop within {PATIENCE:?}")),
        }
    }
}

/// Returns an envelope that was accepted now.
pub(super) fn envelope(key: &str, handler: &str, installation: &str) -> Envelope {
    let sealed = [key.as_bytes(), b"\0\xff sealed"].concat();
    let mut envelope = Envelope::new(key, handler, installation, sealed);
    envelope.accepted_at = whole_millis(SystemTime::now());
    envelope
}

/// Returns a time in whole milliseconds, which every engine can store.
fn whole_millis(time: SystemTime) -> SystemTime {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

pub(super) fn report(text: &str) -> Report {
    Report::new(ReportCode::Failed, text.as_bytes().to_vec())
}

pub(super) fn id_of_new(accepted: Accepted) -> Result<String, Failure> {
    match accepted {
        Accepted::New(id) => Ok(id),
        Accepted::Repeated(_) => Err(Failure::Unexpected(
            "a new envelope counts as a repetition".to_owned(),
        )),
    }
}

pub(super) async fn until_state(inspector: &dyn JobInspector, id: &str, state: JobState) -> Case {
    let mut found = None;
    for _ in 0..600 {
        found = inspector.find(id.to_owned()).await?.map(|job| job.state);
        if found == Some(state) {
            return Ok(());
        }
        tokio::time::sleep(SOON).await;
    }
    same(found, Some(state), "the state of a job")
}
