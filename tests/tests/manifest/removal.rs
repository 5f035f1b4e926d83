//! Removed items and properties: their comments go with them, and every other comment stays where it was.

use std::collections::BTreeSet;

use forge_remote::manifest::{DesiredManifest, ManifestFile};
use forge_remote::prelude::*;
use forge_remote::registry::Registry;

fn wanted() -> DesiredManifest {
    let remote = Remote::new("backend").base_url("https://backend.example.com");
    let mut wanted = Registry::default().desired_manifest(&[remote]);
    wanted.foreign = BTreeSet::from(["keep".to_owned(), "last".to_owned()]);
    wanted.removable = BTreeSet::from(["gone".to_owned(), "old".to_owned()]);
    wanted
}

const REMOTES: &str = "remotes:\n  - key: backend\n    baseUrl: https://backend.example.com\n";

/// Returns the list after the items `gone` and `old` were removed, or the error.
fn pruned(endpoints: &str) -> Result<String, String> {
    let text = format!("modules:\n  endpoint: {endpoints}{REMOTES}");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let merged = file.merged_with(&wanted(), None);
    let merged = merged.map_err(|error| error.to_string())?;
    let list = merged.strip_prefix("modules:\n  endpoint: ");
    let list = list.and_then(|rest| rest.strip_suffix(REMOTES));
    Ok(list.unwrap_or(&merged).to_owned())
}

#[test]
fn the_comments_of_an_item_on_separate_lines_are_removed_with_it() {
    for (before, after) in [
        (
            "[\n    {key: keep, remote: backend}, # since 2024\n    {key: gone, remote: backend} # retired\n  ]\n",
            "[\n    {key: keep, remote: backend} # since 2024\n  ]\n",
        ),
        (
            "[\n    # about gone\n    {key: gone, remote: backend},\n    # about last\n    {key: last, remote: backend}\n  ]\n",
            "[\n    # about last\n    {key: last, remote: backend}\n  ]\n",
        ),
        // A comma behind the last item is the file's style.
        (
            "[\n    {key: keep, remote: backend},\n    {key: gone, remote: backend}, # retired\n    {key: old, remote: backend},\n  ]\n",
            "[\n    {key: keep, remote: backend},\n  ]\n",
        ),
        (
            "[\n    {\"key\": \"keep\", \"remote\": \"backend\"},\n    {\"key\": \"gone\", \"remote\": \"backend\"},\n    {\"key\": \"old\", \"remote\": \"backend\"}\n  ]\n",
            "[\n    {\"key\": \"keep\", \"remote\": \"backend\"}\n  ]\n",
        ),
    ] {
        assert_eq!(pruned(before).as_deref(), Ok(after), "{before}");
    }
}

#[test]
fn items_of_one_line_leave_no_comma() {
    for (before, after) in [
        (
            "[{key: keep, remote: backend}, {key: gone, remote: backend}, {key: old, remote: backend}] # all\n",
            "[{key: keep, remote: backend}] # all\n",
        ),
        (
            "[{key: gone, remote: backend}, {key: keep, remote: backend}, {key: old, remote: backend}]\n",
            "[{key: keep, remote: backend}]\n",
        ),
    ] {
        assert_eq!(pruned(before).as_deref(), Ok(after), "{before}");
    }
}

/// A comment between items of one line is anyone's.
#[test]
fn a_comment_that_could_be_another_items_is_not_touched() {
    for text in [
        "[{key: keep, remote: backend}, {key: gone, remote: backend} # which?\n    ]\n",
        "[{key: gone, remote: backend}, # which?\n    {key: keep, remote: backend}]\n",
        "[{key: keep, remote: backend},\n    # which?\n    {key: gone, remote: backend}, {key: last, remote: backend}]\n",
    ] {
        let error = pruned(text).unwrap_err();
        assert!(error.contains("comment"), "{error}");
    }
}

