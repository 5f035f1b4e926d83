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

/// A module that an update removes although it does not name it: its key and its endpoint's, the endpoint's path, and
/// the code.
struct Removal {
    kind: &'static KindSpec,
    key: String,
    called: &'static str,
    path: &'static str,
    wanted: DesiredManifest,
}

impl Removal {
    /// Returns each way in which an update removes a module of a kind.
    fn ways(kind: &'static KindSpec) -> Vec<Self> {
        let removal = |key: &str, called, path, wanted| Self {
            kind,
            key: key.to_owned(),
            called,
            path,
            wanted,
        };
        let mut ways = Vec::new();
        if kind.endpoint_places.len() == 1 {
            // Its endpoint is removed.
            let mut without_gone = wanted([]);
            without_gone.removable.insert("gone".to_owned());
            let generated = format!("gone-{}", kind.key_suffix.unwrap());
            ways.push(removal(&generated, "gone", "/gone", without_gone));
            // The app's clock calls its handler.
            let with_cron = wanted([handler!(report)]);
            ways.push(removal("report-trigger", "report", "/report", with_cron));
        }
        if kind.module_type != "scheduledTrigger" {
            // Its handler has become one of another kind.
            let wanted = wanted([handler!(uses::tick)]);
            ways.push(removal("tick-trigger", "tick", "/tick", wanted));
        }
        ways
    }

    /// Updates a manifest with the module, which has this value at this place.
    fn update(
        &self,
        part: Option<(&[&str], &str)>,
        wanted: &DesiredManifest,
    ) -> Result<String, String> {
        let mut item = Value::Mapping(Mapping::new());
        set(&mut item, &["key"], &self.key);
        for place in self.kind.endpoint_places {
            set(&mut item, place, self.called);
        }
        if let Some((place, value)) = part {
            set(&mut item, place, value);
        }
        let list = serde_json::to_string(&[item]).unwrap();
        let text = format!(
            "  {}: {list}\n  endpoint:\n{}",
            self.kind.module_type,
            endpoint(self.called, self.path)
        );
        let merged = parse(&text).merged_with(wanted, None);
        merged.map_err(|error| error.to_string())
    }

    /// Checks that the module stays because of a hand-written value, and that `--prune` with its key removes it.
    fn check(&self, place: &[&str], value: &str) {
        let Self { kind, key, .. } = self;
        let name = kind.attribute;
        let is_gone = |text: &str| !text.contains(&format!("\"{key}\""));
        let text = self.update(None, &self.wanted).unwrap();
        assert!(is_gone(&text), "{name}: {key}");
        match self.update(Some((place, value)), &self.wanted) {
            Ok(text) => assert!(text.contains(value), "{name}.{place:?}: {text}"),
            Err(error) => {
                let shown = format!("({}", quoted(place));
                assert!(error.contains(&shown), "{name}.{place:?}: {error}");
                assert!(error.contains(&format!("--prune {key}`")), "{error}");
            }
        }
        let mut named = self.wanted.clone();
        named.removable = [key, self.called].map(str::to_owned).into();
        let text = self.update(Some((place, value)), &named).unwrap();
        assert!(is_gone(&text), "{name}.{place:?}: {text}");
    }
}

/// Each way in which an update removes a module that it does not name, for every kind.
#[test]
fn a_module_with_hand_written_parts_is_removed_only_by_its_key() {
    let mut modules = 0;
    for kind in kinds::declared().filter(|kind| kind.has_endpoint() && !kind.owns_item) {
        for removal in Removal::ways(kind) {
            for part in parts(kind) {
                removal.check(&part, "by hand");
                modules += 1;
            }
        }
    }
    assert!(modules >= 60, "{modules}");
}

/// No option writes a variable.
#[test]
fn a_module_with_a_variable_is_removed_only_by_its_key() {
    let mut modules = 0;
    for kind in kinds::declared().filter(|kind| kind.has_endpoint()) {
        let fixed = [&["key"][..], &["endpoint"]];
        let is_endpoints = |place: &[&str]| {
            let mut others = kind.endpoint_places.iter();
            others.any(|one| one.starts_with(place) || place.starts_with(one))
        };
        let places = written_places(kind).map(|(place, _)| place);
        let places = places.filter(|place| !fixed.contains(place) && !is_endpoints(place));
        for place in places {
            for removal in Removal::ways(kind) {
                removal.check(place, "by ${HAND}");
                modules += 1;
            }
        }
    }
    assert!(modules >= 100, "{modules}");
}

