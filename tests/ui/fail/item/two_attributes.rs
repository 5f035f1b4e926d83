use forge_remote::{endpoint, scheduled_trigger};

#[scheduled_trigger(interval = "hour")]
#[endpoint]
async fn both() {}

#[endpoint]
#[endpoint(key = "two")]
async fn twice() {}

#[endpoint]
#[forge_remote::scheduled_trigger(interval = "hour")]
async fn by_path() {}

fn main() {
    drop((both(), twice(), by_path()));
}
