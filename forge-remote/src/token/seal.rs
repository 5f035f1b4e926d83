//! Sealing with AES-256-GCM, random nonces and configured keys.
//!
//! A sealed token is `1` (the format), the key's id in 8 bytes, the nonce in 12, then ciphertext and
//! tag. The installation, the expiry and the purpose are authenticated: a token that was moved to
//! another installation's row, or whose expiry was changed, does not open.

use std::fmt;
use std::time::SystemTime;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::store::to_millis;

const FORMAT: u8 = 1;
const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 8;
const HEAD: usize = 1 + ID_BYTES + NONCE_LEN;

/// The keys that seal tokens: the first seals, all open.
pub(super) struct Keys(Vec<Key>);

struct Key {
    id: KeyId,
    key: RandomizedNonceKey,
}

/// The id of a key: a part of its hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyId([u8; ID_BYTES]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl KeyId {
    /// Returns the id of the key that a record is sealed under; `None` if it is not in this version's format.
    pub(super) fn of(sealed: &[u8]) -> Option<Self> {
        let (&[format], rest) = sealed.split_first_chunk()?;
        let (id, _) = rest.split_first_chunk()?;
        (format == FORMAT).then_some(Self(*id))
    }
}

/// An error of parsing or generating token keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKeys {
    /// A key is not 32 bytes in base64.
    #[error(
        "key {position} of {count} is not valid: expected 32 bytes in base64, as `openssl rand \
         -base64 32` prints them"
    )]
    Malformed {
        /// The key's position, from 1.
        position: usize,
        /// The number of keys.
        count: usize,
    },
    /// A key was typed rather than generated: one or a few bytes repeat.
    #[error(
        "key {position} of {count} is not random (a few bytes repeat), so it can be guessed: \
         replace it with the output of `openssl rand -base64 32`"
    )]
    NotRandom {
        /// The key's position, from 1.
        position: usize,
        /// The number of keys.
        count: usize,
    },
    /// The system's random source returned no bytes.
    #[error("no random key could be generated: check the system's random source")]
    NoRandom,
}

/// An error of opening a sealed record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shut {
    /// The text was sealed under a key that is not configured.
    OtherKey(KeyId),
    /// The text was changed, truncated, moved, or sealed by a newer version.
    Damaged,
}

/// The token that a seal is bound to.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) installation_id: &'a str,
    pub(super) expires_at: SystemTime,
}

impl Subject<'_> {
    fn bound(&self) -> Aad<Vec<u8>> {
        let mut bound = b"forge-remote/system-token/1\0".to_vec();
        bound.extend(to_millis(self.expires_at).to_be_bytes());
        bound.extend(self.installation_id.as_bytes());
        Aad::from(bound)
    }
}

/// Returns the data that a key check is bound to, so that a token cannot be used as one.
fn key_check_bound() -> Aad<Vec<u8>> {
    Aad::from(b"forge-remote/key-check/1\0".to_vec())
}

