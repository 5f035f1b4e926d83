//! Variables in the items of lists: the outputs of a web trigger, the events of a trigger, the arguments of a JQL function.

use forge_remote::handler;
use forge_remote::kinds::{JqlFunctionResponse, WebTriggerOutput};
use std::collections::BTreeSet;

use forge_remote::manifest::{ManifestFile, check};
use forge_remote::prelude::*;
use forge_remote::registry::Registry;

#[web_trigger(key = "hook", endpoint = "hook-calls", path = "/hook", outputs = [
    (key = "done", status = 200, content_type = "text/plain", body = "ok"),
])]
async fn hook() -> WebTriggerOutput {
    WebTriggerOutput::new("done")
}

#[jql_function(
    key = "urgent",
    endpoint = "urgent-calls",
    path = "/urgent",
    name = "urgent",
    arguments = ["team"],
    types = ["issue"],
    operators = ["in"]
)]
async fn urgent() -> Json<JqlFunctionResponse> {
    Json(JqlFunctionResponse::jql("project = A"))
}

#[trigger(key = "changes", endpoint = "changes-calls", path = "/changes", filtered_events = [
    (event = "avi:jira:created:issue", ignore_self, filter = "event.a"),
    (event = "avi:jira:updated:issue", ignore_self, filter = "event.b"),
])]
async fn changes() {}

/// Returns the differences and the update of a manifest whose lists have variables.
fn with_lists(outputs: &str, events: &str) -> (Vec<String>, String) {
    let text = manifest_of_lists(outputs, events);
    let remote = Remote::new("backend").base_url("https://a.example.com");
    let handlers = [handler!(hook), handler!(changes)];
    let wanted = Registry::from_registrations(handlers).desired_manifest(&[remote]);
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    (
        file.differences(&wanted),
        file.merged_with(&wanted, None).unwrap(),
    )
}

fn manifest_of_lists(outputs: &str, events: &str) -> String {
    format!(
        "environment:\n  variables: [TEXT, KEY, {{key: DEFAULT, default: theirs}}, {{key: WRONG, default: accepted}}]\n\
         modules:\n  webtrigger:\n    - key: hook\n      endpoint: hook-calls\n      response:\n        type: static\n        \
         outputs:\n{outputs}  trigger:\n    - key: changes\n      endpoint: changes-calls\n      events:\n{events}  endpoint:\n    \
         - {{key: changes-calls, remote: backend, route: {{path: /changes}}}}\n    \
         - {{key: hook-calls, remote: backend, route: {{path: /hook}}}}\nremotes:\n  \
         - {{key: backend, baseUrl: https://a.example.com}}\npermissions:\n  scopes: [read:jira-work]\n"
    )
}

const DONE: &str = "          - {key: done, statusCode: 200, contentType: text/plain, body: ok}\n";
const CREATED: &str = "        - {eventType: avi:jira:created:issue, filter: {expression: event.a, ignoreSelf: true}}\n";
const UPDATED: &str = "        - {eventType: avi:jira:updated:issue, filter: {expression: event.b, ignoreSelf: true}}\n";

/// The variables of an output or an event are about that one.
#[test]
fn a_variable_stays_in_the_item_that_it_was_in() {
    let events = format!("{CREATED}{UPDATED}");
    let fresh = manifest_of_lists(DONE, &events);
    assert_eq!(with_lists(DONE, &events), (vec![], fresh.clone()));
    let removed_output = "          - {key: accepted, statusCode: 202, contentType: text/plain, body: \"${TEXT}\"}\n";
    let removed_event =
        "        - {eventType: avi:jira:deleted:issue, filter: {expression: \"${TEXT}\"}}\n";
    for variable in ["${TEXT}", "${DEFAULT}"] {
        let output = removed_output.replace("${TEXT}", variable);
        let event = removed_event.replace("${TEXT}", variable);
        for (outputs, events) in [
            (output.clone(), events.clone()),
            (format!("{output}{DONE}"), events.clone()),
            (format!("{DONE}{output}"), events.clone()),
            (DONE.to_owned(), format!("{CREATED}{event}")),
            (DONE.to_owned(), format!("{event}{CREATED}{UPDATED}")),
            (DONE.to_owned(), format!("{CREATED}{event}{UPDATED}")),
        ] {
            let (differences, after) = with_lists(&outputs, &events);
            assert_eq!(differences.len(), 1, "{outputs}{events}");
            let read = |text: &str| serde_yaml::from_str::<serde_yaml::Value>(text).unwrap();
            assert_eq!(read(&after)["modules"], read(&fresh)["modules"], "{after}");
        }
    }
}

