//! The options of attributes: names, shapes, and the rules for single values.
//!
//! The documentation of an option is that of the runtime's field of the same name, in
//! `forge_remote::kinds`: the macros emit one field for each option, so the two cannot differ.

use crate::lists::ListRules;
use crate::place::Place;
use crate::{Mistake, cron, events, lists, rules};

/// The options of every attribute.
pub const COMMON: [&str; 10] = [
    "auth",
    "key",
    "path",
    "remote",
    "scopes",
    "body_limit",
    "also_at",
    "also_key",
    "long_key",
    "crate",
];

/// The options of every attribute that describe the handler's own endpoint. A handler without one cannot have them, such
/// as one with `cron`: Forge calls the app's clock endpoint.
pub const OF_ENDPOINT: [&str; 6] = [
    "endpoint",
    "path",
    "remote",
    "also_at",
    "body_limit",
    "long_key",
];

/// A set of options that make one value of the runtime.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct OptionSet {
    /// The runtime's type in `forge_remote::kinds`, or one of its variants: its fields are the
    /// options, by name.
    pub runtime: &'static str,
    /// The options. A value without a name is assumed to be for the first.
    pub options: &'static [OptionSpec],
    /// Further options, which the runtime has as a separate type in a field of this name.
    pub nested: Option<(&'static str, &'static OptionSet)>,
    /// A rule about several of the options.
    pub combination: Combination,
}

/// A rule about several options of a set, which the macros check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combination {
    /// All combinations are allowed.
    Any,
    /// A trigger has events, in one of two forms.
    TriggerEvents,
    /// Each of a trigger's `filtered_events` has one event, and a filter.
    FilteredEvent,
    /// A schedule has an interval or a cron expression.
    Schedule,
}

impl Combination {
    /// Returns the options of which one must be written, the usual one first. A kind that
    /// [may be dynamic](crate::KindSpec::may_be_dynamic) needs none of them with `dynamic`.
    ///
    /// ```
    /// use forge_remote_schema::options::Combination;
    ///
    /// assert_eq!(Combination::Schedule.alternatives(), ["interval", "cron"]);
    /// ```
    pub const fn alternatives(self) -> &'static [&'static str] {
        match self {
            Self::Any => &[],
            Self::TriggerEvents => &["events", "unknown_events", "filtered_events"],
            Self::FilteredEvent => &["event", "unknown_event"],
            Self::Schedule => &["interval", "cron"],
        }
    }
}

impl OptionSet {
    pub(crate) const fn of(runtime: &'static str, options: &'static [OptionSpec]) -> Self {
        Self {
            runtime,
            options,
            nested: None,
            combination: Combination::Any,
        }
    }

    /// Returns the names of all options, including nested ones.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let nested = self.nested.map_or(&[][..], |(_, set)| set.options);
        self.options.iter().chain(nested).map(|option| option.name)
    }

    /// Returns the option that a value without a name is assumed to be for.
    pub fn first(self) -> &'static str {
        self.names().next().unwrap_or("key")
    }
}

/// One option.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct OptionSpec {
    /// The name, in the attribute and in the runtime.
    pub name: &'static str,
    /// The values that the option takes.
    pub shape: ValueShape,
    /// Whether it can be left out.
    pub presence: Presence,
    /// A valid value, for messages.
    pub example: &'static str,
    /// The place of the value in the module's item in the manifest; empty for an option that the item
    /// does not have as a separate property. Options with the same place share its list.
    pub place: Place,
    /// The form of the value there.
    pub form: Form,
    /// Whether the property may be set by hand in the manifest: an update preserves it if the option is absent.
    pub or_by_hand: bool,
    /// The option without which this one has no effect.
    pub needs: Option<&'static str>,
    /// The option that this one cannot be combined with.
    pub excludes: Option<&'static str>,
}

/// The form in which a module's item in the manifest has the value of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The same text, flag, number or list; a group is a mapping.
    Same,
    /// This text, if the flag is set; otherwise no property.
    Text(&'static str),
    /// The inverse: `false` or absent if the flag is set, `true` otherwise.
    Negated,
    /// A list of `name` and `required`, for texts that end with `?` if they are optional.
    Arguments,
    /// A mapping with the groups by their `name`.
    ByName,
}

/// Whether an option can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The option must be written.
    Required,
    /// The option can be left out.
    Optional,
    /// The option can be left out if the function has a doc comment, whose first paragraph is used.
    OrDocs,
    /// The option can be left out. The first paragraph of the function's doc comment is used, if it has one.
    DocsOrNone,
}

/// The values of an option, and the type of the runtime's field.
#[derive(Clone, Copy, Debug)]
pub enum ValueShape {
    /// `name = "text"`: `&str`, or `Option<&str>` if it is optional.
    Text {
        /// The limit, in characters.
        max: usize,
        /// The rule for the text.
        rule: TextRule,
    },
    /// `name`, `name = true` or `name = false`: `bool`.
    Flag,
    /// `name = 1.5`: `Option<HalfHours>`.
    HalfHours {
        /// The limit, in half hours.
        max: u32,
    },
    /// `name = ["text", …]`: `&[&str]`.
    Texts(&'static ListRules),
    /// `name = "one of these"`: `&str`, or `Option<&str>` if it is optional.
    Choice(&'static [&'static str]),
    /// `name = ["of", "these"]`: `&[&str]`.
    Choices(&'static [&'static str]),
    /// A `Choice` for which the runtime has an enum.
    Variant(&'static Variants),
    /// `name = 200`, an HTTP status: `u16`.
    Status,
    /// `name = [(option = …, …), …]`: `&[Type]`.
    Groups(&'static OptionSet),
    /// `name = ["text", (option = …, …), …]`: `&[Type]`, with a variant `Short` for texts.
    Entries {
        /// The rules of the list.
        list: &'static ListRules,
        /// The options in parentheses.
        group: &'static OptionSet,
        /// The option in parentheses that identifies an item.
        identity: &'static str,
    },
}

/// A choice that is an enum in the runtime.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Variants {
    /// The enum.
    pub runtime: &'static str,
    /// Each text with its variant.
    pub values: &'static [(&'static str, &'static str)],
    /// Common synonyms, in lower case without `-` and `_`, with the text that they mean.
    pub synonyms: &'static [(&'static str, &'static str)],
    /// A remark after the list of values, in messages.
    pub remark: &'static str,
}

