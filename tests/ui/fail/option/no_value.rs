use forge_remote::{endpoint, scheduled_trigger};

#[scheduled_trigger(interval)]
async fn alone() {}

#[scheduled_trigger(interval =, auth = system)]
async fn half_typed() {}

#[scheduled_trigger(interval = "hour", licensed_only = "yes")]
async fn flag() {}

#[endpoint(path, auth)]
async fn two() {}

fn main() {
    drop((alone(), half_typed(), flag(), two()));
}
