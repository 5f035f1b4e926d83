//! The attributes and what each makes of a handler: one line a kind, as the macros and the runtime
//! have it. A test of the workspace (`tests/tests/stale_build.rs`) holds the three together.

/// One attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kind {
    /// Its name.
    pub attribute: &'static str,
    /// The type of its module, and what ends the module's default key; `None` for a kind that has
    /// an endpoint alone.
    pub module: Option<(&'static str, &'static str)>,
    /// Options with a string, each with the module's property that says the same.
    pub properties: &'static [(&'static str, &'static str)],
}

const fn kind(attribute: &'static str) -> Kind {
    Kind {
        attribute,
        module: None,
        properties: &[],
    }
}

/// All of them.
pub const KINDS: &[Kind] = &[
    kind("endpoint"),
    Kind {
        module: Some(("scheduledTrigger", "trigger")),
        properties: &[("interval", "interval")],
        ..kind("scheduled_trigger")
    },
];