#[test]
fn a_variable_of_an_item_that_stays_is_kept() {
    let events = format!("{CREATED}{UPDATED}");
    // Without a default, it may have the code's value.
    for outputs in [
        DONE.replace("body: ok", "body: \"${TEXT}\""),
        DONE.replace("key: done", "key: \"${KEY}\""),
    ] {
        let text = manifest_of_lists(&outputs, &events);
        assert_eq!(with_lists(&outputs, &events), (vec![], text));
    }
    // An item that another environment may need is never removed.
    for outputs in [
        DONE.replace("body: ok", "body: \"${DEFAULT}\""),
        format!("{DONE}{}", DONE.replace("key: done", "key: \"${WRONG}\"")),
    ] {
        let (differences, after) = with_lists(&outputs, &events);
        assert_eq!(differences.len(), 1, "{differences:?}");
        assert_eq!(after, manifest_of_lists(&outputs, &events));
    }
    let (_, after) = with_lists(
        DONE,
        &format!("{}{UPDATED}", CREATED.replace("event.a", "\"${DEFAULT}\"")),
    );
    assert!(
        after.contains("avi:jira:created:issue, filter: {expression: \"${DEFAULT}\""),
        "{after}"
    );
    // Two of one event: either may be the code's.
    let twice = format!(
        "{}{}{UPDATED}",
        CREATED.replace("event.a", "\"${DEFAULT}\""),
        CREATED.replace("event.a", "\"${TEXT}\"")
    );
    let (_, after) = with_lists(DONE, &twice);
    for variable in ["${DEFAULT}", "${TEXT}"] {
        assert!(after.contains(variable), "{after}");
    }
}

/// The arguments of a JQL function are identified by their names.
#[test]
fn a_variable_stays_in_the_argument_that_it_was_in() {
    let remote = Remote::new("backend").base_url("https://a.example.com");
    let wanted = Registry::from_registrations([handler!(urgent)]).desired_manifest(&[remote]);
    let start = "environment:\n  variables: [TEXT, {key: DEFAULT, default: 'false'}]\n";
    let fresh = format!("{start}{}", wanted.to_yaml());
    let fresh_list = "        - name: team\n          required: true\n";
    assert!(fresh.contains(fresh_list), "{fresh}");
    let with = |arguments: &str| {
        let text = fresh.replace(fresh_list, arguments);
        let file = ManifestFile::parse("manifest.yml", Some(text.clone())).unwrap();
        let after = file.merged_with(&wanted, None).unwrap();
        (file.differences(&wanted).len(), text, after)
    };
    for argument in [
        fresh_list.replace("team", "${TEXT}"),
        fresh_list.replace("true", "${TEXT}"),
    ] {
        let (differences, text, after) = with(&argument);
        assert_eq!((differences, after), (0, text));
    }
    for argument in [
        fresh_list
            .replace("team", "former")
            .replace("true", "${TEXT}"),
        fresh_list
            .replace("team", "former")
            .replace("true", "${DEFAULT}"),
    ] {
        for arguments in [argument.clone(), format!("{argument}{fresh_list}")] {
            let (differences, _, after) = with(&arguments);
            assert_eq!((differences, &after), (1, &fresh), "{arguments}");
        }
    }
    // The report says which variables an update removes.
    let help = |arguments: &str| {
        let text = fresh.replace(fresh_list, arguments);
        let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
        let findings = check(&file, &wanted, &BTreeSet::new());
        let found = findings.into_iter().find(|one| one.code == "different");
        found.unwrap().help.unwrap_or_default()
    };
    let kept = fresh_list.replace("true", "${DEFAULT}");
    let removed = fresh_list
        .replace("team", "extra")
        .replace("true", "${TEXT}");
    assert!(help(&kept).contains("does not replace variables"));
    let text = help(&format!("{fresh_list}{removed}"));
    assert!(
        text.contains("`manifest --write` removes `${TEXT}`"),
        "{text}"
    );
    assert!(!text.contains("does not replace"), "{text}");
    assert_eq!(help(&removed.replace("${TEXT}", "true")), "");
}
