//! Entries with a former key (`also_key`): an update gives them the new key in their place.

use std::collections::BTreeSet;
use std::process::Command;

use forge_remote::handler;
use forge_remote::manifest::{DesiredManifest, ManifestFile, check};
use forge_remote::prelude::*;

use forge_remote_tests::stores::Folder;

use crate::uses::{self, HEAD, PLAIN, parse, wanted};

/// Logs time.
#[action(
    verb = "CREATE",
    name = "Log",
    key = "log-time-action",
    endpoint = "log-time",
    path = "/log-time",
    also_key = "log"
)]
async fn log_time() {}

/// Notes the transition.
#[workflow_post_function(
    name = "Seen",
    key = "seen-v2",
    endpoint = "seen-v2-calls",
    path = "/seen",
    also_key = "seen"
)]
async fn seen() {}

#[endpoint(key = "settings-v2", path = "/settings", also_key = "settings")]
async fn settings() -> Result<()> {
    Ok(())
}

/// Updates a manifest with these modules, and returns the modules.
fn updated(modules: &str, wanted: &DesiredManifest) -> String {
    let merged = parse(modules).merged_with(wanted, None).unwrap();
    // The scopes of the new entries are below them.
    let merged = merged.split("permissions:").next().unwrap();
    merged.strip_prefix(HEAD).unwrap_or(merged).to_owned()
}

/// An action with hand-written parts, and its endpoint.
fn action(key: &str, endpoint: &str, path: &str) -> String {
    format!(
        "  action:\n    # agents log time with it\n    - key: {key} # the action\n      name: Log\n      endpoint: {endpoint}\n      actionVerb: CREATE\n      description: Logs time.\n      icon: https://cdn.example.com/log.svg\n      # the page of the settings\n      config:\n        resource: main\n        resolver:\n          endpoint: config\n  endpoint:\n    # calls of agents\n    - key: {endpoint}\n      # our only remote\n      remote: backend\n      route:\n        path: {path}\n    - key: config\n      remote: backend\n      route:\n        path: /config\n"
    )
}

#[test]
fn the_hand_written_parts_of_a_renamed_entry_stay() {
    let mut wanted = wanted([handler!(log_time)]);
    wanted.foreign.insert("config".to_owned());
    let before = action("log-action", "log", "/log");
    let after = updated(&before, &wanted);
    assert_eq!(after, action("log-time-action", "log-time", "/log-time"));
    assert_eq!(updated(&after, &wanted), after);

    let post_function = |key: &str, endpoint: &str| {
        format!(
            "  jira:workflowPostFunction:\n    - key: {key}\n      endpoint: {endpoint}\n      name: Seen\n      description: By hand\n      view: {{resource: view}} # the summary\n      create: {{resource: edit}}\n      edit: {{resource: edit}}\n  endpoint:\n    - key: {endpoint}\n      remote: backend\n      route:\n        path: /seen\n"
        )
    };
    let wanted = self::wanted([handler!(seen)]);
    let after = updated(&post_function("seen", "seen"), &wanted);
    for part in [
        "- key: seen-v2\n      endpoint: seen-v2-calls\n",
        "      view: {resource: view} # the summary\n      create: {resource: edit}\n      edit: {resource: edit}\n",
    ] {
        assert!(after.contains(part), "{after}");
    }
    assert_eq!(after.matches("- key:").count(), 2, "{after}");
}

/// The renamed action still names the endpoint of its settings, which was renamed too.
#[test]
fn what_a_renamed_entry_names_is_kept() {
    let mut wanted = wanted([handler!(log_time), handler!(settings)]);
    let before = action("log-action", "log", "/log").replace("config\n", "settings\n");
    let after = updated(&before, &wanted);
    assert!(after.contains("          endpoint: settings\n"), "{after}");
    assert!(after.contains("    - key: settings\n"), "{after}");
    assert!(after.contains("    - key: settings-v2\n"), "{after}");
    let findings = check(&parse(&after), &wanted, &BTreeSet::new());
    let codes: Vec<&str> = findings.iter().map(|one| one.code).collect();
    assert!(!codes.contains(&"dangling-endpoint"), "{codes:?}");
    // `--prune` names the old entry, so it is removed.
    wanted.removable.insert("log-action".to_owned());
    let after = updated(&before, &wanted);
    assert!(!after.contains("icon:"), "{after}");
}

