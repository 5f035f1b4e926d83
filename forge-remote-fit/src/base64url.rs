//! Decoding of base64url without padding, which rejects everything that RFC 4648 lets a decoder reject.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc4648#section-5>; JOSE forbids padding and line ends:
//! <https://www.rfc-editor.org/rfc/rfc7515#section-2>

/// The six bits of each character at the four places of a group; [`INVALID`] for other bytes.
static PLACES: [[u32; 256]; 4] = [places(18), places(12), places(6), places(0)];
/// A bit above the 24 of a group.
const INVALID: u32 = 1 << 24;

const fn places(shift: u32) -> [u32; 256] {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut places = [INVALID; 256];
    let mut value = 0;
    while value < 64 {
        places[ALPHABET[value] as usize] = (value as u32) << shift;
        value += 1;
    }
    places
}

/// Returns the bytes that a text encodes; `None` if it has a byte outside of the alphabet, a length that no encoder
/// makes, or stray bits at its end.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = vec![0; text.len() / 4 * 3];
    let (pairs, rest) = text.as_chunks::<8>();
    let (six, last) = decoded.as_chunks_mut::<6>();
    let mut seen = 0;
    for (pair, bytes) in pairs.iter().zip(six) {
        let [a, b, c, d, e, f, g, h] = *pair;
        let (first, second) = (group([a, b, c, d]), group([e, f, g, h]));
        seen |= first | second;
        let bits = (u64::from(first) << 24) | u64::from(second & 0xff_ffff);
        let [_, _, six @ ..] = bits.to_be_bytes();
        *bytes = six;
    }
    let (groups, tail) = rest.as_chunks::<4>();
    for (group_of_four, bytes) in groups.iter().zip(last.as_chunks_mut::<3>().0) {
        let bits = group(*group_of_four);
        seen |= bits;
        let [_, three @ ..] = bits.to_be_bytes();
        *bytes = three;
    }
    // The last one or two bytes, and the bits that belong to none.
    let bits = match *tail {
        [] => 0,
        [a, b] => group([a, b, b'A', b'A']),
        [a, b, c] => group([a, b, c, b'A']),
        _ => INVALID,
    };
    let used = tail.len() * 6 / 8;
    let [_, three @ ..] = bits.to_be_bytes();
    let (used, stray) = three.split_at(used);
    decoded.extend_from_slice(used);
    let is_valid = (seen | bits) & INVALID == 0 && stray.iter().all(|byte| *byte == 0);
    is_valid.then_some(decoded)
}

fn group([a, b, c, d]: [u8; 4]) -> u32 {
    let at = |place: usize, byte: u8| PLACES[place][usize::from(byte)];
    at(0, a) | at(1, b) | at(2, c) | at(3, d)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::decode;

    fn check(text: &[u8]) {
        assert_eq!(decode(text), URL_SAFE_NO_PAD.decode(text).ok(), "{text:?}");
    }

    #[test]
    fn every_byte_is_decoded_at_every_place_as_by_the_crate() {
        for length in 1..=17 {
            for at in 0..length {
                for byte in 0..=255 {
                    let mut text = vec![b'Q'; length];
                    text[at] = byte;
                    check(&text);
                }
            }
        }
        check(b"");
    }

    #[test]
    fn every_end_is_decoded_as_by_the_crate() {
        let ends = || (0..=255_u8).flat_map(|a| (0..=255_u8).map(move |b| (a, b)));
        for (a, b) in ends() {
            check(&[a, b]);
            check(&[b'_', a, b]);
            check(&[b'Q', b'-', b'9', b'z', a, b]);
            check(&[b'Q', b'-', b'9', b'z', b'Z', a, b]);
        }
    }
}
