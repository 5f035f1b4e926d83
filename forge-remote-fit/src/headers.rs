//! The headers of a call that carry tokens.

use http::{HeaderMap, HeaderName, header};

/// The header of a system token.
pub const SYSTEM_HEADER: HeaderName = HeaderName::from_static("x-forge-oauth-system");
/// The header of a user token.
pub const USER_HEADER: HeaderName = HeaderName::from_static("x-forge-oauth-user");

/// Marks tokens as sensitive, so that `Debug` of the headers leaves them out.
pub fn hide_secrets(headers: &mut HeaderMap) {
    for name in [header::AUTHORIZATION, SYSTEM_HEADER, USER_HEADER] {
        if let header::Entry::Occupied(mut entry) = headers.entry(name) {
            entry.iter_mut().for_each(|value| value.set_sensitive(true));
        }
    }
}
