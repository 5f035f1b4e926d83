//! The manifest's side of functions' calls: `operations` and `auth` of the remote, and no module.

use std::fs;

use forge_remote::handler;
use forge_remote::manifest::{DesiredManifest, ManifestFile};
use forge_remote::prelude::*;
use forge_remote::registry::Registry;
use forge_remote::{Remote, RemoteOperation};
use forge_remote_tests::stores::Folder;

#[function_call(path = "/api/v1/settings", auth = system, scopes = ["read:jira-work"])]
async fn settings() {}

#[function_call(method = "GET", path = "/api/v1/me", auth = user)]
async fn me() {}

#[endpoint]
async fn save() {}

#[function_call(remote = "other")]
async fn elsewhere() {}

fn remote() -> Remote {
    Remote::new("backend").base_url("https://backend.example.com")
}

fn wanted(remotes: &[Remote]) -> DesiredManifest {
    Registry::from_registrations([handler!(settings), handler!(me)]).desired_manifest(remotes)
}

fn updated(text: &str, wanted: &DesiredManifest) -> String {
    let file = ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap();
    let updated = file.merged_with(wanted, None).unwrap();
    let again = ManifestFile::parse("manifest.yml", Some(updated.clone())).unwrap();
    assert_eq!(again.differences(wanted), [""; 0], "{updated}");
    assert_eq!(again.merged_with(wanted, None).unwrap(), updated);
    updated
}

#[test]
fn a_new_manifest_has_the_tokens_at_the_remote_and_no_endpoint() {
    assert_eq!(
        wanted(&[remote()]).to_yaml(),
        "permissions:
  scopes:
    - read:app-system-token
    - read:app-user-token
    - read:jira-work
remotes:
  - key: backend
    baseUrl: https://backend.example.com
    operations:
      - compute
    auth:
      appSystemToken:
        enabled: true
      appUserToken:
        enabled: true
"
    );
}

#[test]
fn each_remote_has_the_tokens_that_its_handlers_request() {
    let registry = Registry::from_registrations([handler!(settings), handler!(elsewhere)]);
    let wanted = registry.desired_manifest(&[remote(), Remote::new("other"), Remote::new("third")]);
    let yaml = wanted.to_yaml();
    let (_, remotes) = yaml.split_once("remotes:\n").unwrap();
    assert_eq!(
        remotes,
        "  - key: backend
    baseUrl: https://backend.example.com
    operations:
      - compute
    auth:
      appSystemToken:
        enabled: true
  - key: other
    operations:
      - compute
  - key: third
"
    );
}

const SCOPES: &str = "permissions:
  scopes: [read:app-system-token, read:app-user-token, read:jira-work]
";

#[test]
fn operations_and_tokens_are_only_added() {
    let wanted = wanted(&[remote()]);
    let manifest = |remote: &str| {
        format!(
            "{SCOPES}remotes:\n  - key: backend\n    baseUrl: https://backend.example.com\n{remote}"
        )
    };
    let before = manifest(
        "    operations: [storage, fetch] # by hand
    storage: {inScopeEUD: true}
    auth:
      appUserToken: {enabled: true} # for the other service's handlers
      appSystemToken: {enabled: false}
",
    );
    let after = manifest(
        "    operations: [storage, fetch, compute] # by hand
    storage: {inScopeEUD: true}
    auth:
      appUserToken: {enabled: true} # for the other service's handlers
      appSystemToken: {enabled: true}
",
    );
    assert_eq!(updated(&before, &wanted), after);
    let file = ManifestFile::parse("manifest.yml", Some(before)).unwrap();
    assert_eq!(
        file.differences(&wanted),
        [
            "remotes[backend].operations is `[storage, fetch]` in the manifest, but `[storage, fetch, compute]` in \
             the code",
            "remotes[backend].auth is `{ appUserToken: { enabled: true }, appSystemToken: { enabled: false } }` in the \
             manifest, but `{ appUserToken: { enabled: true }, appSystemToken: { enabled: true } }` in the code",
        ]
    );
    // Parts that are there already, in any order, and with a token that no handler here requests.
    let only_settings =
        Registry::from_registrations([handler!(settings)]).desired_manifest(&[remote()]);
    let complete = manifest(
        "    auth: {appUserToken: {enabled: true}, appSystemToken: {enabled: true}}
    operations: [compute, fetch]
",
    );
    assert_eq!(updated(&complete, &wanted), complete);
    assert_eq!(updated(&complete, &only_settings), complete);
    // A handler's removal leaves both.
    let nothing = Registry::default().desired_manifest(&[remote()]);
    assert_eq!(updated(&complete, &nothing), complete);
    // A remote without both.
    let bare = manifest("");
    let text = updated(&bare, &wanted);
    assert!(
        text.contains("    operations:\n      - compute\n    auth:\n"),
        "{text}"
    );
}

#[test]
fn declared_operations_are_the_whole_list_and_get_compute() {
    let remote = remote().operations([RemoteOperation::Fetch]);
    let before = format!(
        "{SCOPES}remotes:\n  - key: backend\n    baseUrl: https://backend.example.com\n    operations: [other]\n"
    );
    let after = updated(&before, &wanted(&[remote]));
    let value: serde_yaml::Value = serde_yaml::from_str(&after).unwrap();
    let mut operations: Vec<_> = value["remotes"][0]["operations"]
        .as_sequence()
        .unwrap()
        .iter()
        .map(|one| one.as_str().unwrap())
        .collect();
    operations.sort_unstable();
    assert_eq!(operations, ["compute", "fetch"]);
}

