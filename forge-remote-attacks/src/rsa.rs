//! RSA keys whose numbers are all known, so that a test can sign anything.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use num_bigint::BigUint;
use serde_json::{Value, json};

use crate::encoding::{b64, der};

/// A private key as numbers. The modulus need not be the product of two primes.
#[derive(Clone)]
pub struct RsaKey {
    /// The modulus.
    pub n: BigUint,
    /// The public exponent.
    pub e: BigUint,
    /// The private operation modulo `n`.
    private: Private,
    /// The key in aws-lc-rs, if it accepts the key.
    pair: Option<Arc<RsaKeyPair>>,
    /// The first prime, if known. With it, [`raw`](Self::raw) takes a quarter of the time.
    prime: Option<BigUint>,
}

#[derive(Clone)]
enum Private {
    /// The private exponent.
    Exponent(BigUint),
    /// Unknown: only the public key is known.
    Unknown,
    /// The factors, for the Chinese remainder theorem: one `(modulus, exponent)` each.
    Factors(Vec<(BigUint, BigUint)>),
}

impl std::fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RsaKey")
            .field("bits", &self.n.bits())
            .finish_non_exhaustive()
    }
}

/// A hash and padding that aws-lc-rs signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Scheme {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
}

impl Scheme {
    /// Returns the name in a JOSE header.
    pub fn alg(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
        }
    }

    fn encoding(self) -> &'static dyn RsaEncoding {
        match self {
            Self::Rs256 => &RSA_PKCS1_SHA256,
            Self::Rs384 => &RSA_PKCS1_SHA384,
            Self::Rs512 => &RSA_PKCS1_SHA512,
            Self::Ps256 => &RSA_PSS_SHA256,
            Self::Ps384 => &RSA_PSS_SHA384,
            Self::Ps512 => &RSA_PSS_SHA512,
        }
    }
}

impl RsaKey {
    /// Generates a key with aws-lc-rs.
    pub fn generate(size: KeySize) -> Self {
        let pair = KeyPair::generate(size).expect("the system's random source works");
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().expect("a generated key can be encoded");
        Self::from_pkcs8(pkcs8.as_ref()).expect("a generated key can be read")
    }

