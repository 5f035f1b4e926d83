use forge_remote::scheduled_trigger;

#[scheduled_trigger(cron = "30 2 * * 1-5", tz = "Europe/Berlin", jitter = "10m")]
async fn nightly() {}

fn main() {
    drop(nightly());
}
