//! A local Forge platform for `dev` and tests. It signs with its own key, so that the app verifies
//! tokens as it does in production.

mod apis;
mod call;
mod fit;
mod local;
mod local_app;
mod oauth;

pub(crate) use apis::router;
pub use apis::{ApiCall, ApiRequest, ApiResponse, FakeApis, FixtureError};
pub(crate) use call::has_body;
pub use call::{Call, SentTokens};
pub use fit::Fit;
pub(crate) use local::random_hex;
pub use local::{Platform, PlatformError};
pub(crate) use local_app::RULES;
