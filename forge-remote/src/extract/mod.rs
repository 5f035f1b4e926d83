//! The arguments of handlers: the verified invocation, its tokens, the app's state, the body.

mod backend;
mod body;
mod event;
mod invocation;
mod job_call;
mod json;
mod oauth;
pub mod rejection;
mod state;

pub(crate) use body::whole_body;
pub(crate) use event::read_event;
pub use event::{Event, RetentionWindow, RetryContext};
pub use invocation::Invocation;
pub(crate) use invocation::{
    CallFacts, CalledByFormerPath, PlatformBody, Subpath, Trace, Verified,
};
pub use job_call::{Args, JobCall};
pub(crate) use job_call::{JobInstallation, StoredArgs};
pub use json::Json;
pub(crate) use oauth::{StoredCall, is_in_store};
pub(crate) use state::StateMap;
pub use state::{AppState, State};
