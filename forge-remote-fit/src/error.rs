//! The reasons of rejections: detailed in the log, hidden from the caller.

/// Upper bound on a FIT's length, in bytes; longer ones are rejected. A FIT has about 2 KB, more with a large page
/// context.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// Defines the codes of an error's variants and, in a list, the explanation of each.
macro_rules! codes {
    ($error:ident, $list:ident: $($variant:pat => $code:literal, $explanation:literal;)*) => {
        impl $error {
            /// Returns a short, stable name for metrics and searches.
            pub fn code(&self) -> &'static str {
                match self {
                    $($variant => $code,)*
                }
            }
        }

        /// The codes, each with its explanation.
        pub const $list: &[(&str, &str)] = &[$(($code, $explanation)),*];
    };
}

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
    #[error(
        "there is more than one Authorization header: a proxy adds one; configure it to pass Forge's through unchanged"
    )]
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
    #[error(
        "the FIT has expired: if every call is rejected for this, this machine's clock is ahead"
    )]
    Expired,
    #[error(
        "the FIT expires more than an hour from now: check this machine's clock, and that a signer of your own writes \
         `exp` in seconds"
    )]
    LivesTooLong,
    #[error("the FIT is not valid yet: check this machine's clock")]
    NotYetValid,
    #[error("the FIT was issued in the future: check this machine's clock")]
    IssuedInFuture,
    #[error("the deployment does not accept the FIT's environment")]
    WrongEnvironment,
    #[error(
        "the FIT names a user (`principal`), but only the platform or a function may call this handler"
    )]
    HasPrincipal,
    #[error("the FIT is for another endpoint (`app.module.key`)")]
    WrongEndpoint,
    #[error(
        "`app.module.type` names a module, but only the platform or a function may call this handler"
    )]
    WrongModuleType,
    #[error("the FIT's page is not in the handler's `pages` (`app.module.key`)")]
    WrongPage,
    #[error("the installation does not belong to the Atlassian cloud that signed the FIT")]
    OtherCloud,
    #[error("the FIT was used before")]
    Replayed,
}

impl TokenRejection {
    /// Returns whether the FIT is valid and its page may not call the handler: the response is 403, not 401.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::WrongPage)
    }
}

codes! { TokenRejection, REJECTION_CODES:
    Self::MissingHeader => "missing_header",
        "The request has no `Authorization` header: it is not a call by Forge, or a proxy removes the header.";
    Self::RepeatedHeader => "repeated_header",
        "There is more than one `Authorization` header. A proxy adds one: configure it to pass Forge's through unchanged.";
    Self::NotBearer => "not_bearer",
        "The `Authorization` header is not `Bearer` and one token: another client sent it, or a proxy changes it.";
    Self::TooLong => "too_long",
        "The token has more than 64 KiB, which no FIT has.";
    Self::NotCompact(_) => "not_compact",
        "The token is not three parts of base64url, so it is not a FIT, or it was truncated on the way.";
    Self::BadHeader(_) => "bad_header",
        "The token's header is not acceptable JSON, so it is not a FIT.";
    Self::WrongAlgorithm => "wrong_algorithm",
        "The token's header names an algorithm other than RS256, which every FIT has.";
    Self::NoKid => "no_kid",
        "The token's header has no usable `kid`, which names the key of a FIT.";
    Self::ForbiddenHeader(_) => "forbidden_header",
        "The token's header contains a key or an extension, which no FIT has.";
    Self::UnknownKey => "unknown_key",
        "No published key has the FIT's `kid`. It is forged, or signed by another Atlassian cloud or a local platform \
         (`dev`): compare the configured clouds with the installation's.";
    Self::BadSignature => "bad_signature",
        "Another key than the one that `kid` names signed the FIT, or the FIT was changed.";
    Self::BadClaims { .. } => "bad_claims",
        "The claims are not acceptable JSON. The log line has the kind of mistake and its column.";
    Self::MissingClaim(_) => "missing_claim",
        "The claims lack one that every FIT has. The log line names it.";
    Self::WrongIssuer => "wrong_issuer",
        "The token's issuer is not `forge/invocation-token`, so it is not a FIT.";
    Self::WrongAudience => "wrong_audience",
        "The FIT is for another app: compare the configured app id with the `app.id` of the deployed manifest.";
    Self::WrongApp => "wrong_app",
        "The FIT's audience is this app, and its claim `app.id` names another one.";
    Self::InstallationMismatch => "installation_mismatch",
        "The FIT's two installation ids, `app.installationId` and `app.installation.id`, differ.";
    Self::BadInstallation => "bad_installation",
        "The FIT's installation id is not an ARI of at most 512 printable ASCII characters.";
    Self::Expired => "expired",
        "The FIT has expired: a call was late or is a replay. If every call is rejected for this, this machine's clock is \
         ahead: a FIT is valid for 25 seconds.";
    Self::LivesTooLong => "lives_too_long",
        "The FIT expires more than an hour ahead: this machine's clock is behind, or a signer of your own does not write \
         `exp` in seconds.";
    Self::NotYetValid => "not_yet_valid",
        "The FIT is not valid yet (`nbf`): this machine's clock is behind.";
    Self::IssuedInFuture => "issued_in_future",
        "The FIT was issued in the future (`iat`): this machine's clock is behind.";
    Self::WrongEnvironment => "wrong_environment",
        "This deployment does not accept the FIT's environment: see `VerificationPolicy::environments`.";
    Self::HasPrincipal => "has_principal",
        "The FIT names a user, and only the platform, or only the app's functions, call the handler. A page may have sent its own \
         FIT to it.";
    Self::WrongEndpoint => "wrong_endpoint",
        "The FIT names another endpoint, or another handler at a path that the app's functions call. If an older major version of \
         the app is installed, see `also_at` and `also_key`.";
    Self::WrongModuleType => "wrong_module_type",
        "The FIT comes from a module, and only the platform, or only the app's functions, call the handler. A page may have sent \
         its own FIT to it.";
    Self::WrongPage => "wrong_page",
        "The FIT's page is not in the handler's `pages`. The response is 403.";
    Self::OtherCloud => "other_cloud",
        "The FIT was signed by an Atlassian cloud other than its installation's.";
    Self::Replayed => "replayed",
        "The FIT was used before, and the replay guard is on.";
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

codes! { KeysUnavailable, KEYS_UNAVAILABLE_CODES:
    Self::NotFetched => "keys_unavailable",
        "Atlassian's key set cannot be fetched: check that this machine can reach its URL. The response is 503.";
    Self::Cooldown => "unknown_key_cooldown",
        "No fetched key has the FIT's `kid`, and `JwksPolicy::unknown_key_cooldown` since the last fetch has not passed. \
         Once it has, the FIT is verified, or rejected as `unknown_key`. The response is 503.";
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
