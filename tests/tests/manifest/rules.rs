//! Each rule reports a manifest that violates only it, and can be allowed.

use std::collections::BTreeSet;

use forge_remote::diagnostic::{Rule, RuleKind};
use forge_remote::manifest::{DesiredManifest, ManifestFile, Scope, Severity, check, rules};

/// A valid manifest that is entirely hand-written.
pub(crate) const GOOD: &str = "\
app:
  {id: ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107, runtime: {name: nodejs22.x}}
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
  confluence:pageBanner:
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
resources:
  - {key: main, path: static}
";

pub(crate) fn codes(text: &str, allowed: &[&str]) -> Vec<(&'static str, usize)> {
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
    ("interval: hour", "interval: six-hours", "unknown-value", 7),
    ("      interval: hour\n", "", "missing-property", 5),
    ("    baseUrl: https://hand.example.com\n", "", "missing-property", 31),
    (
        "        appSystemToken:\n          enabled: true\n",
        "        appSystemToken: true\n",
        "wrong-type",
        24,
    ),
    ("    - HAND_URL\n", "    - 1-URL\n", "malformed-value", 37),
    (
        "    - HAND_URL\n",
        "    - HAND_URL\n    - HAND_URL\n",
        "duplicate-variable",
        38,
    ),
    (
        "app/8db33809-1f32-48bb-8c52-5877dab48107",
        "app/sample-app",
        "invalid-app-id",
        2,
    ),
    (
        "runtime:",
        "compatibility: {jira: {required: true}, confluence: {required: true}}, runtime:",
        "several-required-products",
        2,
    ),
    (
        "    - key: created\n",
        "    - key: tick\n",
        "duplicate-module-key",
        19,
    ),
    ("  trigger:\n", "  triger:\n", "unknown-module", 8),
    (
        "modules:\n",
        "functions:\n  - {key: f}\nmodules:\n",
        "misplaced-section",
        3,
    ),
    (
        "modules:\n",
        "modules:\n  services: [{key: one}]\n",
        "misplaced-section",
        4,
    ),
    (
        "    - read:jira-work\n",
        "    - read:jira-work\n    - read:jira-work\n",
        "duplicate-scope",
        30,
    ),
    (
        "      remote: hand\n",
        "      remote: hnad\n",
        "dangling-reference",
        20,
    ),
    (
        "avi:jira:created:issue",
        "avi:jira:uninstalled:app",
        "uninstalled-event",
        12,
    ),
    (
        "avi:jira:created:issue",
        "avi:jira:invented:thing",
        "unknown-event",
        12,
    ),
    (
        "environment:\n  variables:\n    - HAND_URL\nresources:\n  - {key: main, path: static}\n",
        "  - key: spare\n    baseUrl: https://spare.example.com\n",
        "unused-remote",
        35,
    ),
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
        "https://hand.example.com/api/",
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
    (
        "permissions:\n",
        "permissions:\n  external: {fetch: {backend: [{address: '*'}]}}\n",
        "any-address",
        27,
    ),
    (
        "permissions:\n",
        "permissions:\n  external: {fetch: {backend: [{address: api.example.com/v1}]}}\n",
        "ignored-path",
        27,
    ),
    (
        "permissions:\n",
        "permissions:\n  external: {frames: [not a url]}\n",
        "malformed-value",
        27,
    ),
    (
        "permissions:\n",
        "permissions:\n  content: {scripts: [unsafe-bogus]}\n",
        "malformed-value",
        27,
    ),
    (
        "permissions:\n",
        "permissions:\n  external: {fetch: {backend: [{remote: hand, inScopeEUD: true}]}}\n",
        "unknown-property",
        27,
    ),
    ("path: /tick", "path: tick", "route-without-slash", 22),
    ("path: /tick", "path: //tick", "malformed-route", 22),
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
        12,
    ),
    (
        "avi:jira:created:issue",
        "avi:forge:installed:app",
        "ignore-self",
        12,
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
    (
        "permissions:\n  scopes:\n    - read:app-system-token\n    - read:jira-work\nremotes:\n  - key: hand\n    baseUrl: https://hand.example.com\n    operations: [storage]\n",
        "  function:\n    - {key: main, handler: index.run}\npermissions:\n  scopes:\n    - read:app-system-token\n    - read:jira-work\nremotes:\n  - key: hand\n    baseUrl: https://hand.example.com\n    operations: [storage]\n    auth: {appSystemToken: {enabled: true}}\n",
        "not-for-functions",
        35,
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

#[test]
fn every_rule_is_explained_and_shown() {
    let shown: BTreeSet<&str> = CASES.iter().map(|(_, _, code, _)| *code).collect();
    // The comparison reports these, and the tests of the commands show them.
    let elsewhere = [
        "misplaced-endpoint",
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
        "no-pre-uninstall",
        "unmanaged-permissions",
        // Others of these tests.
        "manifest-too-large",
        "other-app-id",
        "auth-without-compute",
        "no-function",
        "storage-undeclared",
        "too-many-modules",
        "duplicate-jql-function",
        "outputs-of-response",
        "two-callees",
        "deprecated-module",
        "outputs-without-context",
        "unreferenced-action",
        "service-endpoint",
        "old-agent-version",
        "provider-without-connect",
        "module-without-scope",
        "conflicting-properties",
        "uncompared-variable",
        "foreign-modules",
    ];
    // `versions` shows those.
    let versions = |rule: &&Rule| rule.kind == RuleKind::Version;
    for rule in rules().filter(|rule| !versions(rule)) {
        assert!(
            shown.contains(rule.code) || elsewhere.contains(&rule.code),
            "{} is not shown",
            rule.code
        );
        // The reason, and the fix.
        let sentences = rule
            .explanation
            .match_indices(['.', '!'])
            .filter(|(at, _)| {
                let rest = &rule.explanation[at + 1..];
                rest.is_empty() || rest.starts_with([' ', '\n'])
            });
        assert!(
            sentences.count() >= 2,
            "the explanation of {} has no fix",
            rule.code
        );
    }
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
    let mut wanted = DesiredManifest::default();
    wanted.scopes = ["read:jira-work", "write:jira-work"].map(because).into();
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

/// Rolling releases need both the file and the code.
#[test]
fn the_file_and_the_code_agree_on_rolling_releases() {
    let managed = GOOD.replace("permissions:", "permissions:\n  enforcement: app-managed");
    let found = |text: &str, app_managed| -> Vec<(Severity, usize)> {
        let file = ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap();
        let mut wanted = DesiredManifest::default();
        wanted.app_managed = app_managed;
        let found = check(&file, &wanted, &BTreeSet::new());
        let found = found
            .iter()
            .filter(|one| one.code == "unmanaged-permissions");
        found
            .map(|one| (one.severity, one.manifest.as_ref().unwrap().line))
            .collect()
    };
    assert_eq!(found(&managed, true), []);
    assert_eq!(found(GOOD, false), []);
    assert_eq!(found(&managed, false), [(Severity::Note, 27)]);
    assert_eq!(found(GOOD, true), [(Severity::Warning, 26)]);
}

/// Only the code knows whether an app acts when it is uninstalled; any module `preUninstall` may call it.
#[test]
fn an_app_that_acts_on_uninstallations_has_to_be_called() {
    let called = GOOD.replace(
        "  trigger:\n",
        "  preUninstall:\n    - {key: bye, endpoint: tick}\n  trigger:\n",
    );
    let found = |text: &str, needs_call, allowed: &[&str]| -> Vec<(Severity, usize)> {
        let file = ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap();
        let mut wanted = DesiredManifest::default();
        wanted.needs_pre_uninstall = needs_call;
        let allowed = allowed.iter().map(|code| (*code).to_owned()).collect();
        let found = check(&file, &wanted, &allowed);
        let found = found.iter().filter(|one| one.code == "no-pre-uninstall");
        found
            .map(|one| (one.severity, one.manifest.as_ref().unwrap().line))
            .collect()
    };
    assert_eq!(found(GOOD, true, &[]), [(Severity::Warning, 3)]);
    assert_eq!(found(GOOD, true, &["no-pre-uninstall"]), []);
    assert_eq!(found(&called, true, &[]), []);
    assert_eq!(found(GOOD, false, &[]), []);
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

#[test]
fn a_manifest_has_at_most_200_kilobytes() {
    let large = format!("{GOOD}# {}\n", "x".repeat(200 * 1024 - GOOD.len() - 3));
    assert_eq!(codes(&large, &[]), []);
    let larger = format!("{large}#\n");
    assert_eq!(codes(&larger, &[]), [("manifest-too-large", 1)]);
}

/// The environment or the code may set ids other than the manifest's.
#[test]
fn an_app_id_that_is_not_accepted_is_a_warning() {
    const OWN: &str = "ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107";
    const OTHER: &str = "00000000-0000-4000-8000-000000000001";
    let found = |text: &str, app_ids: &[&str]| {
        let file = ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap();
        let mut wanted = DesiredManifest::default();
        wanted.app_ids = app_ids.iter().map(|id| (*id).to_owned()).collect();
        let found = check(&file, &wanted, &BTreeSet::new());
        let found = found.into_iter().filter(|one| one.code == "other-app-id");
        found
            .map(|one| (one.severity, one.manifest.unwrap().line))
            .collect::<Vec<_>>()
    };
    assert_eq!(found(GOOD, &[OTHER]), [(Severity::Warning, 2)]);
    let variable = GOOD.replace(OWN, "'ari:cloud:ecosystem::app/${ID_OF_TEST}'");
    let declared = variable.replace(
        "    - HAND_URL\n",
        &format!("    - {{key: ID_OF_TEST, default: {OTHER}}}\n"),
    );
    assert_eq!(found(&declared, &[OWN]), [(Severity::Warning, 2)]);
    for (text, app_ids) in [
        (GOOD, &[][..]),
        (GOOD, &[OWN]),
        (GOOD, &["8DB33809-1f32-48bb-8c52-5877dab48107"]),
        (GOOD, &[OTHER, OWN]),
        (&declared, &[OTHER]),
        // Reported elsewhere.
        (&variable, &[OTHER]),
        (GOOD, &["own"]),
    ] {
        assert_eq!(found(text, app_ids), [], "{app_ids:?}");
    }
}
