use forge_remote::prelude::*;

#[trigger(events = ["avi:jira:created:issue"])]
async fn changed((retry, call): (RetryContext, Invocation)) {
    let _ = (retry, call);
}

#[endpoint]
async fn open(((), call): ((), Invocation), Json(body): Json<u8>) {
    let _ = (call, body);
}

fn main() {}