    /// Reads a key from PKCS#8, or returns `None`.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        let numbers = private_numbers(pkcs8)?;
        Some(Self {
            n: numbers.n,
            e: numbers.e,
            private: Private::Exponent(numbers.d),
            pair: Some(Arc::new(RsaKeyPair::from_pkcs8(pkcs8).ok()?)),
            prime: Some(numbers.p),
        })
    }

    /// Returns a published key, with which nothing can be signed: its signatures are zeros.
    pub fn public(n: &[u8], e: &[u8]) -> Self {
        Self {
            n: BigUint::from_bytes_be(n),
            e: BigUint::from_bytes_be(e),
            private: Private::Unknown,
            pair: None,
            prime: None,
        }
    }

    /// Returns a key of half the size, whose modulus is one prime. A verifier cannot distinguish it
    /// from an RSA key, so it makes genuine signatures by a short key.
    pub fn short(from: &Self) -> Self {
        let n = from.prime.clone().unwrap();
        let one = BigUint::from(1_u8);
        let phi = &n - &one;
        let mut e = BigUint::from(65_537_u32);
        let d = loop {
            match e.modinv(&phi) {
                Some(d) => break d,
                None => e += 2_u8,
            }
        };
        Self {
            n,
            e,
            private: Private::Exponent(d),
            pair: None,
            prime: None,
        }
    }

    /// Returns a key whose modulus is the product of these moduli. Its signatures are genuine.
    pub fn long(from: &[Self]) -> Self {
        let factors = from.iter().map(|key| {
            let Private::Exponent(d) = &key.private else {
                panic!("a plain key")
            };
            (key.n.clone(), d.clone())
        });
        let factors: Vec<_> = factors.collect();
        let n = factors
            .iter()
            .fold(BigUint::from(1_u8), |product, (n, _)| product * n);
        let e = from[0].e.clone();
        Self {
            n,
            e,
            private: Private::Factors(factors),
            pair: None,
            prime: None,
        }
    }

    /// Returns a key with the exponents exchanged: the public one is as long as the modulus.
    pub fn huge_exponent(&self) -> Self {
        let Private::Exponent(d) = &self.private else {
            panic!("a plain key")
        };
        let private = Private::Exponent(self.e.clone());
        Self {
            n: self.n.clone(),
            e: d.clone(),
            private,
            pair: None,
            prime: None,
        }
    }

    /// Returns a key with exponent one, for which a message is its own signature.
    pub fn exponent_one(&self) -> Self {
        let one = BigUint::from(1_u8);
        let private = Private::Exponent(one.clone());
        Self {
            n: self.n.clone(),
            e: one,
            private,
            pair: None,
            prime: None,
        }
    }

    /// Returns the length of a signature in bytes.
    pub fn len(&self) -> usize {
        usize::try_from(self.n.bits()).unwrap().div_ceil(8)
    }

    /// Returns false, since a key always has a modulus.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Returns the public key as a JWK, as Atlassian publishes it.
    pub fn jwk(&self, kid: &str) -> Value {
        json!({
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": kid,
            "n": b64(self.n.to_bytes_be()),
            "e": b64(self.e.to_bytes_be()),
        })
    }

    /// Signs with aws-lc-rs if it accepts the key, otherwise with big integers.
    pub fn sign(&self, scheme: Scheme, message: &[u8]) -> Vec<u8> {
        match &self.pair {
            Some(pair) => {
                let mut signature = vec![0; self.len()];
                pair.sign(
                    scheme.encoding(),
                    &SystemRandom::new(),
                    message,
                    &mut signature,
                )
                .unwrap();
                signature
            }
            None => {
                assert_eq!(scheme, Scheme::Rs256, "by hand there is RS256 only");
                let padded = crate::padding::pkcs1_sha256(self.len(), message);
                self.raw(&padded)
            }
        }
    }

    /// Signs with RS256.
    pub fn rs256(&self, message: &[u8]) -> Vec<u8> {
        self.sign(Scheme::Rs256, message)
    }

    /// Applies the private operation to any bytes as long as the modulus.
    pub fn raw(&self, padded: &[u8]) -> Vec<u8> {
        let message = BigUint::from_bytes_be(padded);
        self.bytes(&match &self.private {
            Private::Unknown => BigUint::ZERO,
            Private::Exponent(d) => match &self.prime {
                Some(p) => by_primes(&message, d, p, &(&self.n / p)),
                None => message.modpow(d, &self.n),
            },
            Private::Factors(factors) => {
                // s ≡ m^dᵢ (mod nᵢ) for every factor.
                let parts = factors.iter().map(|(n, d)| {
                    let others = &self.n / n;
                    let inverse = (&others % n).modinv(n).unwrap();
                    (&message % n).modpow(d, n) * inverse % n * others
                });
                parts.sum::<BigUint>() % &self.n
            }
        })
    }

    /// Returns a number as bytes, at least as long as the modulus.
    pub fn bytes(&self, number: &BigUint) -> Vec<u8> {
        let bytes = number.to_bytes_be();
        let mut padded = vec![0; self.len().saturating_sub(bytes.len())];
        padded.extend_from_slice(&bytes);
        padded
    }

    /// Returns the public key as X.509 `SubjectPublicKeyInfo`.
    pub fn spki_der(&self) -> Vec<u8> {
        const RSA_ENCRYPTION: &[u8] = &[
            0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05,
            0x00,
        ];
        let mut bits = vec![0];
        bits.extend_from_slice(&self.pkcs1_der());
        der(0x30, &[RSA_ENCRYPTION, &der(0x03, &bits)].concat())
    }

    /// Returns the public key as PKCS#1 `RSAPublicKey`.
    pub fn pkcs1_der(&self) -> Vec<u8> {
        der(0x30, &[der_integer(&self.n), der_integer(&self.e)].concat())
    }
}

/// Returns `message ^ d` modulo `p · q`, by the Chinese remainder theorem.
fn by_primes(message: &BigUint, d: &BigUint, p: &BigUint, q: &BigUint) -> BigUint {
    let one = BigUint::from(1_u8);
    let of_prime = |prime: &BigUint| (message % prime).modpow(&(d % (prime - &one)), prime);
    let (of_p, of_q) = (of_prime(p), of_prime(q));
    let inverse = q.modinv(p).unwrap();
    let difference = p + &of_p - &of_q % p;
    of_q + difference * inverse % p * q
}

