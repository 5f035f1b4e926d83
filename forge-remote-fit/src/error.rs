//! The reasons of rejections: detailed in the log, hidden from the caller.

/// Upper bound on a FIT's length, in bytes; longer ones are rejected. A FIT has about 2 KB, more with a large page
/// context.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// Why a FIT was rejected.
///
/// The reason is for the log only. The caller gets a 401, or a 403 for [`WrongPage`](Self::WrongPage), where
/// the FIT itself is valid. No message contains a FIT or a claim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum TokenRejection {
    #[error(
        "the request has no Authorization header, so it is not a call by Forge: a function or page may call the \
         remote with `fetch` or `api.fetch` (use `invokeRemote` or `requestRemote`), or it is a health check or \
         another client"
    )]
    MissingHeader,
    #[error("there is more than one Authorization header")]
    RepeatedHeader,
    #[error("the Authorization header is not `Bearer` and one token")]
    NotBearer,
    #[error("the FIT is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    #[error("the FIT is not a JWS in compact form: {0}")]
    NotCompact(&'static str),
    #[error("the FIT's header is not acceptable: {0}")]
    BadHeader(&'static str),
    #[error("the FIT's algorithm is not RS256")]
    WrongAlgorithm,
    #[error("the FIT's header has no usable `kid`")]
    NoKid,
    #[error("the FIT's header has `{0}`, which a FIT never has")]
    ForbiddenHeader(&'static str),
    #[error("no published key has the FIT's `kid`")]
    UnknownKey,
    #[error("the signature does not match the key that `kid` names")]
    BadSignature,
    #[error("the claims are not acceptable JSON ({category} at column {column})")]
    BadClaims {
        category: &'static str,
        column: usize,
    },
    #[error("the claim `{0}` is missing")]
    MissingClaim(&'static str),
    #[error("the issuer is not `forge/invocation-token`")]
    WrongIssuer,
    #[error("the audience is not this app: check that the configured app id is the deployed app's")]
    WrongAudience,
    #[error("`app.id` is not the audience")]
    WrongApp,
    #[error("`app.installationId` and `app.installation.id` differ")]
    InstallationMismatch,
    #[error("`app.installationId` is not an ARI of at most 512 printable ASCII characters")]
    BadInstallation,
    #[error("the FIT has expired")]
    Expired,
    #[error("the FIT expires more than an hour from now: check that `exp` is in seconds")]
    LivesTooLong,
    #[error("the FIT is not valid yet: check this machine's clock")]
    NotYetValid,
    #[error("the FIT was issued in the future: check this machine's clock")]
    IssuedInFuture,
    #[error("the deployment does not accept the FIT's environment")]
    WrongEnvironment,
    #[error("the FIT names a user (`principal`), but only the platform may call this endpoint")]
    HasPrincipal,
    #[error("the FIT is for another endpoint (`app.module.key`)")]
    WrongEndpoint,
    #[error("`app.module.type` names a module, but only the platform may call this endpoint")]
    WrongModuleType,
    #[error("the FIT's page is not in the handler's `pages` (`app.module.key`)")]
    WrongPage,
    #[error("the installation does not belong to the Atlassian cloud that signed the FIT")]
    OtherCloud,
    #[error("the FIT was used before")]
    Replayed,
}

impl TokenRejection {
    /// Returns a short, stable name for metrics and searches.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingHeader => "missing_header",
            Self::RepeatedHeader => "repeated_header",
            Self::NotBearer => "not_bearer",
            Self::TooLong => "too_long",
            Self::NotCompact(_) => "not_compact",
            Self::BadHeader(_) => "bad_header",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::NoKid => "no_kid",
            Self::ForbiddenHeader(_) => "forbidden_header",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::BadClaims { .. } => "bad_claims",
            Self::MissingClaim(_) => "missing_claim",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::WrongApp => "wrong_app",
            Self::InstallationMismatch => "installation_mismatch",
            Self::BadInstallation => "bad_installation",
            Self::Expired => "expired",
            Self::LivesTooLong => "lives_too_long",
            Self::NotYetValid => "not_yet_valid",
            Self::IssuedInFuture => "issued_in_future",
            Self::WrongEnvironment => "wrong_environment",
            Self::HasPrincipal => "has_principal",
            Self::WrongEndpoint => "wrong_endpoint",
            Self::WrongModuleType => "wrong_module_type",
            Self::WrongPage => "wrong_page",
            Self::OtherCloud => "other_cloud",
            Self::Replayed => "replayed",
        }
    }
}

/// Why no key was available to verify a FIT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysUnavailable {
    /// There is no key set that can be trusted, or the last fetch failed.
    #[default]
    #[error(
        "Atlassian's key set cannot be fetched, so no FIT can be verified: check that this machine \
         can reach the key set's URL; the last fetch's error is in the log"
    )]
    NotFetched,
    /// The FIT names a key that is not in the set, and the set may not be fetched again yet.
    #[error(
        "the FIT's key is not in the key set, and the set may not be fetched again before \
         `JwksPolicy::unknown_key_cooldown` has passed"
    )]
    Cooldown,
}

impl KeysUnavailable {
    /// Returns a short, stable name for metrics and searches.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFetched => "keys_unavailable",
            Self::Cooldown => "unknown_key_cooldown",
        }
    }
}

/// Why a request could not be verified: its FIT was rejected (401 or 403), or no key was available (503).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The FIT is rejected: 401, or 403 for [`TokenRejection::WrongPage`].
    #[error(transparent)]
    Rejected(#[from] TokenRejection),
    /// No key is available to verify the FIT, which may be valid: 503.
    #[error(transparent)]
    KeysUnavailable(#[from] KeysUnavailable),
}

/// Returns an error with its causes, as `it: this: that`.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    format!("{error}{}", chain(error))
}

/// Returns the causes of an error, as `: this: that`.
pub fn chain(error: &dyn std::error::Error) -> String {
    causes(error).map(|cause| format!(": {cause}")).collect()
}

/// Returns the texts of an error's causes, without a cause that the text above repeats: some libraries write it in the
/// text of their error as well.
pub fn causes(error: &dyn std::error::Error) -> impl Iterator<Item = String> {
    let mut above = error.to_string();
    let mut cause = error.source();
    std::iter::from_fn(move || {
        loop {
            let current = cause?;
            cause = current.source();
            let text = current.to_string();
            let is_repeated = above.ends_with(&text);
            above.clone_from(&text);
            if !is_repeated {
                return Some(text);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error whose text has its cause's, as sqlx's has.
    #[derive(Debug, thiserror::Error)]
    #[error("the database failed: {0}")]
    struct Repeating(#[source] std::io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("the jobs cannot be read")]
    struct Above(#[source] Repeating);

    #[test]
    fn a_cause_is_written_once() {
        let error = Above(Repeating(std::io::Error::other("connection refused")));
        assert_eq!(
            with_causes(&error),
            "the jobs cannot be read: the database failed: connection refused"
        );
    }
}