/// The code's entry is there already, with something hand-written too, so only the user knows what becomes of both.
#[test]
fn an_entry_with_hand_written_parts_is_not_removed() {
    let mut wanted = wanted([handler!(log_time)]);
    wanted.foreign.insert("config".to_owned());
    let old = action("log-action", "log", "/log");
    let new = "    # the new one\n    - key: log-time-action\n      name: Log\n      endpoint: log-time\n      actionVerb: CREATE\n      description: Logs time.\n";
    let new_endpoint =
        "    - key: log-time\n      remote: backend\n      route:\n        path: /log-time\n";
    let (action_list, endpoints) = old.split_once("  endpoint:\n    #").unwrap();
    let with = |new: &str| format!("{action_list}{new}  endpoint:\n    #{endpoints}{new_endpoint}");
    let both = with(new);
    let without_comment = new.replace("    # the new one\n", "");
    for new in [
        new.to_owned(),
        without_comment.replace("Log\n", "Log # by hand\n"),
        format!("{without_comment}      icon: https://cdn.example.com/new.svg\n"),
    ] {
        assert_eq!(updated(&with(&new), &wanted), with(&new));
    }
    // Another environment may have another text.
    let variable = with(&without_comment.replace("Log\n", "${LOG}\n"));
    let text = format!("environment:\n  variables: [LOG]\n{HEAD}{variable}");
    let file = ManifestFile::parse("manifest.yml", Some(text.clone())).unwrap();
    assert_eq!(file.merged_with(&wanted, None).unwrap(), text);
    // An entry that the code alone has written is replaced.
    let after = updated(&with(&without_comment), &wanted);
    assert_eq!(after, action("log-time-action", "log-time", "/log-time"));
    let variable = old.replace("key: log-action", "key: ${ACTION}");
    let variables = "environment:\n  variables:\n    - key: ACTION\n      default: log-action\n";
    let text = format!("{variables}{HEAD}{variable}");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let merged = file.merged_with(&wanted, None).unwrap();
    assert!(merged.contains("key: ${ACTION} # the action\n"), "{merged}");
    assert!(merged.contains("icon:"), "{merged}");
    // Without such parts and comments, only one is left.
    let both = both.replace(" # the action", "");
    let plain: String = both
        .lines()
        .filter(|line| {
            let parts = [
                "icon:",
                "    #",
                "config:",
                "resource:",
                "resolver:",
                "endpoint: config",
            ];
            !parts.iter().any(|part| line.contains(part))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let after = updated(&plain, &wanted);
    assert!(!after.contains("key: log-action"), "{after}");
    assert!(!after.contains("key: log\n"), "{after}");
}

/// A comment of the code's entry, wherever it is, and an entry that cannot be removed safely.
#[test]
fn an_entry_with_a_comment_around_its_dash_is_not_replaced() {
    let mut wanted = wanted([handler!(log_time)]);
    wanted.foreign.insert("config".to_owned());
    let old = action("log-action", "log", "/log");
    let (list, endpoints) = old.split_once("  endpoint:\n    #").unwrap();
    let (name, old_item) = list.split_at(list.find('\n').unwrap() + 1);
    let entry = "      name: Log\n      endpoint: log-time\n      actionVerb: CREATE\n      description: Logs time.\n";
    let new_endpoint =
        "    - key: log-time\n      remote: backend\n      route:\n        path: /log-time\n";
    let with = |items: [&str; 2]| {
        let [first, second] = items;
        format!("{name}{first}{second}  endpoint:\n    #{endpoints}{new_endpoint}")
    };
    let bare = format!("    - key: log-time-action\n{entry}");
    assert!(!updated(&with([old_item, &bare]), &wanted).contains("key: log-action"));
    for start in [
        "    - # Keep it\n      key: log-time-action\n",
        "    -\n      # Keep it\n      key: log-time-action\n",
        "    # Keep it\n    -\n      key: log-time-action\n",
        "    - key: log-time-action # Keep it\n",
        "\n    # Keep it\n\n    - key: log-time-action\n",
        "    - &log\n      key: log-time-action\n",
    ] {
        let before = with([old_item, &format!("{start}{entry}")]);
        assert_eq!(updated(&before, &wanted), before);
    }
    // Above the first entry, it may be about the list.
    let new = format!("      # Keep it\n{bare}");
    let before = with([&new, old_item]);
    assert_eq!(updated(&before, &wanted), before);

    // An endpoint.
    let wanted = self::wanted([handler!(settings)]);
    let old = uses::endpoint("settings", "/settings");
    let new = uses::endpoint("settings-v2", "/settings");
    let lone_dash = new.replace("    - key", "    # Keep it\n    -\n      key");
    let before = format!("  endpoint:\n{old}{lone_dash}");
    assert_eq!(
        updated(&before, &wanted),
        format!("  endpoint:\n{lone_dash}")
    );
}

/// An update keeps these values in place of the code's, so they are the user's.
#[test]
fn an_entry_with_values_that_an_update_keeps_is_not_replaced() {
    let wanted = self::wanted([handler!(seen)]);
    let post_function = |key: &str, endpoint: &str, texts: &str| {
        format!("    - key: {key}\n      endpoint: {endpoint}\n{texts}")
    };
    let endpoints = format!(
        "  endpoint:\n{}{}",
        uses::endpoint("seen", "/seen"),
        uses::endpoint("seen-v2-calls", "/seen")
    );
    let with = |old: &str, new: &str| {
        let old = post_function("seen", "seen", old);
        let new = post_function("seen-v2", "seen-v2-calls", new);
        format!("  jira:workflowPostFunction:\n{old}{new}{endpoints}")
    };
    let plain = "      name: Seen\n      description: Notes the transition.\n";
    let translated = "      name:\n        i18n: seen.name\n      description: {i18n: seen.text}\n";
    let after = updated(&with(plain, translated), &wanted);
    assert!(after.contains(translated), "{after}");
    assert!(after.contains("- key: seen-v2\n"), "{after}");
    // The former entry's texts stay.
    let before = with(translated, &format!("      # by hand\n{plain}"));
    let after = updated(&before, &wanted);
    assert!(after.contains(translated), "{after}");
    assert!(after.contains("# by hand"), "{after}");
    // A page's endpoint without a route.
    let wanted = self::wanted([handler!(settings)]);
    let page = uses::panel("settings-v2");
    let new = "    - key: settings-v2\n      remote: backend\n";
    let old = uses::endpoint("settings", "/settings");
    let after = updated(&format!("{page}  endpoint:\n{old}{new}"), &wanted);
    assert_eq!(after, format!("{page}  endpoint:\n{new}"));
}

/// An entry in one line with others, whose comments may be about any of them, in each layout of a list.
#[test]
fn an_entry_that_an_update_replaces_can_be_removed() {
    let wanted = self::wanted([handler!(settings)]);
    let item = |key: &str| format!("{{key: {key}, remote: backend, route: {{path: /settings}}}}");
    let other = "{key: other, remote: theirs, route: {path: /other}}".to_owned();
    let (old, new) = (item("settings"), item("settings-v2"));
    let separators = [", ", ",\n    ", ", # c\n    ", ",\n    # c\n    "];
    let starts = ["", "\n    ", " # c\n    ", "\n    # c\n    "];
    let ends = ["", "\n    ", " # c\n    ", ", # c\n    ", "\n    # c\n    "];
    let (mut replaced, mut kept) = (0, 0);
    for items in [
        [&old, &new, &other],
        [&new, &old, &other],
        [&other, &old, &new],
        [&old, &other, &new],
    ] {
        for layout in 0..starts.len() * separators.len().pow(2) * ends.len() {
            let (start, rest) = (starts[layout % 4], layout / 4);
            let (first, rest) = (separators[rest % 4], rest / 4);
            let (second, end) = (separators[rest % 4], ends[rest / 4]);
            let [a, b, c] = items;
            let before = format!("  endpoint: [{start}{a}{first}{b}{second}{c}{end}]\n");
            let merged = parse(&before).merged_with(&wanted, None);
            let after = merged
                .map_err(|error| format!("{error}\n{before}"))
                .unwrap();
            match after.contains("key: settings,") {
                true => kept += 1,
                false => replaced += 1,
            }
            let comments = |text: &str| text.matches("# c").count();
            if !before.contains('#') {
                assert!(!after.contains("key: settings,"), "{before}");
            }
            // The removal of the old entry takes its own comments along, but no other one's.
            assert!(comments(&after) <= comments(&before), "{before}{after}");
        }
    }
    assert!(replaced > 100 && kept > 100, "{replaced} {kept}");
}

/// The two endpoints of an explicit key share a line with it, so the old one cannot be removed.
#[test]
fn an_entry_in_a_layout_without_edits_is_not_reported_as_commented() {
    let wanted = self::wanted([handler!(settings)]);
    let new =
        "    - key: settings-v2\n      remote: backend\n      route: {path: /settings} # ours\n";
    let old = |dash: &str| {
        format!("{dash}- key: settings\n      remote: backend\n      route: {{path: /settings}}\n")
    };
    let notes = |modules: &str| {
        let findings = check(&parse(modules), &wanted, &BTreeSet::new());
        let notes = findings.into_iter().flat_map(|one| one.notes);
        notes.collect::<Vec<String>>().join("\n")
    };
    let layout = notes(&format!("  ? endpoint\n  : {}{new}", old("")));
    assert!(layout.contains("(its layout)"), "{layout}");
    let comment = notes(&format!("  endpoint:\n    # by hand\n{}{new}", old("    ")));
    assert!(comment.contains("(comments)"), "{comment}");
}

const AGENT: &str = "  rovo:agent:\n    - key: agent\n      name: Agent\n      prompt: Log the time\n      actions: [log-action]\n";

/// The names of the checks' findings.
fn codes(text: &str, wanted: &DesiredManifest) -> Vec<&'static str> {
    let findings = check(&parse(text), wanted, &BTreeSet::new());
    findings.iter().map(|one| one.code).collect()
}

/// While an agent lists the former key, the entry stays. The hand-written parts are not lost by the way to the new key.
#[test]
fn an_entry_that_is_named_is_renamed_after_its_users() {
    let mut wanted = wanted([handler!(log_time)]);
    wanted.foreign.insert("config".to_owned());
    let before = format!("{AGENT}{}", action("log-action", "log", "/log"));
    let first = updated(&before, &wanted);
    assert!(first.starts_with(&before[..before.find("  endpoint:\n    #").unwrap()]));
    for part in ["- key: log-action # the action", "- key: log-time-action\n"] {
        assert!(first.contains(part), "{part}: {first}");
    }
    assert_eq!(updated(&first, &wanted), first);
    let renamed = AGENT.replace("log-action", "log-time-action");
    let expected = format!(
        "{renamed}{}",
        action("log-time-action", "log-time", "/log-time")
    );
    let second = updated(&first.replace(AGENT, &renamed), &wanted);
    assert_eq!(second, expected);
    assert_eq!(updated(&second, &wanted), second);
    // In the other order.
    assert_eq!(updated(&before.replace(AGENT, &renamed), &wanted), expected);
    assert!(!codes(&second, &wanted).contains(&"dangling-reference"));
}

/// A page always names its endpoint.
#[test]
fn an_endpoint_is_renamed_after_its_page() {
    let wanted = wanted([handler!(settings)]);
    let old = format!(
        "  endpoint:\n    # of the page\n{}",
        uses::endpoint("settings", "/settings").replace("backend\n", "backend # ours\n")
    );
    let panel = |endpoint: &str| uses::panel(endpoint);
    let before = format!("{}{old}", panel("settings"));
    let first = updated(&before, &wanted);
    assert_eq!(
        first,
        format!("{before}{}", uses::endpoint("settings-v2", "/settings"))
    );
    let page = panel("settings-v2");
    let expected = format!("{page}{}", old.replace("settings\n", "settings-v2\n"));
    let expected = expected.replace("/settings-v2", "/settings");
    let second = updated(&first.replace(&panel("settings"), &page), &wanted);
    assert_eq!(second, expected);
    assert_eq!(updated(&second, &wanted), second);
    assert_eq!(codes(&second, &wanted), codes(&expected, &wanted));
    assert_eq!(updated(&format!("{page}{old}"), &wanted), expected);
}

#[endpoint(key = "page", path = "/page", also_key = ["v1", "v2"])]
async fn page() {}

/// One of several former entries becomes the current one: the first that no other item names.
#[test]
fn the_former_entry_that_is_free_is_renamed() {
    let wanted = self::wanted([handler!(page)]);
    let entry =
        |key: &str, comment: &str| format!("    # {comment}\n{}", uses::endpoint(key, "/page"));
    let (first, second) = (entry("v1", "of 2024"), entry("v2", "of 2025"));
    let endpoints = format!("  endpoint:\n{first}{second}");
    // Both have comments.
    let after = updated(&endpoints, &wanted);
    let renamed = first.replace("v1", "page");
    assert_eq!(after, format!("  endpoint:\n{renamed}{second}"));
    assert_eq!(updated(&after, &wanted), after);
    // A page names the first one.
    let page = uses::panel("v1");
    let after = updated(&format!("{page}{endpoints}"), &wanted);
    let renamed = second.replace("v2", "page");
    assert_eq!(after, format!("{page}  endpoint:\n{first}{renamed}"));
    assert_eq!(updated(&after, &wanted), after);
    // Each is named.
    let pages = format!("{page}  macro:\n    - key: m\n      resolver: {{endpoint: v2}}\n");
    let before = format!("{pages}{endpoints}");
    let after = updated(&before, &wanted);
    assert_eq!(
        after,
        format!("{before}{}", uses::endpoint("page", "/page"))
    );
}

/// The entry of another remote stays.
#[test]
fn the_report_has_the_properties_of_the_renamed_entry() {
    let folder = Folder::default();
    let file = folder.file("manifest.yml");
    let tick = format!(
        "  scheduledTrigger:\n{}  endpoint:\n{}",
        uses::schedule("tick-trigger", "tick"),
        uses::endpoint("tick", "/tick")
    );
    let log = uses::endpoint("log", "/log");
    let others = log.replace("backend", "other");
    std::fs::write(&file, format!("{HEAD}{tick}{others}{log}")).unwrap();
    let (_, text) = uses::with_action(&file, &["--write"]);
    let renamed = "  renamed  modules.endpoint[log] → modules.endpoint[log-time]\n";
    assert!(text.contains(renamed), "{text}");
    assert!(!text.contains("other → backend"), "{text}");
    let after = std::fs::read_to_string(&file).unwrap();
    assert!(after.contains(&others), "{after}");
}

/// The schedule goes with a former endpoint of this code, which a page still names.
#[test]
fn an_entry_of_this_code_is_not_taken_for_another_services() {
    let folder = Folder::default();
    let file = folder.file("manifest.yml");
    let text = format!(
        "{HEAD}{}  scheduledTrigger:\n{}{}  endpoint:\n{}{}",
        uses::panel("log"),
        uses::schedule("tick-trigger", "tick"),
        uses::schedule("log-trigger", "log"),
        uses::endpoint("tick", "/tick"),
        uses::endpoint("log", "/log")
    );
    std::fs::write(&file, text).unwrap();
    let (_, text) = uses::with_action(&file, &["--check"]);
    for part in [
        "`manifest --write` removes it with its endpoint `log`",
        "correct what keeps the endpoint in the manifest",
        "change the parts that name it, then run `manifest --write`",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("another service"), "{text}");
    let (status, text) = uses::with_action(&file, &["--write"]);
    assert_eq!(status, Some(1), "{text}");
    let line = "not removed, because their endpoints are not: log-trigger\n";
    assert!(text.contains(line), "{text}");
    assert!(!text.contains("another service"), "{text}");
    let after = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, after.replace(&uses::panel("log"), "")).unwrap();
    let (status, text) = uses::with_action(&file, &["--write"]);
    assert_eq!(status, Some(0), "{text}");
}