/// The property next to the dash has no separate line.
#[test]
fn the_comment_of_the_property_below_the_dash_stays() {
    let before = "\n    - auth: {appSystemToken: {enabled: true}} # no longer\n      # about the key\n      key: page\n      remote: backend\n      route:\n        path: /page\n";
    let after = "\n    - # about the key\n      key: page\n      remote: backend\n      route:\n        path: /page\n";
    let text = format!("modules:\n  endpoint:{before}{REMOTES}");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let remote = Remote::new("backend").base_url("https://backend.example.com");
    let wanted =
        Registry::from_registrations([forge_remote::handler!(page)]).desired_manifest(&[remote]);
    let merged = file.merged_with(&wanted, None).unwrap();
    assert_eq!(merged, format!("modules:\n  endpoint:{after}{REMOTES}"));
}

#[endpoint]
async fn page() -> Result<()> {
    Ok(())
}

/// The first item of an empty list would take the place of the comment.
#[test]
fn a_comment_in_an_empty_list_is_not_overwritten() {
    #[scheduled_trigger(interval = "hour")]
    async fn tick() {}
    let remote = Remote::new("backend").base_url("https://backend.example.com");
    let registry = Registry::from_registrations([forge_remote::handler!(tick)]);
    let wanted = registry.desired_manifest(&[remote]);
    let text = format!("modules:\n  endpoint: [\n    # none yet\n  ]\n{REMOTES}");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let error = file.merged_with(&wanted, None).unwrap_err().to_string();
    assert!(
        error.contains("this empty value has a comment in it"),
        "{error}"
    );
}

#[trigger(
    key = "life",
    endpoint = "life-calls",
    events = ["avi:forge:installed:app", "avi:forge:upgraded:app"]
)]
async fn life() -> Result<()> {
    Ok(())
}

/// Returns the trigger after an update to the events of [`life`], or the error.
fn with_events(trigger: &str) -> Result<String, String> {
    let remote = Remote::new("backend").base_url("https://backend.example.com");
    let registry = Registry::from_registrations([forge_remote::handler!(life)]);
    let wanted = registry.desired_manifest(&[remote]);
    let rest = format!(
        "  endpoint:\n    - key: life-calls\n      remote: backend\n      route:\n        path: /life-calls\n{REMOTES}"
    );
    let text = format!("modules:\n  trigger:\n{trigger}{rest}");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let merged = file.merged_with(&wanted, None);
    let merged = merged.map_err(|error| error.to_string())?;
    let trigger = merged.strip_prefix("modules:\n  trigger:\n");
    let trigger = trigger.and_then(|rest_of| rest_of.strip_suffix(&rest));
    Ok(trigger.unwrap_or(&merged).to_owned())
}

#[test]
fn events_that_stay_keep_their_comments() {
    let head = "    - key: life\n      endpoint: life-calls\n      events:";
    for (before, after) in [
        (
            " # our events\n        # stores the installation\n        - avi:forge:installed:app # keep\n        - avi:forge:uninstalled:app # gone\n",
            " # our events\n        # stores the installation\n        - avi:forge:installed:app # keep\n        - avi:forge:upgraded:app\n",
        ),
        (
            " [avi:forge:installed:app] # our events\n",
            " [avi:forge:installed:app, avi:forge:upgraded:app] # our events\n",
        ),
        // The order has no meaning.
        (
            "\n        # later\n        - avi:forge:upgraded:app\n        - avi:forge:installed:app\n",
            "\n        # later\n        - avi:forge:upgraded:app\n        - avi:forge:installed:app\n",
        ),
        (
            "\n        - avi:forge:uninstalled:app\n        # later\n        - avi:forge:upgraded:app\n",
            "\n        # later\n        - avi:forge:upgraded:app\n        - avi:forge:installed:app\n",
        ),
    ] {
        let after = format!("{head}{after}");
        let before = format!("{head}{before}");
        assert_eq!(
            with_events(&before).as_deref(),
            Ok(after.as_str()),
            "{before}"
        );
    }
}

