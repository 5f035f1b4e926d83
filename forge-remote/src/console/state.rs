//! The data that the console shows.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::schedules::Schedules;
use crate::app::Comparison;
use crate::jobs::JobInspector;
use crate::platform::PlatformClient;

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
