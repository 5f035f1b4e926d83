//! A handler without its types, and what its arguments require.

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

use crate::extract::AppState;
use crate::fit::BoxFuture;

/// A handler with its types erased, called with the verified request and the app's state.
pub trait ErasedHandler: Send + Sync + 'static {
    /// Returns the function's type, which is unique.
    fn function(&self) -> TypeId;

    /// Returns the arguments' requirements.
    fn needs(&self) -> &[Requirement];

    /// Returns the function's path: `crate::module::function`.
    fn path(&self) -> &'static str;

    /// Extracts the arguments and calls the function.
    fn call(
        self: Arc<Self>,
        request: axum::extract::Request,
        state: AppState,
    ) -> BoxFuture<axum::response::Response>;
}

impl fmt::Debug for dyn ErasedHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ErasedHandler")
    }
}

/// A requirement of an argument's type.
#[derive(Clone, Copy, Debug)]
pub enum Requirement {
    /// A `SystemToken`: the handler must request it.
    SystemToken,
    /// An `Option<SystemToken>`, or a `Result`: the handler must request it, and runs without it.
    OptionalSystemToken,
    /// A `UserToken`: the handler must request it, and the kind must have users.
    UserToken,
    /// A `RetryContext`: the body is read ahead.
    RetryContext,
    /// A `State<T>`: the app must hold a `T`.
    State {
        /// The type's identity.
        id: fn() -> TypeId,
        /// The type's name, for the message.
        name: fn() -> &'static str,
    },
    /// The stored tokens: the app must have a store for them.
    Tokens,
    /// An `Attempt`: the handler must be durable.
    Attempt,
    /// `Jobs` or `AppJobs`: the app must have an engine for them.
    Jobs,
    /// An `Occurrence`: the handler must have a cron schedule.
    Occurrence,
}