#[test]
fn a_replaced_value_keeps_its_comment_or_is_left_alone() {
    let edited = |base_url: &str, remote: Remote| {
        let text = format!("remotes:\n  - key: backend\n    baseUrl: {base_url}\n");
        let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
        let wanted = Registry::default().desired_manifest(&[remote]);
        let merged = file.merged_with(&wanted, None);
        merged.map_err(|error| error.to_string())
    };
    let remote = || Remote::new("backend").base_url("https://a.example.com");
    let with_region = remote().region_url(forge_remote::RemoteRegion::Eu, "https://eu.example.com");
    assert_eq!(
        edited("https://a.example.com # ours", with_region).unwrap(),
        "remotes:\n  - key: backend\n    baseUrl: # ours\n      default: https://a.example.com\n      EU: https://eu.example.com\n"
    );
    let paths = "[/a, # first\n      /b]";
    let error = edited(paths, remote()).unwrap_err();
    assert!(error.contains("comments of the value"), "{error}");
}

/// `#` in a text starts no comment, and the value may be on the next line.
#[test]
fn a_text_is_replaced_by_a_mapping_and_by_another_text() {
    let remote = || Remote::new("backend").base_url("https://a.example.com");
    let with_region =
        || remote().region_url(forge_remote::RemoteRegion::Eu, "https://eu.example.com");
    let urls = "\n      default: https://a.example.com\n      EU: https://eu.example.com\n";
    let edited = |base_url: &str, remote: Remote| {
        let text = format!("remotes:\n  - key: backend\n    baseUrl:{base_url}\n");
        let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
        let wanted = Registry::default().desired_manifest(&[remote]);
        let merged = file.merged_with(&wanted, None);
        merged.map_err(|error| error.to_string())
    };
    for (before, after) in [
        (" \"https://old.example.com #1\"", urls.to_owned()),
        (
            " 'https://old.example.com #1' # ours",
            format!(" # ours{urls}"),
        ),
        (
            "\n      https://old.example.com # ours",
            format!(" # ours{urls}"),
        ),
        ("\n      https://old.example.com", urls.to_owned()),
    ] {
        let after = format!("remotes:\n  - key: backend\n    baseUrl:{after}");
        assert_eq!(edited(before, with_region()), Ok(after), "{before}");
    }
    let error = edited(" # ours\n      https://old.example.com", with_region()).unwrap_err();
    assert!(
        error.contains("the comment between this name and its value"),
        "{error}"
    );
    // A block text is not a comment, but its first line may have one.
    let fresh = "remotes:\n  - key: backend\n    baseUrl: https://a.example.com\n";
    for before in [
        " |\n      # Heading\n      text",
        " >-\n      text\n      # Heading",
    ] {
        assert_eq!(edited(before, remote()).as_deref(), Ok(fresh), "{before}");
    }
    for before in [
        " | # ours\n      # Heading",
        " [a, 'b # c', # ours\n      d]",
    ] {
        let error = edited(before, remote()).unwrap_err();
        assert!(error.contains("comments of the value"), "{error}");
    }
    assert_eq!(
        edited(" ['a # b', \"c # d\"]", remote()).as_deref(),
        Ok(fresh)
    );
}

/// A comment above an entry would describe the next one if the entry moved.
#[test]
fn a_replaced_value_stays_in_its_place() {
    for (route, new) in [
        ("\n        - /page", "\n        path: /page"),
        (" [/page]", "\n        path: /page"),
    ] {
        let endpoint = |route: &str| {
            format!(
                "modules:\n  endpoint:\n    - key: page\n      # WHY-ROUTE\n      route:{route}\n      # WHY-REMOTE\n      remote: backend\n{REMOTES}"
            )
        };
        let file = ManifestFile::parse("manifest.yml", Some(endpoint(route))).unwrap();
        let remote = Remote::new("backend").base_url("https://backend.example.com");
        let wanted = Registry::from_registrations([forge_remote::handler!(page)])
            .desired_manifest(&[remote]);
        assert_eq!(file.merged_with(&wanted, None).unwrap(), endpoint(new));
    }
    let remote = |operations: &str| {
        format!(
            "remotes:\n  - key: backend\n    baseUrl: https://backend.example.com\n    # WHY-OPERATIONS\n    operations:{operations}\n    # WHY-STORAGE\n    storage:\n      inScopeEUD: false\n"
        )
    };
    let text = remote("\n      - fetch\n      - compute");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    // The code's order puts one before those in the file.
    let operations = [
        forge_remote::RemoteOperation::Fetch,
        forge_remote::RemoteOperation::Compute,
        forge_remote::RemoteOperation::Storage,
    ];
    let code = Remote::new("backend")
        .base_url("https://backend.example.com")
        .operations(operations)
        .in_scope_eud(false);
    let wanted = Registry::default().desired_manifest(&[code]);
    let merged = file.merged_with(&wanted, None).unwrap();
    assert_eq!(
        merged,
        remote("\n      - storage\n      - compute\n      - fetch")
    );
}

