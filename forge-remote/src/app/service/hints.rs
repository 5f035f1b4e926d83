//! Hints at the causes of rejections, for the log.

use crate::fit::{KeysUnavailable, TokenRejection, VerifyError};

/// The hint at a FIT whose key is unknown, unless a local platform calls the app.
pub(crate) const UNKNOWN_KEY: &str = "it may be signed by a local platform (`dev`), or by another Atlassian cloud: see \
    `App::staging_cloud` and `App::isolated_cloud`";

/// Returns the hint at a rejection that does not depend on the called handler.
pub(super) fn at_rejection(error: &VerifyError, unknown_key: &'static str) -> Option<&'static str> {
    use TokenRejection::{Expired, IssuedInFuture, LivesTooLong, NotYetValid, UnknownKey};
    match error {
        VerifyError::Rejected(UnknownKey)
        | VerifyError::KeysUnavailable(KeysUnavailable::Cooldown) => Some(unknown_key),
        VerifyError::Rejected(Expired | LivesTooLong | NotYetValid | IssuedInFuture) => {
            Some("the command `doctor` compares this machine's clock with Atlassian's")
        }
        _ => None,
    }
}
