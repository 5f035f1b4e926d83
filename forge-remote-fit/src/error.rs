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
        "there is no Authorization header, which Forge sends with each of its calls: this one is a plain `fetch` or `api.fetch` \
         of a function or a page (use `invokeRemote` or `requestRemote` there), a health check, or a stranger's"
    )]
    MissingHeader,
    #[error("there is more than one Authorization header")]
    RepeatedHeader,
    #[error("the Authorization header is not `Bearer` and one token")]
    NotBearer,
    #[error("the token is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    #[error("the token is not a JWS in compact form: {0}")]
    NotCompact(&'static str),
    #[error("the token's header is not acceptable: {0}")]
    BadHeader(&'static str),
    #[error("the token's algorithm is not RS256")]
    WrongAlgorithm,
    #[error("the token's header has no usable `kid`")]
    NoKid,
    #[error("the token's header has `{0}`, which a FIT never has")]
    ForbiddenHeader(&'static str),
    #[error("no published key has the token's `kid`")]
    UnknownKey,
    #[error("the signature is not by the key that the token names")]
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
    #[error("the audience is not this app: is the configured app id that of the deployed app?")]
    WrongAudience,
    #[error("`app.id` is not the audience")]
    WrongApp,
    #[error("`app.installationId` and `app.installation.id` differ")]
    InstallationMismatch,
    #[error("`app.installationId` is not an ARI of at most 512 printable ASCII characters")]
    BadInstallation,
    #[error("the token has expired")]
    Expired,
    #[error("the token lives longer than any FIT (is `exp` in milliseconds?)")]
    LivesTooLong,
    #[error("the token is not valid yet: is this machine's clock behind?")]
    NotYetValid,
    #[error("the token was issued in the future: is this machine's clock behind?")]
    IssuedInFuture,
    #[error("the token's environment is not one that this deployment accepts")]
    WrongEnvironment,
    #[error("the token names a user, but this endpoint is only called by the platform")]
    HasPrincipal,
    #[error("the token is for another endpoint (`app.module.key`)")]
    WrongEndpoint,
    #[error("the token comes from a module, not from the platform (`app.module.type`)")]
    WrongModuleType,
    #[error("the token's page is not in the handler's `pages` (`app.module.key`)")]
    WrongPage,
    #[error(
        "the installation belongs to another Atlassian cloud than the one that signed the token"
    )]
    OtherCloud,
    #[error("the token was used before")]
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
        "Atlassian's key set can't be fetched, so no token can be verified: can this machine reach \
         the key set's URL (see the log of the last fetch)?"
    )]
    NotFetched,
    /// The FIT names a key that is not in the set, and the set may not be fetched again yet.
    #[error(
        "the token's key is not in the key set, which was fetched for another unknown key within \
         `JwksPolicy::unknown_key_cooldown`; it is looked for again after that"
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
pub enum VerifyError {
    /// The FIT is rejected: 401, or 403 for [`TokenRejection::WrongPage`].
    #[error(transparent)]
    Rejected(#[from] TokenRejection),
    /// No key is available to verify the FIT, which may be valid: 503.
    #[error(transparent)]
    KeysUnavailable(#[from] KeysUnavailable),
}

/// Returns the causes of an error, as `: this: that`.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
