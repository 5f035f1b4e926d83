//! The modules of every kind in the manifest.

use std::fs;
use std::path::Path;

use forge_remote::manifest::{DesiredManifest, ManifestFile};
use forge_remote::prelude::*;
use forge_remote::registry::Registry;
use forge_remote_schema::{KindSpec, identity_at, kinds};
use serde_yaml::Value;

use crate::harness::app;

/// `UPDATE_GOLDEN=1` rewrites the result. `.ci/conformance` runs Atlassian's validation on it.
#[test]
fn every_kind_has_its_module_in_the_manifest() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kinds");
    let wanted = sections();
    let before = fs::read_to_string(folder.join("before.yml")).unwrap();
    let file = ManifestFile::parse(folder.join("before.yml"), Some(before)).unwrap();
    let after = file.merged_with(&wanted, None).unwrap();
    let golden = folder.join("manifest.yml");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &after).unwrap();
    }
    assert_eq!(after, fs::read_to_string(&golden).unwrap_or_default());
    let again = ManifestFile::parse(golden.clone(), Some(after.clone())).unwrap();
    assert_eq!(again.differences(&wanted), [""; 0]);
    assert_eq!(again.merged_with(&wanted, None).unwrap(), after);

    // Without the handlers, only hand-written entries remain.
    let generated = Registry::linked();
    let keys = generated.handlers().iter();
    let mut nothing = DesiredManifest::default();
    nothing.remotes.clone_from(&wanted.remotes);
    nothing.removable = keys
        .flat_map(|handler| [handler.key().to_owned(), handler.endpoint().to_owned()])
        .collect();
    let empty = again.merged_with(&nothing, None).unwrap();
    for trace in [
        "endpoint: log-time",
        "scheduledTrigger",
        "devops:",
        "agentConnector",
        "data-residency",
    ] {
        assert!(!empty.contains(trace), "{trace} is in\n{empty}");
    }
    assert!(empty.contains("confluence:globalPage"), "{empty}");
}

fn sections() -> DesiredManifest {
    Registry::linked()
        .desired_manifest(&[Remote::new("backend").base_url("https://backend.example.com")])
}

#[test]
fn an_events_scopes_are_satisfied_by_either_of_its_sets() {
    let names = |sections: &DesiredManifest, granted: &[&str]| -> Vec<String> {
        let granted = granted.iter().copied().collect();
        sections
            .scopes_given(&granted)
            .into_iter()
            .map(|scope| scope.name)
            .collect()
    };
    let current = sections();
    let granular = [
        "read:issue:jira",
        "read:issue-type:jira",
        "read:user:jira",
        "read:project:jira",
        "read:status:jira",
    ];
    let mut bare = current.clone();
    bare.scopes.clear();
    bare.alternatives.clear();
    // The same for events in object form.
    let versions = |event: &&&str| event.ends_with(":version");
    assert_eq!(bare.events.keys().filter(versions).count(), 2);
    bare.events.retain(|event, _| !versions(&event));
    assert_eq!(names(&bare, &[]), ["read:jira-work"]);
    assert_eq!(names(&bare, &["read:jira-work"]), ["read:jira-work"]);
    let mut expected = granular.map(str::to_owned);
    expected.sort();
    assert_eq!(names(&bare, &granular), expected);
    // Half of a set is not enough.
    assert_eq!(names(&bare, &granular[..2]), ["read:jira-work"]);
    bare.granular = true;
    assert_eq!(names(&bare, &[]), expected);
}

/// Returns the golden manifest with other events under one of the trigger keys.
fn with_events(key: &str, events: &str) -> (ManifestFile, String) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("kinds/manifest.yml");
    let text = fs::read_to_string(&golden).unwrap();
    let (before, item) = text.split_once(&format!("    - key: {key}\n")).unwrap();
    let end = item.find("\n    - key").unwrap_or(item.len()) + 1;
    let end = item
        .find("\n  webtrigger")
        .map_or(end, |next| end.min(next + 1));
    let (item, after) = item.split_at(end);
    let endpoint = item.lines().next().unwrap();
    let text = format!("{before}    - key: {key}\n{endpoint}\n{events}{after}");
    (
        ManifestFile::parse(golden, Some(text.clone())).unwrap(),
        text,
    )
}

