//! The changes to the call that the local platform makes by default.

use super::forgery::Forgery;
use crate::registry::Method;

/// The changes to the call that the platform makes by default.
#[derive(Clone, Default, serde::Deserialize, serde::Serialize)]
#[serde(default)]
pub(crate) struct CallChanges {
    #[serde(with = "method")]
    pub(crate) method: Option<Method>,
    pub(crate) json: Option<serde_json::Value>,
    /// The body, byte for byte, instead of `json`.
    pub(crate) raw_body: Option<String>,
    pub(crate) subpath: Option<String>,
    pub(crate) query: Option<String>,
    pub(crate) event: Option<String>,
    pub(crate) retry: Option<RetryNumber>,
    #[serde(skip)]
    pub(crate) forgery: Option<Forgery>,
    /// The id of the call that this one repeats.
    #[serde(skip)]
    pub(crate) repeats: Option<u64>,
    /// The key of the handler with `cron` whose next occurrence this call of the clock runs.
    #[serde(skip)]
    pub(crate) fires: Option<String>,
}

impl CallChanges {
    pub(super) fn has_body(&self) -> bool {
        self.json.is_some() || self.raw_body.is_some()
    }
}

/// The number of a retry by Forge, which counts from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(try_from = "u32", into = "u32")]
pub(crate) struct RetryNumber(u32);

/// The number is not that of a retry by Forge.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("Forge retries a call {MAX} times at most: a retry has a number from 1 to {MAX}", MAX = RetryNumber::MAX)]
pub(crate) struct InvalidRetryNumber;

impl RetryNumber {
    /// The number of times that Forge repeats a call that fails.
    /// Source: <https://developer.atlassian.com/platform/forge/events-reference/>
    pub(crate) const MAX: u32 = 4;

    pub(crate) fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for RetryNumber {
    type Error = InvalidRetryNumber;

    fn try_from(number: u32) -> Result<Self, InvalidRetryNumber> {
        match number {
            1..=Self::MAX => Ok(Self(number)),
            _ => Err(InvalidRetryNumber),
        }
    }
}

impl From<RetryNumber> for u32 {
    fn from(number: RetryNumber) -> Self {
        number.get()
    }
}

/// Serializes a method by its name.
mod method {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::registry::Method;

    pub(crate) fn serialize<S: Serializer>(
        method: &Option<Method>,
        writer: S,
    ) -> Result<S::Ok, S::Error> {
        method.map(Method::as_str).serialize(writer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        reader: D,
    ) -> Result<Option<Method>, D::Error> {
        let Some(name) = Option::<String>::deserialize(reader)? else {
            return Ok(None);
        };
        let known = Method::named(&name);
        known.map(Some).ok_or_else(|| {
            serde::de::Error::custom(format!("`{name}` is not a method that Forge uses"))
        })
    }
}
