//! What an edit of a manifest promises, checked against any text: the random tests and the fuzz
//! target share it. It finds the hand-written parts in its own way, not by the library's plan.

use std::collections::BTreeSet;
use std::ops::Range;

use forge_remote::manifest::tree::{self, Node};
use forge_remote::manifest::{DesiredManifest, Entry, ManifestError, ManifestFile, compare};
use forge_remote::serde_yaml::{Mapping, Value};

/// The lists whose items may be ours, beside `endpoint` and `remotes`.
const GENERATED: &[&str] = &["scheduledTrigger"];

const APP_ID: &str = "ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107";

/// What became of a text.
#[derive(Debug)]
pub enum Outcome {
    /// It was brought up to date, and every promise held.
    Written(String),
    /// It can't be read, or not be edited safely.
    Refused(ManifestError),
}

/// Brings a text up to date; an error is a promise broken.
pub fn write(text: &str, wanted: &DesiredManifest) -> Result<Outcome, String> {
    let read = |text: &str| ManifestFile::parse("manifest.yml", Some(text.to_owned()));
    let file = match read(text) {
        Ok(file) => file,
        Err(error) => return Ok(Outcome::Refused(error)),
    };
    let updated = file.merged_with(wanted, Some(APP_ID));
    if file.text() != text {
        return Err("the text in hand changed".to_owned());
    }
    let new = match updated {
        Ok(new) => new,
        Err(error) => return Ok(Outcome::Refused(error)),
    };
    let broken = |what: &str| format!("{what}\n--- became\n{new}");

    let again = read(&new).map_err(|error| broken(&format!("can't be read: {error}")))?;
    if let Some(difference) = compare(again.value(), wanted).first() {
        return Err(broken(&format!("still differs: {difference}")));
    }
    match again.merged_with(wanted, Some(APP_ID)) {
        Ok(twice) if twice == new => {}
        Ok(twice) => return Err(broken(&format!("a second run makes it\n{twice}"))),
        Err(error) => return Err(broken(&format!("a second run fails: {error}"))),
    }
    if text.trim().is_empty() {
        return Ok(Outcome::Written(new));
    }

    let before = by_hand(file.value(), wanted);
    let mut after = by_hand(again.value(), wanted);
    if let (true, Some(after)) = (is_empty(file.value()), after.as_mapping_mut()) {
        // A file that said nothing got its `app`.
        after.shift_remove("app");
    }
    if before != after {
        return Err(broken(&format!(
            "hand-written values were\n{before:?}\nand are\n{after:?}"
        )));
    }
    if text.starts_with('\u{feff}') != new.starts_with('\u{feff}') {
        return Err(broken("the byte order mark changed"));
    }
    let ends = |text: &str| (text.matches('\n').count(), text.matches("\r\n").count());
    match (ends(text), ends(&new)) {
        ((_, 0), (_, crlf)) if crlf > 0 => return Err(broken("a CRLF came in")),
        ((all, crlf), (new_all, new_crlf)) if all > 0 && all == crlf && new_all != new_crlf => {
            return Err(broken("the line ends are mixed"));
        }
        _ => {}
    }
    if let Some(lost) = lost_line(text, &new, wanted) {
        return Err(broken(&format!("lost {lost:?}")));
    }
    if let Some(lost) = lost_comment(text, &new) {
        return Err(broken(&format!("lost the comment {lost:?} of a scope")));
    }
    Ok(Outcome::Written(new))
}

/// The first comment among the scopes, which may be rewritten whole, that is gone or has moved.
fn lost_comment(text: &str, new: &str) -> Option<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Ok(Some(root)) = tree::parse(text) else {
        return None;
    };
    let scopes = root.get("permissions")?.get("scopes")?;
    if scopes.is_flow() || root.get("permissions")?.is_flow() || root.is_flow() {
        return None;
    }
    // Plain names hold no quotes: what follows ` #` is a comment, or the test's own text has one.
    let lines = text.get(scopes.span.clone())?.lines();
    let comments = lines.filter_map(|line| {
        let (before, comment) = line.split_once(" #")?;
        (!before.contains(['"', '\''])).then(|| comment.trim_end().to_owned())
    });
    let mut left = new.lines();
    let mut comments = comments;
    comments.find(|comment| {
        let ends = |line: &str| line.trim_end().ends_with(&format!(" #{comment}"));
        !left.by_ref().any(ends)
    })
}

/// Whose an item is.
#[derive(Clone, Copy, PartialEq)]
enum Owner {
    Hand,
    /// The code wants an item with its key.
    Wanted,
    /// It was generated once.
    Stale,
}

