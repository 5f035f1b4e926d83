//! The properties of a manifest's item that the code owns.

/// The properties of an item that the code owns. An edit preserves all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnedProperties {
    /// Every property.
    All,
    /// These properties, each with its whole value.
    Only(&'static [&'static str]),
    /// These properties, and of each the properties that are listed for it.
    Parts(&'static [(&'static str, OwnedProperties)]),
    /// The properties that the code's item has.
    Present,
}