/// A part that equals the code is not edited, so its anchor is accepted.
#[test]
fn anchors_of_parts_that_stay_are_no_obstacle() {
    let text = format!(
        "modules:\n  endpoint:\n    - key: gone\n      remote: backend\n    - key: keep\n      remote: backend\n      auth: &sys\n        appSystemToken:\n          enabled: true\n    - key: last\n      remote: backend\n      auth: *sys\n{REMOTES}"
    );
    let file = ManifestFile::parse("manifest.yml", Some(text.clone())).unwrap();
    let merged = file.merged_with(&wanted(), None).unwrap();
    let gone = "    - key: gone\n      remote: backend\n";
    assert_eq!(merged, text.replace(gone, ""));
}

#[test]
fn the_comments_of_a_list_stay_when_all_its_items_go() {
    let before = "[ # only old ones\n    # about gone\n    {key: gone, remote: backend}, # retired\n    {key: old, remote: backend}, # too\n    # end\n  ]\n";
    let text = format!("modules:\n  endpoint: {before}{REMOTES}");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let remote = Remote::new("backend").base_url("https://backend.example.com");
    let mut wanted =
        Registry::from_registrations([forge_remote::handler!(page)]).desired_manifest(&[remote]);
    wanted.removable = BTreeSet::from(["gone".to_owned(), "old".to_owned()]);
    let merged = file.merged_with(&wanted, None).unwrap();
    assert_eq!(
        merged,
        format!(
            "modules:\n  endpoint: [ # only old ones\n    {{ key: page, remote: backend, route: {{ path: /page }} }},\n    # end\n  ]\n{REMOTES}"
        )
    );
}

/// An item that is commented out would be lost with the list.
#[test]
fn a_removed_list_takes_only_its_items_comments_along() {
    let trigger = "modules:\n  trigger:\n    - key: theirs\n      endpoint: keep\n      events: [avi:forge:installed:app]\n";
    let removed = |comments: &str| {
        let list = "  endpoint:\n    - key: gone\n      remote: backend\n";
        let text = format!("{trigger}{list}{comments}{REMOTES}");
        let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
        let merged = file.merged_with(&wanted(), None);
        merged.map_err(|error| error.to_string())
    };
    let without = format!("{trigger}{REMOTES}");
    assert_eq!(removed("").unwrap(), without);
    assert_eq!(removed("      # about gone\n").unwrap(), without);
    let error = removed("    # - key: parked\n    #   endpoint: keep\n").unwrap_err();
    assert!(error.contains("about none of its items"), "{error}");
}

/// The comment of the next list is about that one.
#[test]
fn a_list_is_removed_below_and_above_other_lists_comments() {
    let keep = "  # theirs\n  trigger:\n    - key: theirs\n      endpoint: keep\n      events: [avi:forge:installed:app]\n";
    let list = "  # the endpoints\n  endpoint: # ours\n    # about gone\n    - key: gone\n      remote: backend\n      # the end of gone\n\n";
    let panels = "  # the panels\n  jira:issuePanel:\n    - key: panel\n";
    let text = format!("modules:\n{keep}{list}{panels}{REMOTES}");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let merged = file.merged_with(&wanted(), None).unwrap();
    assert_eq!(merged, format!("modules:\n{keep}\n{panels}{REMOTES}"));
}

