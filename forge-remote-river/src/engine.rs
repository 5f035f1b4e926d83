//! The engine on one of the databases: it accepts calls, and serves them with River.

use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use forge_remote::jobs::{Accepted, EngineContext, EngineError, Envelope};
use riverqueue::{Client, MaintenanceConfig, QueueConfig, Retention, Workers};
use tokio::sync::OnceCell;

use crate::dispatch::Dispatch;
use crate::ledger::{Ledger, failed};
use crate::quarantine::SUSPECT_WAIT;
use crate::stored_call::to_millis;

const QUEUE: &str = "forge_remote";
/// How long River waits beyond a handler's own time limit.
pub(crate) const TIMEOUT_SLACK: Duration = Duration::from_secs(10);
/// How long a job is running beyond every time limit until River takes it for abandoned: its threshold
/// of stuck jobs (10 seconds), the clocks' difference, and a margin.
const RESCUE_SLACK: Duration = Duration::from_secs(60);
const FETCH_COOLDOWN: Duration = Duration::from_millis(10);
const FETCH_POLL_INTERVAL: Duration = Duration::from_millis(500);
const ELECT_INTERVAL: Duration = Duration::from_secs(2);
const SCHEDULER_INTERVAL: Duration = Duration::from_secs(1);
const RESCUER_INTERVAL: Duration = Duration::from_secs(5);
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// How long finished jobs are collected before they are noted together.
const FINISH_INTERVAL: Duration = Duration::from_millis(50);

/// The settings of an engine.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) workers: usize,
    pub(crate) remember: Duration,
    pub(crate) keep_dead: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 20,
            remember: Duration::from_secs(24 * 3600),
            keep_dead: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// One of the databases.
pub(crate) trait Database: Clone + Send + Sync + 'static {
    type Ledger: Ledger;
    /// Held while this process runs jobs.
    type Presence: Send;

    /// Opens the database, and migrates it.
    fn open(&self) -> impl Future<Output = Result<Self::Ledger, EngineError>> + Send;

    /// Prepares the database for a process that runs jobs.
    fn enter(
        &self,
        ledger: &Self::Ledger,
    ) -> impl Future<Output = Result<Self::Presence, EngineError>> + Send;
}

/// An engine.
pub(crate) struct River<D: Database> {
    pub(crate) database: D,
    pub(crate) settings: Settings,
    opened: OnceCell<Opened<D::Ledger>>,
}

struct Opened<L> {
    ledger: L,
    /// Inserts jobs. While the engine serves, it is the client that runs them, which learns of an insert
    /// at once.
    client: RwLock<Client>,
    inserter: Client,
}

impl<L> Opened<L> {
    fn client(&self) -> Client {
        let client = self.client.read();
        client.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn use_client(&self, client: Client) {
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = client;
    }
}

impl<D: Database> River<D> {
    pub(crate) fn new(database: D, settings: Settings) -> Self {
        Self {
            database,
            settings,
            opened: OnceCell::new(),
        }
    }

    pub(crate) async fn open(&self) -> Result<(), EngineError> {
        self.opened().await.map(|_| ())
    }

    async fn opened(&self) -> Result<&Opened<D::Ledger>, EngineError> {
        let open = async || {
            let ledger = self.database.open().await?;
            let inserter = ledger.client().build();
            let inserter = inserter.map_err(|error| failed("River can't be set up", error))?;
            Ok(Opened {
                ledger,
                client: RwLock::new(inserter.clone()),
                inserter,
            })
        };
        self.opened.get_or_try_init(open).await
    }

    pub(crate) async fn accept(&self, envelope: &Envelope) -> Result<Accepted, EngineError> {
        let opened = self.opened().await?;
        opened.ledger.accept(&opened.client(), envelope).await
    }

    pub(crate) async fn serve(&self, context: EngineContext) -> Result<(), EngineError> {
        let opened = self.opened().await?;
        let _presence = self.database.enter(&opened.ledger).await?;
        let setup = |error| failed("River can't be set up", error);
        let longest = context.runner.longest_timeout();
        let (finished, mut finishing) = tokio::sync::mpsc::unbounded_channel();
        let mut workers = Workers::new();
        let dispatch = Dispatch::new(context.runner, opened.ledger.clone(), finished);
        workers.add(dispatch).map_err(setup)?;
        let queue = QueueConfig::new(self.settings.workers)
            .with_fetch_cooldown(FETCH_COOLDOWN)
            .with_fetch_poll_interval(FETCH_POLL_INTERVAL);
        let job_timeout = longest + SUSPECT_WAIT + TIMEOUT_SLACK;
        let maintenance = MaintenanceConfig::default()
            .with_elect_interval(ELECT_INTERVAL)
            .with_scheduler_interval(SCHEDULER_INTERVAL)
            .with_rescuer_interval(RESCUER_INTERVAL)
            .with_rescue_after(job_timeout + RESCUE_SLACK)
            .with_completed_job_retention(Retention::DeleteAfter(Duration::from_secs(3600)))
            .with_cancelled_job_retention(Retention::DeleteAfter(Duration::from_secs(3600)))
            .with_discarded_job_retention(Retention::DeleteAfter(self.settings.keep_dead));
        let client = opened
            .ledger
            .client()
            .workers(workers)
            .queue(QUEUE, queue)
            .job_timeout(job_timeout)
            .soft_stop_timeout(context.grace.max(Duration::from_millis(1)))
            .maintenance(maintenance)
            .build()
            .map_err(setup)?;
        let mut run = client.start().map_err(|error| failed("River can't start", error))?;
        opened.use_client(client);
        let upkeep = self.upkeep(&opened.ledger, &mut finishing);
        let ended = tokio::select! {
            () = context.stop => run.stop().await,
            ended = run.wait() => ended,
            never = upkeep => match never {},
        };
        opened.use_client(opened.inserter.clone());
        drop(run);
        finish(&opened.ledger, &mut finishing).await;
        ended.map_err(|error| failed("River ended", error))
    }

    /// Notes jobs that ended, and tidies up.
    async fn upkeep(
        &self,
        ledger: &D::Ledger,
        finishing: &mut tokio::sync::mpsc::UnboundedReceiver<i64>,
    ) -> std::convert::Infallible {
        let mut next_sweep = tokio::time::Instant::now();
        loop {
            if tokio::time::Instant::now() >= next_sweep {
                let now = to_millis(SystemTime::now());
                let remember = i64::try_from(self.settings.remember.as_millis());
                let forget_before = now.saturating_sub(remember.unwrap_or(i64::MAX));
                if let Err(error) = ledger.sweep(now, forget_before).await {
                    tracing::warn!(%error, "finished jobs can't be tidied up; the next try is in a minute");
                }
                next_sweep = tokio::time::Instant::now() + SWEEP_INTERVAL;
            }
            tokio::time::sleep(FINISH_INTERVAL).await;
            finish(ledger, finishing).await;
        }
    }
}

/// Notes the jobs that ended. If the database fails, the next sweep notes them.
async fn finish<L: Ledger>(ledger: &L, finishing: &mut tokio::sync::mpsc::UnboundedReceiver<i64>) {
    let mut jobs = Vec::new();
    while let Ok(job) = finishing.try_recv() {
        jobs.push(job);
    }
    if !jobs.is_empty()
        && let Err(error) = ledger.finish(&jobs).await
    {
        tracing::debug!(%error, "ended jobs can't be noted yet");
    }
}
