//! A second decoder, with which the tests and fuzz targets compare the first.

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
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
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
