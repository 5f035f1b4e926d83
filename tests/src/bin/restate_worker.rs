//! A program that runs the jobs of a Restate server, until it is killed. It appends a line to a file at each start
//! and each end of a run. A job whose key begins with `poison` ends the process.

#![allow(clippy::unwrap_used)]

use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use forge_remote::fit::{BoxFuture, SystemClock};
use forge_remote::jobs::{
    EngineContext, Envelope, JobEngine as _, JobPolicy, JobRunner, PastAttempts, Verdict,
};
use forge_remote_tests::restate_server::from_environment;

struct Runner;

fn note(line: &str) {
    let path = std::env::var("JOBS_OUT").unwrap();
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.unwrap()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}

impl JobRunner for Runner {
    fn policy(&self, _: &str) -> Option<JobPolicy> {
        Some(JobPolicy::DEFAULT.with_backoff_seconds(1, 1))
    }

    fn longest_timeout(&self) -> Duration {
        JobPolicy::DEFAULT.timeout()
    }

    fn run(self: Arc<Self>, envelope: Envelope, _: PastAttempts) -> BoxFuture<Verdict> {
        Box::pin(async move {
            note(&format!("start {}", envelope.key));
            if envelope.key.starts_with("poison") {
                std::process::abort();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            note(&format!("done {}", envelope.key));
            Verdict::Done
        })
    }
}

#[tokio::main]
async fn main() {
    let clock = Arc::new(SystemClock::default());
    let stop = Box::pin(std::future::pending());
    let context = EngineContext::new(Arc::new(Runner), clock, stop, Duration::ZERO);
    from_environment().serve(context).await.unwrap();
}
