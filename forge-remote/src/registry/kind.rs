//! What a kind of invocation has to tell about itself.

use std::fmt;
use std::time::Duration;

use serde_yaml::Mapping;

use super::Handler;

/// A kind of invocation with a handler's options for it: the one place that knows its shape.
pub trait Kind: fmt::Debug + Send + Sync + 'static {
    /// The module type in `manifest.yml`, e.g. `scheduledTrigger`.
    fn name(&self) -> &'static str;

    /// Whether Forge ever makes this call with a user in session.
    fn has_user(&self) -> bool;

    /// The suffix of a generated module key; `None` for a kind without a module of its own.
    fn module_suffix(&self) -> Option<&'static str>;

    /// The modules in `manifest.yml` that point at the handler's endpoint.
    fn modules(&self, handler: &Handler) -> Vec<Module>;

    /// How often the platform calls by itself.
    fn interval(&self) -> Option<Duration> {
        None
    }

    /// The call as a local platform makes it.
    fn simulation(&self) -> Simulation;
}

/// One item of a module list in the manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// The list it belongs to, e.g. `scheduledTrigger`.
    pub module_type: &'static str,
    /// The item; its `key` comes first.
    pub item: Mapping,
}

/// What a simulated call of a kind carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulation {
    /// The FIT's `app.module.type`.
    pub module_type: &'static str,
    /// Whether a page makes the call: the FIT then has `context` and `principal`.
    pub from_page: bool,
    /// The body, unless the caller gives one.
    pub body: Option<serde_json::Value>,
    /// How long Forge waits for the answer.
    pub timeout: Duration,
}
