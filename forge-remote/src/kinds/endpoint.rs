//! A bare endpoint: what a page's `invokeRemote` or `requestRemote` calls.

use std::time::Duration;

use crate::fit::Caller;
use crate::registry::{Handler, Kind, Module, Simulation};

/// `#[endpoint]`: its options are all in the record itself.
///
/// The module that points at it (`resolver.endpoint`) is a UI module and hand-written.
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/endpoint/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint;

impl Kind for Endpoint {
    fn name(&self) -> &'static str {
        "endpoint"
    }

    fn caller(&self) -> Caller {
        Caller::Page
    }

    fn module_suffix(&self) -> Option<&'static str> {
        None
    }

    fn modules(&self, _: &Handler) -> Vec<Module> {
        Vec::new()
    }

    fn simulation(&self) -> Simulation {
        Simulation {
            module_type: "xen:macro",
            body: None,
            timeout: Duration::from_secs(25),
        }
    }
}
