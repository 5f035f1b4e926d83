//! The errors of outgoing calls.

mod client_error;
mod graphql;
mod operation;
pub(super) mod status;
mod text;

pub use client_error::ClientError;
pub use graphql::GraphQlError;
pub use operation::Operation;
pub use status::{RateLimit, StatusError};
pub(super) use text::plain;
