//! The tokens that a handler requests.

use std::fmt;

/// The tokens that a handler requests from Forge: `endpoint.auth` in the manifest, or `remotes[].auth` for functions' calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// `appSystemToken`: arrives as `x-forge-oauth-system`.
    pub system: bool,
    /// `appUserToken`: arrives as `x-forge-oauth-user`, with a user in session only.
    pub user: bool,
}

impl Auth {
    /// No token.
    pub const NONE: Self = Self {
        system: false,
        user: false,
    };
    /// The system token alone.
    pub const SYSTEM: Self = Self {
        system: true,
        user: false,
    };
    /// The user token alone.
    pub const USER: Self = Self {
        system: false,
        user: true,
    };
    /// Both tokens.
    pub const BOTH: Self = Self {
        system: true,
        user: true,
    };

    /// Returns whether any token is requested.
    pub const fn any(self) -> bool {
        self.system || self.user
    }
}

impl fmt::Display for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.system, self.user) {
            (false, false) => "-",
            (true, false) => "system",
            (false, true) => "user",
            (true, true) => "system, user",
        })
    }
}
