//! `manifest --against`: each difference from the deployed manifest is a major or a minor version.

use std::collections::BTreeSet;

use forge_remote::diagnostic::RuleKind;
use forge_remote::manifest::{ManifestFile, VersionLevel, rules, version_changes};

/// The manifest of every installation.
pub(crate) const DEPLOYED: &str = "\
app:
  id: ari:cloud:ecosystem::app/00000000-0000-4000-8000-000000000001
remotes:
  - key: backend
    baseUrl: https://backend.example.com
    operations: [fetch, compute]
    auth: {appSystemToken: {enabled: false}}
modules:
  trigger:
    - key: follow-trigger
      endpoint: follow
      events:
        - avi:jira:updated:issue
  webtrigger:
    - key: form
      endpoint: follow
      response: {type: static, outputs: []}
  endpoint:
    - key: follow
      remote: backend
      route:
        path: /follow
permissions:
  scopes:
    - read:jira-work
    - write:jira-work
  content:
    styles: [unsafe-inline]
  external:
    images: ['https://images.example.com']
    fetch:
      backend:
        - address: https://one.example.com
          category: analytics
          inScopeEUD: false
        - 'https://two.example.com'
providers:
  auth:
    - key: google
      name: Google
      clientId: abc
";

pub(crate) fn changes(deployed: &str, new: &str) -> Vec<(&'static str, VersionLevel, String)> {
    let parse = |text: &str| ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap();
    let found = version_changes(&parse(deployed), &parse(new)).into_iter();
    found
        .map(|one| (one.code, one.level, one.message))
        .collect()
}

/// The replaced text of `DEPLOYED`, its replacement, and the expected codes, sorted.
const CASES: &[(&str, &str, &[&str])] = &[
    // Remotes. Source: https://developer.atlassian.com/platform/forge/manifest-reference/remotes/
    (
        "remotes:\n",
        "remotes:\n  - {key: other, baseUrl: 'https://other.example.com'}\n",
        &["remote-added"],
    ),
    (
        "remotes:\n",
        "remotes:\n  - {key: own, configurable: {name: Own}}\n",
        &["remote-without-url"],
    ),
    (
        "https://backend.example.com",
        "https://new.example.com",
        &["base-url-changed"],
    ),
    (
        "https://backend.example.com",
        "{default: 'https://backend.example.com'}",
        &["base-url-form"],
    ),
    (
        "https://backend.example.com",
        "{default: 'https://backend.example.com', EU: 'https://eu.example.com'}",
        &["region-added"],
    ),
    (
        "    operations",
        "    configurable: {name: Own}\n    operations",
        &["remote-customer-managed"],
    ),
    ("[fetch, compute]", "[fetch]", &["remote-reduced"]),
    (
        "[fetch, compute]",
        "[fetch, compute, other]",
        &["remote-extended"],
    ),
    (
        "[fetch, compute]",
        "[fetch, compute, storage]\n    storage: {inScopeEUD: true}",
        &["remote-extended", "remote-stores-user-data"],
    ),
    (
        "{enabled: false}}",
        "{enabled: true}}",
        &["remote-extended"],
    ),
    // Endpoints. Source: https://developer.atlassian.com/platform/forge/manifest-reference/endpoint/
    ("path: /follow", "path: /follow-v2", &["endpoint-changed"]),
    (
        "path: /follow",
        "path: /follow\n      auth: {appSystemToken: {enabled: true}}",
        &["endpoint-changed"],
    ),
    (
        "path: /follow",
        "path: /follow\n      auth: {appSystemToken: {enabled: false}}",
        &[],
    ),
    (
        "  endpoint:\n",
        "  endpoint:\n    - {key: tick, remote: backend, route: {path: /tick}}\n",
        &["endpoint-added"],
    ),
    (
        "    - key: follow\n",
        "    - key: followed\n",
        &["endpoint-added", "endpoint-removed"],
    ),
    // Permissions. Source: https://developer.atlassian.com/platform/forge/versions/
    (
        "    - write:jira-work\n",
        "    - write:jira-work\n    - read:jira-user\n",
        &["scope-added"],
    ),
    ("    - write:jira-work\n", "", &["scope-removed"]),
    (
        "    - read:jira-work\n    - write:jira-work\n",
        "    read:jira-work: {allowImpersonation: true}\n    write:jira-work: {}\n",
        &["scope-impersonation"],
    ),
    (
        "    - read:jira-work\n    - write:jira-work\n",
        "    read:jira-work: {}\n    write:jira-work: {}\n",
        &[],
    ),
    (
        "[unsafe-inline]",
        "[unsafe-inline, unsafe-hashes]",
        &["content-added"],
    ),
    ("[unsafe-inline]", "[]", &["permission-reduced"]),
    (
        "    images: [",
        "    images: ['https://more.example.com', ",
        &["egress-added"],
    ),
    (
        "        - 'https://two.example.com'\n",
        "",
        &["permission-reduced"],
    ),
    (
        "category: analytics",
        "category: other",
        &["egress-category"],
    ),
    (
        "inScopeEUD: false",
        "inScopeEUD: true",
        &["egress-user-data"],
    ),
    (
        "    fetch:\n",
        "    configurable: {enabled: true}\n    fetch:\n",
        &["customer-managed-egress"],
    ),
    (
        "permissions:\n",
        "permissions:\n  enforcement: app-managed\n",
        &["other-change"],
    ),
    // Modules.
    ("type: static", "type: dynamic", &["dynamic-web-trigger"]),
    (
        "  webtrigger:\n",
        "  webtrigger:\n    - {key: new, endpoint: follow}\n",
        &["dynamic-web-trigger"],
    ),
    ("updated:issue", "created:issue", &["module-changed"]),
    (
        "- avi:jira:updated:issue",
        "- {eventType: 'avi:jira:updated:issue', filter: {ignoreSelf: false}}",
        &[],
    ),
    (
        "- avi:jira:updated:issue",
        "- {eventType: 'avi:jira:updated:issue', filter: {ignoreSelf: true}}",
        &["module-changed"],
    ),
    (
        "  trigger:\n",
        "  macro: [{key: page, title: Page}]\n  trigger:\n",
        &["module-added"],
    ),
    // The rest.
    (
        "app:\n",
        "app:\n  licensing: {enabled: true}\n",
        &["licensing-enabled"],
    ),
    ("clientId: abc", "clientId: def", &["provider-changed"]),
    ("name: Google", "name: Gmail", &["other-change"]),
    ("app:\n", "# a comment\napp:\n", &[]),
];

