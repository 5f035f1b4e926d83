//! What the texts in options' lists must be. The macros have this same file by a link: they check
//! what is written out, and the launch checks the values of constants too.

use super::nearest;

/// What is wrong, and what to do.
pub(crate) type Wrong = (String, String);

/// An item of a list that is checked.
#[derive(Clone, Copy)]
pub(crate) enum Item<'a> {
    /// A text.
    Text(&'a str),
    /// Parentheses with options: the option that no other may have the value of.
    Group(&'a str),
}

/// What a list of texts must be.
pub(crate) struct List {
    /// Each text.
    check: fn(&str) -> Result<(), Wrong>,
    /// Each name, where it stands in parentheses.
    check_name: fn(&str) -> Result<(), Wrong>,
    /// What of each no other may have.
    name: fn(&str) -> &str,
    /// So many at most, by Forge's schema.
    most: Option<usize>,
}

const fn list(check: fn(&str) -> Result<(), Wrong>) -> List {
    List {
        check,
        check_name: |_| Ok(()),
        name: whole,
        most: None,
    }
}

pub(crate) const EVENTS: List = list(known_event);
pub(crate) const UNKNOWN_EVENTS: List = list(not_empty);
pub(crate) const PATHS: List = list(not_empty);
pub(crate) const PROPERTY_PATHS: List = list(property_path);
pub(crate) const PAGES: List = list(page_key);
pub(crate) const ARGUMENTS: List = List {
    name: argument,
    ..list(argument_name)
};
pub(crate) const OUTPUTS: List = List {
    name: output_key,
    most: Some(20),
    ..list(static_output)
};
pub(crate) const INPUTS: List = List {
    check_name: check_input_name,
    name: input_name,
    most: Some(10),
    ..list(action_input)
};
pub(crate) const STARTERS: List = List {
    most: Some(3),
    ..list(conversation_starter)
};

/// What a trigger, or one of its `filtered_events`, says beside its lists.
#[derive(Default)]
pub(crate) struct Filter<'a> {
    /// Its events; `None` is one that isn't known yet.
    pub(crate) events: Vec<Option<&'a str>>,
    pub(crate) expression: bool,
    pub(crate) on_error: bool,
    pub(crate) ignore_self: bool,
    pub(crate) licensed_only: bool,
    /// Whether Forge takes none without a filter.
    pub(crate) required: bool,
}

impl Filter<'_> {
    /// What is wrong, each with the option that it is about; `None` for the whole.
    ///
    /// Sources: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/trigger/>,
    /// and the validation of `@forge/manifest` for `ignoreSelf`.
    pub(crate) fn wrong(&self) -> Vec<(Option<&'static str>, Wrong)> {
        let mut wrong = Vec::new();
        if self.required && !(self.expression || self.ignore_self || self.licensed_only) {
            let why = (
                "an event without a filter".to_owned(),
                "write `filter = \"…\"`, `ignore_self` or `licensed_only`, or move the event to `events` of a second function"
                    .to_owned(),
            );
            wrong.push((None, why));
        } else if self.on_error && !self.expression {
            let why = (
                "`on_error` without `filter`: it says what becomes of an event when the expression fails"
                    .to_owned(),
                "write `filter = \"…\"`, or leave `on_error` out".to_owned(),
            );
            wrong.push((Some("on_error"), why));
        }
        let others = self.events.iter().flatten();
        // As the validation has it.
        let other = others.copied().find(|event| !event.contains("jira"));
        if let Some(event) = other.filter(|_| self.ignore_self) {
            let why = (
                format!("`ignore_self` with `{event}`: Forge's validation takes it with Jira's events only"),
                "leave it out, and look at the payload's `selfGenerated`; Jira's events can have it in a function of their own, or in `filtered_events`"
                    .to_owned(),
            );
            wrong.push((Some("ignore_self"), why));
        }
        wrong
    }
}

/// The events of `unknown_events` that are in `events` too, each with its place.
pub(crate) fn in_both<T: AsRef<str>>(events: &[T], unknown: &[T]) -> Vec<(usize, Wrong)> {
    let all = unknown.iter().enumerate();
    let all = all.map(|(at, event)| (at, event.as_ref()));
    let both = all.filter(|(_, event)| events.iter().any(|known| known.as_ref() == *event));
    let wrong = both.map(|(at, event)| {
        let message = format!("`{event}` is in `events` already");
        (at, (message, "keep it there".to_owned()))
    });
    wrong.collect()
}

