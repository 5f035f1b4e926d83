use forge_remote::prelude::*;

#[trigger]
async fn nothing() {}

#[trigger(events = [])]
async fn empty() {}

#[trigger(events = ["avi:jira:create:issue"])]
async fn misspelled() {}

#[trigger(events = "avi:jira:created:issue")]
async fn no_list() {}

#[trigger(events = [1])]
async fn number() {}

#[trigger(events = ["avi:jira:created:issue"], unknown_events = ["avi:jira:invented:thing", "avi:jira:created:issue"])]
async fn in_both() {}

#[trigger(events = ["avi:confluence:created:whitebord"])]
async fn misspelled_on_a_page() {}

#[trigger(events = ["avi:jira:created:issue"], on_error = "RECEIVE")]
async fn on_error_without_filter() {}

#[trigger(events = ["avi:jira:created:issue"], filter = "a", on_error = "receive and log")]
async fn on_error_unknown() {}

#[trigger(events = ["avi:jira:created:issue"], filter = "")]
async fn empty_filter() {}

#[trigger(events = ["avi:jira:created:issue"], fields = [" x"])]
async fn blank_field() {}

#[trigger(events = ["avi:jira:created:issue"], ignoreself)]
async fn misspelled_option() {}

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

#[trigger(events = ["avi:jira:created:issue", "avi:confluence:created:page"], ignore_self)]
async fn others_than_jiras() {}

#[trigger(unknown_events = ["avi:forge:invented:app"], ignore_self)]
async fn unknown_others() {}

#[trigger(filtered_events = [
    (event = "avi:jira-software:created:board", ignore_self),
    (event = "avi:jsm-entity:created:portal", ignore_self),
    (event = "avi:confluence:created:page", ignore_self, licensed_only),
])]
async fn others_filtered() {}

#[trigger(events = ["avi:jira:created:issue"], licensed_only = "yes")]
async fn licensed_only_text() {}

#[trigger(events = ["avi:jira:created:issue"], licensed_only = false, on_error = "RECEIVE")]
async fn on_error_without_expression() {}

#[trigger(filtered_events = [
    (event = "avi:jira:created:issue", licensed_only = false),
    (event = "avi:jira:updated:issue", filter = "a", on_error = "RETRY"),
    (event = "avi:jira:deleted:issue", ignore_self, on_error = "IGNORE"),
    (event = "avi:jira:viewed:issue", ignore_self, property_paths = ["event.runtime.issue.properties['a'].b"]),
    (event = "avi:jira:assigned:issue", ignore_self = "a", property_paths = "issue.properties['a'].b"),
])]
async fn inside_filtered() {}

#[trigger(filtered_events = [
    (event = "avi:jira:created:issue", filter = "a"),
    (event = "avi:jira:created:issue", filter = "b"),
    (unknown_event = "avi:jira:created:issue", ignore_self),
])]
async fn filtered_twice() {}

#[trigger(events = ["avi:jira:created:issue"], property_paths = ["event.runtime.project.properties['a'].b", "issue.properties['a'].b", "issue.properties['a'].b"])]
async fn property_paths() {}

#[trigger(events = ["avi:jira:created:issue"], filtre = "a", on_error = "RECEIVE")]
async fn misspelled_filter() {}

#[scheduled_trigger(interval = "hour", licensed_only = 1)]
async fn licensed_only_number() {}

#[consumer(queue = "imports", cross_version = "true")]
async fn cross_version_text() {}

#[trigger(events = ["avi:forge:uninstalled:app"])]
async fn uninstalled() {}

fn main() {}
