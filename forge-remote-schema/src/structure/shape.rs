//! The shapes of nodes, and short forms that make them.

use super::addresses::{is_address, is_script_source};

/// The values that a node of the manifest accepts.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Any value: the tables do not describe it.
    Any,
    /// `true` or `false`.
    Flag,
    /// A number.
    Number(NumberRange),
    /// A text.
    Text(TextShape),
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A list.
    List(ListShape),
    /// A mapping with known properties.
    Mapping(&'static MappingShape),
    /// A mapping whose author chooses the names.
    Names(NamesShape),
    /// Alternative shapes. The one of the value's type applies; if several are mappings, the first one whose required
    /// properties the value has.
    Either(&'static [Shape]),
}

/// The range of a number.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct NumberRange {
    /// The smallest number.
    pub min: f64,
    /// The largest number.
    pub max: f64,
    /// The difference between two allowed numbers; 0 for any.
    pub step: f64,
}

/// The length and characters of a text.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TextShape {
    /// The smallest number of characters.
    pub min: usize,
    /// The largest number of characters.
    pub max: usize,
    /// The form of the text.
    pub form: TextForm,
}

/// The form of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextForm {
    /// Any characters.
    Any,
    /// Letters, digits, `_` and `-`.
    Key,
    /// The characters of a key and `.`.
    DottedKey,
    /// The characters of a key and `:`.
    ActionType,
    /// A resource's key, or `RESOURCE/ENTRY`.
    ResourceReference,
    /// The name of an environment variable.
    Variable,
    /// Lower case letters, digits and `-`, from a letter to a letter or digit.
    Service,
    /// Lower case letters and `-`.
    Domain,
    /// An `http` or `https` URL.
    Url,
    /// A key of a translation: keys joined by dots.
    Translation,
    /// An address of `permissions.external`.
    Address,
    /// A source of `permissions.content.scripts`.
    ScriptSource,
}

/// The items of a list.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ListShape {
    /// Each item.
    pub item: &'static Shape,
    /// The smallest number of items.
    pub min: usize,
    /// The largest number of items.
    pub max: usize,
    /// Whether two items must differ.
    pub unique: bool,
    /// Whether all items have the type of the first.
    pub uniform: bool,
}

/// The names and values of a mapping whose author chooses the names.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct NamesShape {
    /// Each value.
    pub value: &'static Shape,
    /// The largest number of names.
    pub max: usize,
}

/// The properties of a mapping.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MappingShape {
    /// The known properties.
    pub properties: &'static [Property],
    /// Whether further properties are accepted.
    pub open: bool,
    /// Groups of properties. A mapping has exactly one property of each group.
    pub exactly_one: &'static [&'static [&'static str]],
    /// Properties of which a mapping has at least one; empty for no such rule.
    pub at_least_one: &'static [&'static str],
}

/// A property of a mapping.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Property {
    /// The name.
    pub name: &'static str,
    /// The values.
    pub shape: Shape,
    /// Whether it must be present.
    pub required: bool,
}

impl MappingShape {
    pub(crate) const EMPTY: Self = Self {
        properties: &[],
        open: false,
        exactly_one: &[],
        at_least_one: &[],
    };

    /// Returns the property of this name.
    ///
    /// ```
    /// use forge_remote_schema::structure;
    ///
    /// let trigger = structure::module("scheduledTrigger").ok_or("unknown")?;
    /// assert!(trigger.property("interval").is_some_and(|one| one.required));
    /// # Ok::<(), &str>(())
    /// ```
    pub fn property(&self, name: &str) -> Option<&'static Property> {
        self.properties.iter().find(|one| one.name == name)
    }

    /// Returns the names of the properties.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.properties.iter().map(|one| one.name)
    }
}

impl Shape {
    /// Returns the shape in words, for "expected …".
    pub fn describe(&self) -> String {
        match self {
            Self::Any => "a value".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Number(_) => "a number".to_owned(),
            Self::Text(_) => "a text".to_owned(),
            Self::Choice(values) => crate::one_of(values.iter().copied()),
            Self::List(_) => "a list".to_owned(),
            Self::Mapping(shape) => {
                let required: Vec<&str> = shape
                    .properties
                    .iter()
                    .filter(|one| one.required)
                    .map(|one| one.name)
                    .collect();
                if required.is_empty() {
                    "a mapping".to_owned()
                } else {
                    format!("a mapping with `{}`", required.join("`, `"))
                }
            }
            Self::Names(_) => "a mapping".to_owned(),
            Self::Either(shapes) => {
                let shapes: Vec<String> = shapes.iter().map(Self::describe).collect();
                shapes.join(" or ")
            }
        }
    }
}

