//! Edits of texts in every style: generated items change, the rest is preserved byte for byte.

use serde_yaml::Value;

use super::compare::compare;
use super::{DesiredManifest, Entry, ManifestFile, OwnedProperties, Scope};
use crate::diagnostic::Location;

/// Returns the declarations of a small app: one schedule, one endpoint, one remote, two scopes.
fn wanted() -> DesiredManifest {
    let entry = |yaml: &str| Entry {
        item: serde_yaml::from_str(yaml).unwrap(),
        owned: OwnedProperties::All,
        origins: vec![Location {
            file: "src/main.rs",
            line: 1,
            column: 1,
        }],
    };
    let scope = |name: &str| Scope::new(name, vec!["because".into()]);
    let mut sections = DesiredManifest::default();
    sections.modules.insert(
        "scheduledTrigger",
        vec![entry("{key: tick-trigger, endpoint: tick, interval: hour}")],
    );
    sections.endpoints.push(entry(
        "{key: tick, remote: backend, route: {path: /tick}, auth: {appSystemToken: {enabled: true}}}",
    ));
    sections.remotes.push(Entry {
        owned: OwnedProperties::Present,
        ..entry("{key: backend, baseUrl: 'https://b.example.com'}")
    });
    sections.scopes = vec![scope("read:app-system-token"), scope("read:jira-work")];
    sections
}

fn updated(text: &str) -> Result<String, String> {
    updated_to(text, &wanted())
}

fn updated_to(text: &str, wanted: &DesiredManifest) -> Result<String, String> {
    let file = ManifestFile::parse("manifest.yml", Some(text.to_owned()))
        .map_err(|error| error.to_string())?;
    let new = file
        .merged_with(wanted, None)
        .map_err(|error| error.to_string())?;
    // A second merge changes nothing, and there are no differences.
    let again = ManifestFile::parse("manifest.yml", Some(new.clone())).unwrap();
    assert_eq!(again.merged_with(wanted, None).unwrap(), new);
    assert_eq!(compare(&again, wanted), []);
    Ok(new)
}

