//! The settings of stored tokens.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::store::TokenStore;
use crate::fit::{Clock, Environment, SystemClock};

/// Lower bound on the expiry margin: a token must still be valid when its call arrives.
pub(super) const MIN_MARGIN: Duration = Duration::from_secs(10);

pub(super) struct TokenSettings {
    pub(super) store: Arc<dyn TokenStore>,
    pub(super) keys: Option<Zeroizing<String>>,
    pub(super) margin: Duration,
    pub(super) limit: usize,
    pub(super) accept_from_pages: bool,
    pub(super) accept_from_functions: bool,
    /// The time between a removal and its callbacks.
    pub(super) removal_delay: Option<Duration>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) environments: Option<Vec<Environment>>,
    /// The setting that was changed after the store was opened.
    pub(super) too_late: Option<&'static str>,
}

impl TokenSettings {
    pub(super) fn new(store: Arc<dyn TokenStore>) -> Self {
        Self {
            store,
            keys: None,
            margin: Duration::from_secs(60),
            limit: 20_000,
            accept_from_pages: false,
            accept_from_functions: false,
            removal_delay: None,
            clock: Arc::new(SystemClock::default()),
            environments: None,
            too_late: None,
        }
    }
}
