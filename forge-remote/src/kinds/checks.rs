//! What the texts in options' lists must be. The macros have this same file by a link: they check
//! what is written out, and the launch checks the values of constants too.

use super::nearest;

/// What is wrong, and what to do.
pub(crate) type Wrong = (String, String);

/// What a list of texts must be.
pub(crate) struct List {
    /// Each text.
    check: fn(&str) -> Result<(), Wrong>,
    /// What of each no other may have.
    name: fn(&str) -> &str,
    /// So many at most, by Forge's schema.
    most: Option<usize>,
}

const fn list(check: fn(&str) -> Result<(), Wrong>) -> List {
    List {
        check,
        name: whole,
        most: None,
    }
}

pub(crate) const EVENTS: List = list(known_event);
pub(crate) const UNKNOWN_EVENTS: List = list(not_empty);
pub(crate) const PATHS: List = list(not_empty);
pub(crate) const PROPERTY_PATHS: List = list(property_path);
pub(crate) const ARGUMENTS: List = List {
    name: argument,
    ..list(argument_name)
};
pub(crate) const OUTPUTS: List = List {
    name: before_equals,
    most: Some(20),
    ..list(static_output)
};
pub(crate) const INPUTS: List = List {
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
        let mut wrong = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            let Some(text) = text else { continue };
            if let Err(why) = (self.check)(text) {
                wrong.push((Some(at), why));
            }
            let name = (self.name)(text);
            let earlier = texts[..at].iter().flatten();
            if earlier
                .map(|other| (self.name)(other))
                .any(|other| other == name)
            {
                let why = (
                    format!("`{name}` is twice in `{option}`"),
                    "keep one of the two".to_owned(),
                );
                wrong.push((Some(at), why));
            }
        }
        if let Some(most) = self.most.filter(|most| texts.len() > *most) {
            let why = (
                format!(
                    "`{option}` has {} items, and Forge takes {most}",
                    texts.len()
                ),
                "leave some out".to_owned(),
            );
            wrong.push((None, why));
        }
        wrong
    }
}

fn whole(text: &str) -> &str {
    text
}

fn argument(text: &str) -> &str {
    text.trim_end_matches('?')
}

fn before_equals(text: &str) -> &str {
    text.split('=').next().unwrap_or_default().trim()
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
    events().any(|known| known == event) || event.starts_with("avi:cloud:ecosystem::event/")
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

/// `KEY=STATUS`, `KEY=STATUS CONTENT-TYPE`, `KEY=STATUS CONTENT-TYPE BODY`.
fn static_output(text: &str) -> Result<(), (String, String)> {
    let parsed = text.split_once('=').and_then(|(key, rest)| {
        let status: u16 = rest.split(' ').next()?.parse().ok()?;
        Some(!key.trim().is_empty() && (100..600).contains(&status))
    });
    if parsed == Some(true) {
        let (key, rest) = text.split_once('=').unwrap_or_default();
        let mut rest = rest.splitn(3, ' ').skip(1);
        let parts = [
            ("the key", key.trim(), 255),
            ("the content type", rest.next().unwrap_or_default(), 255),
            ("the body", rest.next().unwrap_or_default(), 1024),
        ];
        let long = |(_, part, most): &&(&str, &str, usize)| part.chars().count() > *most;
        return match parts.iter().find(long) {
            None => Ok(()),
            Some((part, _, most)) => Err((
                format!("{part} of an output has {most} characters at most"),
                "shorten it".to_owned(),
            )),
        };
    }
    Err((
        format!("`{text}` is no output of a web trigger"),
        "write `KEY=STATUS`, `KEY=STATUS CONTENT-TYPE` or `KEY=STATUS CONTENT-TYPE BODY`: \"accepted=202 text/plain Thanks\"".to_owned(),
    ))
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
            if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err((
                    format!("`{name}` can't be an input's name: letters, digits and `_` only"),
                    help.to_owned(),
                ));
            }
            if name == "context" {
                return Err((
                    "an input can't be named `context`: Forge tells there where it was asked for"
                        .to_owned(),
                    "give it another name".to_owned(),
                ));
            }
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
