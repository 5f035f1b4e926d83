use forge_remote::{endpoint, scheduled_trigger, trigger, web_trigger};

#[scheduled_trigger(interval = "hour")]
#[endpoint]
async fn both() {}

#[web_trigger]
#[forge_remote::trigger(events = ["avi:forge:installed:app"])]
async fn by_path() {}

#[scheduled_trigger(interval = "hour")]
#[trigger(events = ["avi:forge:installed:app"], key = "one", endpoint = "one")]
async fn second_is_wrong() {}

fn main() {
    drop((both(), by_path(), second_is_wrong()));
}
