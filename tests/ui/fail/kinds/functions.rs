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

#[function_call(path = "/api/v1/{*rest}")]
async fn with_wildcard() {}

#[function_call(path = "/api/v1/item-{id}")]
async fn with_part_of_a_segment() {}

#[function_call(path = "/api/{id}/{id}", also_at = ["/api/:id"])]
async fn with_equal_names() {}

#[function_call(path = "/tasks//")]
async fn with_two_slashes() {}

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
