//! The engine on one of the databases: it accepts calls, and serves them with River.

use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use forge_remote::jobs::{Accepted, EngineContext, EngineError, Envelope, Report, ReportCode};
use riverqueue::{Client, MaintenanceConfig, QueueConfig, Retention, Workers};
use tokio::sync::OnceCell;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;

use crate::dispatch::{Application, Dispatch, Ended, TIMEOUT_SLACK};
use crate::ledger::{Abandoned, Ledger, Reclaimed, failed};
use crate::quarantine::TURN_WAIT;
use crate::stored_call::{QUEUE, StoredCall, to_millis};

/// How long a job is running beyond every time limit until River takes it for abandoned: its threshold
/// of stuck jobs (10 seconds), the clocks' difference, and a margin.
const RESCUE_SLACK: Duration = Duration::from_secs(60);
const FETCH_COOLDOWN: Duration = Duration::from_millis(10);
const FETCH_POLL_INTERVAL: Duration = Duration::from_millis(500);
const ELECT_INTERVAL: Duration = Duration::from_secs(2);
const SCHEDULER_INTERVAL: Duration = Duration::from_secs(1);
const RESCUER_INTERVAL: Duration = Duration::from_secs(5);
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// How long ended runs are collected before they are noted together.
const SETTLE_INTERVAL: Duration = Duration::from_millis(50);
/// The most applications that are decided in one transaction.
const MAX_APPLICATIONS: usize = 100;
/// How often a process shows that it lives, and when its jobs count as abandoned otherwise.
const BEAT_INTERVAL: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(30);

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

    /// Returns an error if the database was never opened, without creating it.
    fn check_exists(&self) -> Result<(), EngineError> {
        Ok(())
    }

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

    /// Returns the tables, and a client that inserts, for an operator.
    pub(crate) async fn inspected(&self) -> Result<(&D::Ledger, Client), EngineError> {
        self.database.check_exists()?;
        let opened = self.opened().await?;
        Ok((&opened.ledger, opened.inserter.clone()))
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
        let (ended, mut ending) = unbounded_channel();
        let (applications, applying) = unbounded_channel();
        let mut workers = Workers::new();
        let dispatch = Dispatch::new(context.runner, opened.ledger.clone(), applications, ended);
        workers.add(dispatch).map_err(setup)?;
        let queue = QueueConfig::new(self.settings.workers)
            .with_fetch_cooldown(FETCH_COOLDOWN)
            .with_fetch_poll_interval(FETCH_POLL_INTERVAL);
        let job_timeout = longest + TURN_WAIT + TIMEOUT_SLACK;
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
        let process = client.id().to_owned();
        opened.ledger.beat(&process).await?;
        let mut run = client
            .start()
            .map_err(|error| failed("River can't start", error))?;
        opened.use_client(client);
        let deciding = tokio::spawn(decide(opened.ledger.clone(), applying));
        let upkeep = self.upkeep(&opened.ledger, &process, &mut ending);
        let ended = tokio::select! {
            ended = async {
                tokio::select! {
                    () = context.stop => run.stop().await,
                    ended = run.wait() => ended,
                }
            } => ended,
            never = upkeep => match never {},
        };
        opened.use_client(opened.inserter.clone());
        drop(run);
        deciding.abort();
        settle(&opened.ledger, &mut ending).await;
        ended.map_err(|error| failed("River ended", error))
    }

    /// Notes how runs ended, shows that this process lives, and tidies up.
    async fn upkeep(
        &self,
        ledger: &D::Ledger,
        process: &str,
        ending: &mut UnboundedReceiver<Ended>,
    ) -> std::convert::Infallible {
        let (mut next_beat, mut next_sweep) = (Instant::now(), Instant::now());
        // After an outage of the database, every process seems silent until it has shown that it lives.
        let mut reachable_since = Instant::now();
        loop {
            if next_beat.elapsed() > Duration::ZERO {
                if next_beat.elapsed() > BEAT_INTERVAL {
                    reachable_since = Instant::now();
                }
                next_beat = Instant::now() + BEAT_INTERVAL;
                let tended = async {
                    ledger.beat(process).await?;
                    if reachable_since.elapsed() > 2 * BEAT_INTERVAL {
                        log_reclaimed(&ledger.reclaim(Abandoned::Silent(SILENCE)).await?);
                    }
                    Ok::<(), EngineError>(())
                };
                if let Err(error) = tended.await {
                    reachable_since = Instant::now();
                    tracing::warn!(error = %chain(&error), "the database of the jobs does not respond");
                }
            }
            if next_sweep.elapsed() > Duration::ZERO {
                next_sweep = Instant::now() + SWEEP_INTERVAL;
                let now = to_millis(SystemTime::now());
                let remember = i64::try_from(self.settings.remember.as_millis());
                let forget_before = now.saturating_sub(remember.unwrap_or(i64::MAX));
                if let Err(error) = ledger.sweep(now, forget_before).await {
                    tracing::warn!(error = %chain(&error), "finished jobs can't be tidied up yet");
                }
            }
            tokio::time::sleep(SETTLE_INTERVAL).await;
            settle(ledger, ending).await;
        }
    }
}

/// Decides applications; all that wait are decided in one transaction.
async fn decide<L: Ledger>(ledger: L, mut applying: UnboundedReceiver<Application>) {
    let mut applications = Vec::new();
    while applying
        .recv_many(&mut applications, MAX_APPLICATIONS)
        .await
        > 0
    {
        let (applicants, decisions): (Vec<_>, Vec<_>) = applications
            .drain(..)
            .map(|application| (application.applicant, application.decision))
            .unzip();
        match ledger
            .admit(&applicants, to_millis(SystemTime::now()))
            .await
        {
            Ok(admissions) => {
                for (decision, admission) in decisions.into_iter().zip(admissions) {
                    // A call that is cancelled meanwhile does not wait for it.
                    let _ = decision.send(admission);
                }
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), jobs = applicants.len(), "jobs wait: the database does not respond");
            }
        }
    }
}

/// Notes how runs ended. If the database fails, the next sweep notes what finished.
async fn settle<L: Ledger>(ledger: &L, ending: &mut UnboundedReceiver<Ended>) {
    let (mut finished, mut handed_back) = (Vec::new(), Vec::new());
    while let Ok(ended) = ending.try_recv() {
        match ended {
            Ended::Finished(job) => finished.push(job),
            Ended::HandedBack(job) => handed_back.push(job),
        }
    }
    if finished.is_empty() && handed_back.is_empty() {
        return;
    }
    if let Err(error) = ledger.settle(&finished, &handed_back).await {
        tracing::debug!(error = %chain(&error), "ended jobs can't be noted yet");
    }
}

/// Logs the jobs of ended processes, and each dead one alone.
pub(crate) fn log_reclaimed(reclaimed: &[Reclaimed]) {
    for job in reclaimed.iter().filter(|job| job.is_dead) {
        if let Ok(call) = serde_json::from_str::<StoredCall>(&job.arguments) {
            let report = Report::new(ReportCode::Interrupted, Vec::new());
            let attempts = u32::try_from(job.attempt).unwrap_or_default();
            call.envelope()
                .log_dead(&job.job.to_string(), attempts, &report);
        }
    }
    if !reclaimed.is_empty() {
        tracing::warn!(
            jobs = reclaimed.len(),
            "an ended process left jobs: they run again, and the ones that had started run alone"
        );
    }
}

/// Returns an error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
