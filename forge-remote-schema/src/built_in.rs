//! Handlers that the framework adds to an app itself, without an annotated function.

/// One builder method of `App` that adds handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// The method of `App`.
    pub method: &'static str,
    /// The endpoint keys of its handlers.
    pub endpoints: &'static [&'static str],
}

/// Brings a new system token once an hour.
pub const TOKENS_HOURLY: &str = "tokens-hourly";
/// Brings an installation's first system token.
pub const TOKENS_LIFE: &str = "tokens-life";
/// Removes an uninstalled installation's system token.
pub const TOKENS_GOODBYE: &str = "tokens-goodbye";

/// Every builder method that adds handlers.
pub const BUILT_IN: &[BuiltIn] = &[BuiltIn {
    method: "keep_tokens_fresh",
    endpoints: &[TOKENS_HOURLY, TOKENS_LIFE, TOKENS_GOODBYE],
}];
