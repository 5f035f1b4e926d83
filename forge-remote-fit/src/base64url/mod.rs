//! Decoding of base64url without padding, which rejects everything that RFC 4648 lets a decoder reject.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc4648#section-5>; JOSE forbids padding and line ends:
//! <https://www.rfc-editor.org/rfc/rfc7515#section-2>

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod tables;

use base64::Engine as _;

/// Decodes with the processor's vector instructions, where they are known and the processor has them.
#[cfg(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_feature = "neon")
))]
static ENGINE: std::sync::LazyLock<base64::engine::Simd> = std::sync::LazyLock::new(|| {
    base64::engine::Simd::url_safe(base64::engine::general_purpose::NO_PAD)
});
#[cfg(not(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_feature = "neon")
)))]
static ENGINE: base64::engine::GeneralPurpose = base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Returns the bytes that a text encodes; `None` if it has a byte outside of the alphabet, a length that no encoder
/// makes, or stray bits at its end.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = vec![0; decoded_len(text)];
    decode_into(text, &mut decoded)?;
    Some(decoded)
}

/// Returns how many bytes a text encodes, if it is valid.
pub(crate) fn decoded_len(text: &[u8]) -> usize {
    let tail = text.len() % 4;
    text.len() / 4 * 3 + tail * 6 / 8
}

/// Decodes a text like [`decode`], into a buffer of [`decoded_len`] bytes.
pub(crate) fn decode_into(text: &[u8], decoded: &mut [u8]) -> Option<()> {
    let written = ENGINE.decode_slice(text, decoded).ok()?;
    (written == decoded.len()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::{decode, tables};

    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    fn check(text: &[u8]) -> Option<Vec<u8>> {
        let decoded = decode(text);
        assert_eq!(decoded, tables::decode(text), "{text:?}");
        decoded
    }

    /// Returns a valid text in which neighbours differ.
    fn text(length: usize) -> Vec<u8> {
        let mut text: Vec<u8> = (0..length).map(|at| ALPHABET[at * 29 % 64]).collect();
        if let Some(last) = text.last_mut() {
            // No stray bits.
            *last = b'A';
        }
        text
    }

    /// Short texts have no vectors, which are of 32 characters and begin at 64; long ones also have a rest of every
    /// length.
    #[test]
    fn every_byte_is_decoded_at_every_place_as_by_the_tables() {
        for length in (1..=17).chain([65, 66, 67, 68, 99, 100, 102, 135]) {
            for at in 0..length {
                let mut text = text(length);
                assert_eq!(check(&text).is_some(), length % 4 != 1, "{text:?}");
                for byte in 0..=255 {
                    text[at] = byte;
                    check(&text);
                }
            }
        }
        check(b"");
    }

    #[test]
    fn every_end_is_decoded_as_by_the_tables() {
        let ends = || (0..=255_u8).flat_map(|a| (0..=255_u8).map(move |b| (a, b)));
        for (a, b) in ends() {
            check(&[a, b]);
            check(&[b'_', a, b]);
            check(&[b'Q', b'-', b'9', b'z', a, b]);
            check(&[b'Q', b'-', b'9', b'z', b'Z', a, b]);
        }
    }

    #[test]
    fn padding_is_rejected() {
        for padded in ["QQ==", "QUI=", "QUJD====", "====", "="] {
            assert_eq!(check(padded.as_bytes()), None, "{padded}");
        }
    }
}
