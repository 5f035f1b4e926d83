//! Options of an attribute as Rust.

use std::fmt::Write as _;

/// The width of a line.
pub(super) const WIDTH: usize = 100;

/// One option of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) value: Literal,
}

/// The value of an option.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    /// No value: the option's name alone.
    Flag,
    /// A string.
    Text(String),
    /// A number or a word, as it is written.
    Word(String),
    /// A list in brackets.
    List(Vec<Literal>),
    /// Options in parentheses.
    Group(Vec<Setting>),
}

impl Setting {
    pub(super) fn new(name: &'static str, value: Literal) -> Self {
        Self { name, value }
    }

    pub(super) fn text(name: &'static str, text: &str) -> Self {
        Self::new(name, Literal::Text(text.to_owned()))
    }

    /// Returns the option as Rust. Lines after the first are indented by `indent`.
    pub(super) fn rust(&self, indent: usize) -> String {
        match &self.value {
            Literal::Flag => self.name.to_owned(),
            value => {
                let before = self.name.len() + " = ".len();
                format!("{} = {}", self.name, value.rust(indent, before))
            }
        }
    }
}

impl Literal {
    /// Returns the value as Rust, on one line if it fits after `before` characters.
    fn rust(&self, indent: usize, before: usize) -> String {
        let line = self.one_line();
        let fits = indent + before + line.len() < WIDTH;
        match self {
            Self::List(items) if !fits => {
                let items = items.iter().map(|item| item.rust(indent + 4, 0));
                lines("[", items, "]", indent)
            }
            Self::Group(settings) if !fits => {
                let settings = settings.iter().map(|one| one.rust(indent + 4));
                lines("(", settings, ")", indent)
            }
            _ => line,
        }
    }

    fn one_line(&self) -> String {
        match self {
            Self::Flag => "true".to_owned(),
            Self::Text(text) => string(text),
            Self::Word(word) => word.clone(),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::one_line).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Group(settings) => {
                let settings = settings.iter().map(|one| match &one.value {
                    Self::Flag => one.name.to_owned(),
                    value => format!("{} = {}", one.name, value.one_line()),
                });
                let settings: Vec<String> = settings.collect();
                format!("({})", settings.join(", "))
            }
        }
    }
}

/// Returns items in delimiters, each on a separate line.
fn lines(open: &str, items: impl Iterator<Item = String>, close: &str, indent: usize) -> String {
    let mut text = format!("{open}\n");
    for item in items {
        let _ = writeln!(text, "{:width$}{item},", "", width = indent + 4);
    }
    let _ = write!(text, "{:indent$}{close}", "");
    text
}

/// Returns a text as a string literal.
pub(super) fn string(text: &str) -> String {
    format!("{text:?}")
}

/// Returns an attribute with its options, in the layout of rustfmt.
pub(super) fn attribute(name: &str, settings: &[Setting]) -> String {
    /// rustfmt's `attr_fn_like_width`.
    const MAX_ARGUMENTS: usize = 70;
    if settings.is_empty() {
        return format!("#[{name}]\n");
    }
    let line = Literal::Group(settings.to_vec()).one_line();
    // The parentheses do not count.
    if line.len() - 2 <= MAX_ARGUMENTS {
        return format!("#[{name}{line}]\n");
    }
    let settings: Vec<String> = settings.iter().map(|one| one.rust(4)).collect();
    format!("#[{name}(\n    {}\n)]\n", settings.join(",\n    "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_and_groups_are_broken() {
        let text = |text: &str| Literal::Text(text.to_owned());
        let group = |length| {
            let filter = Setting::text("filter", &"x".repeat(length));
            Literal::Group(vec![filter, Setting::new("ignore_self", Literal::Flag)])
        };
        let short = Setting::new("list", Literal::List(vec![text("a\"b"), group(3)]));
        assert_eq!(
            attribute("trigger", std::slice::from_ref(&short)),
            "#[trigger(list = [\"a\\\"b\", (filter = \"xxx\", ignore_self)])]\n"
        );
        let long = Setting::new("list", Literal::List(vec![text("a"), group(90)]));
        let x = "x".repeat(90);
        assert_eq!(
            attribute("trigger", &[long, Setting::text("key", "b")]),
            format!(
                "#[trigger(\n    list = [\n        \"a\",\n        (\n            filter = \"{x}\",\n            \
                 ignore_self,\n        ),\n    ],\n    key = \"b\"\n)]\n"
            )
        );
    }
}
