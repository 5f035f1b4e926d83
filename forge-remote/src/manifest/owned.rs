//! The properties of a manifest's item that the code decides.

/// The properties of an item that the code decides. The others are the user's, and an edit leaves
/// them alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnedProperties {
    /// Every property.
    All,
    /// These properties, each with its whole value.
    Named(&'static [&'static str]),
    /// These properties, and of each the properties that are listed for it.
    Parts(&'static [(&'static str, OwnedProperties)]),
    /// The properties that the code's item has.
    Present,
}