/// Atlassian's validation rejects a remote's token without a scope for the calls that use it.
#[test]
fn a_remotes_token_without_another_scope_is_reported() {
    let wanted = Registry::from_registrations([handler!(me)]).desired_manifest(&[remote()]);
    let file = ManifestFile::parse("manifest.yml", None).unwrap();
    let text = file.merged_with(&wanted, None).unwrap();
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let findings = forge_remote::manifest::check(&file, &wanted, &[].into());
    let found = findings
        .iter()
        .find(|one| one.code == "token-without-scope");
    let found = found.map(|one| one.message.clone()).unwrap_or_default();
    assert!(found.starts_with("a remote requests a token"), "{found}");
}

/// Returns the codes and messages of the findings about a remote's use.
fn uses(text: &str) -> Vec<String> {
    let wanted = wanted(&[remote()]);
    let file = ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap();
    let findings = forge_remote::manifest::check(&file, &wanted, &[].into());
    let about = ["not-for-functions", "auth-without-compute", "no-function"];
    let found = findings.iter().filter(|one| about.contains(&one.code));
    found
        .map(|one| format!("{}: {}", one.code, one.message))
        .collect()
}

/// A page's `invokeRemote` has the same name: a handler for it is an `#[endpoint]`.
#[test]
fn handlers_that_no_function_can_call_are_reported() {
    let manifest = |functions: &str, remote: &str| {
        format!(
            "modules:\n  {functions}\n{SCOPES}remotes:\n  - key: backend\n    baseUrl: https://backend.example.com\n{remote}"
        )
    };
    let complete = "    operations: [compute]\n    auth: {appSystemToken: {enabled: true}}\n";
    let function = "function: [{key: main, handler: index.run}]";
    assert_eq!(uses(&manifest(function, complete)), [""; 0]);
    assert_eq!(
        uses(&manifest(
            "macro: [{key: page, title: Page, resource: main}]",
            complete
        )),
        [
            "no-function: the code serves functions' calls of the remote `backend`, but the manifest has no function"
        ]
    );
    // The comparison reports the missing `compute`, once.
    let without = "    operations: [fetch]\n    auth: {appSystemToken: {enabled: true}}\n";
    assert_eq!(uses(&manifest(function, without)), [""; 0]);
}

/// `compute` alone changes what the remote counts as.
#[test]
fn the_first_operation_of_a_remote_is_explained() {
    let folder = Folder::default();
    let path = folder.file("manifest.yml");
    let manifest = |remote: &str| {
        let text = format!(
            "app:\n  id: ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107\n  runtime: {{name: nodejs22.x}}\n\
             {SCOPES}remotes:\n  - key: backend\n    baseUrl: https://backend.example.com\n{remote}"
        );
        fs::write(&path, text).unwrap();
        let app = App::empty()
            .handler(handler!(settings))
            .remote(self::remote());
        app.manifest_path(&path)
            .check_manifest()
            .unwrap_err()
            .to_string()
    };
    let remote_without = manifest("");
    assert!(
        remote_without.contains("counts as one that stores end-user data"),
        "{remote_without}"
    );
    assert!(
        remote_without.contains("Remote::in_scope_eud"),
        "{remote_without}"
    );
    let with_operations = manifest("    operations: [fetch]\n");
    assert!(with_operations.contains("operations"), "{with_operations}");
    assert!(
        !with_operations.contains("end-user data"),
        "{with_operations}"
    );
}

/// `manifest --write` adds `compute`, and the remote then no longer counts as one that stores end-user data.
#[test]
fn a_remote_that_no_longer_counts_as_storing_data_is_reported() {
    let with_endpoint = |remote: Remote| {
        Registry::from_registrations([handler!(settings), handler!(me), handler!(save)])
            .desired_manifest(&[remote])
    };
    let found = |text: &str, remote: Remote| {
        let file = ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap();
        let wanted = with_endpoint(remote);
        let findings = forge_remote::manifest::check(&file, &wanted, &[].into());
        let mut found = findings.iter();
        found.any(|one| one.code == "storage-undeclared")
    };
    let manifest = |endpoints: &str, remote: &str| {
        format!(
            "modules:\n  function: [{{key: main, handler: index.run}}]\n{endpoints}{SCOPES}remotes:\n  - key: backend\n    \
             baseUrl: https://backend.example.com\n{remote}"
        )
    };
    let endpoint = "  endpoint: [{key: save, remote: backend, route: {path: /save}}]\n";
    let bare = manifest(endpoint, "");
    assert!(!found(&bare, remote()));
    let written = updated(&bare, &with_endpoint(remote()));
    assert!(found(&written, remote()), "{written}");
    // The remote serves functions alone, or what it does is declared.
    let functions_alone = updated(&manifest("", ""), &wanted(&[remote()]));
    assert!(!found(&functions_alone, remote()));
    let declared = remote().operations([RemoteOperation::Compute]);
    assert!(!found(&written, declared));
    let stores = manifest(
        endpoint,
        "    operations: [storage, compute]\n    storage: {inScopeEUD: true}\n",
    );
    assert!(!found(&stores, remote()));
}
