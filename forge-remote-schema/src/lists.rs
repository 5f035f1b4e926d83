//! The rules for the texts in an option's list.
//!
//! The macros check literals at compile time; the launch checks the values of constants as well.

use crate::rules::is_key_char;
use crate::{Mistake, events, values};

/// An item of a list.
#[derive(Clone, Copy, Debug)]
pub enum ListItem<'a> {
    /// A text.
    Text(&'a str),
    /// Parentheses with options, by the value of the option that identifies them.
    Group(&'a str),
}

/// The rules of one list.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ListRules {
    /// Checks a text.
    check: fn(&str) -> Result<(), Mistake>,
    /// Checks the identifying option of an item in parentheses.
    check_group: fn(&str) -> Result<(), Mistake>,
    /// The part of a text that no other item may have.
    identity: fn(&str) -> &str,
    /// The largest number of items, by Forge's schema.
    pub(crate) max: Option<usize>,
}

const fn list(check: fn(&str) -> Result<(), Mistake>) -> ListRules {
    ListRules {
        check,
        check_group: |_| Ok(()),
        identity: |text| text,
        max: None,
    }
}

/// Names of known events.
pub const EVENTS: ListRules = list(events::check);
/// Names of events that this version does not know.
pub const UNKNOWN_EVENTS: ListRules = list(not_blank);
/// Paths of fields in a payload.
pub const PATHS: ListRules = list(not_blank);
/// Paths of entity properties in a payload.
pub const PROPERTY_PATHS: ListRules = list(property_path);
/// Keys of the modules of pages.
pub const PAGES: ListRules = list(page_key);
/// Arguments of a JQL function.
pub const ARGUMENTS: ListRules = ListRules {
    identity: argument_name,
    ..list(argument)
};
/// Outputs of a web trigger.
pub const OUTPUTS: ListRules = ListRules {
    identity: output_key,
    max: Some(20),
    ..list(output)
};
/// Inputs of an action.
pub const INPUTS: ListRules = ListRules {
    check_group: check_input_name,
    identity: input_name,
    max: Some(10),
    ..list(input)
};
/// Conversation starters of an agent.
pub const STARTERS: ListRules = ListRules {
    max: Some(3),
    ..list(conversation_starter)
};

/// The rules for the conditions of a trigger, or of one of its `filtered_events`.
#[derive(Clone, Debug, Default)]
pub struct Conditions<'a> {
    /// The events; `None` is a constant whose value is not known yet.
    pub events: Vec<Option<&'a str>>,
    /// Whether `filter` is written.
    pub filter: bool,
    /// Whether `on_error` is written.
    pub on_error: bool,
    /// Whether `ignore_self` is on.
    pub ignore_self: bool,
    /// Whether `licensed_only` is on.
    pub licensed_only: bool,
    /// Whether Forge requires a filter.
    pub filter_required: bool,
}

impl Conditions<'_> {
    /// Returns the mistakes, each with its option; `None` is the whole attribute.
    ///
    /// Sources: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/trigger/>,
    /// and the validation of `@forge/manifest` for `ignoreSelf`.
    pub fn mistakes(&self) -> Vec<(Option<&'static str>, Mistake)> {
        let mut mistakes = Vec::new();
        if self.filter_required && !(self.filter || self.ignore_self || self.licensed_only) {
            let why = Mistake::new(
                "an event in `filtered_events` needs a filter",
                "write `filter = \"…\"`, `ignore_self` or `licensed_only`, or move the event to `events` of a second function",
            );
            mistakes.push((None, why));
        } else if self.on_error && !self.filter {
            let why = Mistake::new(
                "`on_error` has no effect without `filter`: it applies when the filter's expression fails",
                "write `filter = \"…\"`, or leave `on_error` out",
            );
            mistakes.push((Some("on_error"), why));
        }
        let mut events = self.events.iter().flatten();
        // The validation looks for this text and nothing else.
        let other = events.find(|event| !event.contains("jira"));
        if let Some(event) = other.filter(|_| self.ignore_self) {
            let why = Mistake::new(
                format!(
                    "`ignore_self` cannot be combined with `{event}`: Forge's validation accepts it only with Jira's events"
                ),
                "leave it out, and read the payload's `selfGenerated`; for Jira's events, write it in a separate function or in `filtered_events`",
            );
            mistakes.push((Some("ignore_self"), why));
        }
        mistakes
    }
}