fn der_integer(number: &BigUint) -> Vec<u8> {
    let mut bytes = number.to_bytes_be();
    if bytes[0] & 0x80 != 0 {
        bytes.insert(0, 0);
    }
    der(0x02, &bytes)
}

struct Numbers {
    n: BigUint,
    e: BigUint,
    d: BigUint,
    p: BigUint,
}

/// Reads the numbers of a PKCS#8 document.
fn private_numbers(pkcs8: &[u8]) -> Option<Numbers> {
    let (inner, _) = element(0x30, pkcs8)?;
    let (_version, rest) = element(0x02, inner)?;
    let (_algorithm, rest) = element(0x30, rest)?;
    let (key, _) = element(0x04, rest)?;
    let (mut inner, _) = element(0x30, key)?;
    let mut next = || {
        let (number, rest) = element(0x02, inner)?;
        inner = rest;
        Some(BigUint::from_bytes_be(number))
    };
    let _version = next()?;
    Some(Numbers {
        n: next()?,
        e: next()?,
        d: next()?,
        p: next()?,
    })
}

/// Returns the content of the first element, which has this tag, and the bytes after it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let [found, first, rest @ ..] = der else {
        return None;
    };
    let (length, rest) = match usize::from(*first) {
        short @ 0..0x80 => (short, rest),
        long => {
            let (length, rest) = rest.split_at_checked(long & 0x7f)?;
            let length = length
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (length, rest)
        }
    };
    let parts = rest.split_at_checked(length)?;
    (*found == tag).then_some(parts)
}

/// Defines keys that are generated once for the process, since generating them is slow.
macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident = $make:expr;)*) => {$(
        $(#[$doc])*
        pub fn $name() -> &'static RsaKey {
            static KEY: LazyLock<RsaKey> = LazyLock::new(|| $make);
            &KEY
        }
    )*};
}

keys! {
    /// The first key that the platform publishes.
    first = RsaKey::generate(KeySize::Rsa2048);
    /// The second key that the platform publishes.
    second = RsaKey::generate(KeySize::Rsa2048);
    /// A key that the platform will publish.
    third = RsaKey::generate(KeySize::Rsa2048);
    /// The attacker's key.
    stranger = RsaKey::generate(KeySize::Rsa2048);
    /// A key of 4096 bits.
    long4096 = RsaKey::generate(KeySize::Rsa4096);
    /// A key of 1024 bits.
    short1024 = RsaKey::short(first());
    /// A key of 16 kbit, made of eight keys.
    long16384 = RsaKey::long(&std::array::from_fn::<_, 8, _>(|_| RsaKey::generate(KeySize::Rsa2048)));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

    use super::*;

    fn verifies(key: &RsaKey, signature: &[u8]) -> bool {
        let components = RsaPublicKeyComponents {
            n: key.n.to_bytes_be(),
            e: key.e.to_bytes_be(),
        };
        components
            .verify(&RSA_PKCS1_2048_8192_SHA256, b"message", signature)
            .is_ok()
    }

    #[test]
    fn raw_signatures_equal_those_of_the_library() {
        let padded = crate::padding::pkcs1_sha256(first().len(), b"message");
        assert_eq!(
            first().raw(&padded),
            first().sign(Scheme::Rs256, b"message")
        );
        assert!(verifies(first(), &first().raw(&padded)));
    }

    #[test]
    fn odd_keys_sign_genuinely() {
        for key in [
            short1024(),
            long16384(),
            &first().huge_exponent(),
            &first().exponent_one(),
        ] {
            let padded = crate::padding::pkcs1_sha256(key.len(), b"message");
            let signature = BigUint::from_bytes_be(&key.raw(&padded));
            assert_eq!(
                key.bytes(&signature.modpow(&key.e, &key.n)),
                padded,
                "{key:?}"
            );
        }
        assert_eq!(short1024().n.bits(), 1024);
        assert!(long16384().n.bits() > 16_000);
    }

    #[test]
    fn the_public_key_in_der_equals_that_of_the_library() {
        use aws_lc_rs::signature::KeyPair as _;
        let pair = first().pair.as_ref().unwrap();
        assert_eq!(pair.public_key().as_ref(), first().pkcs1_der());
    }
}
