//! Which properties of a manifest's item the code decides.

/// The properties of an item that the code decides. The others are the user's, and an edit leaves
/// them alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnedProperties {
    /// Every property.
    All,
    /// These properties, each with all that is in it.
    Named(&'static [&'static str]),
    /// These properties, and of each the properties that are listed for it.
    Parts(&'static [(&'static str, OwnedProperties)]),
    /// The properties that the wanted item has.
    Present,
}

impl OwnedProperties {
    /// Returns whether a property is the code's even where the code wants it absent.
    pub(crate) fn has(self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(&name),
            Self::Parts(parts) => parts.iter().any(|(part, _)| *part == name),
            Self::Present => false,
        }
    }

    /// Returns which properties inside a property are the code's.
    pub(crate) fn inside(self, name: &str) -> Self {
        match self {
            Self::Parts(parts) => {
                let found = parts.iter().find(|(part, _)| *part == name);
                found.map_or(Self::All, |(_, inside)| *inside)
            }
            _ => Self::All,
        }
    }
}
