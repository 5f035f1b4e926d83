//! The requirements of a handler on a FIT.

use std::collections::BTreeSet;
use std::sync::Arc;

use forge_remote_schema::built_in::CRON_CLOCK;

use crate::fit::{AllowedModuleKey, EndpointTarget};
use crate::registry::Handler;

/// Returns the requirements on a FIT for a handler.
pub(super) fn target(handler: &Handler, keys: &Arc<BTreeSet<String>>) -> EndpointTarget {
    let kind = handler.registration().kind;
    // A handler with `cron` has no endpoint: a local platform names its key.
    let endpoint = match handler.is_cron() {
        true => handler.key(),
        false => handler.endpoint(),
    };
    let mut target = EndpointTarget::new(endpoint, kind.module_type(), kind.caller());
    target.module = handler.module_key().map(str::to_owned);
    target.former_keys = handler.former_keys().to_vec();
    target.module_keys = if !kind.has_endpoint() {
        AllowedModuleKey::Any
    } else if handler.registration().dynamic {
        AllowedModuleKey::OwnOrGenerated(Arc::clone(keys))
    } else if handler.has_hand_written_module() {
        AllowedModuleKey::OwnOrUnknown(Arc::clone(keys))
    } else {
        AllowedModuleKey::Own
    };
    target.forwards_headers = kind.forwards_caller_headers();
    target.ends_installation = kind.ends_installation();
    target.pages = kind.pages().iter().map(|&page| page.to_owned()).collect();
    target
}

/// Returns the requirements on the claims of a stored call: an occurrence of a schedule has those of the
/// clock's call.
pub(super) fn stored_target(handler: &Handler, keys: &Arc<BTreeSet<String>>) -> EndpointTarget {
    let mut target = target(handler, keys);
    if handler.is_cron() {
        target.former_keys.push(CRON_CLOCK.to_owned());
    }
    target
}
