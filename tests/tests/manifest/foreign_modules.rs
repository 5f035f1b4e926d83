//! `App::foreign_modules`: modules of another service that name an endpoint of this app.

#![allow(clippy::panic)]

use std::collections::BTreeSet;
use std::fs;

use forge_remote::handler;
use forge_remote::manifest::{self, DesiredManifest, ManifestFile, Severity};
use forge_remote::prelude::*;
use forge_remote_tests::stores::Folder;

use crate::uses::{self, HEAD, PLAIN, endpoint, panel, parse, schedule, trigger, wanted};

fn modules() -> String {
    format!(
        "  scheduledTrigger:\n{}{}  endpoint:\n{}",
        schedule("tick-trigger", "tick"),
        schedule("nightly", "tick"),
        endpoint("tick", "/tick")
    )
}

#[test]
fn a_module_of_another_service_on_an_endpoint_of_this_app() {
    let modules = modules();
    let mut wanted = wanted([handler!(uses::tick)]);
    assert_eq!(parse(&modules).differences(&wanted).len(), 1);
    wanted.foreign_modules = Some(["nightly".to_owned()].into());
    assert_eq!(parse(&modules).differences(&wanted), [""; 0]);

    let folder = Folder::default();
    let file = folder.file("manifest.yml");
    fs::write(&file, format!("{HEAD}{modules}")).unwrap();
    let app = || {
        let remote = Remote::new("backend").base_url("https://backend.example.com");
        let app = App::empty().handler(handler!(uses::tick)).remote(remote);
        app.manifest_path(&file)
    };
    assert!(app().check_manifest().is_err());
    app().foreign_modules(["nightly"]).check_manifest().unwrap();
    let report = app().foreign_modules(["tick-trigger"]).build().unwrap_err();
    let report = report.to_string();
    assert!(
        report.contains("`App::foreign_modules` lists `tick-trigger`, but `tick` serves it"),
        "{report}"
    );
}

/// `App::foreign_endpoints` with an endpoint of this app ends the launch.
#[test]
fn the_help_names_the_list_that_the_entry_belongs_to() {
    let folder = Folder::default();
    let file = folder.file("manifest.yml");
    let check = |modules: &str| {
        fs::write(&file, format!("{HEAD}{modules}")).unwrap();
        uses::manifest(PLAIN, &file, &["--check"]).1
    };
    let text = check(&modules());
    assert!(
        text.contains("list its key in `App::foreign_modules`"),
        "{text}"
    );
    assert!(
        text.contains("or list them in `App::foreign_modules`"),
        "{text}"
    );
    assert!(!text.contains("foreign_endpoints"), "{text}");

    let gone = format!("{}{}", modules(), endpoint("gone", "/gone"));
    let text = check(&gone);
    let last =
        "list the endpoints in `App::foreign_endpoints`, and nightly in `App::foreign_modules`";
    assert!(text.contains(last), "{text}");

    let text = check(&gone.replace(
        "nightly\n      endpoint: tick",
        "nightly\n      endpoint: gone",
    ));
    assert!(
        text.contains("list the endpoint in `App::foreign_endpoints`"),
        "{text}"
    );
    assert!(!text.contains("foreign_modules"), "{text}");
}

fn billing(key: &str) -> String {
    trigger(key, "billing")
}

/// Returns the declarations of a page's handler. Another service serves the endpoint `billing`.
fn pages() -> DesiredManifest {
    let mut wanted = wanted([handler!(uses::votes)]);
    wanted.foreign.insert("billing".to_owned());
    wanted
}

/// Returns the severity, line, message and help of each finding about the list.
fn check(
    modules: &str,
    listed: Option<&[&str]>,
    wanted: &DesiredManifest,
) -> Vec<(Severity, usize, String, String)> {
    let mut wanted = wanted.clone();
    wanted.foreign_modules = listed.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect());
    let variables = "environment:\n  variables: [{key: K, default: here}, {key: L, default: l}]\n";
    let endpoints = format!(
        "  endpoint:\n{}{}",
        endpoint("votes-v2", "/votes"),
        endpoint("billing", "/billing")
    );
    let text = format!("{variables}{HEAD}{}{modules}{endpoints}", panel("votes-v2"));
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let found = manifest::check(&file, &wanted, &BTreeSet::new()).into_iter();
    let found = found.filter(|one| one.code == "foreign-modules");
    let found = found.map(|one| {
        let line = one.manifest.unwrap().line;
        let help = one.help.unwrap_or_default();
        (one.severity, line, one.message, help)
    });
    found.collect()
}

