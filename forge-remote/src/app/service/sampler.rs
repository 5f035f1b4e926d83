//! The task that records ages and queues, which change without a call.

use std::sync::Arc;
use std::time::Duration;

use super::last_calls::LastCalls;
use crate::error::chain;
use crate::fit::{Clock, KeyRing, Verifier};
use crate::jobs::JobEngine;
use crate::log::{LogLimits, Permit};
use crate::telemetry::gauges::{JobGauges, TokenWrites};
use crate::telemetry::record;
use crate::token::Tokens;

/// The pause between two samples.
const PAUSE: Duration = Duration::from_secs(15);
/// The rest of a token's life that an hourly call does not let it reach: Forge delivers tokens with at least 2 hours.
/// Source: <https://developer.atlassian.com/platform/forge/remote/calling-product-apis/>
const EXPIRES_SOON: Duration = Duration::from_secs(30 * 60);
/// How long the engine may take to count its jobs.
const COUNT_TIMEOUT: Duration = Duration::from_secs(10);

/// Records the state of an app's keys, tokens, jobs and schedules.
pub(super) struct Sampler {
    pub(super) verifier: Arc<Verifier>,
    pub(super) tokens: Option<Tokens>,
    pub(super) engine: Option<Arc<dyn JobEngine>>,
    pub(super) last_calls: LastCalls,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) log_limits: LogLimits,
}

impl Sampler {
    /// Records the state until the task is dropped.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            self.record_keys(self.verifier.keys());
            self.record_tokens().await;
            self.last_calls.record();
            self.record_jobs().await;
            self.clock.sleep(PAUSE).await;
        }
    }

    fn record_keys(&self, keys: &KeyRing) {
        let named = [
            ("commercial", Some(&keys.commercial)),
            ("staging", keys.staging.as_ref()),
        ];
        let isolated = keys.isolated.iter();
        let isolated = isolated.map(|(label, keys)| (label.as_str(), Some(keys)));
        for (cloud, keys) in named.into_iter().chain(isolated) {
            if let Some(keys) = keys {
                let stats = keys.stats();
                record::key_set(cloud, stats.age, stats.fetched, stats.failed);
            }
        }
    }

    async fn record_tokens(&self) {
        let Some(tokens) = &self.tokens else {
            return;
        };
        let stats = tokens.stats();
        // A store that is down is logged, and counted as a failed call.
        let expiring = tokens.expiring_within(EXPIRES_SOON).await;
        record::token_writes(&TokenWrites {
            written: stats.written,
            failed: stats.store_failures,
            dropped: stats.dropped,
            pending: stats.pending,
        });
        match expiring {
            Ok(Some(expiring)) => record::tokens_expiring(Some(expiring)),
            Ok(None) => {}
            Err(_) => record::tokens_expiring(None),
        }
    }

    async fn record_jobs(&self) {
        let Some(engine) = &self.engine else {
            return;
        };
        let counted = tokio::time::timeout(COUNT_TIMEOUT, engine.counts()).await;
        let reason = match counted {
            Ok(Ok(None)) => return,
            Ok(Ok(Some(counts))) => {
                let now = self.clock.now();
                let age = |due| now.duration_since(due).unwrap_or_default();
                return record::jobs(Some(JobGauges {
                    pending: counts.pending,
                    dead: counts.dead,
                    oldest_age: counts.oldest_due.map_or(Duration::ZERO, age),
                }));
            }
            Ok(Err(error)) => format!("{error}{}", chain(&error)),
            Err(_) => format!("no response within {COUNT_TIMEOUT:?}"),
        };
        record::jobs(None);
        if let Some(Permit { suppressed }) = self.log_limits.permit("jobs_not_counted") {
            let engine = engine.name();
            tracing::warn!(
                engine,
                reason,
                suppressed,
                "the stored jobs cannot be counted for metrics"
            );
        }
    }
}
