//! Why a request was not let in: precise in the log, silent towards the caller.

use crate::fit::keys::KeysUnavailable;

/// Why a FIT was refused.
///
/// For the log only: the caller learns nothing but `401`, and `403` for [`WrongPage`](Self::WrongPage),
/// where the token itself is valid. No text here carries a token or a claim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum TokenRejection {
    #[error("there is no Authorization header")]
    MissingHeader,
    #[error("there is more than one Authorization header")]
    RepeatedHeader,
    #[error("the Authorization header is not `Bearer` and one token")]
    NotBearer,
    #[error("the token is longer than {} bytes", crate::fit::MAX_TOKEN_BYTES)]
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
    /// A short, stable name for metrics and searches.
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

/// What can come of verifying: the caller's fault (401) or ours (503).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The token is no good: 401.
    #[error(transparent)]
    Refused(#[from] TokenRejection),
    /// The keys can't be had, so nothing can be said about the token: 503.
    #[error(transparent)]
    KeysUnavailable(#[from] KeysUnavailable),
}