impl Keys {
    /// Parses keys in the format of `FORGE_REMOTE_TOKEN_KEY`: base64 in either alphabet, separated by
    /// commas.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidKeys> {
        let config =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let words: Vec<&str> = text
            .trim()
            .trim_end_matches(',')
            .split(',')
            .map(str::trim)
            .collect();
        let key = |(at, word): (usize, &&str)| {
            let alphabet = if word.contains(['-', '_']) {
                &URL_SAFE
            } else {
                &STANDARD
            };
            let (position, count) = (at + 1, words.len());
            let bytes = GeneralPurpose::new(alphabet, config).decode(word);
            let bytes = Zeroizing::new(bytes.unwrap_or_default());
            let key = Key::new(&bytes).ok_or(InvalidKeys::Malformed { position, count })?;
            if is_random(&bytes) {
                Ok(key)
            } else {
                Err(InvalidKeys::NotRandom { position, count })
            }
        };
        words
            .iter()
            .enumerate()
            .map(key)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Returns the keys' ids, in their order.
    #[cfg(feature = "cli")]
    pub(super) fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.0.iter().map(|key| key.id)
    }

    /// Generates a key for records that don't outlive the process.
    pub(super) fn random() -> Result<Self, InvalidKeys> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| InvalidKeys::NoRandom)?;
        let key = Key::new(bytes.as_slice()).ok_or(InvalidKeys::NoRandom)?;
        Ok(Self(vec![key]))
    }

    /// Seals under the first key; `None` if the system returns no random nonce.
    pub(super) fn seal(&self, subject: Subject<'_>, plain: Zeroizing<Vec<u8>>) -> Option<Vec<u8>> {
        self.seal_bound(subject.bound(), plain)
    }

    /// Returns a record that opens only with the first key.
    pub(super) fn key_check(&self) -> Option<Vec<u8>> {
        self.seal_bound(key_check_bound(), Zeroizing::default())
    }

    /// Returns whether a key check is sealed under the first key; an error if it doesn't open.
    pub(super) fn opens_key_check(&self, record: &[u8]) -> Result<bool, Shut> {
        self.open_bound(key_check_bound(), record)?;
        let id = record.get(1..1 + ID_BYTES);
        Ok(self.0.first().is_some_and(|key| id == Some(&key.id.0[..])))
    }

    /// Seals a record of another purpose, which `bound` begins with.
    pub(super) fn seal_as(&self, bound: &[u8], plain: Zeroizing<Vec<u8>>) -> Option<Vec<u8>> {
        self.seal_bound(Aad::from(bound.to_vec()), plain)
    }

    /// Opens a record of another purpose.
    pub(super) fn open_as(&self, bound: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Shut> {
        self.open_bound(Aad::from(bound.to_vec()), sealed)
    }

    fn seal_bound(&self, bound: Aad<Vec<u8>>, mut plain: Zeroizing<Vec<u8>>) -> Option<Vec<u8>> {
        let key = self.0.first()?;
        // Reserved in advance, so that growing leaves no copy of the plain text behind.
        plain.reserve_exact(AES_256_GCM.tag_len());
        let nonce = key.key.seal_in_place_append_tag(bound, &mut *plain).ok()?;
        let mut sealed = Vec::with_capacity(HEAD + plain.len());
        sealed.push(FORMAT);
        sealed.extend(key.id.0);
        sealed.extend(nonce.as_ref());
        sealed.extend(&*plain);
        Some(sealed)
    }

    /// Opens a record with the key that it was sealed under.
    pub(super) fn open(
        &self,
        subject: Subject<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Shut> {
        self.open_bound(subject.bound(), sealed)
    }

    fn open_bound(&self, bound: Aad<Vec<u8>>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Shut> {
        let (head, body) = sealed.split_at_checked(HEAD).ok_or(Shut::Damaged)?;
        let (&[format], rest) = head.split_first_chunk().ok_or(Shut::Damaged)?;
        let (id, nonce) = rest.split_first_chunk().ok_or(Shut::Damaged)?;
        if format != FORMAT {
            return Err(Shut::Damaged);
        }
        let id = KeyId(*id);
        let key = self
            .0
            .iter()
            .find(|key| key.id == id)
            .ok_or(Shut::OtherKey(id))?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Shut::Damaged)?;
        let mut body = Zeroizing::new(body.to_vec());
        let length = key
            .key
            .open_in_place(nonce, bound, &mut body)
            .map_err(|_| Shut::Damaged)?
            .len();
        body.truncate(length);
        Ok(body)
    }
}

impl Key {
    fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != KEY_BYTES {
            return None;
        }
        let mut hash = Context::new(&SHA256);
        hash.update(b"forge-remote/token-key-id\0");
        hash.update(bytes);
        let hash = hash.finish();
        let id = KeyId(*hash.as_ref().first_chunk()?);
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes).ok()?;
        Some(Self { id, key })
    }
}

