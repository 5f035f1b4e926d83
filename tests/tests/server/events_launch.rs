//! Launch checks the trigger options that macros cannot: constants, and totals over triggers.

use forge_remote::prelude::*;

const PAGE: &str = "avi:confluence:created:page";
const RUNTIME: &str = "event.runtime.issue.properties['a'].b";

#[trigger(events = [PAGE], ignore_self)]
async fn other_product() {}

#[trigger(events = ["avi:jira:updated:issue"], property_paths = [RUNTIME])]
async fn prefixed() {}

#[trigger(events = ["avi:jira:updated:issue"], property_paths = ["issue.a", "issue.b", "issue.c"])]
async fn three() {}

#[trigger(filtered_events = [
    (event = "avi:jira:created:issue", ignore_self, property_paths = ["issue.c", "issue.d", "issue.e"]),
    (event = "avi:jira:deleted:issue", ignore_self, property_paths = ["issue.a"]),
])]
async fn two_more() {}

#[trigger(events = ["avi:jira:deleted:issue"], property_paths = ["issue.f"])]
async fn sixth() {}

fn problems(handlers: impl FnOnce(App) -> App) -> Vec<(&'static str, String)> {
    let app = handlers(App::empty())
        .app_id(forge_remote::testing::TEST_APP_ID)
        .remote(Remote::new("backend").base_url("https://backend.example.com"));
    let Err(error) = app.build() else {
        return Vec::new();
    };
    let problems = error.problems().iter();
    problems
        .map(|one| (one.code, one.message.clone()))
        .collect()
}

#[test]
fn constants_are_checked_when_the_app_starts() {
    let found = problems(|app| app.handler(forge_remote::handler!(other_product)));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].1.contains(PAGE), "{found:?}");
    let found = problems(|app| app.handler(forge_remote::handler!(prefixed)));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].1.contains("`event.runtime.`"), "{found:?}");
}

#[test]
fn properties_are_counted_over_all_triggers_each_once() {
    let five = |app: App| {
        app.handler(forge_remote::handler!(three))
            .handler(forge_remote::handler!(two_more))
    };
    assert_eq!(problems(five), []);
    let found = problems(|app| five(app).handler(forge_remote::handler!(sixth)));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "too-many-properties");
    assert!(found[0].1.contains("6 different"), "{found:?}");
}
