//! The hook on spans: it sees the calls, and their stored heads when they run.

use std::sync::{Arc, Mutex};

use forge_remote::jobs::{Args, Jobs, MemoryJobs};
use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use forge_remote::token::MemoryTokens;
use forge_remote_tests::log_capture::LogCapture;

#[trigger(events = ["avi:jira:created:issue"], durable, key = "traced", endpoint = "traced-end")]
async fn traced(jobs: Jobs) -> Result<()> {
    jobs.send(follow_up::args(())).await?;
    Ok(())
}

#[job]
async fn follow_up(Args(()): Args<()>) -> Result<()> {
    Err(Error::permanent("by design"))
}

#[tokio::test]
async fn a_jobs_span_continues_the_trace_of_its_call() {
    let log = LogCapture::default();
    let _guard = log.start();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (sees, jobs) = (Arc::clone(&seen), MemoryJobs::new());
    let app = App::empty()
        .handler(forge_remote::handler!(traced))
        .handler(forge_remote::handler!(follow_up))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .token_store(MemoryTokens::new())
        .jobs(jobs.clone())
        .on_span(move |span, head| {
            let name = span.metadata().map_or("none", |span| span.name());
            let trace = head.headers.get("x-b3-traceid");
            let trace = trace.map(|id| id.to_str().unwrap_or_default().to_owned());
            sees.lock().unwrap().push((name, trace.unwrap_or_default()));
        });
    let harness = Harness::new(app).unwrap();
    let _running = harness.start_background().unwrap();
    let call = harness
        .call("traced")
        .header("x-b3-traceid", "a523b7549f0b88c9");
    assert_eq!(call.send().await.status(), 202);
    for _ in 0..10_000 {
        if seen.lock().unwrap().len() == 3 && jobs.unfinished() == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    let id = || "a523b7549f0b88c9".to_owned();
    let expected = [("invocation", id()), ("job", id()), ("job", id())];
    assert_eq!(*seen.lock().unwrap(), expected);
}