/// The list is for an app that runs without its manifest, so it must have every module of the other services.
#[test]
fn the_list_is_compared_with_the_manifest() {
    let wanted = pages();
    let modules = format!("  trigger:\n{}{}", billing("bills"), billing("refunds"));
    let found = check(&modules, Some(&["bills"]), &wanted);
    let [(Severity::Error, 27, message, help)] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(message.contains("`refunds` names only endpoints of other services"));
    assert!(
        help.contains("`.foreign_modules([\"bills\", \"refunds\"])`"),
        "{help}"
    );
    assert_eq!(check(&modules, Some(&["bills", "refunds"]), &wanted), []);
    assert_eq!(check(&modules, None, &wanted), []);
    assert_eq!(check(&modules, Some(&[]), &wanted).len(), 2);
    // One that no module has.
    let found = check(&modules, Some(&["bills", "refunds", "refund"]), &wanted);
    let [(Severity::Warning, _, message, _)] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(message.contains("lists `refund`, which is the key of no module"));
    // A key with a variable: the list has its value here, or one of another environment.
    let variable = format!("  trigger:\n{}{}", billing("bills"), billing("${K}"));
    assert_eq!(check(&variable, Some(&["bills"]), &wanted).len(), 1);
    for value in ["here", "deployed"] {
        assert_eq!(check(&variable, Some(&["bills", value]), &wanted), []);
    }
    // A handler with a generated module accepts its own keys alone.
    let mut alone = uses::wanted([handler!(uses::tick)]);
    alone.foreign.insert("billing".to_owned());
    assert_eq!(check(&modules, Some(&["bills"]), &alone), []);
}

#[function_call]
async fn import() {}

/// A handler of functions' calls accepts unknown keys too.
#[test]
fn the_list_counts_for_handlers_of_functions_calls() {
    let mut wanted = wanted([handler!(import)]);
    wanted.foreign.insert("billing".to_owned());
    wanted.foreign_modules = Some(BTreeSet::new());
    let modules = format!(
        "  trigger:\n{}  endpoint:\n{}",
        trigger("bills", "billing"),
        endpoint("billing", "/billing")
    );
    let file = ManifestFile::parse("manifest.yml", Some(format!("{HEAD}{modules}"))).unwrap();
    let found = manifest::check(&file, &wanted, &BTreeSet::new());
    let mut found = found.iter();
    assert!(found.any(|one| one.code == "foreign-modules"));
}

/// Only `forge deploy` knows the values of variables, so the list must have a key for each key with a variable.
#[test]
fn each_key_with_a_variable_needs_a_listed_value() {
    let wanted = pages();
    let triggers = |keys: &[&str]| {
        let items = keys.iter().map(|key| billing(key));
        format!("  trigger:\n{}", items.collect::<String>())
    };
    let errors = |keys: &[&str], listed: &[&str]| {
        let found = check(&triggers(keys), Some(listed), &wanted);
        let messages = found.into_iter().map(|(severity, _, message, _)| {
            assert_eq!(severity, Severity::Error);
            message.split('`').nth(1).unwrap_or_default().to_owned()
        });
        messages.collect::<Vec<String>>()
    };
    let both = ["${K}", "${L}"];
    for listed in [&["votes"][..], &["here"], &[]] {
        assert_eq!(errors(&both, listed), both, "{listed:?}");
    }
    assert_eq!(errors(&both, &["votes", "others"]), [""; 0]);
    // The values of one key, in two environments.
    let named = ["bills-${K}", "refunds-${K}"];
    assert_eq!(
        errors(&named, &["bills-dev", "bills-prod"]),
        ["refunds-${K}"]
    );
    assert_eq!(errors(&named, &["bills-prod", "refunds-prod"]), [""; 0]);

    // The help has no value that is known here only, and no key that may be misspelt.
    for listed in [&[][..], &["bill"]] {
        let found = check(&triggers(&["bills", "${K}"]), Some(listed), &wanted);
        let (.., help) = &found[0];
        let expected = "`.foreign_modules([\"bills\"])`, with the deployed values of `${K}`";
        assert!(help.ends_with(expected), "{help}");
    }
    // A key that no key with a variable can have.
    let found = check(
        &triggers(&["bills-${K}"]),
        Some(&["bills-prod", "refunds"]),
        &wanted,
    );
    let [(Severity::Warning, _, message, _)] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(message.contains("lists `refunds`, which is the key of no module"));
}
