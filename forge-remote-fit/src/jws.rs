//! The compact serialisation and its protected header, read as strictly as RFC 7515 allows.

use std::borrow::Cow;
use std::fmt;

use memchr::{memchr, memrchr};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::base64url;
use super::error::TokenRejection;
use super::json::strict::{Names, Text, is_too_deep};

/// Longest `kid` looked up; Atlassian's are about 64 bytes.
const MAX_KID_BYTES: usize = 256;
/// A FIT's header is about 120 bytes.
const MAX_HEADER_BYTES: usize = 4096;

/// The three parts of a compact JWS.
#[derive(Clone, Copy)]
pub(super) struct Compact<'a> {
    pub(super) header: &'a [u8],
    pub(super) payload: &'a [u8],
    pub(super) signature: &'a [u8],
    /// The signed text: header, dot, payload.
    pub(super) signed: &'a [u8],
}

impl<'a> Compact<'a> {
    /// Splits a FIT. Its characters are checked when a part is decoded.
    pub(super) fn split(token: &'a [u8]) -> Result<Self, TokenRejection> {
        let (signed, signature) = split_at(token, memrchr(b'.', token))
            .ok_or(TokenRejection::NotCompact("it has one part, not three"))?;
        let (header, payload) = split_at(signed, memchr(b'.', signed))
            .ok_or(TokenRejection::NotCompact("it has two parts, not three"))?;
        if memchr(b'.', payload).is_some() {
            return Err(TokenRejection::NotCompact("it has more than three parts"));
        }
        if header.is_empty() || payload.is_empty() || signature.is_empty() {
            return Err(TokenRejection::NotCompact("a part is empty"));
        }
        Ok(Self {
            header,
            payload,
            signature,
            signed,
        })
    }

    /// Returns a buffer for the decoded parts.
    pub(super) fn buffer(&self) -> Buffer {
        let [payload, header, signature] =
            [self.payload, self.header, self.signature].map(base64url::decoded_len);
        Buffer {
            bytes: vec![0; payload + header + signature],
            payload,
            header,
        }
    }

    /// Decodes the protected header.
    pub(super) fn decode_header(&self, header: &mut [u8]) -> Result<(), TokenRejection> {
        if self.header.len() > MAX_HEADER_BYTES {
            return Err(TokenRejection::BadHeader("it is too long"));
        }
        decode(self.header, header, "the header is not base64url")
    }

    pub(super) fn decode_signature(&self, signature: &mut [u8]) -> Result<(), TokenRejection> {
        decode(self.signature, signature, "the signature is not base64url")
    }

    /// Decodes the payload. Padding, the standard alphabet, white space and stray trailing bits are rejected.
    pub(super) fn decode_payload(&self, payload: &mut [u8]) -> Result<(), TokenRejection> {
        decode(self.payload, payload, "the payload is not base64url")
    }
}

/// Room for the decoded parts of a compact JWS, in one allocation.
pub(super) struct Buffer {
    /// The payload first, then the header, then the signature.
    bytes: Vec<u8>,
    payload: usize,
    header: usize,
}

impl Buffer {
    /// Returns the room for the header, the signature and the payload.
    pub(super) fn parts(&mut self) -> [&mut [u8]; 3] {
        let (payload, rest) = self.bytes.split_at_mut(self.payload);
        let (header, signature) = rest.split_at_mut(self.header);
        [header, signature, payload]
    }

    /// Returns the payload alone.
    pub(super) fn into_payload(mut self) -> Vec<u8> {
        self.bytes.truncate(self.payload);
        self.bytes
    }
}

/// Checks a protected header and returns its `kid`.
pub(super) fn kid(header: &[u8]) -> Result<Cow<'_, str>, TokenRejection> {
    let json =
        std::str::from_utf8(header).map_err(|_| TokenRejection::BadHeader("it is not UTF-8"))?;
    if is_too_deep(json) {
        return Err(TokenRejection::BadHeader("it is nested too deep"));
    }
    let header: Header<'_> = serde_json::from_str(json).map_err(|_| {
        TokenRejection::BadHeader("it is not a JSON object with distinct, well-typed members")
    })?;
    header.check()
}

/// Returns the parts before and after the byte at `dot`.
fn split_at(text: &[u8], dot: Option<usize>) -> Option<(&[u8], &[u8])> {
    let (before, rest) = text.split_at_checked(dot?)?;
    Some((before, rest.get(1..)?))
}

fn decode(part: &[u8], decoded: &mut [u8], problem: &'static str) -> Result<(), TokenRejection> {
    base64url::decode_into(part, decoded).ok_or(TokenRejection::NotCompact(problem))
}

#[derive(Default)]
struct Header<'a> {
    alg: Option<Text<'a>>,
    kid: Option<Text<'a>>,
    typ: Option<Text<'a>>,
    forbidden: Option<&'static str>,
}

/// Members that change how a FIT is read, or bring key material along.
const FORBIDDEN: [&str; 12] = [
    "crit", "b64", "zip", "cty", "enc", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "p2c",
];

impl<'a> Header<'a> {
    fn check(self) -> Result<Cow<'a, str>, TokenRejection> {
        match self.alg {
            Some(alg) if alg.0 == "RS256" => {}
            _ => return Err(TokenRejection::WrongAlgorithm),
        }
        if let Some(name) = self.forbidden {
            return Err(TokenRejection::ForbiddenHeader(name));
        }
        if self
            .typ
            .is_some_and(|typ| !typ.0.eq_ignore_ascii_case("JWT"))
        {
            return Err(TokenRejection::BadHeader("its `typ` is not JWT"));
        }
        match self.kid {
            Some(kid) if !kid.0.is_empty() && kid.0.len() <= MAX_KID_BYTES => Ok(kid.0),
            _ => Err(TokenRejection::NoKid),
        }
    }
}

impl<'de> Deserialize<'de> for Header<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeaderVisitor;

        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = Header<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JOSE header")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut header = Header::default();
                let mut seen = Names::default();
                while let Some(name) = map.next_key::<Text<'de>>()? {
                    match &*name.0 {
                        "alg" => header.alg = Some(seen.value(0, &mut map)?),
                        "kid" => header.kid = Some(seen.value(1, &mut map)?),
                        "typ" => header.typ = Some(seen.value(2, &mut map)?),
                        other => {
                            if let Some(known) = FORBIDDEN.iter().find(|known| **known == other) {
                                header.forbidden = Some(known);
                            }
                            seen.pass_over(name, &mut map)?;
                        }
                    }
                }
                Ok(header)
            }
        }

        deserializer.deserialize_map(HeaderVisitor)
    }
}