struct Owners<'a> {
    wanted: &'a DesiredManifest,
    /// The keys of endpoints that call a remote of ours, wanted or not.
    endpoints: BTreeSet<&'a str>,
}

fn key<'a>(item: &'a Value, name: &str) -> Option<&'a str> {
    item.get(name)?.as_str()
}

fn has(entries: &[Entry], key: &str) -> bool {
    entries.iter().any(|entry| entry.key() == key)
}

impl<'a> Owners<'a> {
    fn new(manifest: &'a Value, wanted: &'a DesiredManifest) -> Self {
        let list = manifest
            .get("modules")
            .and_then(|modules| modules.get("endpoint")?.as_sequence());
        let called = list
            .into_iter()
            .flatten()
            .filter(|item| key(item, "remote").is_some_and(|remote| has(&wanted.remotes, remote)))
            .filter_map(|item| key(item, "key"));
        let endpoints = wanted
            .endpoints
            .iter()
            .map(Entry::key)
            .chain(called)
            .collect();
        Self { wanted, endpoints }
    }

    /// The items of a list that the code wants; `None` for a list that is never ours.
    fn entries(&self, list: &str) -> Option<&'a [Entry]> {
        match list {
            "endpoint" => Some(&self.wanted.endpoints),
            "remotes" => Some(&self.wanted.remotes),
            _ if GENERATED.contains(&list) => Some(
                self.wanted
                    .modules
                    .get(list)
                    .map(Vec::as_slice)
                    .unwrap_or_default(),
            ),
            _ => None,
        }
    }

    fn of(&self, list: &str, item: &Value) -> Owner {
        let (Some(entries), Some(own)) = (self.entries(list), key(item, "key")) else {
            return Owner::Hand;
        };
        let stale = match list {
            "remotes" => false,
            "endpoint" => {
                key(item, "remote").is_some_and(|remote| has(&self.wanted.remotes, remote))
            }
            _ => key(item, "endpoint").is_some_and(|endpoint| self.endpoints.contains(endpoint)),
        };
        match (has(entries, own), stale) {
            (true, _) => Owner::Wanted,
            (false, true) => Owner::Stale,
            (false, false) => Owner::Hand,
        }
    }

    /// Whether an item says what the code wants already.
    fn says_it(&self, list: &str, item: &Value) -> bool {
        let entries = self.entries(list).unwrap_or_default();
        let wanted = entries
            .iter()
            .find(|entry| Some(entry.key()) == key(item, "key"));
        wanted.is_some_and(|entry| *item == Value::Mapping(entry.item.clone()))
    }
}

/// A manifest without what is ours, and without what is empty: the same before and after.
fn by_hand(manifest: &Value, wanted: &DesiredManifest) -> Value {
    let owners = Owners::new(manifest, wanted);
    let mut left = manifest.as_mapping().cloned().unwrap_or_default();
    let strip = |parent: &mut Mapping, name: &str| {
        if let Some(Value::Sequence(items)) = parent.get_mut(name) {
            items.retain(|item| owners.of(name, item) == Owner::Hand);
        }
    };
    if let Some(Value::Mapping(modules)) = left.get_mut("modules") {
        for name in GENERATED.iter().chain(&["endpoint"]) {
            strip(modules, name);
            drop_empty(modules, name);
        }
    }
    drop_empty(&mut left, "modules");
    if let Some(Value::Sequence(items)) = left.get_mut("remotes") {
        // Of our remote the code knows the address at most: the rest of it is the hand's.
        for item in items.iter_mut() {
            if owners.of("remotes", item) == Owner::Wanted
                && let Some(item) = item.as_mapping_mut()
            {
                item.shift_remove("key");
                item.shift_remove("baseUrl");
            }
        }
        items.retain(|item| !is_empty(item));
    }
    drop_empty(&mut left, "remotes");
    if let Some(Value::Mapping(permissions)) = left.get_mut("permissions") {
        let of = |name: &Value| {
            let mut scopes = wanted.scopes.iter();
            scopes.find(|one| Some(&*one.name) == name.as_str())
        };
        let ours = |name: &Value| of(name).is_some();
        if impersonates(wanted) {
            // A list becomes a mapping.
            if let Some(Value::Sequence(names)) = permissions.get("scopes") {
                let empty = || Value::Mapping(Mapping::new());
                let names = names.iter().map(|name| (name.clone(), empty()));
                permissions.insert("scopes".into(), Value::Mapping(names.collect()));
            }
            if let Some(Value::Mapping(names)) = permissions.get_mut("scopes") {
                for (name, options) in names.iter_mut() {
                    if let (Some(scope), Value::Mapping(options)) = (of(name), options)
                        && scope.impersonation
                    {
                        options.shift_remove("allowImpersonation");
                    }
                }
            }
        }
        match permissions.get_mut("scopes") {
            Some(Value::Sequence(names)) => names.retain(|name| !ours(name)),
            Some(Value::Mapping(names)) => {
                names.retain(|name, options| !ours(name) || !is_empty(options));
            }
            _ => {}
        }
        drop_empty(permissions, "scopes");
    }
    drop_empty(&mut left, "permissions");
    Value::Mapping(left)
}

