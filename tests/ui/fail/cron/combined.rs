use forge_remote::scheduled_trigger;

#[scheduled_trigger(interval = "hour", cron = "@hourly")]
async fn both() {}

#[scheduled_trigger(
    interval = "hour",
    tz = "Europe/Berlin",
    jitter = "10m",
    catch_up = "2h",
    overlap = "skip"
)]
async fn without() {}

#[scheduled_trigger(
    cron = "@hourly",
    endpoint = "hourly",
    path = "/hourly",
    remote = "backend",
    also_at = "/every-hour",
    body_limit = "1MiB",
    long_key,
    licensed_only
)]
async fn uncalled() {}

fn main() {
    drop((both(), without(), uncalled()));
}
