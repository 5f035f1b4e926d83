//! OAuth tokens and their owners.

mod headers;
mod owner;
mod tokens;

pub(crate) use headers::{SYSTEM_HEADER, USER_HEADER, new_system_token, one_token, token_text};
pub(crate) use owner::{Owner, RestoredFor, Unproven, VerifiedCall};
pub(crate) use tokens::expires_at;
#[cfg(feature = "cli")]
pub(crate) use tokens::issued_at;
pub use tokens::{SystemToken, UserToken};
