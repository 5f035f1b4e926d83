use forge_remote::{endpoint, scheduled_trigger};

#[scheduled_trigger(interval = "hour", scope = ["read:jira-work"])]
async fn near() {}

#[scheduled_trigger(interval = "hour", method = "POST")]
async fn of_another_attribute() {}

#[endpoint(timeout = 25)]
async fn none_like_it() {}

#[endpoint(type = "x")]
async fn keyword() {}

fn main() {
    drop((near(), of_another_attribute(), none_like_it(), keyword()));
}
