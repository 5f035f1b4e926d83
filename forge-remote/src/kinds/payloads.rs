//! Every payload type, read from one body.

use super::*;
use crate::extract::{RetryContext, read_event};

/// Reads a body as every payload type, as the extractors do, and returns the types that reject it.
/// Returns `None` for a body that isn't JSON. For fuzzing.
#[doc(hidden)]
pub fn refusing_payloads(body: &[u8]) -> Option<Vec<(&'static str, serde_json::Error)>> {
    let mut refusing = Vec::new();
    macro_rules! read {
        ($($payload:ty),+ $(,)?) => {
            $( if let Err(error) = read_event::<$payload>(body) {
                refusing.push((stringify!($payload), error));
            } )+
        };
    }
    read!(
        ActionRequest,
        AgentRequest,
        IssueEvent,
        PageEvent,
        DesignRequest,
        JqlFunctionRequest,
        LifecycleEvent,
        MacrosRequest,
        MergeCheckRequest,
        PipelinesRequest,
        QueueEvent,
        ResidencyRequest,
        ScheduledEvent,
        SecurityRequest,
        PostFunctionRequest,
        UninstallEvent,
        WithProperties<IssueEvent>,
        WithProperties<PageEvent>,
    );
    // These return no error: they must not panic.
    let _ = RetryContext::of(body);
    let _ = AgentRequest::read(body);
    let _ = web_trigger::is_description(body);
    read_event::<serde_json::Value>(body).ok().map(|_| refusing)
}
