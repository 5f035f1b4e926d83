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
    /// Returns whether this key has made the signature of `signed`.
    pub(super) fn has_signed(&self, signed: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(signed, signature).is_ok()
    }
}

#[cfg(feature = "fuzzing")]
impl Key {
    /// Returns whether the key has these numbers.
    pub(super) fn is(&self, modulus: &[u8], exponent: &[u8]) -> bool {
        self.modulus == modulus && self.exponent == exponent
    }
}

#[derive(serde::Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// The reason why an entry of a key set cannot verify a FIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyProblem {
    #[error("it is not a JSON Web Key")]
    NotKey,
    #[error("its type (`kty`) is not RSA")]
    NotRsa,
    #[error("its algorithm (`alg`) is not RS256")]
    NotRs256,
    #[error("it has no `kid`")]
    NoKeyId,
    #[error("its `use` or `key_ops` is not the verification of signatures")]
    NotForSignatures,
    #[error("its modulus or exponent is not a number in base64url")]
    NotNumbers,
    #[error("it has {0} bits; RS256 needs 2048 to 8192")]
    Size(usize),
    #[error("its modulus or exponent is even")]
    Even,
    #[error("its exponent is less than 3, or has more than 32 bits")]
    Exponent,
    #[error("its numbers are not an RSA key")]
    NotAccepted,
    #[error("{MAX_CANDIDATES} other keys have its `kid`")]
    TooManyOfKeyId,
    #[error("it is behind the first {MAX_KEYS} keys")]
    TooManyKeys,
}

/// The entries of a key set.
pub(super) struct Examined {
    /// The number of key ids that can verify a FIT.
    pub(super) usable: usize,
    /// The number of all entries.
    pub(super) entries: usize,
    /// The others, each with its key id.
    unusable: Vec<(Option<String>, KeyProblem)>,
}

impl Examined {
    /// Returns the entries that cannot verify a FIT, with the reasons; empty if all can.
    pub(super) fn problems(&self) -> String {
        const SHOWN: usize = 5;
        let shown = self.unusable.iter().take(SHOWN).map(|(kid, problem)| {
            // It is foreign text.
            let kid = kid.as_deref().unwrap_or_default().chars().take(64);
            let kid: String = kid.flat_map(char::escape_debug).collect();
            match kid.is_empty() {
                true => format!("a key: {problem}"),
                false => format!("`{kid}`: {problem}"),
            }
        });
        let mut text = shown.collect::<Vec<_>>().join("; ");
        let more = self.unusable.len().saturating_sub(SHOWN);
        if more > 0 {
            text.push_str(&format!("; and {more} more"));
        }
        text
    }

    /// Returns the number of entries that cannot verify a FIT.
    pub(super) fn unusable(&self) -> usize {
        self.unusable.len()
    }
}

/// Reads a document. Entries that cannot verify a FIT are passed over: one bad key never hides a
/// good one. `None` when it isn't a key set at all.
pub(super) fn parse(document: &[u8]) -> Option<Keys> {
    read(document, |_, _| ())
}

/// Reads a document like [`parse`], for reports.
pub(super) fn examined(document: &[u8]) -> Option<Examined> {
    let (mut unusable, mut entries) = (Vec::new(), 0);
    let keys = read(document, |entry, problem| {
        entries += 1;
        unusable.extend(problem.map(|problem| (key_id(entry), problem)));
    })?;
    Some(Examined {
        usable: keys.len(),
        entries,
        unusable,
    })
}

fn key_id(entry: &RawValue) -> Option<String> {
    let entry: serde_json::Value = serde_json::from_str(entry.get()).ok()?;
    entry.get("kid")?.as_str().map(str::to_owned)
}

/// Reads a document, and calls `seen` with each entry and the reason why it cannot verify a FIT.
fn read(document: &[u8], mut seen: impl FnMut(&RawValue, Option<KeyProblem>)) -> Option<Keys> {
    let Object(document): Object<Document<'_>> = serde_json::from_slice(document).ok()?;
    let mut keys: BTreeMap<Box<str>, Vec<Key>> = BTreeMap::new();
    for (at, entry) in document.keys.into_iter().enumerate() {
        if at >= MAX_KEYS {
            seen(entry, Some(KeyProblem::TooManyKeys));
            continue;
        }
        let (kid, key) = match usable(entry) {
            Ok(usable) => usable,
            Err(problem) => {
                seen(entry, Some(problem));
                continue;
            }
        };
        let candidates = keys.entry(kid).or_default();
        let known = candidates
            .iter()
            .any(|other| other.modulus == key.modulus && other.exponent == key.exponent);
        let fits = known || candidates.len() < MAX_CANDIDATES;
        seen(entry, (!fits).then_some(KeyProblem::TooManyOfKeyId));
        if !known && fits {
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
struct KeyMembers {
    kty: String,
    alg: Option<String>,
}

fn usable(entry: &RawValue) -> Result<(Box<str>, Key), KeyProblem> {
    let names = serde_json::from_str(entry.get());
    let Object(names): Object<KeyMembers> = names.map_err(|_| KeyProblem::NotKey)?;
    if names.kty != "RSA" {
        return Err(KeyProblem::NotRsa);
    }
    if names.alg.is_some_and(|alg| alg != "RS256") {
        return Err(KeyProblem::NotRs256);
    }
    let jwk = serde_json::from_str(entry.get());
    let Jwk { common, algorithm } = jwk.map_err(|_| KeyProblem::NotKey)?;
    let AlgorithmParameters::RSA(numbers) = algorithm else {
        return Err(KeyProblem::NotRsa);
    };
    let kid = common.key_id.filter(|kid| !kid.is_empty());
    let kid = kid.ok_or(KeyProblem::NoKeyId)?;
    let fits = common
        .public_key_use
        .is_none_or(|key_use| key_use == PublicKeyUse::Signature)
        && common
            .key_operations
            .is_none_or(|ops| ops.contains(&KeyOperations::Verify));
    if !fits {
        return Err(KeyProblem::NotForSignatures);
    }
    let modulus = unsigned(&numbers.n).ok_or(KeyProblem::NotNumbers)?;
    let exponent = unsigned(&numbers.e).ok_or(KeyProblem::NotNumbers)?;
    // 2048 to 8192 bits is what aws-lc takes for RS256; an even modulus or exponent is not a valid RSA key.
    let zeros = modulus.first().map_or(0, |first| first.leading_zeros());
    let bits = modulus.len() * 8 - zeros as usize;
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    if !(2048..=8192).contains(&bits) {
        return Err(KeyProblem::Size(bits));
    }
    if !odd(&modulus) || !odd(&exponent) {
        return Err(KeyProblem::Even);
    }
    // 3 at least, and 33 bits at most as aws-lc has it.
    if exponent.len() > 4 || exponent == [1] {
        return Err(KeyProblem::Exponent);
    }
    let components = RsaPublicKeyComponents {
        n: &modulus,
        e: &exponent,
    };
    let public = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
    let public = public.map_err(|_| KeyProblem::NotAccepted)?;
    Ok((
        kid.into_boxed_str(),
        Key {
            modulus,
            exponent,
            public,
        },
    ))
}

/// Decodes a Base64urlUInt, and removes leading zeros: RFC 7518 forbids them, and some publishers write them.
fn unsigned(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
    let first = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes[first..].to_vec())
}
