//! Published keys: what of a key-set document may verify a FIT.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyOperations, PublicKeyUse};
use serde_json::value::RawValue;

use super::json::strict::Object;

/// Keys tried for one `kid`: each costs a signature check.
const MAX_CANDIDATES: usize = 4;
/// A document with more keys than this is cut: Atlassian publishes about six.
const MAX_KEYS: usize = 1000;

/// The usable keys of a document, by `kid`.
pub(super) type Keys = BTreeMap<Box<str>, Arc<[Key]>>;

/// An RSA public key that may verify RS256, parsed once for all its signatures.
pub(super) struct Key {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    public: ParsedPublicKey,
}

impl Key {
    /// Whether `signature` over `signed` is this key's.
    pub(super) fn has_signed(&self, signed: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(signed, signature).is_ok()
    }
}

#[cfg(feature = "fuzzing")]
impl Key {
    /// Whether it has these numbers.
    pub(super) fn is(&self, modulus: &[u8], exponent: &[u8]) -> bool {
        self.modulus == modulus && self.exponent == exponent
    }
}

#[derive(serde::Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// Reads a document. Entries that cannot verify a FIT are passed over: one bad key never hides a
/// good one. `None` when it isn't a key set at all.
pub(super) fn parse(document: &[u8]) -> Option<Keys> {
    let Object(document): Object<Document<'_>> = serde_json::from_slice(document).ok()?;
    let mut keys: BTreeMap<Box<str>, Vec<Key>> = BTreeMap::new();
    for entry in document.keys.into_iter().take(MAX_KEYS) {
        let Some((kid, key)) = usable(entry) else {
            continue;
        };
        let candidates = keys.entry(kid).or_default();
        let known = candidates
            .iter()
            .any(|other| other.modulus == key.modulus && other.exponent == key.exponent);
        if !known && candidates.len() < MAX_CANDIDATES {
            candidates.push(key);
        }
    }
    Some(
        keys.into_iter()
            .map(|(kid, keys)| (kid, keys.into()))
            .collect(),
    )
}

/// The members that jsonwebtoken reads from an object as well: `{"RS256": null}`.
#[derive(serde::Deserialize)]
struct Names {
    kty: String,
    alg: Option<String>,
}

fn usable(entry: &RawValue) -> Option<(Box<str>, Key)> {
    let Object(names): Object<Names> = serde_json::from_str(entry.get()).ok()?;
    if names.kty != "RSA" || names.alg.is_some_and(|alg| alg != "RS256") {
        return None;
    }
    let Jwk { common, algorithm } = serde_json::from_str(entry.get()).ok()?;
    let AlgorithmParameters::RSA(numbers) = algorithm else {
        return None;
    };
    let kid = common.key_id.filter(|kid| !kid.is_empty())?;
    let fits = common
        .public_key_use
        .is_none_or(|key_use| key_use == PublicKeyUse::Signature)
        && common
            .key_operations
            .is_none_or(|ops| ops.contains(&KeyOperations::Verify));
    if !fits {
        return None;
    }
    let modulus = unsigned(&numbers.n)?;
    let exponent = unsigned(&numbers.e)?;
    // 2048 to 8192 bits is what aws-lc takes for RS256; an even modulus or exponent is not a valid RSA key.
    let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    if !(2048..=8192).contains(&bits) || !odd(&modulus) || !odd(&exponent) {
        return None;
    }
    // 3 at least, and 33 bits at most as aws-lc has it.
    if exponent.len() > 4 || exponent == [1] {
        return None;
    }
    let components = RsaPublicKeyComponents {
        n: &modulus,
        e: &exponent,
    };
    let public = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
    let public = public.ok()?;
    Some((
        kid.into_boxed_str(),
        Key {
            modulus,
            exponent,
            public,
        },
    ))
}

/// A Base64urlUInt without leading zeros; RFC 7518 forbids them, publishers write them.
fn unsigned(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
    let first = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes[first..].to_vec())
}