/// The rule for a single text, in addition to its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextRule {
    /// Any text that is not blank.
    Any,
    /// The name of a known event.
    Event,
    /// The name of an event that this version does not know.
    UnknownEvent,
    /// An `http` or `https` URL.
    Url,
    /// A media type.
    ContentType,
    /// Letters, digits, `_` and `-`.
    QueueName,
    /// A cron expression of five fields.
    Cron,
    /// A name of the IANA time zone database.
    TimeZone,
    /// A time such as `10m`, between these bounds.
    Time(&'static str, &'static str),
}

impl OptionSpec {
    const fn new(name: &'static str, shape: ValueShape, example: &'static str) -> Self {
        Self {
            name,
            shape,
            presence: Presence::Optional,
            example,
            place: &[],
            form: Form::Same,
            or_by_hand: false,
            needs: None,
            excludes: None,
        }
    }

    pub(crate) const fn text(name: &'static str, max: usize, example: &'static str) -> Self {
        let rule = TextRule::Any;
        Self::new(name, ValueShape::Text { max, rule }, example).required()
    }

    pub(crate) const fn flag(name: &'static str) -> Self {
        Self::new(name, ValueShape::Flag, "true")
    }

    pub(crate) const fn texts(
        name: &'static str,
        list: &'static ListRules,
        example: &'static str,
    ) -> Self {
        Self::new(name, ValueShape::Texts(list), example)
    }

    pub(crate) const fn choice(
        name: &'static str,
        values: &'static [&'static str],
        example: &'static str,
    ) -> Self {
        Self::new(name, ValueShape::Choice(values), example)
    }

    pub(crate) const fn choices(
        name: &'static str,
        values: &'static [&'static str],
        example: &'static str,
    ) -> Self {
        Self::new(name, ValueShape::Choices(values), example)
    }

    pub(crate) const fn shaped(
        name: &'static str,
        shape: ValueShape,
        example: &'static str,
    ) -> Self {
        Self::new(name, shape, example)
    }

    pub(crate) const fn required(mut self) -> Self {
        self.presence = Presence::Required;
        self
    }

    pub(crate) const fn optional(mut self) -> Self {
        self.presence = Presence::Optional;
        self
    }

    pub(crate) const fn or_docs(mut self) -> Self {
        self.presence = Presence::OrDocs;
        self
    }

    pub(crate) const fn docs_or_none(mut self) -> Self {
        self.presence = Presence::DocsOrNone;
        self
    }

    pub(crate) const fn rule(mut self, rule: TextRule) -> Self {
        if let ValueShape::Text { max, .. } = self.shape {
            self.shape = ValueShape::Text { max, rule };
        }
        self
    }

    pub(crate) const fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    pub(crate) const fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    pub(crate) const fn or_by_hand(mut self) -> Self {
        self.or_by_hand = true;
        self
    }

    pub(crate) const fn needs(mut self, option: &'static str) -> Self {
        self.needs = Some(option);
        self
    }

    pub(crate) const fn excludes(mut self, option: &'static str) -> Self {
        self.excludes = Some(option);
        self
    }

    /// Checks a text against the option's limit and rule.
    ///
    /// # Errors
    ///
    /// A text that is blank, too long, or breaks the rule; texts of other shapes pass.
    pub fn check_text(&self, text: &str) -> Result<(), Mistake> {
        let ValueShape::Text { max, rule } = self.shape else {
            return Ok(());
        };
        let Self { name, example, .. } = self;
        let instead = format!("write `{name} = {example}`");
        let length = text.chars().count();
        if text.trim().is_empty() {
            return Err(Mistake::new(format!("`{name}` is empty"), instead));
        }
        if length > max {
            return Err(Mistake::new(
                format!("`{name}` has {length} characters, and Forge accepts at most {max}"),
                "shorten it",
            ));
        }
        match rule {
            TextRule::Any => Ok(()),
            TextRule::UnknownEvent => lists::not_blank(text),
            TextRule::Event => events::check(text).map_err(|mistake| {
                // The help is for a list of events, but this option takes one.
                let list = format!("unknown_events = [\"{text}\"]");
                let help = mistake
                    .help
                    .replace(&list, &format!("unknown_event = \"{text}\""));
                Mistake::new(mistake.message, help)
            }),
            TextRule::Url if text.starts_with("https://") || text.starts_with("http://") => Ok(()),
            TextRule::Url => Err(Mistake::new(format!("`{name}` is not a URL"), instead)),
            TextRule::ContentType if text.contains('/') => Ok(()),
            TextRule::ContentType => Err(Mistake::new(
                format!("`{text}` is not a content type"),
                format!("{instead}, or leave it out"),
            )),
            TextRule::QueueName if text.chars().all(rules::is_key_char) => Ok(()),
            TextRule::QueueName => Err(Mistake::new(
                format!("`{name}` has characters other than letters, digits, `_` and `-`"),
                instead,
            )),
            TextRule::Cron => cron::check_expression(text),
            TextRule::TimeZone => cron::check_zone(text),
            TextRule::Time(min, max) => cron::check_time(name, text, (min, max)).map(drop),
        }
    }
}
