//! The conformance suite over every engine, and engines that fail it.

use std::sync::Arc;

use forge_remote::fit::BoxFuture;
use forge_remote::jobs::{
    Accepted, EngineContext, EngineError, Envelope, Guarantees, JobEngine, MemoryJobs, Repeats,
};
use forge_remote::testing::job_engine_conformance;
use forge_remote_tests::engines::{TestEngine, memory, postgres, restate, sqlite};

async fn check(test_engine: TestEngine) {
    let checked = job_engine_conformance(|| test_engine.connect()).await;
    checked.unwrap_or_else(|error| panic!("{test_engine:?}: {error:?}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_fulfils_the_traits_contract() {
    check(memory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_fulfils_the_traits_contract() {
    check(sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_fulfils_the_traits_contract() {
    if let Some(engine) = postgres().await {
        check(engine).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restate_fulfils_the_traits_contract() {
    if let Some(engine) = restate().await {
        check(engine).await;
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
    }
}
