//! The options of kinds set manifest properties and are checked at launch.

use std::collections::BTreeSet;

use forge_remote::handler;
use forge_remote::kinds::*;
use forge_remote::manifest::{DesiredManifest, ManifestFile};
use forge_remote::prelude::*;
use forge_remote::registry::{Registration, Registry};
use serde_json::json;

/// Notifies the team.
#[workflow_post_function(name = "Notify")]
async fn notify() {}

/// Passes.
#[merge_check(name = "Pass", triggers = ["on-merge"])]
async fn pass() {}

/// Logs time.
#[action(verb = "CREATE", name = "Log", inputs = [
    (name = "issue-key", title = "Work item", type = "string", description = "Its key"),
    (name = "hours", type = "number", description = "Spent: all of them - or some", optional),
    "what-for?: string - Why",
])]
async fn log_time() {}

#[jql_function(name = "urgent", types = ["issue"], operators = ["in"])]
async fn urgent() -> Json<JqlFunctionResponse> {
    Json(JqlFunctionResponse::jql(""))
}

#[jql_function(name = "Urgent", types = ["issue"], operators = ["in"])]
async fn urgent_too() -> Json<JqlFunctionResponse> {
    Json(JqlFunctionResponse::jql(""))
}

#[jql_function(name = "mine", types = ["issue"], operators = ["in"])]
async fn mine() -> Json<JqlFunctionResponse> {
    Json(JqlFunctionResponse::jql(""))
}

fn sections(handlers: impl IntoIterator<Item = Registration>) -> DesiredManifest {
    let backend = Remote::new("backend").base_url("https://backend.example.com");
    Registry::from_registrations(handlers).desired_manifest(&[backend])
}

fn scopes(sections: &DesiredManifest, granted: &[&str]) -> Vec<String> {
    let granted: BTreeSet<&str> = granted.iter().copied().collect();
    let all = sections.scopes_given(&granted).into_iter();
    all.map(|scope| scope.name).collect()
}

#[test]
fn the_granular_scopes_satisfy_a_post_function() {
    const CURRENT: [&str; 2] = ["manage:jira-configuration", "read:jira-work"];
    let mut wanted = sections([handler!(notify), handler!(pass)]);
    let merge = "read:pullrequest:bitbucket";
    let with_merge = |set: &[&str]| -> BTreeSet<String> {
        let all = set.iter().chain([&merge]);
        all.map(|scope| (*scope).to_owned()).collect()
    };
    let found = |wanted: &DesiredManifest, granted: &[&str]| -> BTreeSet<String> {
        scopes(wanted, granted).into_iter().collect()
    };
    assert_eq!(found(&wanted, &[]), with_merge(&CURRENT));
    assert_eq!(found(&wanted, &CURRENT), with_merge(&CURRENT));

    wanted.granular = true;
    let granular: Vec<String> = scopes(&wanted, &[]);
    let granular: Vec<&str> = granular.iter().map(String::as_str).collect();
    assert_eq!(granular.len(), 20, "{granular:?}");
    assert!(granular.contains(&"read:issue.changelog:jira"));
    // The manifest decides, regardless of the app's preference.
    assert_eq!(found(&wanted, &CURRENT), with_merge(&CURRENT));
    wanted.granular = false;
    assert_eq!(found(&wanted, &granular), with_merge(&granular));
    // Half of a set is not enough.
    let half = &granular[..5];
    assert_eq!(found(&wanted, half), with_merge(&CURRENT));

    let reasons = wanted.scopes_given(&granular.iter().copied().collect());
    let of_comments = reasons.iter().find(|one| one.name == "read:comment:jira");
    let reason = &of_comments.unwrap().reasons[0];
    assert!(
        reason.contains("`notify`") && reason.contains("jira:workflowPostFunction"),
        "{reason}"
    );
}

#[test]
fn names_of_jql_functions_are_case_insensitive() {
    let app = || {
        App::empty()
            .app_id("ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107")
            .remote(Remote::new("backend").base_url("https://backend.example.com"))
            .handler(handler!(urgent))
            .handler(handler!(mine))
    };
    app().build().unwrap();
    let error = app().handler(handler!(urgent_too)).build().unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(
            "error[duplicate-name]: 2 jira:jqlFunction have the name `Urgent`, `urgent`\n--> "
        ),
        "{text}"
    );
    for place in ["(urgent)", "(urgent_too)"] {
        assert!(text.contains(place), "{text}");
    }
    assert!(!text.contains("(mine)"), "{text}");
}

#[test]
fn an_input_has_its_title_and_allowed_name() {
    let wanted = sections([handler!(log_time)]);
    let inputs = wanted.modules["action"][0].to_json()["inputs"].clone();
    let expected = json!({
        "issue-key": { "title": "Work item", "type": "string", "required": true, "description": "Its key" },
        "hours": { "title": "Hours", "type": "number", "required": false,
            "description": "Spent: all of them - or some" },
        "what-for": { "title": "What for", "type": "string", "required": false, "description": "Why" },
    });
    assert_eq!(inputs, expected);
}

#[test]
fn a_translated_name_is_preserved() {
    let wanted = sections([handler!(notify), handler!(pass)]);
    let text = wanted_text(&wanted);
    assert!(text.contains("name: Notify\n"), "{text}");
    let translated = text
        .replace("name: Notify\n", "name: {i18n: notify.name} # by hand\n")
        .replace(
            "description: Notifies the team.",
            "description:\n        i18n: notify.description",
        )
        .replace("description: Passes.", "description: Passes. # by hand");
    let file = ManifestFile::parse("manifest.yml", Some(translated.clone())).unwrap();
    assert_eq!(file.differences(&wanted), [""; 0]);
    assert_eq!(file.merged_with(&wanted, None).unwrap(), translated);

    // Atlassian accepts no translated text in a merge check.
    let translated = text.replace("description: Passes.", "description: {i18n: pass}");
    let file = ManifestFile::parse("manifest.yml", Some(translated)).unwrap();
    assert_eq!(file.differences(&wanted).len(), 1);

    // Another text or object differs from the code's.
    for other in ["name: Notifying\n", "name: {value: notify}\n"] {
        let text = text.replace("name: Notify\n", other);
        let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
        assert_eq!(file.differences(&wanted).len(), 1, "{other}");
    }
}

#[test]
fn hand_written_token_settings_of_a_remote_are_preserved() {
    let wanted = sections([handler!(pass)]);
    let text = wanted_text(&wanted);
    let auth = "    baseUrl: https://backend.example.com\n    auth:\n      appUserToken: {enabled: true}\n";
    let by_hand = text.replace("    baseUrl: https://backend.example.com\n", auth);
    assert_ne!(by_hand, text);
    let file = ManifestFile::parse("manifest.yml", Some(by_hand.clone())).unwrap();
    assert_eq!(file.differences(&wanted), [""; 0]);
    assert_eq!(file.merged_with(&wanted, None).unwrap(), by_hand);
}

/// Returns a manifest with only the desired entries.
fn wanted_text(wanted: &DesiredManifest) -> String {
    let id = "app:\n  id: ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107\n";
    let file = ManifestFile::parse("manifest.yml", Some(id.to_owned())).unwrap();
    file.merged_with(wanted, None).unwrap()
}
