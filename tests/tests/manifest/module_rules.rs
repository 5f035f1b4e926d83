//! The rules of single modules: routes, tokens, schedules, properties.

use std::collections::BTreeSet;

use forge_remote::manifest::{DesiredManifest, ManifestFile, check};

use crate::rules::{GOOD, codes};

/// The table of kinds defines the modules whose endpoint needs a route and never gets a user token.
#[test]
fn every_module_without_a_user_needs_a_route_and_gets_no_user_token() {
    const ROUTE: &str = "      route:\n        path: /tick\n";
    const AUTH: &str = "        appSystemToken:\n";
    let both = ["missing-route", "user-token-without-user"];
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
        let codes = codes(&text, &[]).into_iter().map(|(code, _)| code);
        codes.filter(|code| both.contains(code)).collect::<Vec<_>>()
    };
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
    let text = GOOD.replace("    - read:jira-work\n", "").replace("  trigger:", "  preUninstall:").replace("      events:\n        - eventType: avi:jira:created:issue\n          filter: {ignoreSelf: true}\n", "");
    assert_eq!(codes(&text, &[]), [("token-without-scope", 20)]);
    let map = GOOD.replace(
        "    - read:app-system-token\n    - read:jira-work\n",
        "    read:app-system-token: {}\n    read:jira-work: {allowImpersonation: true}\n",
    );
    assert_eq!(codes(&map, &[]), [], "the scopes may be a mapping");
}