#[test]
fn the_comments_of_a_removed_section_are_not_lost() {
    let list = "  # about the list\n  endpoint:\n    - key: gone\n      remote: backend\n";
    let removed = |before: &str, after: &str| {
        let text = format!("modules:\n{before}{list}{after}{REMOTES}");
        let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
        let merged = file.merged_with(&wanted(), None);
        merged.map_err(|error| error.to_string())
    };
    assert_eq!(removed("", "").as_deref(), Ok(REMOTES));
    for (before, after) in [
        ("  # macro:\n  #   - key: parked\n\n", ""),
        ("", "  # macro:\n  #   - key: parked\n"),
    ] {
        let error = removed(before, after).unwrap_err();
        assert!(error.contains("about none of its lists"), "{error}");
    }
    let error = pruned("\n  # ours\n    - key: gone\n      remote: backend\n").unwrap_err();
    assert!(error.contains("about none of its items"), "{error}");
}

/// The parts between two items: `NEXT` and `PREVIOUS` stand for their keys.
const BETWEEN: [&str; 8] = [
    "",
    "\n",
    "    # head NEXT\n",
    "\n    # head NEXT\n    # head NEXT\n",
    "      # tail PREVIOUS\n",
    "\n      # tail PREVIOUS\n",
    "  # unclear NEXT\n",
    "    # unclear NEXT\n\n",
];

/// Returns the faults in the comments of a list.
fn misplaced(before: &str, after: &str, kept: &[&str]) -> Option<String> {
    let is_item = |line: &&str| line.trim_start().starts_with("- key: ");
    let lines: Vec<&str> = after.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let Some((kind, key)) = line
            .trim()
            .strip_prefix("# ")
            .and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        let near = match kind {
            "tail" => lines[..at].iter().copied().rfind(is_item),
            _ => lines[at..].iter().copied().find(is_item),
        };
        if near != Some(&format!("    - key: {key}")) {
            return Some(format!("`{line}` is next to {near:?}"));
        }
    }
    let comments = |text: &str| -> Vec<String> {
        let about_kept =
            |line: &&str| line.contains('#') && kept.iter().any(|key| line.ends_with(key));
        text.lines().filter(about_kept).map(str::to_owned).collect()
    };
    (comments(before) != comments(after)).then(|| "a comment was lost".to_owned())
}

#[test]
fn comments_of_items_in_block_style_stay_with_them() {
    let names = ["a", "b", "c"];
    let head = "modules:\n  macro:\n    - key: m\n  endpoint:\n";
    let (mut edits, mut rejected) = (0, 0);
    for gaps in 0..BETWEEN.len().pow(3) {
        let gap = |at: u32| BETWEEN[gaps / BETWEEN.len().pow(at) % BETWEEN.len()];
        if gap(0).contains("PREVIOUS") {
            continue;
        }
        let mut list = String::new();
        for (at, name) in names.iter().enumerate() {
            let previous = names[at.saturating_sub(1)];
            let gap = gap(u32::try_from(at).unwrap());
            list += &gap.replace("NEXT", name).replace("PREVIOUS", previous);
            list += &format!("    - key: {name}\n      remote: backend\n");
        }
        let text =
            format!("{head}{list}      # tail c\n  # next\n  function:\n    - key: f\n{REMOTES}");
        for bits in 1..8_usize {
            let (gone, kept): (Vec<&str>, Vec<&str>) =
                (0..3).map(|at| (names[at], bits & (1 << at) != 0)).fold(
                    (Vec::new(), Vec::new()),
                    |(mut gone, mut kept), (name, is_gone)| {
                        if is_gone { &mut gone } else { &mut kept }.push(name);
                        (gone, kept)
                    },
                );
            let mut wanted = wanted();
            wanted.removable = gone.iter().map(|key| (*key).to_owned()).collect();
            wanted.foreign = kept.iter().map(|key| (*key).to_owned()).collect();
            let file = ManifestFile::parse("manifest.yml", Some(text.clone())).unwrap();
            let is_unclear = gone
                .iter()
                .any(|key| text.contains(&format!("unclear {key}")));
            match file.merged_with(&wanted, None) {
                Ok(edited) => {
                    edits += 1;
                    assert!(
                        edited.contains("  # next\n  function:\n"),
                        "{text}\n{edited}"
                    );
                    let list = edited.strip_prefix(head).unwrap_or_default();
                    let list = list.split("  # next").next().unwrap();
                    let wrong = misplaced(&text, list, &kept);
                    assert_eq!(wrong, None, "{text}without {gone:?}:\n{edited}");
                    assert!(!is_unclear, "{text}without {gone:?}:\n{edited}");
                }
                Err(error) => {
                    rejected += 1;
                    assert!(is_unclear, "{error}\n{text}without {gone:?}");
                    assert!(error.to_string().contains("comment"), "{error}");
                }
            }
        }
    }
    assert!(edits > 1000 && rejected > 500, "{edits} {rejected}");
}