/// Returns the events of `unknown_events` that are in `events` too, each with its index.
pub fn in_both<T: AsRef<str>>(events: &[T], unknown: &[T]) -> Vec<(usize, Mistake)> {
    let all = unknown.iter().map(AsRef::as_ref).enumerate();
    let both = all.filter(|(_, event)| events.iter().any(|known| known.as_ref() == *event));
    let mistakes = both.map(|(at, event)| {
        let message = format!("`{event}` is already in `events`");
        (at, Mistake::new(message, "remove it here"))
    });
    mistakes.collect()
}

/// Returns the mistake of an event with two filters in one function.
pub fn second_filter(event: &str) -> Mistake {
    Mistake::new(
        format!("`{event}` is listed twice in `filtered_events`"),
        "Atlassian does not document which filter counts: join the filters with `||`, or write a second function",
    )
}

impl ListRules {
    /// Returns whether a text alone is a valid item.
    pub fn accepts(&self, text: &str) -> bool {
        (self.check)(text).is_ok()
    }

    /// Returns the mistakes in the list of this option, each with the index of its item; `None` is
    /// the whole list. A text of `None` is a constant whose value is not known yet.
    pub fn mistakes(&self, option: &str, texts: &[Option<&str>]) -> Vec<(Option<usize>, Mistake)> {
        let items: Vec<_> = texts.iter().map(|text| text.map(ListItem::Text)).collect();
        self.mistakes_of_items(option, &items)
    }

    /// Returns the [`mistakes`](Self::mistakes) in a list that also takes parentheses.
    pub fn mistakes_of_items(
        &self,
        option: &str,
        items: &[Option<ListItem<'_>>],
    ) -> Vec<(Option<usize>, Mistake)> {
        let mut mistakes = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let Some(item) = item else { continue };
            let checked = match item {
                ListItem::Text(text) => (self.check)(text),
                ListItem::Group(name) => (self.check_group)(name),
            };
            if let Err(mistake) = checked {
                mistakes.push((Some(at), mistake));
            }
            let name = self.identity_of(*item);
            let mut earlier = items[..at].iter().flatten();
            if earlier.any(|other| self.identity_of(*other) == name) {
                let message = format!("`{name}` is listed twice in `{option}`");
                mistakes.push((Some(at), Mistake::new(message, "keep one of the two")));
            }
        }
        if let Some(max) = self.max.filter(|max| items.len() > *max) {
            let message = format!(
                "`{option}` has {} items, and Forge accepts at most {max}",
                items.len()
            );
            mistakes.push((None, Mistake::new(message, "remove some items")));
        }
        mistakes
    }

    fn identity_of<'a>(&self, item: ListItem<'a>) -> &'a str {
        match item {
            ListItem::Text(text) => (self.identity)(text),
            ListItem::Group(name) => name,
        }
    }
}

fn argument_name(text: &str) -> &str {
    text.trim_end_matches('?')
}

fn output_key(text: &str) -> &str {
    short_output(text).map_or(text, |(key, _)| key)
}

fn input_name(text: &str) -> &str {
    let name = text.split(':').next().unwrap_or_default();
    name.trim().trim_end_matches('?')
}

pub(crate) fn not_blank(text: &str) -> Result<(), Mistake> {
    if text.trim().is_empty() {
        Err(Mistake::new("this text is empty", "write a value"))
    } else if text.trim() != text {
        let help = format!("write \"{}\"", text.trim());
        Err(Mistake::new("this text starts or ends with spaces", help))
    } else {
        Ok(())
    }
}

/// Checks the key of a page's module.
///
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/>
fn page_key(key: &str) -> Result<(), Mistake> {
    if !key.is_empty() && key.chars().all(is_key_char) {
        return Ok(());
    }
    Err(Mistake::new(
        format!("`{key}` is not a valid key of a page's module"),
        "write the module's `key` from `modules` in the manifest",
    ))
}

