//! Properties of the sealed records, checked with arbitrary bytes.

#![allow(clippy::expect_used, reason = "a violated property is a panic")]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::installation::About;
use super::removal;
use super::seal::{Keys, Subject};

static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys::random().expect("a key can be made"));

/// Checks the properties of a record that a store returns:
///
/// - Bytes that this key didn't seal don't open. A sealed record opens for its own installation and
///   expiry, and not after a byte of it was changed.
/// - A token's record that can be read is the same when it is written again.
/// - A record of a removal is not a token's.
/// - A key's text is a key or an error.
pub fn sealed(input: &[u8]) {
    let keys = &*KEYS;
    let subject = |installation_id, seconds| Subject {
        installation_id,
        expires_at: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
    };
    let own = subject("ari:cloud:ecosystem::installation/i-1", 1_800_000_000);
    assert!(keys.open(own, input).is_err(), "nobody sealed it");
    assert!(keys.opens_key_check(input).is_err(), "nobody sealed it");
    let plain = Zeroizing::new(input.to_vec());
    let mut record = keys.seal(own, plain).expect("it can be sealed");
    let opened = keys.open(own, &record).ok().expect("it opens");
    assert_eq!(*opened, input);
    let moved = subject("ari:cloud:ecosystem::installation/i-2", 1_800_000_000);
    assert!(keys.open(moved, &record).is_err(), "it was moved");
    let longer = subject(own.installation_id, 1_800_000_001);
    assert!(keys.open(longer, &record).is_err(), "it lives longer");
    assert!(keys.opens_key_check(&record).is_err(), "it is a token's");
    let at = input.first().map_or(0, |byte| usize::from(*byte)) % record.len();
    assert!(keys.open(own, &record[..at]).is_err(), "it was cut");
    record[at] ^= input.last().map_or(1, |byte| byte | 1);
    assert!(keys.open(own, &record).is_err(), "it was changed");

    if let Some((token, about, standing)) = About::read(own.installation_id, input) {
        for id in about.cloud_ids() {
            assert!(
                !id.is_empty() && id.len() <= 64,
                "`{id}` is not a site's id"
            );
        }
        let plain = about.plain(&token, &standing).expect("it can be written");
        let again = About::read(own.installation_id, &plain);
        assert!(
            again == Some((token, about, standing)),
            "it was not read back unchanged"
        );
        assert!(removal::read(&plain).is_none(), "it is a token's");
    }
    if removal::read(input).is_some() {
        assert!(input.starts_with(b"{"));
    }
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = Keys::parse(text);
    }
}
