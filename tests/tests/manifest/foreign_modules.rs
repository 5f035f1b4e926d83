//! `App::foreign_modules`: modules of another service that name an endpoint of this app.

use std::fs;

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote_tests::stores::Folder;

use crate::uses::{self, HEAD, PLAIN, endpoint, manifest, parse, schedule, wanted};

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
    wanted.foreign_modules.insert("nightly".to_owned());
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
        manifest(PLAIN, &file, &["--check"]).1
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
