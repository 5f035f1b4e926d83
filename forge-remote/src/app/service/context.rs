//! The state that all calls of a service share.

use std::sync::Arc;

#[cfg(feature = "dev")]
use super::cron::Schedules;
use crate::app::limits::Limits;
use crate::app::span_observer::OnSpan;
use crate::client::AtlassianClient;
use crate::extract::AppState;
use crate::fit::{Clock, Verifier};
use crate::log::LogLimits;
use crate::token::Tokens;
use crate::work::Work;

/// The state that all calls of a service share, whether they are run at once or stored first.
#[derive(Clone)]
pub(super) struct ServiceContext {
    pub(super) verifier: Arc<Verifier>,
    pub(super) state: AppState,
    pub(super) atlassian: AtlassianClient,
    pub(super) tokens: Option<Tokens>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: Limits,
    pub(super) work: Arc<Work>,
    pub(super) log_limits: LogLimits,
    pub(super) on_span: OnSpan,
    /// The hint at a FIT whose key is unknown.
    pub(super) unknown_key_hint: &'static str,
    #[cfg(feature = "dev")]
    pub(super) schedules: Schedules,
}
