use forge_remote::jobs::{Args, JobCall};
use forge_remote::{Invocation, Json, RetryContext, UserToken, job, trigger};

struct NotSerializable;

#[job]
async fn takes_a_call(call: Invocation) {
    drop(call);
}

#[job]
async fn takes_a_user(token: UserToken) {
    drop(token);
}

#[job]
async fn takes_a_body(retry: RetryContext, Json(body): Json<String>) {
    drop((retry, body));
}

#[job]
async fn takes_what_cannot_be_stored(Args(work): Args<NotSerializable>) {
    drop(work);
}

#[trigger(events = ["avi:jira:created:issue"])]
async fn is_no_job(call: JobCall, Args(work): Args<String>) {
    drop((call, work));
}

fn main() {}
