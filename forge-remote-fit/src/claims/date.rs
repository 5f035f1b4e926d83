//! Dates of a FIT: `exp`, `nbf` and `iat`.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::de::{Deserialize, Deserializer, Visitor};

/// Seconds since the epoch, with or without a fraction (RFC 7519 §2), kept in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NumericDate(u64);

/// The end of the year 9999; later dates are rejected.
const MAX_SECONDS: u64 = 253_402_300_799;

impl NumericDate {
    pub(super) fn from_time(time: SystemTime) -> Self {
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn to_time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.0)
    }

    pub(super) fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DateVisitor;

        impl Visitor<'_> for DateVisitor {
            type Value = NumericDate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds since 1970")
            }

            fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Self::Value, E> {
                // A date in milliseconds by mistake is kept: it is rejected as too long a life, or as expired.
                if seconds > MAX_SECONDS * 1000 {
                    return Err(E::custom("out of range"));
                }
                Ok(NumericDate(seconds.saturating_mul(1000)))
            }

            fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<Self::Value, E> {
                u64::try_from(seconds)
                    .map_err(|_| E::custom("out of range"))
                    .and_then(|seconds| self.visit_u64(seconds))
            }

            fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<Self::Value, E> {
                #[allow(clippy::cast_precision_loss)]
                if !(0.0..=MAX_SECONDS as f64).contains(&seconds) {
                    return Err(E::custom("out of range"));
                }
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                Ok(NumericDate((seconds * 1000.0) as u64))
            }
        }

        deserializer.deserialize_any(DateVisitor)
    }
}
