use forge_remote::kinds::{WebTriggerOutput, WebTriggerResponse};
use forge_remote::prelude::*;

#[web_trigger(outputs = ["wrong=400 Not found"])]
async fn a_body_and_no_type() {}

#[web_trigger(outputs = ["page=200 text/html; charset=utf-8 <p>a \"b\"</p>"])]
async fn a_type_with_a_parameter() {}

#[web_trigger(outputs = ["page=200 text/plain"])]
async fn a_type() {}

#[web_trigger(outputs = [(status = 200)])]
async fn no_key() {}

#[web_trigger(outputs = [(key = "ok")])]
async fn no_status() {}

#[web_trigger(outputs = [(key = "ok", status = 999), (key = "no", status = "404")])]
async fn odd_statuses() {}

#[web_trigger(outputs = [(key = "ok", status = 200, content_type = "Not found")])]
async fn no_type() {}

#[web_trigger(outputs = [(key = "ok", status = 200, contentType = "text/plain")])]
async fn another_name() {}

#[web_trigger(outputs = ["ok=200", (key = "ok", status = 201)])]
async fn twice() {}

#[web_trigger(outputs = [200])]
async fn a_number() {}

#[web_trigger(outputs = (key = "ok", status = 200))]
async fn no_list() {}

#[web_trigger(outputs = [])]
async fn nothing() {}

#[web_trigger(outputs = ["ok=200"])]
async fn a_response() -> Result<WebTriggerResponse> {
    Ok(WebTriggerResponse::new(200, ""))
}

#[web_trigger]
async fn no_outputs() -> Result<Json<WebTriggerOutput>> {
    Ok(Json(WebTriggerOutput::new("ok")))
}

fn main() {}
