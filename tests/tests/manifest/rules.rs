//! Each rule reports a manifest that violates only it, and can be allowed.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;

use forge_remote::diagnostic::{Rule, RuleKind};
use forge_remote::manifest::{DesiredManifest, ManifestFile, Scope, Severity, check, rules};

/// A valid manifest that is entirely hand-written.
const GOOD: &str = "\
app:
  id: ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107
modules:
  scheduledTrigger:
    - key: tick-trigger
      endpoint: tick
      interval: hour
  trigger:
    - key: created
      endpoint: tick
      events:
        - eventType: avi:jira:created:issue
          filter: {ignoreSelf: true}
  macro:
    - key: page
      resolver:
        endpoint: tick
  endpoint:
    - key: tick
      remote: hand
      route:
        path: /tick
      auth:
        appSystemToken:
          enabled: true
permissions:
  scopes:
    - read:app-system-token
    - read:jira-work
remotes:
  - key: hand
    baseUrl: https://hand.example.com
    operations: [storage]
    storage: {inScopeEUD: false}
environment:
  variables:
    - HAND_URL
";

fn codes(text: &str, allowed: &[&str]) -> Vec<(&'static str, usize)> {
    let file = ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap();
    let allowed: BTreeSet<String> = allowed.iter().map(|code| (*code).to_owned()).collect();
    let findings = check(&file, &DesiredManifest::default(), &allowed);
    findings
        .into_iter()
        // No code needs a scope here, so every scope is unused.
        .filter(|one| one.severity != Severity::Note)
        .map(|one| (one.code, one.manifest.unwrap().line))
        .collect()
}

#[test]
fn a_good_manifest_has_no_findings() {
    assert_eq!(codes(GOOD, &[]), []);
    assert_eq!(
        codes(
            &GOOD.replace("https://hand.example.com", "${HAND_URL}"),
            &[]
        ),
        []
    );
    assert_eq!(
        codes(
            &GOOD.replace("https://hand.example.com", "https://hand.example.com:8443"),
            &[]
        ),
        []
    );
}

