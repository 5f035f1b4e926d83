//! What a handler requires of a token.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::fit::{AllowedModuleKey, EndpointTarget};
use crate::registry::Handler;

/// Returns the requirements on a token for a handler.
pub(super) fn target(handler: &Handler, keys: &Arc<BTreeSet<String>>) -> EndpointTarget {
    let kind = handler.registration().kind;
    let mut target = EndpointTarget::new(handler.endpoint(), kind.name(), kind.caller());
    target.module = handler.module_key().map(str::to_owned);
    target.former_keys = handler.former_keys().to_vec();
    target.named = if !kind.has_endpoint() {
        AllowedModuleKey::Anything
    } else if handler.registration().dynamic {
        AllowedModuleKey::OwnOrGenerated(Arc::clone(keys))
    } else if handler.module_key().is_some() {
        AllowedModuleKey::Own
    } else {
        AllowedModuleKey::OwnOrUnknown(Arc::clone(keys))
    };
    target.forwards_headers = kind.forwards_caller_headers();
    target.ends_installation = kind.ends_installation();
    target.pages = kind.pages().iter().map(|&page| page.to_owned()).collect();
    target
}
