//! Where the headers of a verified call come from.

use forge_remote_schema::AllowedCaller;
use forge_remote_schema::pages::is_token_module_type;

use super::claims::Claims;
use super::policy::{EndpointTarget, PLATFORM_MODULE};

/// Where the headers of a verified call come from.
///
/// The FIT is signed; the other headers are not. An OAuth token in `x-forge-oauth-system` or
/// `x-forge-oauth-user` can be trusted only if nobody else could write the header. [`AllowedCaller`]
/// is the set of callers that a handler accepts; the provenance is the caller of one call. It
/// determines whether an OAuth token is stored, used, or must be proven first.
///
/// ```
/// use forge_remote_fit::{Claims, Provenance, EndpointTarget};
///
/// /// Returns whether Forge has set the OAuth headers of a call with these claims.
/// fn may_keep_token(claims: &Claims, target: &EndpointTarget) -> bool {
///     Provenance::from_claims(claims, target) == Provenance::Platform
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Provenance {
    /// The platform made the call and wrote every header.
    Platform,
    /// A function of the app may have made the call: the FIT has the platform's type, and its key is not the handler's.
    /// Functions add headers, which may be copies of a page's. Forge writes the headers of the tokens that the
    /// installed version's remote requests, and whether these replace the function's own is not documented.
    Function,
    /// A page made the call: `invokeRemote` passes its headers through Atlassian, `requestRemote`
    /// sends them straight from the browser, and the two cannot be distinguished. A header may be
    /// the user's own text.
    /// Source: <https://developer.atlassian.com/platform/forge/remote/essentials/>
    Page,
    /// Forge may forward its caller's headers: web triggers and agents, which anyone on the web may
    /// reach.
    Forwarded,
}

impl Provenance {
    /// Determines the provenance of a call whose claims were verified for this target.
    pub fn from_claims(claims: &Claims, target: &EndpointTarget) -> Self {
        if target.forwards_headers {
            return Self::Forwarded;
        }
        let by_platform = match (target.caller, claims.module_type()) {
            // A browser holds FITs of the types of pages only.
            (AllowedCaller::Function, Some(other)) if !is_token_module_type(other) => {
                return Self::Function;
            }
            (AllowedCaller::Function, _) => false,
            (AllowedCaller::PlatformForUser, Some(PLATFORM_MODULE)) => true,
            // Atlassian documents no principal for a function's call: at an endpoint that pages call, the strict reading.
            (_, Some(PLATFORM_MODULE)) if claims.principal().is_some() => false,
            // Functions call an endpoint of pages too. Their FITs name none of the app's endpoints.
            (AllowedCaller::Page, Some(PLATFORM_MODULE))
                if !target.is_named_by(claims.module_key()) =>
            {
                return Self::Function;
            }
            (_, Some(PLATFORM_MODULE)) => true,
            (AllowedCaller::Page, _) => false,
            // Some modules are pages and platform calls at once.
            (_, Some(own)) => {
                own == target.module_type
                    && !is_token_module_type(own)
                    && claims.principal().is_none()
            }
            (AllowedCaller::Platform, None) => claims.principal().is_none(),
            (AllowedCaller::PlatformForUser, None) => false,
        };
        if by_platform {
            Self::Platform
        } else {
            Self::Page
        }
    }
}
