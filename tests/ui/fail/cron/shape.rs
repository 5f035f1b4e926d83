use forge_remote::scheduled_trigger;

#[scheduled_trigger(cron = "0 30 2 * * 1-5")]
async fn seconds() {}

#[scheduled_trigger(cron = "@daly")]
async fn nickname() {}

#[scheduled_trigger(cron = "30 2 * * 1..5")]
async fn signs() {}

#[scheduled_trigger(cron = "@daily", tz = "Europe Berlin")]
async fn zone() {}

#[scheduled_trigger(cron = "@daily", jitter = "10 minutes", catch_up = "1d", overlap = "queue")]
async fn values() {}

#[scheduled_trigger(cron = 5)]
async fn number() {}

fn main() {
    drop((seconds(), nickname(), signs(), zone(), values(), number()));
}