fn property_path(text: &str) -> Result<(), Mistake> {
    if let Some(path) = text.strip_prefix("event.runtime.") {
        return Err(Mistake::new(
            "the path of a property starts with its entity; `event.runtime.` is only for filters",
            format!("write \"{path}\""),
        ));
    }
    not_blank(text)
}

fn conversation_starter(text: &str) -> Result<(), Mistake> {
    let length = text.chars().count();
    if length > 85 {
        return Err(Mistake::new(
            format!(
                "this conversation starter has {length} characters, and Forge accepts at most 85"
            ),
            "shorten it",
        ));
    }
    not_blank(text)
}

/// Reads `KEY=STATUS`, an output of a web trigger in its short form.
///
/// ```
/// use forge_remote_schema::lists::short_output;
///
/// assert_eq!(short_output("accepted=202"), Some(("accepted", 202)));
/// assert_eq!(short_output("accepted=teapot"), None);
/// ```
pub fn short_output(text: &str) -> Option<(&str, u16)> {
    let (key, status) = text.split_once('=')?;
    let (key, status) = (key.trim(), status.trim().parse().ok()?);
    (!key.is_empty() && (100..600).contains(&status)).then_some((key, status))
}

fn output(text: &str) -> Result<(), Mistake> {
    if let Some((key, _)) = short_output(text) {
        let length = key.chars().count();
        if length > 255 {
            return Err(Mistake::new(
                format!("this output's key has {length} characters, and Forge accepts at most 255"),
                "shorten it",
            ));
        }
        return Ok(());
    }
    let longer = text.split_once('=').and_then(|(key, rest)| {
        let (status, more) = rest.trim().split_once(' ')?;
        let head = format!("{}={status}", key.trim());
        let (key, status) = short_output(&head)?;
        Some(format!(
            "(key = {key:?}, status = {status}{})",
            rest_of_output(more)
        ))
    });
    Err(match longer {
        Some(group) => Mistake::new(
            format!("`{text}` has more than a key and a status"),
            format!("write its parts by name: `{group}`"),
        ),
        None => Mistake::new(
            format!("`{text}` is not a valid output of a web trigger"),
            "write `KEY=STATUS` such as \"accepted=202\", or all parts by name: `(key = \"accepted\", status = 202, content_type = \"text/plain\", body = \"Thanks\")`",
        ),
    })
}

/// Returns the content type with its parameters, and the body, that were probably meant.
fn rest_of_output(more: &str) -> String {
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

/// Checks an input: `NAME: TYPE - DESCRIPTION`, with `NAME?` for an optional one.
fn input(text: &str) -> Result<(), Mistake> {
    let help = "write `NAME: TYPE - DESCRIPTION`, with `NAME?` for an optional input, and a TYPE of string, integer, number or boolean: \"issueKey: string - The work item's key\"";
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
            if !values::ACTION_VALUE_TYPES.contains(&ty) {
                return Err(Mistake::new(format!("an input has no type `{ty}`"), help));
            }
            Ok(())
        }
        _ => Err(Mistake::new(
            format!("`{text}` is not a valid input of an action"),
            help,
        )),
    }
}

fn check_input_name(name: &str) -> Result<(), Mistake> {
    if name.is_empty() || !name.chars().all(is_key_char) {
        return Err(Mistake::new(
            format!(
                "`{name}` is not a valid name of an input: use only letters, digits, `_` and `-`"
            ),
            "write a name such as `issueKey`",
        ));
    }
    if name == "context" {
        return Err(Mistake::new(
            "an input cannot be named `context`: Forge sends the call's context under this name",
            "choose another name",
        ));
    }
    Ok(())
}

fn argument(text: &str) -> Result<(), Mistake> {
    let name = argument_name(text);
    if name.is_empty() || text.trim() != text {
        return Err(Mistake::new(
            format!("`{text}` is not a valid argument of a JQL function"),
            "write its name, with `?` at the end if it is optional: \"limit?\"",
        ));
    }
    let length = name.chars().count();
    if length > 255 {
        return Err(Mistake::new(
            format!("this argument's name has {length} characters, and Forge accepts at most 255"),
            "shorten it",
        ));
    }
    Ok(())
}