impl TextForm {
    /// Returns whether a text has this form.
    ///
    /// ```
    /// use forge_remote_schema::structure::TextForm;
    ///
    /// assert!(TextForm::Service.accepts("search-index"));
    /// assert!(!TextForm::Service.accepts("search_index"));
    /// ```
    pub fn accepts(self, text: &str) -> bool {
        use crate::rules::is_key_char;
        match self {
            Self::Any => true,
            Self::Key => text.chars().all(is_key_char),
            Self::DottedKey => text.chars().all(|c| is_key_char(c) || c == '.'),
            Self::ActionType => text.chars().all(|c| is_key_char(c) || c == ':'),
            Self::ResourceReference => {
                let mut parts = text.split('/');
                let count = text.matches('/').count();
                count <= 1
                    && parts
                        .all(|part| (1..=23).contains(&part.len()) && part.chars().all(is_key_char))
            }
            Self::Variable => {
                !text.starts_with(|c: char| c.is_ascii_digit())
                    && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            }
            Self::Service => {
                let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                text.starts_with(|c: char| c.is_ascii_lowercase())
                    && !text.ends_with('-')
                    && text.chars().all(inner)
            }
            Self::Domain => text.chars().all(|c| c.is_ascii_lowercase() || c == '-'),
            Self::Url => text.starts_with("https://") || text.starts_with("http://"),
            Self::Translation => text
                .split('.')
                .all(|part| !part.is_empty() && part.chars().all(is_key_char)),
            Self::Address => is_address(text),
            Self::ScriptSource => is_script_source(text),
        }
    }

    /// Returns the form in words, for "it has only …" and the like.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Any => "a text",
            Self::Key => "letters, digits, `_` and `-`",
            Self::DottedKey => "letters, digits, `_`, `-` and `.`",
            Self::ActionType => "letters, digits, `_`, `-` and `:`",
            Self::ResourceReference => "a resource's key, or `RESOURCE/ENTRY`",
            Self::Variable => "letters, digits and `_`, not starting with a digit",
            Self::Service => "lower case letters, digits and `-`, starting with a letter",
            Self::Domain => "lower case letters and `-`",
            Self::Url => "a URL with `https://` or `http://`",
            Self::Translation => "keys of a translation, joined by dots",
            Self::Address => {
                "a host, or a URL with `https://` or `wss://`; `*.` may stand before the host"
            }
            Self::ScriptSource => {
                "`unsafe-eval`, `unsafe-hashes`, `unsafe-inline`, `blob:`, and hashes such as `sha256-…`"
            }
        }
    }
}

pub(crate) const fn required(name: &'static str, shape: Shape) -> Property {
    Property {
        name,
        shape,
        required: true,
    }
}

pub(crate) const fn optional(name: &'static str, shape: Shape) -> Property {
    Property {
        name,
        shape,
        required: false,
    }
}

pub(crate) const fn text(min: usize, max: usize, form: TextForm) -> Shape {
    Shape::Text(TextShape { min, max, form })
}

pub(crate) const fn list(item: &'static Shape, min: usize, max: usize) -> Shape {
    Shape::List(ListShape {
        item,
        min,
        max,
        unique: false,
        uniform: false,
    })
}

pub(crate) const fn set(item: &'static Shape, min: usize, max: usize) -> Shape {
    Shape::List(ListShape {
        item,
        min,
        max,
        unique: true,
        uniform: false,
    })
}

pub(crate) const fn names(value: &'static Shape, max: usize) -> Shape {
    Shape::Names(NamesShape { value, max })
}

/// Any number.
pub(crate) const ANY_NUMBER: NumberRange = NumberRange {
    min: f64::MIN,
    max: f64::MAX,
    step: 0.0,
};

/// No limit in Atlassian's schema.
pub(crate) const UNLIMITED: usize = usize::MAX;
pub(crate) const TEXT: Shape = text(0, UNLIMITED, TextForm::Any);
/// A key. Another rule reports its length.
pub(crate) const KEY: Shape = text(1, UNLIMITED, TextForm::Key);

/// A token that an endpoint or a remote requests.
const TOKEN: Shape = Shape::Mapping(&MappingShape {
    properties: &[required("enabled", Shape::Flag)],
    ..MappingShape::EMPTY
});

/// The tokens of an endpoint or a remote.
pub(crate) const AUTH: Shape = Shape::Mapping(&MappingShape {
    properties: &[
        optional("appSystemToken", TOKEN),
        optional("appUserToken", TOKEN),
    ],
    ..MappingShape::EMPTY
});
