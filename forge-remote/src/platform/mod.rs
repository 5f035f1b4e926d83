//! A local Forge platform for `dev` and tests. It signs with its own key, so that the app verifies
//! tokens as it does in production.

mod apis;
#[cfg(feature = "testing")]
mod attack;
mod call;
mod caller;
mod changes;
mod fit;
mod forgery;
mod journal;
mod local;
mod local_app;
mod oauth;
mod outcome;
mod run;
mod signing_key;

pub(crate) use apis::router;
pub use apis::{ApiCall, ApiRequest, ApiResponse, FakeApis, FixtureError};
#[cfg(feature = "testing")]
pub use attack::AttackError;
#[cfg(feature = "testing")]
pub(crate) use attack::attack;
pub use call::{Call, SentTokens};
pub(crate) use call::{FUNCTION_KEY, has_body};
pub(crate) use caller::PlatformClient;
pub(crate) use changes::{CallChanges, RetryNumber};
pub use fit::Fit;
pub(crate) use forgery::Forgery;
pub(crate) use journal::{Change, Journal, LogLine, Origin, OutgoingCall, Record, Sent};
pub use local::Platform;
pub(crate) use local::random_hex;
pub(crate) use local_app::RULES;
pub(crate) use outcome::{CallVerdict, Columns, NOTE_INDENT, Outcome};
pub(crate) use run::Run;
pub use signing_key::PlatformError;
#[cfg(feature = "_published_key")]
pub(crate) use signing_key::sign_with;
