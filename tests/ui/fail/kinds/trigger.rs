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

#[trigger(events = ["avi:jira:created:issue"], filtered_events = [(event = "avi:jira:deleted:issue", ignore_self)], ignore_self)]
async fn both_forms() {}

#[trigger(filtered_events = ["avi:jira:deleted:issue"])]
async fn no_parentheses() {}

#[trigger(filtered_events = [(event = "avi:jira:delete:issue", ignore_self, auth = system), (ignore_self)])]
async fn inside() {}

#[trigger(filtered_events = [(event = "avi:jira:deleted:issue"), (event = "avi:jira:created:issue", on_error = "RECEIVE", fields = [])])]
async fn no_filter() {}

#[trigger(events = ["avi:jira:created:issue", "avi:jira:created:issue"], ignore_self, on_error = "RECEIVE")]
async fn twice() {}

fn main() {}
