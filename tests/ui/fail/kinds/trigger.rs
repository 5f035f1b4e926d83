use forge_remote::prelude::*;

#[trigger]
async fn nothing() {}

#[trigger(events = [])]
async fn empty() {}

#[trigger(events = ["avi:jira:create:issue"])]
async fn misspelt() {}

#[trigger(events = "avi:jira:created:issue")]
async fn no_list() {}

#[trigger(events = [1])]
async fn number() {}

#[trigger(unknown_events = ["avi:jira:created:issue"])]
async fn known() {}

#[trigger(events = ["avi:jira:created:issue"], on_error = "RECEIVE")]
async fn on_error_without_filter() {}

#[trigger(events = ["avi:jira:created:issue"], filter = "a", on_error = "receive and log")]
async fn on_error_unknown() {}

#[trigger(events = ["avi:jira:created:issue"], filter = "")]
async fn empty_filter() {}

#[trigger(events = ["avi:jira:created:issue"], fields = [" x"])]
async fn blank_field() {}

#[trigger(events = ["avi:jira:created:issue"], ignoreself)]
async fn misspelt_option() {}

#[trigger(events = ["avi:jira:created:issue"], auth = user)]
async fn user() {}

fn main() {}
