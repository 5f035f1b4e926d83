use forge_remote::{endpoint, scheduled_trigger};

#[scheduled_trigger("hour")]
async fn positional() {}

#[scheduled_trigger("hour", auth = system)]
async fn positional_and_named() {}

#[endpoint("/path")]
async fn path() {}

#[endpoint(key: "tick")]
async fn colon() {}

#[endpoint(key("tick"))]
async fn parentheses() {}

#[endpoint(key == "tick")]
async fn comparison() {}

#[endpoint(key = "tick" path = "/tick")]
async fn no_comma() {}

#[endpoint(key =)]
async fn nothing() {}

fn main() {
    drop((
        positional(),
        positional_and_named(),
        path(),
        colon(),
        parentheses(),
    ));
    drop((comparison(), no_comma(), nothing()));
}
