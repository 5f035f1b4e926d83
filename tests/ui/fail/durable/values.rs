use forge_remote::trigger;

#[trigger(events = ["avi:jira:created:issue"], durable(retries = 101))]
async fn retries() {}

#[trigger(events = ["avi:jira:created:issue"], durable(backoff = "1h..10s"))]
async fn backoff() {}

#[trigger(events = ["avi:jira:created:issue"], durable(timeout = 120))]
async fn number() {}

#[trigger(events = ["avi:jira:created:issue"], durable(timeout = "2 minutes"))]
async fn timeout() {}

#[trigger(events = ["avi:jira:created:issue"], durable(per_installation = 0))]
async fn limit() {}

#[trigger(events = ["avi:jira:created:issue"], durable(retry = 3))]
async fn misspelled() {}

#[trigger(events = ["avi:jira:created:issue"], durable = "2m")]
async fn text() {}

fn main() {
    drop((retries(), backoff(), number(), timeout(), limit(), misspelled(), text()));
}
