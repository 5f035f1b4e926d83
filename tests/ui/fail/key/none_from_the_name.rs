use forge_remote::{endpoint, scheduled_trigger};

#[scheduled_trigger(interval = "hour")]
async fn обновить() {}

#[scheduled_trigger(interval = "hour", endpoint = "update")]
async fn 更新() {}

#[endpoint]
async fn __() {}

fn main() {
    drop((обновить(), 更新(), __()));
}
