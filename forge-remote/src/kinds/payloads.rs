//! Every payload type, for tests that read one body as each of them.

use serde_json::Value;

use super::agent_bodies::AgentRequest;
use super::web_trigger;
use crate::extract::{RetryContext, read_event};

/// Calls a macro with every payload that [`Event`](crate::Event) reads. Each accepts any JSON object.
macro_rules! for_each_payload {
    ($then:ident) => {
        $then!(
            $crate::kinds::ActionRequest,
            $crate::kinds::QueueEvent<Option<Value>>,
            $crate::kinds::WithProperties<$crate::kinds::IssueEvent>,
            $crate::kinds::WithProperties<$crate::kinds::PageEvent>,
            $crate::kinds::WithProperties<$crate::kinds::Rest>,
            // generated: the types of `payload!` that are whole payloads
            $crate::kinds::DesignRequest,
            $crate::kinds::IssueEvent,
            $crate::kinds::JqlFunctionRequest,
            $crate::kinds::LifecycleEvent,
            $crate::kinds::MacroRequest,
            $crate::kinds::MacrosRequest,
            $crate::kinds::MergeCheckRequest,
            $crate::kinds::PageEvent,
            $crate::kinds::PipelinesRequest,
            $crate::kinds::PostFunctionRequest,
            $crate::kinds::ResidencyRequest,
            $crate::kinds::ScheduledEvent,
            $crate::kinds::SecurityRequest,
            $crate::kinds::UninstallEvent,
            // end of the generated part
        )
    };
}

#[cfg(feature = "fuzzing")]
pub(super) use for_each_payload;

/// Reads a body as every payload type, as the extractors do, and returns the types that reject it.
/// Returns `None` for a body that isn't JSON. For fuzzing.
#[doc(hidden)]
pub fn rejecting_payloads(body: &[u8]) -> Option<Vec<(&'static str, serde_json::Error)>> {
    let mut rejecting = Vec::new();
    macro_rules! read {
        ($($payload:ty),+ $(,)?) => {
            $( if let Err(error) = read_event::<$payload>(body) {
                rejecting.push((stringify!($payload), error));
            } )+
        };
    }
    for_each_payload!(read);
    if let Err(error) = read_event::<AgentRequest>(body) {
        rejecting.push(("AgentRequest", error));
    }
    // These return no error: they must not panic.
    let _ = RetryContext::of(body);
    let _ = AgentRequest::read(body);
    let _ = web_trigger::is_description(body);
    read_event::<Value>(body).ok().map(|_| rejecting)
}
