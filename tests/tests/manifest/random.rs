//! Updates of random manifests preserve foreign lines, match the code, and are idempotent. `MANIFEST_ROUNDS` is the
//! number of manifests (default: 1,000; CI: 5,000).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use forge_remote::manifest::{
    DesiredManifest, Entry, ManifestError, ManifestFile, OwnedProperties, Scope,
};
use forge_remote::registry::Location;
use forge_remote_fuzz::writes;
use serde_json::Value;

/// A SplitMix64 generator, which is small and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

/// Returns a random handler set: up to four schedules and up to three bare endpoints.
fn handlers(random: &mut Random) -> DesiredManifest {
    let mut sections = DesiredManifest::default();
    sections.removable = ["gone".to_owned(), "gone-trigger".to_owned()].into();
    let names = ["tick", "sync", "on", "n1e3", "a-b_c", "refresh-index"];
    let mut wanted: Vec<&str> = names.to_vec();
    random.shuffle(&mut wanted);
    let count = random.below(5);
    let entry = |yaml: String| {
        let place = Location {
            file: "src/main.rs",
            line: 1,
            column: 1,
        };
        Entry::from_yaml(&yaml, OwnedProperties::All, place).unwrap()
    };
    let mut token = false;
    for (at, name) in wanted.iter().take(count).enumerate() {
        let auth = if random.chance(50) {
            token = true;
            ", auth: {appSystemToken: {enabled: true}}"
        } else {
            ""
        };
        sections.endpoints.push(entry(format!(
            "{{key: '{name}', remote: backend, route: {{path: '/{name}'}}{auth}}}"
        )));
        if at % 2 == 0 {
            let interval = random.pick(&["fiveMinute", "hour", "day", "week"]);
            let filter = if random.chance(30) {
                ", filter: {appIsLicensed: true}"
            } else {
                ""
            };
            let module = entry(format!(
                "{{key: {name}-trigger, endpoint: '{name}', interval: {interval}{filter}}}"
            ));
            sections
                .modules
                .entry("scheduledTrigger")
                .or_default()
                .push(module);
        }
    }
    let url = if random.chance(80) {
        ", baseUrl: 'https://b.example.com'"
    } else {
        ""
    };
    let mut remote = entry(format!("{{key: backend{url}}}"));
    remote.owned = OwnedProperties::Present;
    sections.remotes.push(remote);
    if token {
        let scope = |name: &str| Scope::new(name, vec!["because".into()]);
        sections.scopes.push(scope("read:app-system-token"));
        let mut of_users = scope("read:jira-work");
        of_users.impersonation = random.chance(40);
        sections.scopes.push(of_users);
    }
    sections
}

/// A file under construction, each line either generated (it may change or go) or foreign.
struct Draft<'r> {
    random: &'r mut Random,
    lines: Vec<(String, bool)>,
    step: usize,
    indented: bool,
    gap: usize,
}

impl Draft<'_> {
    fn line(&mut self, indent: usize, text: &str, ours: bool) {
        self.lines.push((format!("{:indent$}{text}", ""), ours));
    }

    fn noise(&mut self, indent: usize) {
        match self.random.below(8) {
            0 => self.line(indent, "# a comment: with {odd} [things] - 'in' it", false),
            1 => self.line(0, "", false),
            2 => self.line(indent, "# ünïcödé → ✓", false),
            _ => {}
        }
    }

    fn trailing(&mut self) -> &'static str {
        self.random
            .pick::<&str>(&["", "", "", " # trailing", "   # - key: no"])
    }

    /// Writes an item of a block list as lines.
    fn item(&mut self, indent: usize, fields: &[(String, String)], ours: bool) {
        let gap = self.gap;
        for (at, (name, value)) in fields.iter().enumerate() {
            let trailing = self.trailing();
            if at == 0 {
                self.line(
                    indent,
                    &format!("-{:gap$}{name}: {value}{trailing}", ""),
                    ours,
                );
            } else if value.starts_with("\n") {
                self.line(indent + 1 + gap, &format!("{name}:{trailing}"), ours);
                for line in value.lines().skip(1) {
                    let depth = line.len() - line.trim_start().len();
                    self.line(
                        indent + 1 + gap + self.step * (1 + depth),
                        line.trim_start(),
                        ours,
                    );
                }
            } else {
                self.line(
                    indent + 1 + gap,
                    &format!("{name}: {value}{trailing}"),
                    ours,
                );
            }
        }
        // It is about the item, which may be removed with it.
        if ours && self.random.chance(8) {
            self.line(0, "", true);
            self.line(indent + 1 + gap, "# below an empty line", true);
        }
    }

    fn list_indent(&self, key: usize) -> usize {
        if self.indented { key + self.step } else { key }
    }
}