#[test]
fn each_change_has_the_version_of_atlassians_rule() {
    let mut shown = BTreeSet::new();
    for (from, to, codes) in CASES {
        assert!(DEPLOYED.contains(from), "{from}");
        let found = changes(DEPLOYED, &DEPLOYED.replacen(from, to, 1));
        let mut found_codes: Vec<&str> = found.iter().map(|one| one.0).collect();
        found_codes.sort_unstable();
        assert_eq!(found_codes, *codes, "{to}: {found:?}");
        shown.extend(found_codes);
    }
    let mut pair = |deployed: &str, new: &str, code: &'static str| {
        let found = changes(deployed, new);
        assert!(found.iter().any(|one| one.0 == code), "{code}: {found:?}");
        shown.insert(code);
    };
    let regions = DEPLOYED.replacen(
        "https://backend.example.com",
        "{default: 'https://backend.example.com', EU: 'https://eu.example.com'}",
        1,
    );
    pair(&regions, DEPLOYED, "region-removed");
    pair(
        DEPLOYED,
        &DEPLOYED.replacen("remotes:", "resources:", 1),
        "remote-removed",
    );
    pair(
        DEPLOYED,
        &DEPLOYED.replacen("  trigger:", "  consumer:", 1),
        "module-removed",
    );
    let moved = DEPLOYED
        .replacen(
            "        - 'https://two.example.com'\n",
            "        - remote: two\n",
            1,
        )
        .replacen(
            "remotes:\n",
            "remotes:\n  - {key: two, baseUrl: 'https://two.example.com'}\n",
            1,
        );
    pair(DEPLOYED, &moved, "remote-declared");
    let again = DEPLOYED.replacen("images: [", "images: [{address: x, inScopeEUD: true}, ", 1);
    let both = again.replacen("inScopeEUD: false", "inScopeEUD: true", 1);
    pair(&again, &both, "egress-user-data-again");

    let all = rules().filter(|rule| rule.kind == RuleKind::Version);
    let all: BTreeSet<&str> = all.map(|rule| rule.code).collect();
    assert_eq!(shown, all);
}

#[test]
fn levels_and_sources_are_those_of_the_table() {
    let parse = |text: &str| ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap();
    let new = DEPLOYED
        .replace("path: /follow", "path: /follow-v2")
        .replace("updated:issue", "created:issue");
    let found = version_changes(&parse(DEPLOYED), &parse(&new));
    let levels: Vec<VersionLevel> = found.iter().map(|one| one.level).collect();
    // Major changes come first.
    assert_eq!(levels, [VersionLevel::Major, VersionLevel::Minor]);
    for one in &found {
        assert!(
            one.source
                .starts_with("https://developer.atlassian.com/platform/")
        );
        assert!(one.reason.len() > 20);
    }
    assert_eq!(found[0].path.to_string(), "modules.endpoint[follow]");
    assert_eq!(found[0].manifest.line, 19);
}

