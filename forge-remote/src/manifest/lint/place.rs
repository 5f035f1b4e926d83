//! The places of nodes, and their names in messages.

use std::fmt;

use crate::manifest::tree::Node;

/// A node with its place: the node to point at, and the name in messages.
pub(super) struct Place<'a> {
    /// The node to point at if the value itself is wrong: a property's name or an item's key.
    pub(super) at: &'a Node,
    pub(super) name: Name<'a>,
}

/// The name of a place in messages. It is written for a finding only: a large manifest has thousands of
/// places.
pub(super) enum Name<'a> {
    Document,
    Module {
        module_type: &'a str,
        key: Option<&'a str>,
    },
    Property {
        of: &'a Name<'a>,
        name: &'a str,
    },
    Item {
        of: &'a Name<'a>,
        key: Option<&'a str>,
    },
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document => f.write_str("the manifest"),
            Self::Module {
                module_type,
                key: Some(key),
            } => write!(f, "{module_type} `{key}`"),
            Self::Module { module_type, .. } => write!(f, "this {module_type}"),
            Self::Property {
                of: Self::Document,
                name,
            } => write!(f, "`{name}`"),
            Self::Property { of, name } => write!(f, "`{name}` of {of}"),
            Self::Item { of, key: Some(key) } => write!(f, "`{key}` in {of}"),
            Self::Item { of, .. } => write!(f, "an item of {of}"),
        }
    }
}

/// Returns the place of a property.
pub(super) fn below<'a>(place: &'a Place<'_>, key: &'a Node) -> Place<'a> {
    Place {
        at: key,
        name: Name::Property {
            of: &place.name,
            name: key.scalar().unwrap_or_default(),
        },
    }
}
