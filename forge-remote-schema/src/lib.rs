#![doc = include_str!("../README.md")]

mod atlassian;
pub mod built_in;
pub mod events;
mod kind;
pub mod kinds;
pub mod lists;
pub mod names;
mod nearest;
pub mod options;
pub mod pages;
pub mod rules;
pub mod scopes;

pub use kind::{Caller, KindSpec, Place, Routes};
pub use nearest::nearest;

/// A rule that a text breaks: what is wrong, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl Mistake {
    /// A mistake with its fix.
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }
}

/// The names in back-ticks, joined in words: `` `a`, `b` or `c` ``.
///
/// ```
/// assert_eq!(forge_remote_schema::one_of(["a", "b", "c"]), "`a`, `b` or `c`");
/// ```
pub fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}

/// `did you mean …?` where a known name is close.
///
/// ```
/// assert_eq!(
///     forge_remote_schema::did_you_mean("scope", ["auth", "scopes"]).as_deref(),
///     Some("did you mean `scopes`?"),
/// );
/// ```
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, known).map(|near| format!("did you mean `{near}`?"))
}