/// An edit inside of a part that another one repeats would change both.
#[test]
fn an_edit_inside_of_an_anchor_is_rejected_with_its_position() {
    let wanted =
        Registry::from_registrations([forge_remote::handler!(page)]).desired_manifest(&[remote()]);
    let page = "      key: page\n      remote: backend\n      route:\n        path: /tack\n";
    let text = |item: &str, more: &str| {
        format!("modules:\n  endpoint:\n    - {item}\n{page}{more}{REMOTES}")
    };
    let merge = |text: String| {
        let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
        file.merged_with(&wanted, None)
            .map_err(|error| error.to_string())
    };
    let error = merge(text("&base", "    - key: old\n      <<: *base\n")).unwrap_err();
    for part in ["manifest.yml:4:7", "anchor"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!error.contains("report the file"), "{error}");
    // Without an alias, nothing else changes.
    assert!(merge(text("&base", "")).unwrap().contains("path: /page"));
    // Inside of an alias, the anchor's text would change.
    let alias = "x-route: &route\n  path: /tack\nmodules:\n  endpoint:\n    - key: page\n      remote: backend\n      route: *route\n";
    let error = merge(format!("{alias}{REMOTES}")).unwrap_err();
    assert!(
        error.contains("manifest.yml:7:14") && error.contains("anchor"),
        "{error}"
    );
}

fn remote() -> Remote {
    Remote::new("backend").base_url("https://backend.example.com")
}

#[action(verb = "GET", description = "Looks something up")]
async fn look_up() {}

#[web_trigger]
async fn receive() {}

/// Some options' properties may be set in the manifest instead.
#[test]
fn properties_that_may_be_set_by_hand_are_preserved() {
    let app = App::empty()
        .handler(forge_remote::handler!(look_up))
        .handler(forge_remote::handler!(receive))
        .app_id(forge_remote::testing::TEST_APP_ID)
        .remote(Remote::new("backend").base_url("https://backend.example.com"));
    let wanted = app.build().unwrap().desired_manifest();
    let parse = |text: &str| ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap();
    let new = parse("").merged_with(&wanted, Some(forge_remote::testing::TEST_APP_ID));
    let mut text = new.unwrap();
    for (key, by_hand) in [
        ("look-up-action", "name: Look up"),
        (
            "receive-webtrigger",
            "request: { authentication: hmacSharedSecret }",
        ),
    ] {
        let head = format!("- key: {key}\n");
        let at = text.find(&head).unwrap();
        let indent = at - text[..at].rfind('\n').unwrap() + 1;
        text.insert_str(at + head.len(), &format!("{:indent$}{by_hand}\n", ""));
    }
    assert_eq!(parse(&text).merged_with(&wanted, None).unwrap(), text);
    // Others follow the code.
    let odd = text.replace("actionVerb: GET\n", "actionVerb: CREATE\n");
    assert_ne!(odd, text);
    assert_eq!(parse(&odd).merged_with(&wanted, None).unwrap(), text);
}