fn field(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

/// Returns a random manifest of hand-written parts and generated ones that are fresh, changed or
/// stale.
fn draft(random: &mut Random, wanted: &DesiredManifest) -> Vec<(String, bool)> {
    let step = *random.pick(&[2, 2, 4, 3]);
    let indented = random.chance(60);
    let gap = *random.pick(&[1, 1, 1, 3]);
    let mut draft = Draft {
        random,
        lines: Vec::new(),
        step,
        indented,
        gap,
    };
    if draft.random.chance(15) {
        draft.line(0, "---", false);
    }
    let mut sections = [
        "app",
        "modules",
        "permissions",
        "remotes",
        "resources",
        "environment",
    ]
    .to_vec();
    draft.random.shuffle(&mut sections);
    for section in sections {
        draft.noise(0);
        if section != "app" && draft.random.chance(20) {
            continue;
        }
        let trailing = draft.trailing();
        match section {
            "app" => {
                draft.line(0, &format!("app:{trailing}"), false);
                draft.line(
                    step,
                    "id: ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107",
                    false,
                );
                draft.line(step, "runtime: {name: nodejs22.x}  # kept", false);
            }
            "modules" => modules(&mut draft, wanted, trailing),
            "permissions" => permissions(&mut draft, wanted, trailing),
            "remotes" => {
                if draft.random.chance(15) {
                    let empty = *draft
                        .random
                        .pick(&["remotes: []", "remotes:", "remotes: ~"]);
                    draft.line(0, &format!("{empty}{trailing}"), true);
                    continue;
                }
                draft.line(0, &format!("remotes:{trailing}"), false);
                let indent = draft.list_indent(0);
                if draft.random.chance(50) {
                    draft.item(
                        indent,
                        &[
                            field("key", "backend"),
                            field("baseUrl", "https://old.example.com"),
                        ],
                        true,
                    );
                }
                draft.item(
                    indent,
                    &[field("key", "hand"), field("baseUrl", "'${HAND_URL}'")],
                    false,
                );
                draft.noise(indent);
            }
            "resources" => {
                draft.line(0, &format!("resources:{trailing}"), false);
                let indent = draft.list_indent(0);
                draft.item(
                    indent,
                    &[field("key", "main"), field("path", "\"static\"")],
                    false,
                );
            }
            _ => {
                draft.line(0, "environment:", false);
                draft.line(
                    step,
                    "variables: [ HAND_URL, { key: OTHER, default: 'x' } ]",
                    false,
                );
            }
        }
    }
    draft.noise(0);
    draft.lines
}

fn modules(draft: &mut Draft<'_>, wanted: &DesiredManifest, trailing: &str) {
    let step = draft.step;
    draft.line(0, &format!("modules:{trailing}"), false);
    draft.line(step, "macro:", false);
    let indent = draft.list_indent(step);
    draft.item(
        indent,
        &[
            field("key", "ui"),
            field("title", "'a: b # c'"),
            field("resolver", "\nfunction: resolver"),
            field("description", "\"é\""),
        ],
        false,
    );
    draft.noise(step);
    if draft.random.chance(70) {
        draft.line(step, "function:", false);
        draft.item(
            indent,
            &[field("key", "resolver"), field("handler", "index.run")],
            false,
        );
    }
    // Lists that may be partly generated. A list that could lose its last item is wholly generated.
    for list in ["endpoint", "scheduledTrigger"] {
        if draft.random.chance(30) {
            continue;
        }
        let by_hand = draft.random.chance(70);
        draft.line(step, &format!("{list}:"), !by_hand);
        let mut any = false;
        if by_hand {
            any = true;
            let fields = match list {
                "endpoint" => vec![
                    field("key", "theirs"),
                    field("remote", "hand"),
                    field("route", "{path: /x}"),
                ],
                _ => vec![
                    field("key", "their-schedule"),
                    field("function", "resolver"),
                    field("interval", "day"),
                ],
            };
            draft.item(indent, &fields, false);
            draft.noise(indent);
        }
        if draft.random.chance(50) || !any {
            let fields = match list {
                "endpoint" => vec![
                    field("key", "gone"),
                    field("remote", "backend"),
                    field("route", "\npath: /gone"),
                ],
                _ => vec![
                    field("key", "gone-trigger"),
                    field("endpoint", "gone"),
                    field("interval", "hour"),
                ],
            };
            // Only an existing endpoint shows that a schedule that names it was generated.
            if list == "endpoint"
                || draft
                    .lines
                    .iter()
                    .any(|(line, _)| line.contains("key: gone"))
            {
                draft.item(indent, &fields, true);
                any = true;
            }
        }
        let ours: &[Entry] = match list {
            "endpoint" => &wanted.endpoints,
            _ => wanted
                .modules
                .get("scheduledTrigger")
                .map(Vec::as_slice)
                .unwrap_or_default(),
        };
        for entry in ours {
            if draft.random.chance(40) {
                continue;
            }
            let key = format!("'{}'", entry.key());
            let fields = match list {
                "endpoint" => vec![
                    field("key", key),
                    field("remote", "backend"),
                    field("auth", "{appSystemToken: {enabled: false}}"),
                ],
                _ => {
                    let item = entry.to_json();
                    let endpoint = item["endpoint"].as_str().unwrap();
                    vec![
                        field("key", key),
                        field("interval", "week"),
                        field("endpoint", format!("\"{endpoint}\"")),
                    ]
                }
            };
            draft.item(indent, &fields, true);
            any = true;
        }
        if !any {
            draft.lines.pop();
        }
    }
    if draft.random.chance(40) {
        actions(draft, wanted, indent);
    }
}

/// Writes actions of handlers that are schedules now, or that are gone, some with hand-written parts.
fn actions(draft: &mut Draft<'_>, wanted: &DesiredManifest, indent: usize) {
    let step = draft.step;
    draft.line(step, "action:", true);
    let schedules = wanted.modules.get("scheduledTrigger");
    let schedules = schedules.into_iter().flatten().map(|entry| {
        let endpoint = entry.key().trim_end_matches("-trigger");
        (entry.key().to_owned(), endpoint.to_owned())
    });
    let gone = [("gone-action", "gone"), ("more-action", "gone")];
    let gone = gone.map(|(key, endpoint)| (key.to_owned(), endpoint.to_owned()));
    let mut any = false;
    for (key, endpoint) in schedules.chain(gone) {
        if draft.random.chance(50) {
            continue;
        }
        let mut fields = vec![
            field("key", format!("'{key}'")),
            field("endpoint", format!("'{endpoint}'")),
            field("actionVerb", "GET"),
        ];
        if draft.random.chance(50) {
            fields.push(field("icon", format!("https://cdn.example.com/{key}.svg")));
        }
        if draft.random.chance(50) {
            fields.push(field("config", "\nresource: main"));
        }
        draft.item(indent, &fields, true);
        any = true;
    }
    if !any {
        draft.lines.pop();
    }
}

fn permissions(draft: &mut Draft<'_>, wanted: &DesiredManifest, trailing: &str) {
    let step = draft.step;
    let rewritten = wanted.scopes.iter().any(|scope| scope.impersonation);
    draft.line(0, &format!("permissions:{trailing}"), false);
    match draft.random.below(4) {
        0 => draft.line(step, "scopes: [read:jira-work, 'storage:app']", true),
        1 => {
            draft.line(step, "scopes:", false);
            let indent = draft.list_indent(step);
            draft.line(indent, "- storage:app # kept", rewritten);
            draft.line(indent, "- read:me   # and this", rewritten);
        }
        2 => {
            draft.line(step, "scopes:", false);
            draft.line(
                step * 2,
                "storage:app: {allowImpersonation: true} # kept",
                false,
            );
        }
        _ => {}
    }
    draft.line(
        step,
        "external: {fetch: {backend: [{remote: hand}]}}",
        false,
    );
}

#[test]
fn random_manifests_keep_their_foreign_lines() {
    let rounds: u64 = std::env::var("MANIFEST_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(1000);
    let mut bytes = 0;
    let mut rejected = 0;
    for seed in 0..rounds {
        let mut random = Random(seed);
        let wanted = handlers(&mut random);
        let lines = draft(&mut random, &wanted);
        let line_end = if random.chance(20) { "\r\n" } else { "\n" };
        let mut text = String::new();
        if random.chance(10) {
            text.push('\u{feff}');
        }
        for (line, _) in &lines {
            let _ = write!(text, "{line}{line_end}");
        }
        if random.chance(15) {
            text.truncate(text.len() - line_end.len());
        }
        bytes += text.len();
        match round(&text, &wanted, &lines, line_end, &mut random) {
            Ok(()) => {}
            Err(Outcome::Rejected) => rejected += 1,
            Err(Outcome::Wrong(what)) => panic!("seed {seed}: {what}\n--- the file\n{text}"),
        }
    }
    println!("{bytes} bytes in {rounds} manifests, {rejected} rejected");
    assert!(bytes as u64 >= rounds * 400, "only {bytes} bytes");
    assert!(
        rejected * 100 <= rounds,
        "{rejected} of {rounds} were rejected"
    );
}

enum Outcome {
    Rejected,
    Wrong(String),
}

fn round(
    text: &str,
    wanted: &DesiredManifest,
    lines: &[(String, bool)],
    line_end: &str,
    random: &mut Random,
) -> Result<(), Outcome> {
    let wrong = |what: String| Outcome::Wrong(what);
    let new = match writes::write(text, wanted).map_err(wrong)? {
        writes::Outcome::Written(new) => new,
        writes::Outcome::Rejected(ManifestError::Guard { .. } | ManifestError::Unsafe { .. }) => {
            return Err(Outcome::Rejected);
        }
        writes::Outcome::Rejected(error) => return Err(wrong(error.to_string())),
    };
    let file = ManifestFile::parse("manifest.yml", Some(text.to_owned()))
        .map_err(|error| wrong(error.to_string()))?;
    let show = |what: &str| wrong(format!("{what}\n--- became\n{new}"));

    // Every foreign line is present, in order, byte for byte.
    let mut left = new.strip_prefix('\u{feff}').unwrap_or(&new).split('\n');
    for (line, _) in lines.iter().filter(|(_, ours)| !ours) {
        // The comments of a removed item go with it; `writes` checks the others.
        let may_remove = text.contains("key: gone") || text.contains("action:");
        if line.trim_start().starts_with('#') && may_remove {
            continue;
        }
        let wanted_line = if line_end == "\r\n" {
            format!("{line}\r")
        } else {
            line.clone()
        };
        if !left.any(|one| one == wanted_line || (one == line && new.ends_with(one))) {
            return Err(show(&format!("lost {line:?}")));
        }
    }
    // If the last line was generated and goes, the line before it ends as the last did.
    let last_is_ours = lines.last().is_some_and(|(_, ours)| *ours);
    let ends_alike = last_is_ours || text.ends_with('\n') == new.ends_with('\n');
    if text.starts_with('\u{feff}') != new.starts_with('\u{feff}') || !ends_alike {
        return Err(show("the byte order mark or the last line end changed"));
    }
    if line_end == "\r\n" && new.matches('\n').count() != new.matches("\r\n").count() {
        return Err(show("mixed line ends"));
    }

    let again = ManifestFile::parse("manifest.yml", Some(new.clone()))
        .map_err(|error| show(&error.to_string()))?;
    // Hand-written entries have the same keys as before.
    let keys = |value: &Value| -> BTreeSet<String> {
        let list = |path: [&str; 2]| {
            value
                .get(path[0])
                .and_then(|one| one.get(path[1]))
                .and_then(Value::as_array)
                .cloned()
        };
        ["macro", "function", "endpoint", "scheduledTrigger"]
            .into_iter()
            .filter_map(|name| list(["modules", name]))
            .flatten()
            .filter_map(|item| item.get("key")?.as_str().map(str::to_owned))
            .filter(|key| ["ui", "resolver", "theirs", "their-schedule"].contains(&key.as_str()))
            .collect()
    };
    if keys(&file.to_json()) != keys(&again.to_json()) {
        return Err(show("a hand-written module is missing"));
    }

    let mut shuffled = wanted.clone();
    // As in `writes`.
    shuffled.removable.extend(module_keys(&file));
    random.shuffle(&mut shuffled.endpoints);
    for entries in shuffled.modules.values_mut() {
        random.shuffle(entries);
    }
    let other = file
        .merged_with(&shuffled, None)
        .map_err(|error| show(&error.to_string()))?;
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    if sorted(&other) != sorted(&new) {
        return Err(show("the handlers' order matters"));
    }
    Ok(())
}

/// Returns the keys of all modules.
fn module_keys(file: &ManifestFile) -> Vec<String> {
    let manifest = file.to_json();
    let lists = manifest["modules"].as_object().into_iter().flatten();
    let items = lists.filter_map(|(_, list)| list.as_array()).flatten();
    let keys = items.filter_map(|item| item.get("key")?.as_str());
    keys.map(str::to_owned).collect()
}