#[test]
fn five_properties_are_allowed_however_often_each_is_named() {
    let filter =
        "filter: {expression: \"event.runtime.issue.properties['a'].f == 1 || event.runtime.a.b\"}
          payload: {include: {propertyPaths: [\"issue.properties['a'].f\", a.b, a.c, a.d, a.e]}}";
    let text = GOOD.replace("filter: {ignoreSelf: true}", filter);
    assert_eq!(codes(&text, &[]), []);
}

/// Returns the rules that report modules, whose text begins in line 3.
fn codes_of_modules(modules: &str, scopes: &str) -> Vec<(&'static str, usize)> {
    let text = format!(
        "app: {{id: ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107, runtime: {{name: nodejs22.x}}}}
modules:
{modules}  endpoint:
    - {{key: e, remote: hand, route: {{path: /e}}}}
    - {{key: s, service: search}}
  function:
    - {{key: f, handler: index.run}}
services: [{{key: search}}]
remotes:
  - {{key: hand, baseUrl: 'https://hand.example.com'}}
permissions: {{scopes: [{scopes}]}}
"
    );
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let found = check(&file, &DesiredManifest::default(), &BTreeSet::new());
    let found = found.into_iter().filter(|one| one.code != "unneeded-scope");
    found
        .map(|one| (one.code, one.manifest.unwrap().line))
        .collect()
}

#[test]
fn rules_of_single_modules() {
    let agent = |version: &str, endpoint: &str| {
        format!(
            "  rovo:agentConnector:
    - {{key: a, name: A, productContexts: [jira], protocols: {{agent2Agent: {{version: \"{version}\", jsonRpcTransport: {{endpoint: {endpoint}}}}}}}}}
"
        )
    };
    let jql = |key: &str, name: &str| {
        format!(
            "    - {{key: {key}, name: {name}, endpoint: e, arguments: [], types: [issue], operators: [in]}}\n"
        )
    };
    let action = "    - {key: act, name: A, description: A, function: f, actionVerb: GET";
    type Case<'a> = (&'a str, String, &'a str, &'a [(&'a str, usize)]);
    let cases: &[Case<'_>] = &[
        ("good", agent("1.0", "e"), "read:jira-work", &[]),
        ("old", agent("0.3", "e"), "read:jira-work", &[("old-agent-version", 4)]),
        ("service", agent("1.0", "s"), "read:jira-work", &[("service-endpoint", 4)]),
        ("scope", agent("1.0", "e"), "", &[("module-without-scope", 4)]),
        (
            "merge check",
            "  bitbucket:mergeCheck:\n    - {key: m, name: M, triggers: [on-merge], endpoint: e}\n".to_owned(),
            "",
            &[("module-without-scope", 4)],
        ),
        (
            "case",
            format!("  jira:jqlFunction:\n{}{}", jql("j", "mine"), jql("k", "Mine")),
            "",
            &[("duplicate-jql-function", 5)],
        ),
        (
            "static",
            "  webtrigger:\n    - {key: w, endpoint: e, response: {type: static}}\n".to_owned(),
            "",
            &[("outputs-of-response", 4)],
        ),
        (
            "dynamic",
            "  webtrigger:\n    - {key: w, endpoint: e, response: {type: dynamic, outputs: []}}\n".to_owned(),
            "",
            &[("outputs-of-response", 4)],
        ),
        (
            "both",
            "  webtrigger:\n    - {key: w, endpoint: e, function: f}\n".to_owned(),
            "",
            &[("conflicting-properties", 4)],
        ),
        (
            "unreferenced",
            format!("  action:\n{action}}}\n"),
            "",
            &[("unreferenced-action", 4)],
        ),
        (
            "outputs",
            format!(
                "  automation:actionProvider:\n    - {{key: p, actions: [act]}}\n  action:\n{action}, outputs: {{}}}}\n"
            ),
            "",
            &[("outputs-without-context", 6)],
        ),
        (
            "two callees",
            format!(
                "  automation:actionProvider:\n    - {{key: p, actions: [act]}}\n  action:\n{action}, endpoint: e, outputs: {{}}}}\n"
            ),
            "",
            &[("two-callees", 6)],
        ),
        (
            "the path of a residency",
            "  migration:dataResidency:\n    - {key: m, remote: hand, path: migrate}\n".to_owned(),
            "",
            &[("malformed-route", 4)],
        ),
        (
            "tools",
            "  rovo:mcp:\n    - {key: m, name: M, tools: []}\n".to_owned(),
            "",
            &[("malformed-value", 4)],
        ),
        (
            "deprecated",
            "  jira:fullPage:\n    - {key: p, title: P, resource: s2, routePrefix: p, resolver: {endpoint: e}}\n".to_owned(),
            "",
            &[("deprecated-module", 4), ("dangling-reference", 4)],
        ),
        (
            "residency",
            "  migration:dataResidency:\n    - {key: m, remote: hand}\n    - {key: n, remote: hand}\n".to_owned(),
            "",
            &[("too-many-modules", 5)],
        ),
        (
            "security",
            "  devops:securityInfoProvider:\n    - {key: s2, name: {value: S}, homeUrl: 'https://s.example.com', fetchWorkspaces: {endpoint: e}, fetchContainers: {endpoint: e}, searchContainers: {endpoint: e}}\n".to_owned(),
            "",
            &[("provider-without-connect", 4)],
        ),
        (
            "a page's endpoint without a resolver",
            "  jira:issuePanel:\n    - {key: p, title: P, icon: 'https://x.example.com/i.svg', endpoint: e}\n".to_owned(),
            "",
            &[("misplaced-endpoint", 4)],
        ),
        (
            "a resolver that Forge does not read",
            "  macro:\n    - {key: p, title: P, config: {resolver: {endpoint: e}}}\n".to_owned(),
            "",
            &[("misplaced-endpoint", 4)],
        ),
        (
            "an endpoint in the place of a function",
            "  confluence:contentBylineItem:\n    - {key: p, title: P, dynamicProperties: {endpoint: e}}\n  compass:dataProvider:\n    - {key: q, endpoint: e}\n".to_owned(),
            "",
            &[("misplaced-endpoint", 4), ("misplaced-endpoint", 6)],
        ),
        (
            "the resolver of a view",
            "  jira:customField:\n    - {key: p, name: P, description: D, type: string, edit: {resolver: {endpoint: e, method: m}}, view: {resolver: e}}\n".to_owned(),
            "",
            &[("unknown-property", 4), ("wrong-type", 4)],
        ),
        (
            "rejected resolver",
            "  confluence:customContent:\n    - {key: c, title: C, resolver: {endpoint: e}}\n".to_owned(),
            "",
            &[("missing-property", 4), ("unknown-property", 4)],
        ),
    ];
    for (name, modules, scopes, expected) in cases {
        assert_eq!(codes_of_modules(modules, scopes), *expected, "{name}");
    }
}

#[test]
fn tokens_of_a_remote_need_a_function_that_calls() {
    let found = |text: &str| {
        let file = ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap();
        let found = check(&file, &DesiredManifest::default(), &BTreeSet::new());
        found
            .iter()
            .filter(|one| one.code == "auth-without-compute")
            .count()
    };
    let auth = "    operations: [storage]\n    auth: {appSystemToken: {enabled: true}}\n";
    let text = GOOD.replace("    operations: [storage]\n", auth);
    assert_eq!(found(&text), 1);
    assert_eq!(found(&text.replace("[storage]", "[storage, compute]")), 0);
}