#[track_caller]
fn becomes(text: &str, expected: &str) {
    let new = updated(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert!(
        new == expected,
        "--- expected\n{expected}\n--- found\n{new}"
    );
}

#[test]
fn missing_sections_are_added() {
    becomes(
        "# My app\napp:\n  id: x # the id\n\n# the end\n",
        "# My app\napp:\n  id: x # the id\nmodules:\n  scheduledTrigger:\n    - key: tick-trigger\n      endpoint: tick\n      interval: hour\n  endpoint:\n    - key: tick\n      remote: backend\n      route:\n        path: /tick\n      auth:\n        appSystemToken:\n          enabled: true\npermissions:\n  scopes:\n    - read:app-system-token\n    - read:jira-work\nremotes:\n  - key: backend\n    baseUrl: https://b.example.com\n\n# the end\n",
    );
}

#[test]
fn items_are_added_in_the_style_of_the_file() {
    becomes(
        "modules:\n    macro: # ours by hand\n    -   key: m\n        title: 'M'\n        resolver:\n            endpoint: tick\n    # schedules\n    scheduledTrigger:\n    -   key: other # theirs\n        function: f\n        interval: day\n    endpoint:\n    -   key: theirs\n        remote: elsewhere\nremotes:\n-   key: elsewhere\n    baseUrl: ${URL}\npermissions:\n    scopes: [read:jira-work, 'a b']  # granted\n",
        "modules:\n    macro: # ours by hand\n    -   key: m\n        title: 'M'\n        resolver:\n            endpoint: tick\n    # schedules\n    scheduledTrigger:\n    -   key: other # theirs\n        function: f\n        interval: day\n    -   key: tick-trigger\n        endpoint: tick\n        interval: hour\n    endpoint:\n    -   key: theirs\n        remote: elsewhere\n    -   key: tick\n        remote: backend\n        route:\n            path: /tick\n        auth:\n            appSystemToken:\n                enabled: true\nremotes:\n-   key: elsewhere\n    baseUrl: ${URL}\n-   key: backend\n    baseUrl: https://b.example.com\npermissions:\n    scopes: [read:jira-work, 'a b', read:app-system-token]  # granted\n",
    );
}

const FRESH: &str = "modules:\n  scheduledTrigger:\n    - key: tick-trigger\n      endpoint: tick\n      interval: hour # often\n  endpoint:\n    - key: tick\n      # where\n      remote: backend\n      route: {path: /tick}\n      auth: { appSystemToken: { enabled: true }, appUserToken: { enabled: false } }\npermissions:\n  scopes:\n    read:app-system-token: {}\n    read:jira-work:\n      allowImpersonation: true\nremotes:\n  - key: backend\n    baseUrl:\n      default: https://b.example.com\n      EU: https://eu.example.com\n    operations: [storage]\n";

#[test]
fn an_equivalent_manifest_does_not_change() {
    becomes(FRESH, FRESH);
}

#[test]
fn one_value_is_changed_in_place() {
    for (old, new) in [
        ("interval: day # often", "interval: hour # often"),
        ("interval: \"day\" # often", "interval: \"hour\" # often"),
        ("interval:  # often", "interval: hour  # often"),
        (
            "interval: hour # often\n      filter:\n        appIsLicensed: true",
            "interval: hour # often",
        ),
    ] {
        becomes(
            &FRESH.replace("interval: hour # often", old),
            &FRESH.replace("interval: hour # often", new),
        );
    }
    becomes(
        &FRESH.replace("{path: /tick}", "{path: /tock, x: 1}"),
        FRESH,
    );
    becomes(&FRESH.replace("      route: {path: /tick}\n", ""), &FRESH.replace(
        "      route: {path: /tick}\n      auth: { appSystemToken: { enabled: true }, appUserToken: { enabled: false } }\n",
        "      auth: { appSystemToken: { enabled: true }, appUserToken: { enabled: false } }\n      route:\n        path: /tick\n",
    ));
    becomes(
        &FRESH.replace("enabled: false", "enabled: true"),
        &FRESH.replace(", appUserToken: { enabled: false }", ""),
    );
    becomes(
        &FRESH.replace("    read:app-system-token: {}\n", ""),
        &FRESH
            .replace("    read:app-system-token: {}\n", "")
            .replace(
                "      allowImpersonation: true\n",
                "      allowImpersonation: true\n    read:app-system-token: {}\n",
            ),
    );
}

#[test]
fn only_stale_items_are_removed() {
    let stale = FRESH
        .replace(
            "  endpoint:\n",
            "    # gone\n    - key: old-trigger\n      endpoint: old # old\n      interval: day\n    # after\n  endpoint:\n    - key: old\n      remote: backend\n      route:\n        path: /old\n",
        );
    let removing = |keys: &[&str]| DesiredManifest {
        removable: keys.iter().map(|key| (*key).to_owned()).collect(),
        ..wanted()
    };
    // The module of a removed endpoint is removed with it.
    for keys in [&["old"][..], &["old", "old-trigger"]] {
        assert_eq!(
            updated_to(&stale, &removing(keys)).unwrap(),
            FRESH.replace("  endpoint:\n", "    # after\n  endpoint:\n"),
        );
    }
    // Without proof, both are reported and kept.
    let file = ManifestFile::parse("manifest.yml", Some(stale.clone())).unwrap();
    assert_eq!(file.merged_with(&wanted(), None).unwrap(), stale);
    let found = compare(&file, &wanted());
    let found: Vec<String> = found.iter().map(|one| one.path.to_string()).collect();
    assert_eq!(
        found,
        [
            "modules.scheduledTrigger[old-trigger]",
            "modules.endpoint[old]"
        ]
    );
    let foreign = DesiredManifest {
        foreign: ["old".to_owned()].into(),
        ..wanted()
    };
    assert_eq!(updated_to(&stale, &foreign).unwrap(), stale);

    let nothing = DesiredManifest {
        remotes: wanted().remotes,
        removable: ["tick".to_owned()].into(),
        ..DesiredManifest::default()
    };
    let left = updated_to(FRESH, &nothing).unwrap();
    assert_eq!(
        left,
        FRESH
            .split_once("permissions")
            .map(|(_, rest)| format!("permissions{rest}"))
            .unwrap()
    );
}

#[test]
fn a_hand_written_item_with_the_key_of_a_stale_one_is_kept() {
    let theirs = "modules:\n  scheduledTrigger:\n    - key: old\n      function: f\n    - function: old\n  endpoint:\n    - key: old\n      remote: hand\nremotes:\n  - key: hand\n";
    let ours = theirs
        .replace(
            "    - function: old\n",
            "    - key: old\n      endpoint: old\n    - function: old\n",
        )
        .replace(
            "remotes:\n",
            "    - key: old\n      remote: backend\nremotes:\n",
        );
    let nothing = DesiredManifest {
        remotes: vec![Entry {
            owned: OwnedProperties::Present,
            item: serde_yaml::from_str("{key: backend}").unwrap(),
            origins: Vec::new(),
        }],
        removable: ["old".to_owned()].into(),
        ..DesiredManifest::default()
    };
    assert_eq!(
        updated_to(&ours, &nothing).unwrap(),
        format!("{theirs}  - key: backend\n")
    );
}

#[test]
fn a_handler_of_another_kind_may_keep_its_key() {
    let before = "modules:\n  scheduledTrigger:\n    - key: tick\n      endpoint: tick-endpoint\n      interval: hour\n  endpoint:\n    - key: tick-endpoint\n      remote: backend\n      route: {path: /tick}\nremotes:\n  - key: backend\n";
    let endpoint = Entry {
        owned: OwnedProperties::All,
        item: serde_yaml::from_str("{key: tick, remote: backend, route: {path: /tick}}").unwrap(),
        origins: Vec::new(),
    };
    let remote = Entry {
        owned: OwnedProperties::Present,
        item: serde_yaml::from_str("{key: backend}").unwrap(),
        origins: Vec::new(),
    };
    let wanted = DesiredManifest {
        endpoints: vec![endpoint],
        remotes: vec![remote],
        removable: ["tick-endpoint", "tick"].map(str::to_owned).into(),
        ..DesiredManifest::default()
    };
    assert_eq!(
        updated_to(before, &wanted).unwrap(),
        "modules:\n  endpoint:\n    - key: tick\n      remote: backend\n      route:\n        path: /tick\nremotes:\n  - key: backend\n"
    );
}

#[test]
fn line_ends_marks_and_a_missing_last_line_end_are_preserved() {
    let text = "\u{feff}%YAML 1.2\n---\napp: {id: x}  # ünïcödé\nmodules:\n- x\n...\n";
    assert!(updated(text).is_err(), "modules must be a mapping");
    let text = "\u{feff}---\r\n# ünïcödé\r\napp: {id: ü}\r\nremotes: []  # none yet\r\nmodules:\r\n...\r\n";
    let new = updated(text).unwrap();
    assert!(new.starts_with("\u{feff}---\r\n# ünïcödé\r\napp: {id: ü}\r\nremotes:  # none yet\r\n  - key: backend\r\n"), "{new}");
    assert!(new.ends_with("- read:jira-work\r\n...\r\n"), "{new}");
    assert_eq!(new.matches('\n').count(), new.matches("\r\n").count());

    let new = updated("app:\n  id: x").unwrap();
    assert!(
        new.starts_with("app:\n  id: x\nmodules:\n")
            && new.ends_with("baseUrl: https://b.example.com"),
        "{new}"
    );
}

#[test]
fn json_stays_json() {
    let new = updated(
        "{\"app\": {\"id\": \"x\"}, \"permissions\": {\"scopes\": [\"read:jira-work\"]}}\n",
    )
    .unwrap();
    let value: serde_json::Value = serde_json::from_str(&new).unwrap();
    assert_eq!(value["permissions"]["scopes"][1], "read:app-system-token");
    assert_eq!(value["modules"]["endpoint"][0]["route"]["path"], "/tick");
}

#[test]
fn unsafe_edits_are_rejected_with_their_position() {
    for (text, at, reason) in [
        ("a: 1\na: 2\n", "2:1", "written twice"),
        ("a: [\n", "", "not YAML"),
        ("a:\n\t- b\n", "2:", "not YAML"),
        ("a: 1\n---\nb: 2\n", "2:", "second document"),
        ("modules: &m\n  macro: []\n", "", "anchor"),
        (
            "x: &e\n  - key: a\n    remote: r\nmodules:\n  endpoint: *e\n",
            "5:13",
            "anchor",
        ),
        (
            "modules:\n  <<: []\n  macro:\n    - key: a\n",
            "2:3",
            "merge key",
        ),
        (
            "modules:\n  function:\n    - key: tick\n      handler: a.b\n",
            "3:12",
            "`tick` is taken by `modules.function[tick]`",
        ),
        (
            "modules:\n  scheduledTrigger:\n    - key: tick-trigger\n      function: f\n",
            "3:12",
            "is taken",
        ),
        (
            "modules:\n  endpoint:\n    - key: tick\n      remote: hand\nremotes:\n  - key: hand\n",
            "3:12",
            "is taken",
        ),
        ("permissions: x\n", "1:14", "not a mapping"),
        ("- a\n", "1:1", "not a mapping"),
        ("app:\n  id: x\r  name: y\n", "2:8", "carriage return"),
        ("a: b # c\r", "1:9", "carriage return"),
        (
            "? modules\n: macro:\n    - key: m\n",
            "",
            "would change unrelated parts",
        ),
    ] {
        let error = updated(text).unwrap_err();
        assert!(
            error.contains(reason) && error.contains(&format!("manifest.yml:{at}")),
            "{text}: {error}"
        );
    }
}

#[test]
fn odd_but_legal_layouts() {
    for text in [
        "modules:\n  scheduledTrigger:\n    -\n      key: a\n      function: f\n",
        "modules:\n  scheduledTrigger:\n  - key: a\n    function: |\n      text\n\n\nremotes:\n  - {key: other, baseUrl: x}\n",
        "modules: {scheduledTrigger: [{key: a, function: f},], macro: [\n    {key: m} # note\n  ]}\n",
        "modules:\n  macro:\n    - key: m\n      # inside\n\n# outside\npermissions: # p\n  content: {scripts: [a]}\n",
        "permissions:\n  scopes: ~\nremotes: ~\n",
        "permissions:\n  scopes:\n  # nothing granted\nremotes:\n",
        "'modules':\n  \"macro\":\n    - 'key': m\n",
        "modules:\n  macro:\n    - key: m\n      text: >-\n        folded\n        text",
    ] {
        let new = updated(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
        let mut lines = new.lines();
        for line in text.lines().filter(|line| !line.contains(['[', ']', '~'])) {
            assert!(lines.any(|one| one == line), "lost {line:?}:\n{new}");
        }
    }
}

#[test]
fn numbers_and_words_are_read_as_forge_reads_them() {
    let text =
        "a: 1\nb: on\nc: 0x1f\nd: 1e3\ne: ~\nf: '1'\ng: -0o7\nh: 1_000\ni: .5\nj: True\nk: 12:30\n";
    let file = ManifestFile::parse("m", Some(text.to_owned())).unwrap();
    let expected: Value =
        serde_yaml::from_str("{a: 1, b: 'on', c: 31, d: 1000.0, e: null, f: '1', g: '-0o7', h: '1_000', i: 0.5, j: true, k: '12:30'}").unwrap();
    assert_eq!(file.value(), &expected);
}

/// Checks the scopes before and after an edit that adds impersonation with `read:jira-work`.
#[track_caller]
fn scopes_become(before: &str, after: &str) {
    let wanted = DesiredManifest {
        scopes: vec![
            Scope::new("read:app-system-token", vec!["because".into()]),
            Scope {
                impersonation: true,
                ..Scope::new("read:jira-work", vec!["because".into()])
            },
        ],
        ..DesiredManifest::default()
    };
    for line_end in ["\n", "\r\n"] {
        let [before, after] = [before, after].map(|text| text.replace('\n', line_end));
        let new = updated_to(&before, &wanted).unwrap_or_else(|error| panic!("{error}\n{before}"));
        assert!(new == after, "--- expected\n{after}\n--- found\n{new}");
    }
}

#[test]
fn scopes_become_a_mapping_where_users_are_impersonated() {
    let allowed = "{ allowImpersonation: true }";
    scopes_become(
        "a: 1\n",
        "a: 1\npermissions:\n  scopes:\n    read:app-system-token: {}\n    read:jira-work:\n      allowImpersonation: true\n",
    );
    scopes_become(
        "permissions:\n  scopes: # which\n    # why\n    - read:me # who\n    - 'read:jira-work'   # work\n    # more\n  external: {}\n",
        &format!(
            "permissions:\n  scopes: # which\n    # why\n    read:me: {{}} # who\n    'read:jira-work': {allowed}   # work\n    read:app-system-token: {{}}\n    # more\n  external: {{}}\n"
        ),
    );
    scopes_become(
        "permissions:\n  scopes:\n  -   read:me\n  - \"read:jira-work\"\nx: 1\n",
        &format!(
            "permissions:\n  scopes:\n    read:me: {{}}\n    \"read:jira-work\": {allowed}\n    read:app-system-token: {{}}\nx: 1\n"
        ),
    );
    scopes_become(
        "permissions: {scopes: [read:me, read:app-system-token]}\n",
        &format!(
            "permissions: {{scopes: {{read:me: {{}}, read:app-system-token: {{}}, read:jira-work: {allowed}}}}}\n"
        ),
    );
    scopes_become(
        "{\"permissions\": {\"scopes\": [\"read:jira-work\"]}}\n",
        "{\"permissions\": {\"scopes\": {\"read:jira-work\": {\"allowImpersonation\":true}, \"read:app-system-token\": {}}}}\n",
    );
    scopes_become(
        "permissions:\n  scopes:\n    read:jira-work: {}\n    read:app-system-token:\n",
        &format!(
            "permissions:\n  scopes:\n    read:jira-work: {allowed}\n    read:app-system-token:\n"
        ),
    );
    scopes_become(
        "permissions:\n  scopes:\n    read:app-system-token: {}\n    read:jira-work:\n      # not yet\n      allowImpersonation: false # ask\n",
        "permissions:\n  scopes:\n    read:app-system-token: {}\n    read:jira-work:\n      # not yet\n      allowImpersonation: true # ask\n",
    );
    scopes_become(
        "permissions:\n  scopes:\n    read:app-system-token: {allowImpersonation: true}\n    read:jira-work:\n",
        "permissions:\n  scopes:\n    read:app-system-token: {allowImpersonation: true}\n    read:jira-work:\n      allowImpersonation: true\n",
    );
    scopes_become(
        "permissions:\n  scopes: []\n",
        "permissions:\n  scopes:\n    read:app-system-token: {}\n    read:jira-work:\n      allowImpersonation: true\n",
    );
}

#[test]
fn a_comment_in_an_empty_scope_is_not_lost() {
    let wanted = DesiredManifest {
        scopes: vec![Scope {
            impersonation: true,
            ..Scope::new("read:jira-work", vec!["because".into()])
        }],
        ..DesiredManifest::default()
    };
    let text = "permissions:\n  scopes:\n    read:jira-work: {\n      # ask Jane first\n    }\n";
    let error = updated_to(text, &wanted).unwrap_err();
    assert!(error.contains("comment"), "{error}");
}

/// Each value of a nested mapping is compared once: a second time at each level would never end.
#[test]
fn a_deep_tree_has_its_value() {
    let nested = |depth: usize, leaf: &str| {
        let nested = (0..depth).fold(leaf.to_owned(), |inner, _| format!("{{a: {inner}, b: 1}}"));
        super::tree::parse(&nested).unwrap().unwrap()
    };
    let root = nested(60, "x");
    let in_other_order = (0..60).fold("x".to_owned(), |inner, _| format!("{{b: 1, a: {inner}}}"));
    let in_other_order = super::tree::parse(&in_other_order).unwrap().unwrap();
    for (other, expected) in [
        (root.clone(), true),
        (nested(60, "y"), false),
        (nested(59, "x"), false),
        (in_other_order, true),
    ] {
        assert_eq!(root.has_value(&other.to_value()), expected);
    }
}

/// The order of a mapping's entries does not count, each entry does.
#[test]
fn a_tree_has_its_value_in_any_order_and_no_other() {
    let root = super::tree::parse("a: 1\nb: {c: x, d: [y]}\n").unwrap();
    let root = root.unwrap();
    for (text, expected) in [
        ("a: 1\nb: {c: x, d: [y]}", true),
        ("b: {d: [y], c: x}\na: 1", true),
        ("b: {d: [y], c: z}\na: 1", false),
        ("b: {d: [y, y], c: x}\na: 1", false),
        ("b: {d: [y], c: x}", false),
        ("b: {d: [y], c: x}\ne: 1", false),
        ("b: {d: [y], c: x}\na: 1\ne: 1", false),
    ] {
        let value: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
        assert_eq!(root.has_value(&value), expected, "{text}");
    }
}