/// Nor does it at an endpoint.
#[test]
fn an_endpoint_with_a_variable_is_removed_only_by_its_key() {
    let with_variable = endpoint("report", "${PATH}");
    let modules = format!("  endpoint:\n{with_variable}");
    let former = format!(
        "  scheduledTrigger:\n{}",
        schedule("report-trigger", "report")
    );
    let mut wanted = wanted([handler!(report)]);
    let update = |modules: &str, wanted: &DesiredManifest| {
        let merged = parse(modules).merged_with(wanted, None).unwrap();
        merged.strip_prefix(HEAD).unwrap_or(&merged).to_owned()
    };
    let before = format!("{former}{modules}");
    let after = update(&before.replace("${PATH}", "/report"), &wanted);
    assert!(!after.contains("report"), "{after}");
    assert_eq!(update(&before, &wanted), modules);
    wanted.removable.insert("report".to_owned());
    let after = update(&before, &wanted);
    assert!(!after.contains("report"), "{after}");

    // A former key, whose current entry has a comment.
    let mut wanted = uses::wanted([handler!(uses::votes)]);
    let current = endpoint("votes-v2", "/votes").replace("backend\n", "backend # ours\n");
    for (old, is_kept) in [
        (endpoint("votes", "/votes"), false),
        (endpoint("votes", "${PATH}"), true),
        (
            endpoint("votes", "/votes").replace("backend\n", "backend # all of them\n"),
            true,
        ),
        (
            format!("    # all of them\n{}", endpoint("votes", "/votes")),
            true,
        ),
    ] {
        let before = format!("  endpoint:\n{old}{current}");
        let expected = match is_kept {
            true => before.clone(),
            false => format!("  endpoint:\n{current}"),
        };
        assert_eq!(update(&before, &wanted), expected);
        let mut named = wanted.clone();
        named.removable.insert("votes".to_owned());
        assert_eq!(update(&before, &named), format!("  endpoint:\n{current}"));
    }
    // The entry becomes the current one, with its variable.
    wanted.removable.clear();
    let after = update(
        &format!("  endpoint:\n{}", endpoint("votes", "${PATH}")),
        &wanted,
    );
    let renamed = endpoint("votes-v2", "${PATH}");
    assert_eq!(after, format!("  endpoint:\n{renamed}"));
}

/// The report names the comments and the command.
#[test]
fn a_report_names_the_comments_of_a_former_entry() {
    let folder = Folder::default();
    let file = folder.file("manifest.yml");
    let before = format!(
        "{HEAD}  endpoint:\n    # calls of agents\n{}    # by hand\n{}",
        endpoint("log", "/log"),
        endpoint("log-time", "/log-time")
    );
    fs::write(&file, before).unwrap();
    let (_, text) = uses::with_action(&file, &["--check"]);
    for part in [
        "it has parts that the code does not declare (comments), so `manifest --write` keeps it",
        "move them to an entry of the code, then remove it with `manifest --write --prune log`",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (status, text) = uses::with_action(&file, &["--write"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("declare: log (comments)."), "{text}");
    let after = fs::read_to_string(&file).unwrap();
    assert!(after.contains("# calls of agents"), "{after}");
    let (_, text) = uses::with_action(&file, &["--write", "--prune", "log"]);
    let after = fs::read_to_string(&file).unwrap();
    assert!(!after.contains("key: log\n"), "{text}{after}");
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

/// A former entry with hand-written parts names one that may be another service's.
#[test]
fn the_last_line_recommends_a_prune_that_works() {
    let folder = Folder::default();
    let file = folder.file("manifest.yml");
    let entry = |key: &str| {
        format!(
            "    - key: {key}\n      name: Log\n      endpoint: log-time\n      actionVerb: CREATE\n      description: Logs time.\n"
        )
    };
    let config =
        "      config:\n        resource: main\n        resolver:\n          endpoint: gone\n";
    let before = format!(
        "{HEAD}{}{}{}  action:\n{}{config}    # new\n{}",
        tick(),
        endpoint("gone", "/gone"),
        endpoint("log-time", "/log-time"),
        entry("log-action"),
        entry("log-time-action")
    );
    fs::write(&file, &before).unwrap();
    let (_, text) = uses::with_action(&file, &["--write"]);
    let line = "another service's: gone. Remove them with `--prune gone,log-action` (this deletes `config` of `log-action`)";
    assert!(text.contains(line), "{text}");
    let (_, text) = uses::with_action(&file, &["--write", "--prune", "gone,log-action"]);
    let after = fs::read_to_string(&file).unwrap();
    for key in ["gone", "log-action"] {
        assert!(!after.contains(&format!("key: {key}\n")), "{text}");
    }
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
