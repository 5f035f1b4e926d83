//! Hand-written parts of entries without a handler: an update removes them only with an entry that `--prune` names.

use std::fs;

use forge_remote::handler;
use forge_remote::manifest::DesiredManifest;
use forge_remote::prelude::*;
use forge_remote_schema::{KindSpec, kinds, written_places};
use forge_remote_tests::stores::Folder;
use serde_yaml::{Mapping, Value};

use crate::uses::{self, HEAD, PLAIN, endpoint, manifest, parse, schedule, wanted};

#[scheduled_trigger(cron = "@hourly")]
async fn report() {}

/// Sets the value at a place of an item.
fn set(item: &mut Value, place: &[&str], value: &str) {
    let mut at = item;
    for name in place {
        let inner = at.as_mapping_mut().unwrap().entry((*name).into());
        at = inner.or_insert_with(|| Mapping::new().into());
    }
    *at = value.into();
}

/// Returns the places of a kind's item that no option has.
fn parts(kind: &'static KindSpec) -> Vec<Vec<&'static str>> {
    let mut parts = vec![vec!["byHand"]];
    let properties = kind.item.map_or(&[][..], |item| item.properties);
    let names = properties.iter().map(|property| property.name);
    let is_free = |name: &&str| written_places(kind).all(|(place, _)| place.first() != Some(name));
    parts.extend(names.filter(is_free).map(|name| vec![name]));
    parts.extend(kind.preserved_places.iter().map(|place| place.to_vec()));
    for place in kind.endpoint_places.iter().filter(|place| place.len() > 1) {
        let mut inner = place.to_vec();
        inner.pop();
        inner.push("byHand");
        parts.push(inner);
    }
    parts
}

/// Each way in which an update removes a module that it does not name, for every kind.
#[test]
fn a_module_with_hand_written_parts_is_removed_only_by_its_key() {
    let removing = |mut wanted: DesiredManifest, keys: &[&str]| {
        wanted.removable = keys.iter().map(|key| (*key).to_owned()).collect();
        wanted
    };
    let mut modules = 0;
    for kind in kinds::declared().filter(|kind| kind.has_endpoint() && !kind.owns_item) {
        let suffix = kind.key_suffix.unwrap();
        let generated = format!("gone-{suffix}");
        // The module's key and endpoint, the endpoint's path, and the code.
        let ways: [(&str, &str, &str, DesiredManifest); 3] = [
            // Its handler has become one of another kind.
            (
                "tick-trigger",
                "tick",
                "/tick",
                wanted([handler!(uses::tick)]),
            ),
            // Its endpoint is removed.
            (&generated, "gone", "/gone", removing(wanted([]), &["gone"])),
            // The app's clock calls its handler.
            (
                "report-trigger",
                "report",
                "/report",
                wanted([handler!(report)]),
            ),
        ];
        for (key, called, path, wanted) in ways {
            let update = |part: Option<&[&str]>, wanted: &DesiredManifest| {
                let mut item = Value::Mapping(Mapping::new());
                set(&mut item, &["key"], key);
                for place in kind.endpoint_places {
                    set(&mut item, place, called);
                }
                if let Some(part) = part {
                    set(&mut item, part, "by hand");
                }
                let list = serde_json::to_string(&[item]).unwrap();
                let text = format!(
                    "  {}: {list}\n  endpoint:\n{}",
                    kind.module_type,
                    endpoint(called, path)
                );
                let merged = parse(&text).merged_with(wanted, None);
                merged.map_err(|error| error.to_string())
            };
            let is_gone = |text: &str| !text.contains(&format!("\"{key}\""));
            let name = kind.attribute;
            assert!(is_gone(&update(None, &wanted).unwrap()), "{name}: {key}");
            for part in parts(kind) {
                match update(Some(&part), &wanted) {
                    Ok(text) => assert!(text.contains("by hand"), "{name}.{part:?}: {text}"),
                    Err(error) => {
                        let shown = format!("({}", quoted(&part));
                        assert!(error.contains(&shown), "{name}.{part:?}: {error}");
                        assert!(error.contains(&format!("--prune {key}`")), "{error}");
                    }
                }
                let named = removing(wanted.clone(), &[key, called]);
                let text = update(Some(&part), &named).unwrap();
                assert!(is_gone(&text), "{name}.{part:?}: {text}");
                modules += 1;
            }
        }
    }
    assert!(modules >= 60, "{modules}");
}

fn quoted(place: &[&str]) -> String {
    format!("`{}`", place.join("."))
}

const ACTION: &str = "  action:\n    # agents use it\n    - key: gone-action\n      name: Gone\n      endpoint: gone\n      actionVerb: GET\n      description: Finds\n      icon: https://cdn.example.com/icon.svg\n      # the page\n      config:\n        resource: main\n";

/// Returns the entries of `plain_app`'s schedule, without the end of the list of endpoints.
fn tick() -> String {
    format!(
        "  scheduledTrigger:\n{}  endpoint:\n{}",
        schedule("tick-trigger", "tick"),
        endpoint("tick", "/tick")
    )
}

/// The reports name the parts, and commands that work.
#[test]
fn a_report_names_the_hand_written_parts() {
    let folder = Folder::default();
    let file = folder.file("manifest.yml");
    let tick = tick();
    let before = format!("{HEAD}{tick}{}{ACTION}", endpoint("gone", "/gone"));
    fs::write(&file, &before).unwrap();
    let (_, text) = manifest(PLAIN, &file, &["--check"]);
    assert!(text.contains("--prune gone,gone-action`"), "{text}");
    let (status, text) = manifest(PLAIN, &file, &["--write", "--prune", "gone"]);
    assert_eq!(status, Some(2), "{text}");
    assert!(
        text.contains("or remove both: `manifest --write --prune gone,gone-action`"),
        "{text}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    let prune = ["--write", "--prune", "gone,gone-action"];
    let (status, text) = manifest(PLAIN, &file, &prune);
    assert_eq!(status, Some(0), "{text}");
    assert!(!fs::read_to_string(&file).unwrap().contains("gone"));

    // Its handler has become one of another kind.
    let action = ACTION
        .replace("gone-action", "tick-trigger")
        .replace("endpoint: gone", "endpoint: tick");
    let before = format!("{HEAD}{action}  endpoint:\n{}", endpoint("tick", "/tick"));
    fs::write(&file, &before).unwrap();
    let (status, text) = manifest(PLAIN, &file, &["--write"]);
    assert_eq!(status, Some(2), "{text}");
    for part in [
        "`tick-trigger` is taken by `modules.action[tick-trigger]`",
        "has parts that the code does not declare (`icon`, `config`): move them, then",
        "`manifest --write --prune tick-trigger` removes it",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    let prune = ["--write", "--prune", "tick-trigger"];
    let (status, text) = manifest(PLAIN, &file, &prune);
    assert_eq!(status, Some(0), "{text}");
    let after = fs::read_to_string(&file).unwrap();
    assert!(after.contains("scheduledTrigger") && !after.contains("icon"));
}

/// Each recommendation of `--prune` names the parts that it deletes.
#[test]
fn a_recommended_prune_names_the_parts_that_it_deletes() {
    let folder = Folder::default();
    let file = folder.file("manifest.yml");
    let tick = tick();
    for key in ["gone-action", "votes"] {
        let action = ACTION.replace("gone-action", key);
        let before = format!("{HEAD}{tick}{}{action}", endpoint("gone", "/gone"));
        fs::write(&file, &before).unwrap();
        let deleted = format!("(this deletes `icon`, `config` of `{key}`)");
        let (_, text) = manifest(PLAIN, &file, &["--check"]);
        for keys in [format!("gone,{key}"), key.to_owned()] {
            let advice = format!("remove it with `manifest --write --prune {keys}` {deleted}");
            assert!(text.contains(&advice), "{advice}: {text}");
        }
        let (_, text) = manifest(PLAIN, &file, &["--write"]);
        assert!(text.contains(&format!("` {deleted}, or list")), "{text}");
        let (_, text) = manifest(PLAIN, &file, &["--write", "--prune", "gone"]);
        let advice = format!("or remove both: `manifest --write --prune gone,{key}` {deleted}");
        assert!(text.contains(&advice), "{text}");
        assert_eq!(fs::read_to_string(&file).unwrap(), before);
    }
    // The code has its key in another list.
    let action = ACTION.replace("gone-action", "tick-trigger");
    fs::write(
        &file,
        format!("{HEAD}{action}  endpoint:\n{}", endpoint("gone", "/gone")),
    )
    .unwrap();
    let (_, text) = manifest(PLAIN, &file, &["--write"]);
    let deleted = "removes it (this deletes `icon`, `config` of `tick-trigger`)";
    assert!(text.contains(deleted), "{text}");
}

/// A schedule has no other parts, so it goes with its endpoint.
#[test]
fn a_module_without_other_parts_goes_with_its_endpoint() {
    let text = format!(
        "  scheduledTrigger:\n{}{}  endpoint:\n{}",
        schedule("gone-trigger", "gone"),
        schedule("tick-trigger", "tick"),
        endpoint("gone", "/gone")
    );
    let mut wanted = wanted([handler!(uses::tick)]);
    wanted.removable.insert("gone".to_owned());
    let after = parse(&text).merged_with(&wanted, None).unwrap();
    assert!(!after.contains("gone"), "{after}");
}
