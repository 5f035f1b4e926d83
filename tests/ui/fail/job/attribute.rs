use forge_remote::jobs::Args;
use forge_remote::{job, trigger};

#[job(retry = 3, timeout = "2 minutes", key = "")]
async fn misspelled() {}

#[job]
fn not_async() {}

#[job]
async fn twice(Args(one): Args<u8>, Args(two): Args<u8>) {
    let _ = one + two;
}

#[job]
#[trigger(events = ["avi:jira:created:issue"])]
async fn both() {}

#[trigger(events = ["avi:jira:created:issue"])]
#[job]
async fn both_too() {}

#[job]
struct NoFunction;

fn main() {}
