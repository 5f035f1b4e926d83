//! Sealing: AES-256-GCM with random nonces, under keys from outside.
//!
//! A sealed token is `1` (the format), the key's id in 8 bytes, the nonce in 12, then ciphertext and
//! tag. The installation, the expiry and the purpose are bound in: a token moved to another
//! installation's row, or given a longer life, does not open.

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

/// Keys to seal tokens with: the first seals, all open.
pub(super) struct Keys(Vec<Key>);

struct Key {
    id: KeyId,
    key: RandomizedNonceKey,
}

/// What tells keys apart: a part of a hash of the key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyId([u8; ID_BYTES]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What can't be keys for tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKeys {
    /// One of them is something else.
    #[error(
        "key {position} of {count} is not 32 bytes in base64; `openssl rand -base64 32` makes one"
    )]
    Malformed {
        /// Which one, from 1.
        position: usize,
        /// How many there are.
        count: usize,
    },
    /// One of them was typed rather than generated: one or a few bytes repeated.
    #[error(
        "key {position} of {count} is not random (a few bytes repeat), so anyone can guess it: replace it by what `openssl rand -base64 32` prints"
    )]
    NotRandom {
        /// Which one, from 1.
        position: usize,
        /// How many there are.
        count: usize,
    },
    /// The system gave no random bytes.
    #[error("no random key could be made: is the system's random source working?")]
    NoRandom,
}

/// Why a sealed token stays shut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shut {
    /// It was sealed under a key that isn't there.
    OtherKey(KeyId),
    /// It was changed, cut, moved, or sealed by a newer version.
    Damaged,
}

/// Which token a seal is for.
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

/// What a key check is bound to: no token can be taken for one.
fn key_check_bound() -> Aad<Vec<u8>> {
    Aad::from(b"forge-remote/key-check/1\0".to_vec())
}

impl Keys {
    /// Reads keys as `FORGE_REMOTE_TOKEN_KEY` has them: base64 of either alphabet, by commas.
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

    /// A key for what doesn't outlive the process.
    pub(super) fn random() -> Result<Self, InvalidKeys> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| InvalidKeys::NoRandom)?;
        let key = Key::new(bytes.as_slice()).ok_or(InvalidKeys::NoRandom)?;
        Ok(Self(vec![key]))
    }

    /// Seals under the first key; `None` when the system gives no random nonce.
    pub(super) fn seal(&self, subject: Subject<'_>, plain: Zeroizing<Vec<u8>>) -> Option<Vec<u8>> {
        self.seal_bound(subject.bound(), plain)
    }

    /// A record that opens for those who have the first key.
    pub(super) fn key_check(&self) -> Option<Vec<u8>> {
        self.seal_bound(key_check_bound(), Zeroizing::default())
    }

    /// Whether such a record is sealed under the first key; an error when it doesn't open.
    pub(super) fn opens_key_check(&self, record: &[u8]) -> Result<bool, Shut> {
        self.open_bound(key_check_bound(), record)?;
        let id = record.get(1..1 + ID_BYTES);
        Ok(self.0.first().is_some_and(|key| id == Some(&key.id.0[..])))
    }

    fn seal_bound(&self, bound: Aad<Vec<u8>>, mut plain: Zeroizing<Vec<u8>>) -> Option<Vec<u8>> {
        let key = self.0.first()?;
        // In its place, so that growing leaves no copy behind.
        plain.reserve_exact(AES_256_GCM.tag_len());
        let nonce = key.key.seal_in_place_append_tag(bound, &mut *plain).ok()?;
        let mut sealed = Vec::with_capacity(HEAD + plain.len());
        sealed.push(FORMAT);
        sealed.extend(key.id.0);
        sealed.extend(nonce.as_ref());
        sealed.extend(&*plain);
        Some(sealed)
    }

    /// Opens with whichever key it was sealed under.
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

/// Whether bytes may come from a random source: those have about 30 different ones among 32, and 8
/// or fewer never happen.
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
    fn a_key_that_is_not_random_is_refused() {
        let encode = |bytes: [u8; 32]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let refused = |bytes| {
            matches!(
                Keys::parse(&format!("{ONE},{}", encode(bytes))),
                Err(InvalidKeys::NotRandom {
                    position: 2,
                    count: 2
                })
            )
        };
        assert!(refused([0; 32]));
        assert!(refused([0xa5; 32]));
        let mut few = [0; 32];
        for (at, byte) in few.iter_mut().enumerate() {
            *byte = b"deadbeef"[at % 8];
        }
        assert!(refused(few));
        assert!(Keys::random().is_ok() && Keys::parse(ONE).is_ok());
    }

    #[test]
    fn what_is_sealed_opens_for_its_subject_and_key_alone() {
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
    fn a_key_check_opens_for_those_who_have_the_key() {
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
        // A sealed token is none.
        let sealed = one.seal(subject("", 0), Zeroizing::default()).unwrap();
        assert!(one.opens_key_check(&sealed) == Err(Shut::Damaged));
    }

    #[test]
    fn what_is_no_key_is_told_by_its_position() {
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
