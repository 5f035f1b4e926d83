use forge_remote::prelude::*;

#[function_call(endpoint = "settings")]
async fn with_endpoint() {}

#[function_call(also_key = "settings", long_key)]
async fn with_former_key() {}

#[function_call(pages = ["admin-page"])]
async fn of_a_page() {}

#[function_call(durable)]
async fn durable() {}

#[function_call(path = "api/v1/settings")]
async fn without_slash() {}

#[function_call(path = "/api/v1/settings/{id}")]
async fn with_parameter() {}

#[function_call(method = "HEAD")]
async fn with_method() {}

#[function_call(path = "/shared")]
#[endpoint(path = "/shared")]
async fn for_both() {}

#[function_call(path = "/moved")]
#[trigger(path = "/moved", events = ["avi:jira:created:issue"])]
async fn for_an_event() {}

#[function_call(auth = system)]
async fn for_a_user(_: UserToken) {}

fn main() {}
