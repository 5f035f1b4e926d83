//! The headers of a call that carry tokens.

use http::{HeaderMap, HeaderName, header};

/// The header of a system token.
pub const SYSTEM_HEADER: HeaderName = HeaderName::from_static("x-forge-oauth-system");
/// The header of a user token.
pub const USER_HEADER: HeaderName = HeaderName::from_static("x-forge-oauth-user");

/// The headers that carry tokens.
static SECRETS: [HeaderName; 3] = [header::AUTHORIZATION, SYSTEM_HEADER, USER_HEADER];

/// Marks tokens as sensitive, so that `Debug` of the headers leaves them out.
pub fn hide_secrets(headers: &mut HeaderMap) {
    for (name, value) in headers {
        if SECRETS.contains(name) {
            value.set_sensitive(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn every_value_of_a_header_with_tokens_is_hidden_and_no_other() {
        let names = [
            header::AUTHORIZATION,
            header::HOST,
            SYSTEM_HEADER,
            USER_HEADER,
        ];
        let mut headers = HeaderMap::new();
        for name in &names {
            for value in ["one", "two", "three"] {
                headers.append(name, HeaderValue::from_static(value));
            }
        }
        hide_secrets(&mut headers);
        for (name, value) in &headers {
            assert_eq!(value.is_sensitive(), name != header::HOST, "{name}");
        }
    }
}
