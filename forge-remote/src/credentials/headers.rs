//! The headers with the OAuth tokens of a call.

use axum::http::{HeaderMap, HeaderName};

pub(crate) use forge_remote_fit::__private::headers::{SYSTEM_HEADER, USER_HEADER};

/// Upper bound on a header's value, in bytes; longer values are rejected. An OAuth token has about
/// 2 KB.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Returns the one token in a header: `Some(None)` where the header is missing, `None` where it does
/// not hold exactly one token.
pub(crate) fn one_token<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Some(None);
    };
    let text = token_text(value.as_bytes())?;
    values.next().is_none().then_some(Some(text))
}

/// Returns the value as text, if it is one token: visible ASCII, without a comma.
pub(crate) fn token_text(value: &[u8]) -> Option<&str> {
    if value.is_empty() || value.len() > MAX_TOKEN_BYTES {
        return None;
    }
    // Without an early exit, the compiler checks many bytes at once.
    let is_token = value.iter().fold(true, |so_far, byte| {
        so_far & byte.is_ascii_graphic() & (*byte != b',')
    });
    is_token
        .then_some(value)
        .and_then(|value| std::str::from_utf8(value).ok())
}

/// Returns the request's system token, if it has exactly one. Also returns `None` if its bytes are
/// `known`, as most are: then they need no validation.
pub(crate) fn new_system_token(
    headers: &HeaderMap,
    known: impl FnOnce(&[u8]) -> bool,
) -> Option<&str> {
    let token = headers.get(SYSTEM_HEADER)?;
    if known(token.as_bytes()) {
        return None;
    }
    one_token(headers, &SYSTEM_HEADER)?
}
