//! Published keys: what of a key-set document may verify a FIT.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::value::RawValue;

use super::json::strict::Object;

/// Keys tried for one `kid`: each costs a signature check.
const MAX_CANDIDATES: usize = 4;
/// A document with more keys than this is cut: Atlassian publishes about six.
const MAX_KEYS: usize = 1000;

/// The usable keys of a document, by `kid`.
pub(super) type Keys = HashMap<Box<str>, Arc<[Key]>>;

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

#[derive(serde::Deserialize)]
struct Jwk {
    kty: String,
    kid: String,
    n: String,
    e: String,
    #[serde(rename = "use")]
    key_use: Option<String>,
    alg: Option<String>,
    key_ops: Option<Vec<String>>,
}

/// Reads a document. Entries that can't verify a FIT are passed over: one bad key never hides a
/// good one. `None` when it isn't a key set at all.
pub(super) fn parse(document: &[u8]) -> Option<Keys> {
    let Object(document): Object<Document<'_>> = serde_json::from_slice(document).ok()?;
    let mut keys: HashMap<Box<str>, Vec<Key>> = HashMap::new();
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

fn usable(entry: &RawValue) -> Option<(Box<str>, Key)> {
    let Object(jwk): Object<Jwk> = serde_json::from_str(entry.get()).ok()?;
    let fits = jwk.kty == "RSA"
        && !jwk.kid.is_empty()
        && jwk.key_use.is_none_or(|key_use| key_use == "sig")
        && jwk.alg.is_none_or(|alg| alg == "RS256")
        && jwk
            .key_ops
            .is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    if !fits {
        return None;
    }
    let modulus = unsigned(&jwk.n)?;
    let exponent = unsigned(&jwk.e)?;
    // 2048 to 8192 bits is what aws-lc takes for RS256; an even modulus or exponent is no RSA key.
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
        jwk.kid.into_boxed_str(),
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
