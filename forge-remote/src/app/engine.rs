//! The engine of durable handlers.

use std::sync::Arc;

use crate::jobs::JobEngine;

/// The engine of durable handlers, and where it was given.
pub(crate) struct JobsSetting {
    pub(crate) engine: Arc<dyn JobEngine>,
    pub(crate) place: &'static std::panic::Location<'static>,
}