/// What to do about an event with two filters of one function.
pub(crate) const ONE_FILTER: &str =
    "which of its filters counts isn't documented: join them with `||`, or write a second function";

impl List {
    /// What is wrong with the list of this option, each with the text's place if it is one's.
    /// `None` is a text that isn't known yet.
    pub(crate) fn wrong(
        &self,
        option: &str,
        texts: &[Option<&str>],
    ) -> Vec<(Option<usize>, Wrong)> {
        let items: Vec<_> = texts.iter().map(|text| text.map(Item::Text)).collect();
        self.wrong_items(option, &items)
    }

    /// The same of a list that has parentheses too.
    pub(crate) fn wrong_items(
        &self,
        option: &str,
        items: &[Option<Item<'_>>],
    ) -> Vec<(Option<usize>, Wrong)> {
        let mut wrong = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let Some(item) = item else { continue };
            let checked = match item {
                Item::Text(text) => (self.check)(text),
                Item::Group(name) => (self.check_name)(name),
            };
            if let Err(why) = checked {
                wrong.push((Some(at), why));
            }
            let name = self.name_of(*item);
            let mut earlier = items[..at].iter().flatten();
            if earlier.any(|other| self.name_of(*other) == name) {
                let why = (
                    format!("`{name}` is twice in `{option}`"),
                    "keep one of the two".to_owned(),
                );
                wrong.push((Some(at), why));
            }
        }
        if let Some(most) = self.most.filter(|most| items.len() > *most) {
            let why = (
                format!(
                    "`{option}` has {} items, and Forge takes {most}",
                    items.len()
                ),
                "leave some out".to_owned(),
            );
            wrong.push((None, why));
        }
        wrong
    }

    fn name_of<'a>(&self, item: Item<'a>) -> &'a str {
        match item {
            Item::Text(text) => (self.name)(text),
            Item::Group(name) => name,
        }
    }
}

fn whole(text: &str) -> &str {
    text
}

fn argument(text: &str) -> &str {
    text.trim_end_matches('?')
}

fn output_key(text: &str) -> &str {
    short_output(text).map_or(text, |(key, _)| key)
}

fn input_name(text: &str) -> &str {
    let name = text.split(':').next().unwrap_or_default();
    name.trim().trim_end_matches('?')
}

/// Forge's events: those of Atlassian's npm package, and those that only its pages name.
const NAMES: &str = include_str!("events.txt");

pub(crate) fn events() -> impl Iterator<Item = &'static str> + Clone {
    NAMES
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(" = ").map_or(line, |(event, _)| event))
}

/// Whether this is one of Forge's events, or an app's own, whose names are of the app's making.
pub(crate) fn is_event(event: &str) -> bool {
    // One search of the whole text: it is done at each build, and line by line it would take long.
    let starts_line = |(at, _): (usize, &str)| NAMES[..at].ends_with('\n');
    let ends = |(at, _): (usize, &str)| {
        let rest = &NAMES[at + event.len()..];
        rest.starts_with('\n') || rest.starts_with(" = ")
    };
    let is_name = event.starts_with("avi:") && !event.contains(['\n', ' ']);
    is_name
        && NAMES
            .match_indices(event)
            .any(|found| starts_line(found) && ends(found))
        || event.starts_with("avi:cloud:ecosystem::event/")
}

fn known_event(event: &str) -> Result<(), (String, String)> {
    if is_event(event) {
        return Ok(());
    }
    let help = match nearest(event, events()) {
        Some(near) => format!(
            "did you mean \"{near}\"? For an event that forge-remote doesn't know yet, write `unknown_events = [\"{event}\"]`"
        ),
        None => format!(
            "see https://developer.atlassian.com/platform/forge/events-reference/; for an event that forge-remote doesn't know yet, write `unknown_events = [\"{event}\"]`"
        ),
    };
    Err((format!("Forge has no event `{event}`"), help))
}

/// The key of a page's module.
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/>
fn page_key(key: &str) -> Result<(), Wrong> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(allowed) {
        return Ok(());
    }
    Err((
        format!("`{key}` cannot be the key of a page's module"),
        "write the `key` of the module as `modules` in the manifest has it".to_owned(),
    ))
}

fn not_empty(text: &str) -> Result<(), (String, String)> {
    if text.trim().is_empty() || text.trim() != text {
        return Err((
            "this is empty, or has blanks around it".to_owned(),
            "write what is meant, without blanks around it".to_owned(),
        ));
    }
    Ok(())
}

