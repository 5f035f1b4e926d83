use forge_remote::{endpoint, scheduled_trigger};

#[scheduled_trigger(interval = "hour", key = "refresh index", endpoint = "refresh.index")]
async fn blanks_and_dots() {}

#[endpoint(key = "aktualisieren-für-alle", remote = "")]
async fn letters() {}

#[endpoint(key = "abcdefghijklmnopqrstuvwx", remote = "abcdefghijklmnopqrstuvwx")]
async fn too_long() {}

#[scheduled_trigger(interval = "hour", endpoint = "abcdefghijklmnopqrstuvwx")]
async fn endpoint_too_long() {}

fn main() {
    drop((
        blanks_and_dots(),
        letters(),
        too_long(),
        endpoint_too_long(),
    ));
}
