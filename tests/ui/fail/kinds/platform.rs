use forge_remote::prelude::*;

#[pre_uninstall(interval = "hour")]
async fn no_such_option() {}

#[consumer]
async fn no_queue() {}

#[consumer(queue = "no blanks here")]
async fn odd_queue() {}

#[consumer(queue = "a-queue-whose-name-has-more-than-thirty-six-characters")]
async fn long_queue() {}

#[consumer("imports")]
async fn unnamed() {}

#[web_trigger(outputs = ["accepted"])]
async fn no_status() {}

#[web_trigger(outputs = ["accepted=999"])]
async fn odd_status() {}

#[web_trigger(url_format = "v3")]
async fn url_format() {}

#[web_trigger(hmac = "yes")]
async fn hmac() {}

#[data_residency]
async fn no_hook() {}

#[data_residency(hook = "begin")]
async fn odd_hook() {}

#[data_residency(hook = "start", max_hours = "two")]
async fn hours() {}

#[data_residency(hook = "start", max_hours = 0)]
async fn no_hours() {}

#[data_residency(hook = "start", max_hours = 24.5)]
async fn too_many_hours() {}

#[data_residency(hook = "start", max_hours = 1.25)]
async fn quarters() {}

#[web_trigger(outputs = ["accepted=200", "accepted=202"])]
async fn output_twice() {}

#[data_residency(hook = "start", auth = system, endpoint = "start")]
async fn no_token() {}

#[data_residency(hook = "start", path = "/")]
async fn no_endpoint() {}

fn main() {}
