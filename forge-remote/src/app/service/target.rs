//! The requirements of a handler on a FIT.

use std::collections::BTreeSet;
use std::sync::Arc;

use forge_remote_schema::built_in::CRON_CLOCK;

use crate::app::builder::App;
use crate::fit::{AllowedModuleKey, EndpointTarget};
use crate::registry::Handler;

/// The keys that decide which FITs a handler accepts.
pub(super) struct KnownKeys {
    /// The keys of all handlers and of other services.
    all: Arc<BTreeSet<String>>,
    of_others: BTreeSet<String>,
    /// The keys that the FIT of a function's call cannot have: all of these, and those of the manifest's endpoints.
    not_functions: Arc<BTreeSet<String>>,
    /// Whether Forge generates the keys of some handlers' modules.
    has_generated: bool,
}

impl KnownKeys {
    pub(super) fn of(app: &App) -> Self {
        let of_others = app.keys_of_others();
        let mut all = app.registry.keys();
        // Other services serve these: a handler with a hand-written module does not accept their calls.
        all.extend(of_others.iter().cloned());
        let in_manifest = app.keys_of_endpoints();
        let not_functions = all.iter().cloned().chain(in_manifest).collect();
        let mut handlers = app.registry.handlers().iter();
        Self {
            all: Arc::new(all),
            of_others,
            not_functions: Arc::new(not_functions),
            has_generated: handlers.any(|one| one.registration().dynamic),
        }
    }
}

/// Returns the requirements on a FIT for a handler.
pub(super) fn target(handler: &Handler, keys: &KnownKeys) -> EndpointTarget {
    let kind = handler.registration().kind;
    // A handler with `cron` has no endpoint: a local platform names its key.
    let endpoint = match handler.is_cron() {
        true => handler.key(),
        false => handler.endpoint(),
    };
    let mut target = EndpointTarget::new(endpoint, kind.module_type(), kind.caller());
    target.module = handler.module_key().map(str::to_owned);
    target.former_keys = handler.former_keys().to_vec();
    // A key that was generated from a former one may be another service's.
    let written = handler.registration().also_key;
    let is_ours = |key: &str| written.contains(&key) || !keys.of_others.contains(key);
    target.former_keys.retain(|key| is_ours(key));
    target.module_keys = if kind.spec().is_called_by_functions() {
        match keys.has_generated {
            true => AllowedModuleKey::NotOfNorGenerated(Arc::clone(&keys.not_functions)),
            false => AllowedModuleKey::NotOf(Arc::clone(&keys.not_functions)),
        }
    } else if !kind.has_endpoint() {
        AllowedModuleKey::Any
    } else if handler.registration().dynamic {
        AllowedModuleKey::OwnOrGenerated(Arc::clone(&keys.all))
    } else if handler.has_hand_written_module() {
        AllowedModuleKey::OwnOrUnknown(Arc::clone(&keys.all))
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
pub(super) fn stored_target(handler: &Handler, keys: &KnownKeys) -> EndpointTarget {
    let mut target = target(handler, keys);
    if handler.is_cron() {
        target.former_keys.push(CRON_CLOCK.to_owned());
    }
    target
}
