//! The handlers of an app: the linked ones, and the ones that it adds by name.

use super::builder::App;
use crate::registry::{Registered, Registry};

impl Default for App {
    fn default() -> Self {
        Self::new()
    }
}

impl App {
    /// Creates an app of every annotated function that is linked into the binary; see
    /// [`link!`](crate::link) for functions in other crates.
    pub fn new() -> Self {
        Self::with_registry(Registry::linked()).with_clock()
    }

    /// Creates an app without handlers: [`handler`](Self::handler) adds them one by one. Use it in
    /// tests, and on targets without support for linker-collected handlers.
    pub fn empty() -> Self {
        Self::with_registry(Registry::default())
    }

    /// Adds one handler or [`job`](macro@crate::job) by name:
    /// `.handler(forge_remote::handler!(refresh_index))`. Adding it again has no effect.
    pub fn handler(mut self, registration: impl Into<Registered>) -> Self {
        self.registry.add(registration.into());
        self.set_clock();
        self.set_token_handlers();
        self
    }

    /// Returns the app's handlers.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    fn with_clock(mut self) -> Self {
        self.set_clock();
        self
    }
}
