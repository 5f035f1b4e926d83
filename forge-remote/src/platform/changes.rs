//! The changes to the call that the local platform makes by default.

use super::forgery::Forgery;
use crate::registry::Method;

/// The changes to the call that the platform makes by default.
#[derive(Clone, Default, serde::Deserialize, serde::Serialize)]
#[serde(default)]
pub(crate) struct CallChanges {
    #[serde(with = "method")]
    pub(crate) method: Option<Method>,
    pub(crate) body: Option<serde_json::Value>,
    pub(crate) subpath: Option<String>,
    pub(crate) query: Option<String>,
    pub(crate) event: Option<String>,
    pub(crate) retry: Option<u32>,
    /// The body, byte for byte, instead of `body`.
    pub(crate) text: Option<String>,
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
        self.body.is_some() || self.text.is_some()
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
