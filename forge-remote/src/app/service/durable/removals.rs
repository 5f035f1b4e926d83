//! The end of jobs whose installation was removed.

use std::sync::Arc;

use crate::jobs::{EngineError, JobEngine};
use crate::token::Tokens;

/// Makes the engine discard the jobs of each removed installation. The record of a removal, by which a run is
/// rejected, lasts 28 hours; a job may wait longer.
pub(in crate::app::service) fn end_removed_installations(
    tokens: &Tokens,
    engine: &Arc<dyn JobEngine>,
) {
    let engine = Arc::clone(engine);
    tokens.on_removed(move |installation_id| {
        let engine = Arc::clone(&engine);
        async move {
            let jobs = engine.end_installation(&installation_id).await?;
            if jobs > 0 {
                tracing::info!(
                    installation = installation_id,
                    jobs,
                    "the app was uninstalled: the jobs that waited have ended"
                );
            }
            Ok::<(), EngineError>(())
        }
    });
}
