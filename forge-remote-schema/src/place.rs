//! Places in a manifest.

/// The path of a property in a module's item.
pub type Place = &'static [&'static str];
