//! Handlers that the framework adds to an app, without an annotated function.

/// A builder method of `App` that adds handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuiltIn {
    /// The method of `App`.
    pub method: &'static str,
    /// The endpoint keys of the handlers that it always adds.
    pub endpoints: &'static [&'static str],
    /// The endpoint keys of the handlers that it adds unless the app has its own.
    pub optional: &'static [&'static str],
}

/// The endpoint that receives a new system token once an hour.
pub const TOKENS_HOURLY: &str = "tokens-hourly";
/// The endpoint that receives an installation's first system token.
pub const TOKENS_LIFE: &str = "tokens-life";
/// The endpoint that removes an uninstalled installation's system token.
pub const TOKENS_GOODBYE: &str = "tokens-goodbye";

/// The endpoint that is called for all handlers with `cron`.
pub const CRON_CLOCK: &str = "cron-clock";

/// Every builder method that adds handlers.
pub const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        method: "keep_tokens_fresh",
        endpoints: &[TOKENS_HOURLY, TOKENS_LIFE, TOKENS_GOODBYE],
        optional: &[],
    },
    BuiltIn {
        method: "keep_tokens_fresh_by",
        endpoints: &[],
        optional: &[TOKENS_LIFE, TOKENS_GOODBYE],
    },
];