/// Returns whether bytes may come from a random source: 32 random bytes have about 30 different
/// values, and practically never 8 or fewer.
fn is_random(bytes: &[u8]) -> bool {
    let mut different = bytes.to_vec();
    different.sort_unstable();
    different.dedup();
    let different = Zeroizing::new(different);
    different.len() > 8
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    const ONE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OTHER: &str = "_wECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    fn subject(installation_id: &str, seconds: u64) -> Subject<'_> {
        Subject {
            installation_id,
            expires_at: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
        }
    }

    #[test]
    fn a_key_that_is_not_random_is_rejected() {
        let encode = |bytes: [u8; 32]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let is_rejected = |bytes| {
            matches!(
                Keys::parse(&format!("{ONE},{}", encode(bytes))),
                Err(InvalidKeys::NotRandom {
                    position: 2,
                    count: 2
                })
            )
        };
        assert!(is_rejected([0; 32]));
        assert!(is_rejected([0xa5; 32]));
        let mut few = [0; 32];
        for (at, byte) in few.iter_mut().enumerate() {
            *byte = b"deadbeef"[at % 8];
        }
        assert!(is_rejected(few));
        assert!(Keys::random().is_ok() && Keys::parse(ONE).is_ok());
    }

    #[test]
    fn sealed_data_opens_for_its_subject_and_key_only() {
        let keys = Keys::parse(ONE).unwrap();
        let sealed = keys
            .seal(subject("a", 1), Zeroizing::new(b"secret".to_vec()))
            .unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        let open = |keys: &Keys, subject, sealed: &[u8]| {
            keys.open(subject, sealed).map(|plain| plain.to_vec())
        };
        assert!(open(&keys, subject("a", 1), &sealed) == Ok(b"secret".to_vec()));
        assert!(open(&keys, subject("b", 1), &sealed) == Err(Shut::Damaged));
        assert!(open(&keys, subject("a", 2), &sealed) == Err(Shut::Damaged));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&keys, subject("a", 1), &changed).is_err(), "byte {at}");
            assert!(
                open(&keys, subject("a", 1), &sealed[..at]).is_err(),
                "cut at {at}"
            );
        }
        let other = Keys::parse(OTHER).unwrap();
        assert!(matches!(
            other.open(subject("a", 1), &sealed),
            Err(Shut::OtherKey(_))
        ));
        // Rotation: the new one seals, the old one still opens.
        let both = Keys::parse(&format!("{OTHER}, {ONE}")).unwrap();
        assert!(open(&both, subject("a", 1), &sealed) == Ok(b"secret".to_vec()));
        let newer = both
            .seal(subject("a", 1), Zeroizing::new(b"secret".to_vec()))
            .unwrap();
        assert!(open(&other, subject("a", 1), &newer) == Ok(b"secret".to_vec()));
    }

    #[test]
    fn a_key_check_opens_with_its_key_only() {
        let (one, other) = (Keys::parse(ONE).unwrap(), Keys::parse(OTHER).unwrap());
        let record = one.key_check().unwrap();
        let rotated = Keys::parse(&format!("{OTHER},{ONE}")).unwrap();
        assert!(one.opens_key_check(&record) == Ok(true));
        assert!(rotated.opens_key_check(&record) == Ok(false));
        assert!(matches!(
            other.opens_key_check(&record),
            Err(Shut::OtherKey(_))
        ));
        assert!(one.opens_key_check(&record[..20]) == Err(Shut::Damaged));
        // A sealed token is not a key check.
        let sealed = one.seal(subject("", 0), Zeroizing::default()).unwrap();
        assert!(one.opens_key_check(&sealed) == Err(Shut::Damaged));
    }

    #[test]
    fn an_invalid_key_is_reported_by_its_position() {
        let position = |text: &str| match Keys::parse(text) {
            Err(InvalidKeys::Malformed { position, .. }) => position,
            _ => 0,
        };
        assert_eq!(position(""), 1);
        assert_eq!(position("AAECAwQ="), 1);
        assert_eq!(position(&format!("{ONE},hunter2")), 2);
        assert_eq!(position(&format!("{ONE},")), 0);
        assert_eq!(position(&format!(" {ONE} , {OTHER}\n")), 0);
    }
}