#[test]
fn equivalent_events_in_the_other_form_are_preserved() {
    let wanted = sections();
    const FOLLOW: &str = "      events:
        - eventType: avi:jira:deleted:issue # by hand
          filter:
            onError: RECEIVE_AND_LOG
            expression: event.issue.fields.project.key == 'DEV'
            ignoreSelf: true
          payload:
            include: {propertyPaths: [\"issue.properties['k'].f\"]}
        - eventType: avi:jira:created:issue
          filter: {ignoreSelf: true, expression: event.issue.fields.project.key == 'DEV', onError: RECEIVE_AND_LOG, appIsLicensed: false}
          payload:
            include: {propertyPaths: [\"issue.properties['k'].f\"]}
";
    let (file, text) = with_events("follow-trigger", FOLLOW);
    assert_eq!(file.differences(&wanted), [""; 0]);
    assert_eq!(file.merged_with(&wanted, None).unwrap(), text);

    // The reverse: names for events that the code declares as objects without a filter.
    const INSTALLED: &str = "      events:
        - {eventType: avi:forge:installed:app, filter: {ignoreSelf: false}}
        - {eventType: avi:forge:upgraded:app, filter: {ignoreSelf: false}}
";
    let (file, text) = with_events("installed-trigger", INSTALLED);
    let differences = file.differences(&wanted);
    assert_eq!(differences, [""; 0], "{text}");

    for (old, new) in [
        ("avi:jira:deleted:issue", "avi:jira:updated:issue"),
        ("ignoreSelf: true\n", "ignoreSelf: false\n"),
        ("onError: RECEIVE_AND_LOG\n", "onError: RECEIVE\n"),
        ("['k'].f\"]}\n        -", "['k'].g\"]}\n        -"),
        ("appIsLicensed: false", "appIsLicensed: true"),
    ] {
        assert!(FOLLOW.contains(old), "{old}");
        let (file, _) = with_events("follow-trigger", &FOLLOW.replacen(old, new, 1));
        assert!(!file.differences(&wanted).is_empty(), "{new}");
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("kinds/manifest.yml");
        let golden = ManifestFile::parse(golden.clone(), Some(fs::read_to_string(golden).unwrap()));
        let updated = file.merged_with(&wanted, None).unwrap();
        let updated = ManifestFile::parse("manifest.yml", Some(updated)).unwrap();
        let triggers = |file: &ManifestFile| file.to_json()["modules"]["trigger"].clone();
        assert_eq!(triggers(&updated), triggers(&golden.unwrap()), "{new}");
    }
}

#[test]
fn a_page_that_names_a_handler_it_cannot_call_is_reported() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("kinds/manifest.yml");
    let golden = fs::read_to_string(golden).unwrap();
    // A difference, so that there is a report.
    let text = golden.replace("interval: hour", "interval: day");
    let page = |endpoint: &str| {
        let text = text.replace(
            "        function: resolver",
            &format!("        endpoint: {endpoint}"),
        );
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages.yml");
        fs::write(&path, text).unwrap();
        app()
            .manifest_path(&path)
            .check_manifest()
            .unwrap_err()
            .to_string()
    };
    let report = page("overview");
    assert!(report.contains("confluence:globalPage `page`"), "{report}");
    assert!(!report.contains("rejected-caller"), "{report}");
    for endpoint in ["follow", "log-time", "render"] {
        let report = page(endpoint);
        let error = format!(
            "error[rejected-caller]: the handler of `{endpoint}` rejects calls of modules.confluence:globalPage[page].resolver.endpoint with 401"
        );
        assert!(report.contains(&error), "{error} is not in\n{report}");
    }
}

#[test]
fn a_provider_of_several_endpoints_is_removed_only_when_all_were_generated() {
    let provider = |last: &str| {
        format!(
            "modules:
  devops:designInfoProvider:
    - key: sketches
      name: {{value: Sketches}}
      homeUrl: https://sketches.example.com
      checkAuth: {{endpoint: check-auth}}
      getEntityByUrl: {{endpoint: by-url}}
      onEntityAssociated: {{endpoint: linked}}
      onEntityDisassociated: {{endpoint: {last}}}
  endpoint:
    - {{key: check-auth, remote: backend}}
    - {{key: by-url, remote: backend}}
    - {{key: linked, remote: backend}}
    - {{key: unlinked, remote: backend}}
    - {{key: theirs, service: containers}}
remotes:
  - key: backend
"
        )
    };
    let mut wanted = Registry::default().desired_manifest(&[Remote::new("backend")]);
    let removable = ["sketches", "check-auth", "by-url", "linked", "unlinked"];
    wanted.removable = removable.map(str::to_owned).into();
    let updated = |text: String| {
        let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
        file.merged_with(&wanted, None).unwrap()
    };
    assert!(!updated(provider("unlinked")).contains("sketches"));
    let updated_text = updated(provider("theirs"));
    assert!(
        updated_text.contains("onEntityDisassociated: {endpoint: theirs}"),
        "{updated_text}"
    );
}

/// A step to a part of a value.
#[derive(Clone, Debug)]
enum Step {
    Name(String),
    Item(usize),
}

fn part<'v>(value: &'v mut Value, steps: &[Step]) -> &'v mut Value {
    steps.iter().fold(value, |value, step| match step {
        Step::Name(name) => &mut value[name.as_str()],
        Step::Item(at) => &mut value[*at],
    })
}

/// Adds the paths of the scalars in the items of lists of mappings. `place` is the names in the module's item.
fn scalars_in_lists(
    kind: &KindSpec,
    value: &Value,
    steps: &mut Vec<Step>,
    place: &mut Vec<String>,
    found: &mut Vec<Vec<Step>>,
) {
    let is_in_list = steps.iter().any(|step| matches!(step, Step::Item(_)));
    match value {
        Value::Mapping(parts) => {
            for (name, value) in parts {
                let name = name.as_str().unwrap().to_owned();
                steps.push(Step::Name(name.clone()));
                place.push(name);
                scalars_in_lists(kind, value, steps, place, found);
                place.pop();
                steps.pop();
            }
        }
        Value::Sequence(items) => {
            if items.iter().any(Value::is_mapping) {
                let place: Vec<&str> = place.iter().map(String::as_str).collect();
                let identity = identity_at(kind, &place);
                assert!(identity.is_some(), "{} at {place:?}", kind.attribute);
            }
            for (at, item) in items.iter().enumerate() {
                steps.push(Step::Item(at));
                scalars_in_lists(kind, item, steps, place, found);
                steps.pop();
            }
        }
        _ if is_in_list => found.push(steps.clone()),
        _ => {}
    }
}

/// In each list of each kind's module: `${V}` may have the code's value, so it is neither a difference nor replaced.
#[test]
fn a_variable_in_any_list_is_kept() {
    let wanted = sections();
    let fresh: Value = serde_yaml::from_str(&wanted.to_yaml()).unwrap();
    let (mut variables, mut wrong) = (0, Vec::new());
    for kind in kinds::declared() {
        let items = fresh["modules"][kind.module_type].as_sequence().unwrap();
        for (index, item) in items.iter().enumerate() {
            let mut found = Vec::new();
            scalars_in_lists(kind, item, &mut Vec::new(), &mut Vec::new(), &mut found);
            for steps in found {
                let mut manifest = fresh.clone();
                *part(&mut manifest["modules"][kind.module_type][index], &steps) = "${V}".into();
                let text = serde_yaml::to_string(&manifest).unwrap();
                let text = format!("environment:\n  variables: [V]\n{text}");
                let file = ManifestFile::parse("manifest.yml", Some(text.clone())).unwrap();
                let differences = file.differences(&wanted);
                if differences != [""; 0] || file.merged_with(&wanted, None).unwrap() != text {
                    wrong.push(format!("{} {steps:?}: {differences:?}", kind.attribute));
                }
                variables += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(variables > 30, "{variables}");
}
