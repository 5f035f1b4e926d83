//! The structure of a manifest: the properties and values that Atlassian's validation accepts, in the
//! parts that a remote depends on.
//!
//! The tables restate the schema of npm @forge/manifest 13.7.0 in this crate's notation. They are stricter than
//! Atlassian's schema in two places: an endpoint's item and its `auth` have no further properties, because a misspelled
//! one has no effect. Mistakes that another rule reports, such as the length of keys and an empty list of events, are
//! left out.

mod addresses;
mod document;
mod modules;
#[cfg(test)]
mod option_tests;
pub(crate) mod parts;
pub(crate) mod shape;

pub use addresses::{ANY_ADDRESS, has_path};
pub use document::{DOCUMENT, root_sections};
pub use modules::{is_module_type, module, module_types, required_of_page};
pub use parts::RESOLVER;
pub use shape::{
    ListShape, MappingShape, NamesShape, NumberRange, Property, Shape, TextForm, TextShape,
};