/// A variable's declared default counts, in both manifests.
#[test]
fn a_changed_default_of_a_variable_changes_the_base_url() {
    let with = |default: &str| {
        format!(
            "remotes: [{{key: backend, baseUrl: '${{URL}}'}}]\nenvironment:\n  variables:\n    - key: URL\n      default: {default}\n"
        )
    };
    let same = changes(
        &with("https://a.example.com"),
        &with("https://a.example.com"),
    );
    assert_eq!(same, []);
    let found = changes(
        &with("https://a.example.com"),
        &with("https://b.example.com"),
    );
    assert_eq!(found[0].0, "base-url-changed", "{found:?}");
}

/// Variables are replaced as everywhere: the first declaration counts, and only Forge's own form.
#[test]
fn variables_of_both_manifests_follow_forges_rules() {
    let with = |first: &str, url: &str| {
        format!(
            "remotes: [{{key: backend, baseUrl: '{url}'}}]\nenvironment:\n  variables:\n    - {{key: URL, default: {first}}}\n    \
             - {{key: URL, default: https://b.example.com}}\n"
        )
    };
    let a = with("https://a.example.com", "${URL}");
    let found = changes(&a, &with("https://b.example.com", "${URL}"));
    assert_eq!(found[0].0, "base-url-changed", "{found:?}");
    let literal = with("https://a.example.com", "https://a.example.com");
    assert!(changes(&a, &literal).is_empty());
    let blanks = with("https://a.example.com", "${ URL }");
    assert_eq!(changes(&a, &blanks)[0].0, "base-url-changed");
    // Properties without a default stay, next to properties with one.
    let partly = |path: &str| {
        format!(
            "remotes: [{{key: backend, baseUrl: '${{HOST}}${{PATH_}}'}}]\nenvironment: {{variables: [HOST, {{key: PATH_, default: {path}}}]}}\n"
        )
    };
    let found = changes(&partly("/a"), &partly("/b"));
    assert_eq!(found[0].0, "base-url-changed", "{found:?}");
}

/// Forms and orders that mean the same to Forge.
#[test]
fn order_and_written_defaults_are_no_change() {
    let manifest = "resources:\n  - {key: one, path: a}\n  - {key: two, path: b}\n\
                    modules:\n  action:\n    - key: log\n      endpoint: log\n      inputs: {issueKey: {type: string}}\n  \
                    scheduledTrigger:\n    - {key: tick, endpoint: log, interval: hour}\n  \
                    webtrigger:\n    - key: form\n      endpoint: log\n      response:\n        type: static\n        outputs:\n          \
                    - {key: ok, statusCode: 200}\n          - {key: no, statusCode: 400}\n";
    let other = manifest
        .replace(
            "- {key: one, path: a}\n  - {key: two, path: b}",
            "- {path: b, key: two}\n  - {key: one, path: a}",
        )
        .replace("{type: string}", "{type: string, required: false}")
        .replace(
            "interval: hour",
            "interval: hour, filter: {appIsLicensed: false}",
        )
        .replace("          - {key: ok, statusCode: 200}\n", "")
        + "          - {key: ok, statusCode: 200}\n";
    assert_eq!(changes(manifest, &other), []);
    assert_eq!(changes(&other, manifest), []);
    for (from, to, code) in [
        ("path: b", "path: c", "other-change"),
        ("required: false", "required: true", "module-changed"),
        (
            "appIsLicensed: false",
            "appIsLicensed: true",
            "module-changed",
        ),
        ("statusCode: 200", "statusCode: 201", "module-changed"),
    ] {
        let found = changes(manifest, &other.replace(from, to));
        assert_eq!(found.len(), 1, "{to}: {found:?}");
        assert_eq!(found[0].0, code, "{to}");
    }
}

/// As for `manifest --check`.
#[test]
fn of_several_items_with_one_key_the_first_counts() {
    let item = |path: &str| format!("    - {{key: e, remote: r, route: {{path: {path}}}}}\n");
    let with = |items: &[&str]| {
        let items = items.iter().map(|path| item(path));
        format!("modules:\n  endpoint:\n{}", items.collect::<String>())
    };
    let twice = with(&["/e", "/other"]);
    let found = changes(&twice, &with(&["/other"]));
    assert_eq!(found[0].0, "endpoint-changed", "{found:?}");
    assert_eq!(changes(&twice, &with(&["/e"])), []);
}

/// `inScopeEUD` of an egress address is true by default.
#[test]
fn user_data_leaves_the_app_already_by_default() {
    let address = "permissions:\n  external:\n    fetch:\n      backend:\n        - {address: 'https://a.example.com', category: analytics}\n        - {address: 'https://b.example.com', inScopeEUD: false}\n";
    let found = changes(address, &address.replace("false", "true"));
    assert_eq!(found[0].0, "egress-user-data-again", "{found:?}");
}