/// Each report is about what an update does, with the properties that it changes.
#[test]
fn the_reports_of_a_renamed_entry_recommend_the_update() {
    let folder = Folder::default();
    let file = folder.file("manifest.yml");
    let action = action("log-action", "log", "/log").replace(
        "      # the page of",
        "      inputs:\n        comment: {title: C, type: string, required: false, description: D}\n      # the page of",
    );
    let action = action.replace("actionVerb: CREATE", "actionVerb: UPDATE");
    let config = "    - key: config\n      remote: backend\n      route:\n        path: /config\n";
    let action = action.replace(config, "");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(PLAIN);
        command.arg("manifest").args(arguments).env("ACTION", "1");
        command.env("FORGE_REMOTE_MANIFEST", &file);
        let output = command.env_remove("FORGE_REMOTE_APP_ID").output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    std::fs::write(&file, format!("{HEAD}{action}")).unwrap();
    let text = run(&["--check"]);
    for part in [
        "it is a former entry of `modules.action[log-time-action]`",
        "run `manifest --write`, which gives it this key",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("--prune"), "{text}");
    let text = run(&["--write"]);
    for line in [
        "  renamed  modules.action[log-action] → modules.action[log-time-action]\n",
        "  renamed  modules.endpoint[log] → modules.endpoint[log-time]\n",
        "  changed  modules.action[log-time-action].actionVerb: UPDATE → CREATE\n",
        "  removed  modules.action[log-time-action].inputs\n",
        "  changed  modules.action[log-time-action].endpoint: log → log-time\n",
        "  changed  modules.endpoint[log-time].route: { path: /log } → { path: /log-time }\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("added    modules.action"), "{text}");

    // The entry of the new key is replaced.
    let second = updated(&action, &wanted([handler!(log_time)]));
    let first = format!(
        "{HEAD}{}",
        action.replace(
            "  endpoint:\n    #",
            "    - {key: log-time-action, endpoint: log-time}\n  endpoint:\n    #"
        )
    );
    std::fs::write(&file, first).unwrap();
    let text = run(&["--check"]);
    assert!(text.contains("in place of the entry there"), "{text}");
    let text = run(&["--write"]);
    let line = "  renamed  modules.action[log-action] → modules.action[log-time-action], in place of the entry there\n";
    assert!(text.contains(line), "{text}");
    let after = std::fs::read_to_string(&file).unwrap();
    assert!(after.contains(&second), "{after}");

    // Plain `--write` removes this one.
    let old = "  action:\n    - {key: log-action, endpoint: log-time}\n    # by hand\n    - {key: log-time-action, endpoint: log-time}\n";
    std::fs::write(&file, format!("{HEAD}{old}")).unwrap();
    let text = run(&["--check"]);
    assert!(
        text.contains("run `manifest --write`, which removes it"),
        "{text}"
    );
    assert!(!text.contains("--prune"), "{text}");
}
