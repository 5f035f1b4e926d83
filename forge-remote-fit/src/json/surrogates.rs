//! Replacement of unpaired surrogate escapes in JSON text.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memmem;

/// Replaces each escape of half a surrogate pair by one of U+FFFD.
///
/// JavaScript writes such an escape for text that was cut inside an emoji (`JSON.stringify` of
/// `"😀".slice(0, 1)`). It is valid JSON, but a Rust string cannot hold it. The text keeps its length,
/// so that positions in errors stay correct. Text without such an escape is returned unchanged, at
/// the cost of one search for `\u`.
pub fn repair(text: &[u8]) -> Cow<'_, [u8]> {
    let mut repaired: Option<Vec<u8>> = None;
    let mut after = 0;
    for at in memmem::find_iter(text, br"\u") {
        if at < after || !is_escape(text, at) {
            continue;
        }
        match (unit(text, at), unit(text, at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => after = at + 12,
            (Some(0xd800..=0xdfff), _) => {
                let repaired = repaired.get_or_insert_with(|| text.to_vec());
                if let Some(escape) = repaired.get_mut(at..at + 6) {
                    escape.copy_from_slice(br"\ufffd");
                }
            }
            _ => {}
        }
    }
    repaired.map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Repairs a `str`: see [`repair`].
pub fn repair_str(text: &str) -> Cow<'_, str> {
    match repair(text.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(repaired) => String::from_utf8(repaired).map_or(Cow::Borrowed(text), Cow::Owned),
    }
}

/// Repairs a body: see [`repair`].
pub fn repair_bytes(body: Bytes) -> Bytes {
    match repair(&body) {
        Cow::Borrowed(_) => body,
        Cow::Owned(repaired) => repaired.into(),
    }
}

/// Returns whether the backslash at `at` begins an escape, and isn't escaped by the one before it.
fn is_escape(text: &[u8], at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default().iter().rev();
    before.take_while(|byte| **byte == b'\\').count() % 2 == 0
}

/// Returns the code unit of the escape `\uXXXX` at `at`.
fn unit(text: &[u8], at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix(br"\u")?;
    digits.iter().try_fold(0, |unit: u16, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_surrogate_pairs_are_replaced_and_nothing_else() {
        for (text, expected) in [
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\uD83D\u0041""#, r#""\ufffd\u0041""#),
            (
                r#""\udfff\ud83d\ude00\ud83d""#,
                r#""\ufffd\ud83d\ude00\ufffd""#,
            ),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#"{"\ude00\ud83d":1}"#, r#"{"\ufffd\ufffd":1}"#),
            (r#""\\\ud83d\\""#, r#""\\\ufffd\\""#),
        ] {
            assert_eq!(repair_str(text), expected, "{text}");
        }
        for whole in [
            "",
            r"\u",
            r#""\ud83d\ude00""#,
            r#""\\ud83d \n \u00e9 \\\\ud83d""#,
            r#""\ud83""#,
            r#""\ud8ég""#,
            r#""\u+d83""#,
        ] {
            assert!(
                matches!(repair_str(whole), Cow::Borrowed(text) if text == whole),
                "{whole}"
            );
        }
    }
}
