//! The app's identity: the audience of every FIT.

use std::fmt;
use std::str::FromStr;

const PREFIX: &str = "ari:cloud:ecosystem::app/";

/// A Forge app's ARI, `ari:cloud:ecosystem::app/<uuid>`; `app.id` in `manifest.yml`.
///
/// A bare UUID is accepted too. The UUID is case-insensitive, and stored in lower case, as in FITs.
///
/// ```
/// use forge_remote_fit::AppId;
///
/// let id: AppId = "8db33809-1f32-48bb-8c52-5877dab48107".parse()?;
/// assert_eq!(id.as_str(), "ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107");
/// # Ok::<(), forge_remote_fit::InvalidAppId>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppId(String);

/// The error of a text that is not a Forge app id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a Forge app id: expected `{PREFIX}` and a UUID, as `forge register` writes it \
     to `app.id` in manifest.yml"
)]
pub struct InvalidAppId(String);

impl AppId {
    /// Returns the whole ARI.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the UUID alone.
    pub fn uuid(&self) -> &str {
        self.0.strip_prefix(PREFIX).unwrap_or(&self.0)
    }
}

impl FromStr for AppId {
    type Err = InvalidAppId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uuid = text.strip_prefix(PREFIX).unwrap_or(text);
        let shaped = uuid.len() == 36
            && uuid.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        if shaped {
            Ok(Self(format!("{PREFIX}{}", uuid.to_ascii_lowercase())))
        } else {
            Err(InvalidAppId(text.to_owned()))
        }
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
