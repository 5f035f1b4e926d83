//! The conformance suite over every engine, and engines that fail it.

use std::sync::Arc;

use forge_remote::fit::BoxFuture;
use forge_remote::jobs::{
    Accepted, EngineContext, EngineError, Envelope, Guarantees, JobEngine, MemoryJobs, Repeats,
};
use forge_remote::testing::{job_engine_conformance, job_engine_conformance_in_parallel};
use forge_remote_tests::engines::{TestEngine, memory, postgres, restate, sqlite};

/// Checks each requirement on a new engine, all at the same time.
async fn check(create: impl AsyncFn() -> TestEngine) {
    let checked = job_engine_conformance_in_parallel(async || {
        let engine = create().await;
        move || engine.connect()
    })
    .await;
    checked.unwrap_or_else(|error| panic!("{error:?}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_fulfils_the_traits_contract() {
    check(async || memory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_fulfils_the_traits_contract() {
    check(async || sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_fulfils_the_traits_contract() {
    if postgres().await.is_some() {
        check(async || postgres().await.unwrap()).await;
    }
}

/// One requirement after another, on one server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restate_fulfils_the_traits_contract() {
    if let Some(engine) = restate().await {
        let checked = job_engine_conformance(|| engine.connect()).await;
        checked.unwrap_or_else(|error| panic!("{error:?}"));
    }
}

/// An engine that changes what it accepts.
struct Wrong(MemoryJobs, fn(&mut Envelope));

impl JobEngine for Wrong {
    fn name(&self) -> String {
        "wrong".to_owned()
    }

    fn accept(&self, mut envelope: Envelope) -> BoxFuture<Result<Accepted, EngineError>> {
        (self.1)(&mut envelope);
        self.0.accept(envelope)
    }

    fn serve(&self, context: EngineContext) -> BoxFuture<Result<(), EngineError>> {
        self.0.serve(context)
    }

    fn guarantees(&self) -> Guarantees {
        self.0.guarantees()
    }
}

/// A change to an envelope.
type Change = fn(&mut Envelope);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_finds_an_engine_that_is_wrong() {
    let wrong: [(Change, &str); 5] = [
        (|envelope| envelope.not_before = None, "runs unchanged"),
        (|envelope| envelope.max_attempts += 1, "runs unchanged"),
        (|envelope| envelope.repeats = Repeats::Never, "by its key"),
        (
            |envelope| {
                if let Repeats::UnfinishedOrWithin(time) = envelope.repeats {
                    envelope.repeats = Repeats::Within(time);
                }
            },
            "by its key",
        ),
        (
            |envelope| envelope.installation_id = "ari:one".to_owned(),
            "runs unchanged",
        ),
    ];
    for (change, requirement) in wrong {
        let jobs = MemoryJobs::new();
        let connect = || Arc::new(Wrong(jobs.clone(), change)) as Arc<dyn JobEngine>;
        let error = job_engine_conformance(connect).await.unwrap_err();
        assert!(error.to_string().contains(requirement), "{error}");
        // Which check fails first depends on the machine.
        let create = async || {
            let jobs = MemoryJobs::new();
            move || Arc::new(Wrong(jobs.clone(), change)) as Arc<dyn JobEngine>
        };
        assert!(job_engine_conformance_in_parallel(create).await.is_err());
    }
}