/// The replaced text, its replacement, the reported code, and the line it points to.
const CASES: &[(&str, &str, &str, usize)] = &[
    (
        "  - key: hand\n",
        "  - key: hand\n    baseUrl: https://hand.example.com\n  - key: hand\n",
        "duplicate-remote-key",
        31,
    ),
    ("https://hand.example.com", "\"\"", "base-url", 32),
    (
        "https://hand.example.com",
        "http://hand.example.com",
        "base-url",
        32,
    ),
    (
        "https://hand.example.com",
        "https://localhost",
        "base-url",
        32,
    ),
    (
        "https://hand.example.com",
        "https://127.0.0.1:3000",
        "base-url",
        32,
    ),
    (
        "https://hand.example.com",
        "https://hand.example.com/",
        "base-url",
        32,
    ),
    (
        "https://hand.example.com",
        "https://hand.example.com/api",
        "base-url",
        32,
    ),
    (
        "https://hand.example.com",
        "wss://hand.example.com",
        "base-url",
        32,
    ),
    (
        "https://hand.example.com",
        "${OTHER_URL}",
        "undeclared-variable",
        32,
    ),
    (
        "      route:\n        path: /tick\n",
        "",
        "missing-route",
        19,
    ),
    ("path: /tick", "path: tick", "malformed-route", 22),
    ("path: /tick", "path: /tick?now=1", "malformed-route", 22),
    (
        "      route:\n        path: /tick\n",
        "      route:\n        path: /tick\n        method: POST\n",
        "unknown-property",
        23,
    ),
    (
        "      remote: hand\n",
        "      remote: hand\n      remot: hand\n",
        "unknown-property",
        21,
    ),
    (
        "        appSystemToken:\n",
        "        appSystemTokens:\n          enabled: true\n        appSystemToken:\n",
        "unknown-property",
        24,
    ),
    (
        "        appSystemToken:\n",
        "        appUserToken:\n          enabled: true\n        appSystemToken:\n",
        "user-token-without-user",
        24,
    ),
    (
        "    - read:jira-work\n",
        "    - read:jira-work\n    - read:jira-wrok\n",
        "unknown-scope",
        30,
    ),
    (
        "    - read:jira-work\n",
        "    - write:jira-work\n",
        "event-without-scope",
        11,
    ),
    (
        "avi:jira:created:issue",
        "avi:forge:installed:app",
        "ignore-self",
        11,
    ),
    (
        "filter: {ignoreSelf: true}",
        "filter: {ignoreSelf: true, onError: RECEIVE}",
        "on-error-alone",
        9,
    ),
    (
        "filter: {ignoreSelf: true}",
        "filter: {expression: \"event.runtime.issue.properties['a'].f == event.runtime.issue.properties['b']\"}
          payload: {include: {propertyPaths: [\"issue.properties['a'].f\", a.c, a.d, a.e, a.g]}}",
        "too-many-properties",
        8,
    ),
    (
        "    baseUrl: https://hand.example.com\n",
        "    baseUrl: {default: https://a.example.com, EU: https://eu.example.com}\n  - key: other\n    baseUrl: {default: https://b.example.com}\n    storage: {inScopeEUD: true}\n  - key: third\n    baseUrl: {default: https://a.example.com, EU: https://eu.example.com}\n",
        "regions-differ",
        34,
    ),
    (
        "    storage: {inScopeEUD: false}\n",
        "",
        "storage-without-eud",
        33,
    ),
    ("tick\n", "a-key-of-twenty-four-car\n", "key-too-long", 19),
    (
        "  - key: hand\n",
        "  - key: a-remote-of-twenty-four-c\n    baseUrl: https://x.example.com\n  - key: hand\n",
        "key-too-long",
        31,
    ),
    ("interval: hour", "interval: week", "token-gap", 7),
    (
        "        endpoint: tick\n  endpoint",
        "        endpoint: tock\n  endpoint",
        "dangling-endpoint",
        15,
    ),
    (
        "      events:\n        - eventType: avi:jira:created:issue\n          filter: {ignoreSelf: true}\n",
        "      events: []\n",
        "crashes-validator",
        11,
    ),
    (
        "      events:\n",
        "      filter: {ignoreSelf: true}\n      events:\n",
        "crashes-validator",
        12,
    ),
    (
        "      resolver:\n",
        "      icon:\n      resolver:\n",
        "crashes-validator",
        16,
    ),
];

#[test]
fn each_violation_is_reported_alone_and_at_its_line() {
    for (old, new, code, line) in CASES {
        assert!(GOOD.contains(old), "{old}");
        let text = GOOD.replace(old, new);
        assert_eq!(
            codes(&text, &[]),
            [(*code, *line)],
            "{old:?} → {new:?}\n{text}"
        );
        assert_eq!(codes(&text, &[code]), [], "allowed in the code: {code}");
        let commented: String = text
            .lines()
            .enumerate()
            .map(|(at, row)| {
                if at + 1 == *line {
                    format!("{row} # forge-remote: allow(x, {code})\n")
                } else {
                    format!("{row}\n")
                }
            })
            .collect();
        assert_eq!(
            codes(&commented, &[]),
            [],
            "allowed in the file:\n{commented}"
        );
    }
}

/// The table of kinds defines the modules whose endpoint needs a route and never gets a user token.
#[test]
fn every_module_without_a_user_needs_a_route_and_gets_no_user_token() {
    const ROUTE: &str = "      route:\n        path: /tick\n";
    const AUTH: &str = "        appSystemToken:\n";
    let codes_of = |module_type: &str| {
        let named = format!("  {module_type}:\n    - key: tick-module\n      endpoint: tick\n");
        let head =
            GOOD.find("  scheduledTrigger:").unwrap()..GOOD.find("\n  endpoint:\n").unwrap() + 1;
        let text = GOOD
            .replace(&GOOD[head], &named)
            .replace(ROUTE, "")
            .replace(
                AUTH,
                &format!("        appUserToken: {{enabled: true}}\n{AUTH}"),
            );
        let codes = codes(&text, &[]).into_iter();
        codes.map(|(code, _)| code).collect::<Vec<_>>()
    };
    let both = ["missing-route", "user-token-without-user"];
    for module_type in [
        "webtrigger",
        "consumer",
        "jira:jqlFunction",
        "bitbucket:mergeCheck",
    ] {
        assert_eq!(codes_of(module_type), both, "{module_type}");
    }
    // These have users, or are pages.
    for module_type in ["action", "jira:issuePanel"] {
        assert_eq!(codes_of(module_type), [""; 0], "{module_type}");
    }
}

#[test]
fn schedules_are_counted() {
    let item = |at: usize, interval: &str| {
        format!("    - key: s{at}\n      endpoint: tick\n      interval: {interval}\n")
    };
    let many: String = (0..5).map(|at| item(at, "hour")).collect();
    let text = GOOD.replace("  trigger:\n", &format!("{many}  trigger:\n"));
    assert_eq!(codes(&text, &[]), [("too-many-schedules", 4)]);
    let often: String = (0..2).map(|at| item(at, "fiveMinute")).collect();
    let text = GOOD.replace("  trigger:\n", &format!("{often}  trigger:\n"));
    assert_eq!(codes(&text, &[]), [("too-many-schedules", 4)]);
}

#[test]
fn tokens_need_their_own_scope() {
    let text = GOOD.replace("    - read:jira-work\n", "").replace("  trigger:", "  hand:").replace("      events:\n        - eventType: avi:jira:created:issue\n          filter: {ignoreSelf: true}\n", "");
    assert_eq!(codes(&text, &[]), [("token-without-scope", 20)]);
    let map = GOOD.replace(
        "    - read:app-system-token\n    - read:jira-work\n",
        "    read:app-system-token: {}\n    read:jira-work: {allowImpersonation: true}\n",
    );
    assert_eq!(codes(&map, &[]), [], "the scopes may be a mapping");
}

#[test]
fn every_rule_is_explained_and_shown() {
    let shown: BTreeSet<&str> = CASES.iter().map(|(_, _, code, _)| *code).collect();
    // The comparison reports these, and the tests of the commands show them.
    let elsewhere = [
        "missing",
        "different",
        "stale",
        "missing-scope",
        "rejected-caller",
        "unknown-page",
        "open-admin-page",
        "unneeded-impersonation",
        "impersonation-not-allowed",
        "unneeded-scope",
        "schedules-reset",
        "too-many-schedules",
        "token-without-scope",
        "known-event",
    ];
    // `versions` shows those.
    let versions = |rule: &&Rule| rule.kind == RuleKind::Version;
    for rule in rules().filter(|rule| !versions(rule)) {
        assert!(
            shown.contains(rule.code) || elsewhere.contains(&rule.code),
            "{} is not shown",
            rule.code
        );
        assert!(
            rule.explanation.len() > 40,
            "{} is not explained",
            rule.code
        );
    }
}

/// Returns the findings when the code names these pages for the endpoint `save`.
fn page_findings(pages: &[&str], modules: &str) -> Vec<(&'static str, String)> {
    let text = format!("modules:\n{modules}");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let pages = pages.iter().map(|page| (*page).to_owned()).collect();
    let wanted = DesiredManifest {
        allowed_pages: [("save".to_owned(), pages)].into(),
        ..DesiredManifest::default()
    };
    let found = check(&file, &wanted, &BTreeSet::new());
    let about_pages = |code| ["unknown-page", "open-admin-page"].contains(&code);
    let found = found.into_iter().filter(|one| about_pages(one.code));
    found.map(|one| (one.code, one.message)).collect()
}

#[test]
fn pages_that_reach_an_administrators_handler_are_named() {
    let admin = "  jira:adminPage:\n    - {key: admin, resolver: {endpoint: save}}\n";
    let panel = "  jira:issuePanel:\n    - {key: panel, resource: main}\n";
    let both = format!("{admin}{panel}");
    let open = page_findings(&[], &both);
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0].0, "open-admin-page");
    assert!(
        open[0].1.contains("`panel`") && open[0].1.contains("`save`"),
        "{open:?}"
    );
    for (pages, modules) in [
        // The endpoint is restricted.
        (&["admin"][..], both.as_str()),
        (&["admin", "panel"], both.as_str()),
        // No other page reaches it.
        (&[], admin),
        // There is no administrators' page.
        (&[], panel),
    ] {
        assert_eq!(page_findings(pages, modules), [], "{pages:?}");
    }
    let unknown = page_findings(&["admin", "amdin"], &both);
    assert_eq!(unknown.len(), 1, "{unknown:?}");
    assert!(
        unknown[0].0 == "unknown-page" && unknown[0].1.contains("`amdin`"),
        "{unknown:?}"
    );
    // A module that is not a page.
    let trigger = format!("{admin}  trigger:\n    - {{key: follow, endpoint: follow}}\n");
    assert_eq!(page_findings(&["follow"], &trigger)[0].0, "unknown-page");
}

#[test]
fn an_unused_impersonation_is_noted() {
    let only_endpoints = "modules:
  endpoint:
    - {key: tick, remote: hand, route: {path: /tick}}
permissions:
  scopes:
    read:jira-work: {allowImpersonation: true}
    write:jira-work: {allowImpersonation: true}
remotes:
  - {key: hand, baseUrl: 'https://hand.example.com'}
";
    let file = ManifestFile::parse("manifest.yml", Some(only_endpoints.to_owned())).unwrap();
    let because = |name| Scope::new(name, vec!["because".to_owned()]);
    let mut wanted = DesiredManifest {
        scopes: ["read:jira-work", "write:jira-work"].map(because).into(),
        ..DesiredManifest::default()
    };
    let noted = |wanted: &DesiredManifest| -> Vec<(String, usize)> {
        let found = check(&file, wanted, &BTreeSet::new());
        let found = found
            .into_iter()
            .filter(|one| one.code == "unneeded-impersonation");
        found
            .map(|one| (one.message, one.manifest.unwrap().line))
            .collect()
    };
    assert_eq!(noted(&wanted).len(), 2);
    wanted.scopes[0].impersonation = true;
    let noted = noted(&wanted);
    assert_eq!(noted.len(), 1);
    assert!(noted[0].0.contains("`write:jira-work`"), "{noted:?}");
    assert_eq!(noted[0].1, 7);
}

#[test]
fn an_event_that_only_a_page_gives_scopes_is_a_warning() {
    let text = GOOD.replace(
        "avi:jira:created:issue",
        "avi:confluence:created:whiteboard",
    );
    let text = text.replace("ignoreSelf: true", "appIsLicensed: true");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let found = check(&file, &DesiredManifest::default(), &BTreeSet::new());
    let found = found.iter().find(|one| one.code == "event-without-scope");
    assert_eq!(found.unwrap().severity, Severity::Warning);
    assert!(
        found.unwrap().message.ends_with("`avi:confluence:created:whiteboard` is not delivered without the scope read:confluence-content.summary"),
        "{found:?}"
    );
}

#[test]
fn five_properties_are_allowed_however_often_each_is_named() {
    let filter =
        "filter: {expression: \"event.runtime.issue.properties['a'].f == 1 || event.runtime.a.b\"}
          payload: {include: {propertyPaths: [\"issue.properties['a'].f\", a.b, a.c, a.d, a.e]}}";
    let text = GOOD.replace("filter: {ignoreSelf: true}", filter);
    assert_eq!(codes(&text, &[]), []);
}

/// An event declared as unknown may stay once a later version knows it.
#[test]
fn an_event_declared_as_unknown_may_become_known() {
    let file = ManifestFile::parse("manifest.yml", Some(GOOD.to_owned())).unwrap();
    let mut wanted = DesiredManifest::default();
    let levels = |wanted: &DesiredManifest| -> Vec<Severity> {
        let found = check(&file, wanted, &BTreeSet::new());
        let found = found.iter().filter(|one| one.code == "known-event");
        found.map(|one| one.severity).collect()
    };
    wanted.unknown_events.insert("avi:jira:invented:thing");
    assert_eq!(levels(&wanted), []);
    wanted.unknown_events.insert("avi:jira:created:issue");
    assert_eq!(levels(&wanted), [Severity::Warning]);
}
