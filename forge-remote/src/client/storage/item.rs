//! A key with its value and metadata.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// All metadata fields that storage offers.
/// Source: <https://developer.atlassian.com/platform/forge/storage-reference/kvs-api/>
pub(super) const METADATA: [&str; 3] = ["CREATED_AT", "UPDATED_AT", "EXPIRE_TIME"];

/// A key and its value.
///
/// The times are set if they were requested: by `get_item`, `get_items`,
/// [`StorageQuery::with_metadata`](super::StorageQuery::with_metadata), [`Put::return_new`](super::Put::return_new) and
/// [`Put::return_old`](super::Put::return_old).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Item<T> {
    /// The key.
    #[serde(default)]
    pub key: String,
    /// The entity's type, in batches.
    #[serde(default = "none")]
    pub entity_name: Option<String>,
    /// The value.
    pub value: T,
    /// The time at which the key was first set.
    #[serde(default = "none", deserialize_with = "time")]
    pub created_at: Option<SystemTime>,
    /// The time at which the key was last set.
    #[serde(default = "none", deserialize_with = "time")]
    pub updated_at: Option<SystemTime>,
    /// The time at which the value expires. Storage may return it for up to 48 hours longer: see
    /// [`has_expired`](Self::has_expired).
    #[serde(default = "none", deserialize_with = "time")]
    pub expire_time: Option<SystemTime>,
}

impl<T> Item<T> {
    /// Returns whether the value had expired at this time. Treat an expired value as missing,
    /// although storage still returns it.
    pub fn has_expired(&self, now: SystemTime) -> bool {
        self.expire_time.is_some_and(|end| end <= now)
    }
}

/// Returns `None` without requiring `T: Default`.
fn none<T>() -> Option<T> {
    None
}

/// Reads milliseconds since 1970 or ISO 8601. An invalid time becomes `None`, because times are only
/// informative.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SystemTime>, D::Error> {
    Ok(match Option::<Value>::deserialize(deserializer)? {
        Some(Value::Number(number)) => number.as_u64().and_then(since_1970),
        Some(Value::String(text)) => iso_8601(&text),
        _ => None,
    })
}

fn since_1970(milliseconds: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))
}

/// Parses `2026-01-15T16:12:19.000Z`, as JavaScript formats times: always UTC.
fn iso_8601(text: &str) -> Option<SystemTime> {
    let text = text.strip_suffix('Z')?;
    let (date, time) = text.split_once('T')?;
    let number = |part: Option<&str>| -> Option<u64> {
        let part = part?;
        let is_number = (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| part.parse().ok()).flatten()
    };
    let mut date = date.split('-');
    let [year, month, day] = [(); 3].map(|()| number(date.next()));
    let (year, month, day) = (year?, month?, day?);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut time = time.split(':');
    let [hour, minute, second] = [(); 3].map(|()| number(time.next()));
    let (hour, minute, second) = (hour?, minute?, second?);
    let in_range = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour <= 24
        && minute < 60
        && second <= 60;
    if !in_range || date.next().is_some() || time.next().is_some() {
        return None;
    }
    let mut digits = fraction.chars().take(3).collect::<String>();
    while digits.len() < 3 {
        digits.push('0');
    }
    let milliseconds = number(Some(&digits))?;
    // Days since 1970 of the proleptic Gregorian calendar, years counted from March.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    since_1970(seconds * 1000 + milliseconds)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_atlassian_writes_them() {
        let ms = |text: &str| {
            let time = iso_8601(text)?.duration_since(SystemTime::UNIX_EPOCH);
            Some(time.unwrap().as_millis())
        };
        assert_eq!(ms("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(ms("2026-01-15T16:12:19.000Z"), Some(1_768_493_539_000));
        assert_eq!(ms("2024-02-29T23:59:59.5Z"), Some(1_709_251_199_500));
        assert_eq!(ms("2000-03-01T00:00:00.123456Z"), Some(951_868_800_123));
        for invalid in [
            "",
            "Z",
            "2026-01-15",
            "2026-13-15T00:00:00Z",
            "2026-01-15T00:00Z",
            "x",
        ] {
            assert_eq!(ms(invalid), None, "{invalid}");
        }
        let item = r#"{"key":"k","value":1,"createdAt":1753750184233,"updatedAt":null,"expireTime":"soon"}"#;
        let item: Item<u32> = serde_json::from_str(item).unwrap();
        assert_eq!(item.created_at, since_1970(1_753_750_184_233));
        assert_eq!((item.updated_at, item.expire_time), (None, None));
    }
}