fn property_path(text: &str) -> Result<(), (String, String)> {
    if let Some(path) = text.strip_prefix("event.runtime.") {
        return Err((
            "a property's path begins with its entity here; `event.runtime.` is for filters"
                .to_owned(),
            format!("write \"{path}\""),
        ));
    }
    not_empty(text)
}

fn conversation_starter(text: &str) -> Result<(), (String, String)> {
    if text.chars().count() > 85 {
        return Err((
            "a conversation starter has 85 characters at most".to_owned(),
            "shorten it".to_owned(),
        ));
    }
    not_empty(text)
}

/// `KEY=STATUS`.
pub(crate) fn short_output(text: &str) -> Option<(&str, u16)> {
    let (key, status) = text.split_once('=')?;
    let (key, status) = (key.trim(), status.trim().parse().ok()?);
    (!key.is_empty() && (100..600).contains(&status)).then_some((key, status))
}

fn static_output(text: &str) -> Result<(), (String, String)> {
    if let Some((key, _)) = short_output(text) {
        if key.chars().count() > 255 {
            return Err((
                "the key of an output has 255 characters at most".to_owned(),
                "shorten it".to_owned(),
            ));
        }
        return Ok(());
    }
    let longer = text.split_once('=').and_then(|(key, rest)| {
        let (status, more) = rest.trim().split_once(' ')?;
        let head = format!("{}={status}", key.trim());
        let (key, status) = short_output(&head)?;
        Some(format!("(key = {key:?}, status = {status}{})", parts(more)))
    });
    if let Some(group) = longer {
        return Err((
            format!(
                "`{text}` says more than a key and a status, and where each part ends is a guess"
            ),
            format!("write its parts, each with its name: `{group}`"),
        ));
    }
    Err((
        format!("`{text}` is no output of a web trigger"),
        "write `KEY=STATUS`, like \"accepted=202\", or with more: `(key = \"accepted\", status = 202, content_type = \"text/plain\", body = \"Thanks\")`".to_owned(),
    ))
}

/// What was probably meant: a type with its parameters, and the body.
fn parts(more: &str) -> String {
    let mut rest = more.trim();
    let mut content_type = String::new();
    while !rest.is_empty() && (content_type.ends_with(';') || content_type.is_empty()) {
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        if content_type.is_empty() && !word.contains('/') {
            break;
        }
        content_type.extend([if content_type.is_empty() { "" } else { " " }, word]);
        rest = after.trim_start();
    }
    let mut parts = String::new();
    for (name, text) in [("content_type", content_type.as_str()), ("body", rest)] {
        if !text.is_empty() {
            parts.push_str(&format!(", {name} = {text:?}"));
        }
    }
    parts
}

/// `NAME: TYPE - DESCRIPTION`, with `NAME?` for one that can be left out.
fn action_input(text: &str) -> Result<(), (String, String)> {
    let help = "write `NAME: TYPE - DESCRIPTION`, with `NAME?` for what can be left out, and a TYPE of string, integer, number or boolean: \"issueKey: string - The work item's key\"";
    let parsed = text.split_once(':').and_then(|(name, rest)| {
        let (ty, description) = rest.split_once(" - ")?;
        Some((
            name.trim().trim_end_matches('?'),
            ty.trim(),
            description.trim(),
        ))
    });
    match parsed {
        Some((name, ty, description)) if !name.is_empty() && !description.is_empty() => {
            check_input_name(name)?;
            if !["string", "integer", "number", "boolean"].contains(&ty) {
                return Err((format!("an input has no type `{ty}`"), help.to_owned()));
            }
            Ok(())
        }
        _ => Err((
            format!("`{text}` is no input of an action"),
            help.to_owned(),
        )),
    }
}

fn check_input_name(name: &str) -> Result<(), Wrong> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(allowed) {
        return Err((
            format!("`{name}` can't be an input's name: letters, digits, `_` and `-` only"),
            "write a name like `issueKey`".to_owned(),
        ));
    }
    if name == "context" {
        return Err((
            "an input can't be named `context`: Forge tells there where it was asked for"
                .to_owned(),
            "give it another name".to_owned(),
        ));
    }
    Ok(())
}

fn argument_name(text: &str) -> Result<(), (String, String)> {
    if text.trim_end_matches('?').is_empty() || text.trim() != text {
        return Err((
            format!("`{text}` is no argument of a JQL function"),
            "write its name, with a `?` for one that can be left out: \"limit?\"".to_owned(),
        ));
    }
    if argument(text).chars().count() > 255 {
        return Err((
            "an argument's name has 255 characters at most".to_owned(),
            "shorten it".to_owned(),
        ));
    }
    Ok(())
}
