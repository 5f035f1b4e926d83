use forge_remote::scheduled_trigger;

#[scheduled_trigger(interval = "hour", cron = "@hourly")]
async fn both() {}

#[scheduled_trigger(interval = "hour", tz = "Europe/Berlin", catch_up = "2h")]
async fn without() {}

#[scheduled_trigger(cron = "@hourly", path = "/hourly", remote = "backend", licensed_only)]
async fn uncalled() {}

fn main() {
    drop((both(), without(), uncalled()));
}
