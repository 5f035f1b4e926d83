//! The options of `durable`: names, and the rules for their values.

use crate::Mistake;

/// The options in the parentheses of `durable(…)`.
pub const OPTIONS: [&str; 4] = ["retries", "backoff", "timeout", "per_installation"];

/// The maximum of `retries` and of `per_installation`.
pub const MAX_COUNT: u32 = 100;
const MAX_TIMEOUT: u64 = 3600;
const MAX_PAUSE: u64 = 24 * 3600;

/// Returns the seconds of a time such as `10s`, `2m` or `1h`.
///
/// ```
/// use forge_remote_schema::durable::seconds;
///
/// assert_eq!(seconds("2m"), Some(120));
/// assert_eq!(seconds("2 m"), None);
/// ```
pub fn seconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    number
        .parse::<u64>()
        .ok()
        .filter(|_| is_number)?
        .checked_mul(unit)
}

/// Returns the seconds of a `timeout`.
///
/// # Errors
///
/// The text is not a time from `1s` to `1h`.
pub fn timeout(text: &str) -> Result<u64, Mistake> {
    let found = seconds(text).filter(|seconds| (1..=MAX_TIMEOUT).contains(seconds));
    found.ok_or_else(|| {
        Mistake::new(
            format!("`timeout` takes a time from `1s` to `1h`, not `{text}`"),
            "write `timeout = \"2m\"`",
        )
    })
}

/// Returns the first and the longest pause of a `backoff`, in seconds.
///
/// # Errors
///
/// The text is not two times from `1s` to `24h`, the shorter one first.
pub fn backoff(text: &str) -> Result<(u64, u64), Mistake> {
    let pauses = text.split_once("..").and_then(|(first, max)| {
        let (first, max) = (seconds(first)?, seconds(max)?);
        (1 <= first && first <= max && max <= MAX_PAUSE).then_some((first, max))
    });
    pauses.ok_or_else(|| {
        Mistake::new(
            format!(
                "`backoff` takes the first and the longest pause, from `1s` to `24h`, not `{text}`"
            ),
            "write `backoff = \"10s..1h\"`",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_number_and_a_unit() {
        for (text, expected) in [("10s", 10), ("0s", 0), ("2m", 120), ("24h", 86_400)] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "s",
            "10",
            "-1s",
            "+1s",
            "1.5m",
            "1d",
            "10S",
            "1µ",
            "99999999999999999999h",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
        assert!(timeout("1h").is_ok() && timeout("0s").is_err() && timeout("61m").is_err());
        assert_eq!(backoff("10s..1h").ok(), Some((10, 3600)));
        for text in ["10s", "1h..10s", "0s..1h", "1s..25h", "1s...2s"] {
            assert!(backoff(text).is_err(), "{text}");
        }
    }
}
