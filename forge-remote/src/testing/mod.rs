//! The test kit (feature `testing`): a local platform in the test process, whose calls pass the same
//! verification as in production.
//!
//! ```
//! use forge_remote::prelude::*;
//! use forge_remote::testing::Harness;
//!
//! #[scheduled_trigger(interval = "hour", auth = system)]
//! async fn refresh_index(token: SystemToken) -> Result<()> {
//!     assert!(!token.expose_secret().is_empty());
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let app = App::empty()
//!     .handler(forge_remote::handler!(refresh_index))
//!     .remote(Remote::new("backend").base_url("https://backend.example.com"));
//! let harness = Harness::new(app)?;
//!
//! let response = harness.call("refresh-index").send().await;
//! assert_eq!(response.status(), 200);
//!
//! // Every claim can be changed: another app's token is rejected.
//! let call = harness.call("refresh-index").fit(|fit| fit.set("/aud", "another".into()));
//! assert_eq!(call.send().await.status(), 401);
//! # Ok(())
//! # }
//! ```

mod call;
mod clock;
mod harness;
mod response;

pub use crate::platform::{
    ApiCall, ApiRequest, ApiResponse, AttackError, Call, FakeApis, Fit, FixtureError, Platform,
    PlatformError, SentTokens,
};

#[cfg(feature = "conformance")]
pub use crate::conformance::ConformanceError;
#[cfg(feature = "conformance")]
pub use crate::jobs::{job_engine_conformance, job_engine_conformance_in_parallel};
#[cfg(feature = "conformance")]
pub use crate::token::store::token_store_conformance;

pub use call::HarnessCall;
pub use clock::TestClock;
pub use harness::{Harness, TEST_APP_ID};
pub use response::TestResponse;

/// Lets the local platforms of this process sign with a key whose private half is published, instead of a new one. For
/// programs that a test starts by the dozen: generating a key takes longer than most commands.
#[cfg(feature = "_published_key")]
#[doc(hidden)]
pub fn __sign_with_published_key() {
    if let Some(keys) = forge_remote_attacks::Keys::published_for_tests() {
        crate::platform::sign_with(keys.first);
    }
}
