//! A [`Probe`] for each combination of tokens that a handler requests.

use std::sync::Arc;

use super::probe::Probe;
use super::record::location;
use super::requests::{No, RequestedTokens, Yes};
use crate::registry::{Auth, ErasedHandler, Kind, Registration};

macro_rules! requested_tokens {
    ($($(#[$docs:meta])* $name:ident = $auth:ident: $system:ident $user:ident $has_user:ident;)*) => {
        $(
            $(#[$docs])*
            pub mod $name {
                #[allow(non_camel_case_types, reason = "no user's type has such a name")]
                pub type forge_remote_probe<T> =
                    super::Probe<T, super::RequestedTokens<super::$system, super::$user, super::$has_user>>;

                /// Returns a registration without options; `place` is `file:line:column`.
                pub fn registration(
                    kind: &'static dyn super::Kind,
                    function: &'static str,
                    place: &'static str,
                    mount: super::Arc<dyn super::ErasedHandler>,
                ) -> super::Registration {
                    let auth = super::Auth::$auth;
                    super::Registration::new(kind, function, super::location(place), auth, mount)
                }
            }
        )*
    };
}

requested_tokens! {
    /// No token, where there is a user.
    requests_none = NONE: No No Yes;
    /// `auth = system`, where there is a user.
    requests_system = SYSTEM: Yes No Yes;
    /// `auth = user`.
    requests_user = USER: No Yes Yes;
    /// `auth = [system, user]`.
    requests_both = BOTH: Yes Yes Yes;
    /// No token, where there is never a user.
    no_user_requests_none = NONE: No No No;
    /// `auth = system`, where there is never a user.
    no_user_requests_system = SYSTEM: Yes No No;
}
