//! The data that the console shows.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use serde_json::{Value, json};

use super::error::ApiError;
use super::invoke::unknown_key;
use super::schedules::{Schedules, no_schedule};
use crate::app::Comparison;
use crate::jobs::JobInspector;
use crate::platform::{CallChanges, Change, Origin, PlatformClient, Record};

/// A running `dev`, as the console shows it.
pub(crate) struct Console {
    pub(crate) caller: Arc<PlatformClient>,
    pub(crate) schedules: Schedules,
    pub(crate) comparison: Comparison,
    pub(crate) inspector: Option<Arc<dyn JobInspector>>,
    pub(crate) platform_url: String,
    pub(crate) speed: u32,
    /// The file that filled the platform's APIs, as the app's tests read it.
    pub(crate) fixtures: Option<PathBuf>,
    pub(crate) started: SystemTime,
    /// Whether log lines are recorded: not if the app has set a subscriber.
    pub(crate) has_log: bool,
}

impl Console {
    /// Sends a call, and returns its id when it has ended.
    pub(super) async fn send(&self, name: &str, changes: CallChanges) -> Result<u64, ApiError> {
        let registry = self.caller.app.registry();
        let handler = registry.find_named(name, changes.method);
        let handler = handler.ok_or_else(|| ApiError::not_found(unknown_key(name, registry)))?;
        let (sample_call, changes) = self.caller.with_event(handler, changes);
        let (id, _) = self
            .caller
            .call(handler, sample_call, &changes, Origin::Console)
            .await;
        Ok(id)
    }

    /// Returns a recorded call.
    pub(super) fn find(&self, id: u64) -> Result<Record, ApiError> {
        let found = self.caller.journal.find(id);
        found.ok_or_else(|| ApiError::not_found(format!("call {id} is not among the last ones")))
    }

    /// Returns the inspector of the app's jobs.
    pub(super) fn inspector(&self) -> Result<&Arc<dyn JobInspector>, ApiError> {
        let inspector = self.inspector.as_ref();
        inspector.ok_or_else(|| ApiError::not_found("the app's engine does not show its jobs"))
    }

    /// Pauses or resumes a schedule, and announces it.
    pub(super) fn set_paused(&self, key: &str, is_paused: bool) -> Result<Json<Value>, ApiError> {
        if !self.schedules.pause(key, &self.caller.app, is_paused) {
            return Err(ApiError::not_found(no_schedule(key)));
        }
        self.caller.journal.announce(Change::Schedules);
        Ok(Json(json!({})))
    }
}