fn impersonates(wanted: &DesiredManifest) -> bool {
    wanted.scopes.iter().any(|scope| scope.impersonation)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Sequence(items) => items.is_empty(),
        Value::Mapping(entries) => entries.is_empty(),
        _ => false,
    }
}

fn drop_empty(parent: &mut Mapping, name: &str) {
    if parent.get(name).is_some_and(is_empty) {
        parent.shift_remove(name);
    }
}

/// The first line of the text that no edit had a right to, and that is gone or has moved.
fn lost_line(text: &str, new: &str, wanted: &DesiredManifest) -> Option<String> {
    let mark = |text: &str| text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
    let (text, new) = (mark(text), mark(new));
    let Ok(Some(root)) = tree::parse(&text) else {
        return None;
    };
    let touchable = touchable(&text, &root, wanted);
    let mut left = new.split('\n').peekable();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let span = at..at + line.len();
        at = span.end;
        if touchable
            .iter()
            .any(|one| one.start < span.end && span.start < one.end)
        {
            continue;
        }
        let whole = line.strip_suffix('\n');
        let line = whole.unwrap_or(line);
        let bare = line.strip_suffix('\r').unwrap_or(line);
        let found = loop {
            let Some(one) = left.next() else { break false };
            // A last line may gain or lose its line end.
            let last = whole.is_none() || left.peek().is_none();
            if one == line || (last && one.strip_suffix('\r').unwrap_or(one) == bare) {
                break true;
            }
        };
        // A text may end with fewer line ends where its last part was ours.
        let last_and_empty = bare.is_empty() && at == text.len();
        if !found && !last_and_empty {
            return Some(line.to_owned());
        }
    }
    None
}

/// The spans that an edit may change or remove.
fn touchable(text: &str, root: &Node, wanted: &DesiredManifest) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    if root.is_flow() {
        spans.push(0..text.len());
        return spans;
    }
    let manifest = root.to_value();
    let owners = Owners::new(&manifest, wanted);
    let whole = |entry: &tree::Entry| {
        let end = entry.value.span.end.max(entry.key.span.end);
        entry.key.span.start..end.max(entry.key.span.start + 1)
    };
    let open = |node: &Node| node.is_flow() || is_empty(&node.to_value());
    if let Some(modules) = root.entry("modules") {
        let gone = |entry: &tree::Entry| {
            let name = entry.key.scalar().unwrap_or_default();
            let stale = |item: &Node| owners.of(name, &item.to_value()) == Owner::Stale;
            let items = entry.value.items();
            !items.is_empty() && items.iter().all(stale)
        };
        let entries = modules.value.entries();
        if open(&modules.value) || (!entries.is_empty() && entries.iter().all(gone)) {
            spans.push(whole(modules));
        }
        for entry in entries {
            if gone(entry)
                || (owners
                    .entries(entry.key.scalar().unwrap_or_default())
                    .is_some()
                    && open(&entry.value))
            {
                spans.push(whole(entry));
            } else {
                spans.extend(items(text, entry, &owners));
            }
        }
    }
    if let Some(remotes) = root.entry("remotes") {
        if open(&remotes.value) {
            spans.push(whole(remotes));
        }
        spans.extend(items(text, remotes, &owners));
    }
    if let Some(permissions) = root.entry("permissions") {
        if open(&permissions.value) {
            spans.push(whole(permissions));
        }
        if let Some(scopes) = permissions.value.entry("scopes")
            && (open(&scopes.value) || impersonates(wanted))
        {
            spans.push(whole(scopes));
        }
    }
    spans
}

/// The items of a list that are ours and aren't as they should be, from dash to end.
fn items(text: &str, entry: &tree::Entry, owners: &Owners<'_>) -> Vec<Range<usize>> {
    let list = entry.key.scalar().unwrap_or_default();
    let mut before = entry.key.span.end;
    let mut spans = Vec::new();
    for item in entry.value.items() {
        let value = item.to_value();
        let start = text
            .get(before..item.span.start)
            .and_then(|gap| gap.rfind('-'))
            .map_or(item.span.start, |at| before + at);
        before = item.span.end;
        if owners.of(list, &value) != Owner::Hand && !owners.says_it(list, &value) {
            spans.push(start..item.span.end);
        }
    }
    spans
}
