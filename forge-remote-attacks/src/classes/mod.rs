//! The table of attacks: one row a class.

mod algorithm;
mod authorization;
mod claims;
mod dates;
mod header;
mod hmac;
mod identity;
mod key_choice;
mod modules;
mod payload;
mod serialisation;
mod signature;
mod valid;

use crate::{Case, Cases, Scene};

/// A class of forged requests, or of valid ones that resemble them.
#[derive(Debug)]
pub struct Class {
    /// The short name.
    pub id: &'static str,
    /// The fault of the requests.
    pub about: &'static str,
    /// The reasons for which forge-remote rejects them, as in its log. Empty where all are valid.
    pub codes: &'static [&'static str],
    /// The name of the case that needs no private key of Atlassian.
    pub keyless: Option<&'static str>,
    make: fn(&Scene, &mut Cases),
}

impl Class {
    /// Makes the cases of the class.
    pub fn cases(&self, scene: &Scene) -> Vec<Case> {
        let mut cases = Cases::default();
        (self.make)(scene, &mut cases);
        cases.into_vec()
    }

    /// Makes the case with this name, if there is one.
    pub fn case(&self, scene: &Scene, name: &str) -> Option<Case> {
        let mut cases = Cases::only(name);
        (self.make)(scene, &mut cases);
        cases.into_vec().pop()
    }
}

/// Returns the class with this id.
pub fn class(id: &str) -> Option<&'static Class> {
    CLASSES.iter().find(|class| class.id == id)
}

/// Every class.
#[rustfmt::skip]
pub const CLASSES: &[Class] = &[
    Class { id: "alg_none", about: "alg none", codes: &["bad_header", "not_compact", "wrong_algorithm"], keyless: Some("\"none\", empty signature"), make: algorithm::alg_none },
    Class { id: "alg_missing", about: "alg missing or of another type", codes: &["bad_header", "not_compact", "wrong_algorithm"], keyless: Some("missing, empty signature"), make: algorithm::alg_missing },
    Class { id: "alg_spelling", about: "RS256 spelt otherwise, with a genuine signature", codes: &["wrong_algorithm"], keyless: None, make: algorithm::alg_spelling },
    Class { id: "alg_repeated", about: "alg twice", codes: &["bad_header", "not_compact"], keyless: Some("none, RS256, empty signature"), make: algorithm::alg_repeated },
    Class { id: "hmac_public_key", about: "HMAC with the public key", codes: &["bad_signature", "wrong_algorithm"], keyless: Some("HS256 with PEM PUBLIC KEY"), make: hmac::hmac_public_key },
    Class { id: "hmac_weak_secret", about: "HMAC with a weak secret", codes: &["wrong_algorithm"], keyless: Some("HS256 with \"secret\""), make: hmac::hmac_weak_secret },
    Class { id: "other_rsa_algorithm", about: "other RSA algorithms", codes: &["bad_signature", "wrong_algorithm"], keyless: None, make: algorithm::other_rsa_algorithm },
    Class { id: "other_signature_family", about: "other families of algorithms", codes: &["bad_signature", "not_compact", "wrong_algorithm"], keyless: Some("ES256 of the attacker's own key"), make: algorithm::other_signature_family },
    Class { id: "encrypted", about: "JWE", codes: &["forbidden_header", "not_compact", "wrong_algorithm"], keyless: Some("dir, five parts"), make: algorithm::encrypted },
    Class { id: "alg_changed", about: "alg changed after signing", codes: &["bad_signature", "not_compact", "wrong_algorithm"], keyless: Some("none, unsigned"), make: algorithm::alg_changed },
    Class { id: "critical_member", about: "crit", codes: &["bad_header", "forbidden_header"], keyless: None, make: header::critical_member },
    Class { id: "unencoded_payload", about: "b64", codes: &["forbidden_header", "not_compact"], keyless: None, make: header::unencoded_payload },
    Class { id: "compressed_payload", about: "zip", codes: &["bad_claims", "forbidden_header"], keyless: None, make: header::compressed_payload },
    Class { id: "nested_token", about: "nested tokens", codes: &["bad_claims", "forbidden_header", "missing_claim"], keyless: None, make: header::nested_token },
    Class { id: "foreign_type", about: "typ", codes: &["bad_header"], keyless: Some("\"at+jwt\""), make: header::foreign_type },
    Class { id: "header_not_object", about: "headers that are not an object", codes: &["bad_header", "not_compact", "wrong_algorithm"], keyless: Some("list"), make: header::header_not_object },
    Class { id: "header_not_utf8", about: "headers that aren't UTF-8", codes: &["bad_header"], keyless: Some("FF in alg"), make: header::header_not_utf8 },
    Class { id: "deep_header", about: "deep headers", codes: &["bad_header"], keyless: Some("nothing but 500 brackets"), make: header::deep_header },
    Class { id: "unpublished_key", about: "unpublished keys", codes: &["bad_signature", "unknown_key"], keyless: Some("under the first kid"), make: key_choice::unpublished_key },
    Class { id: "odd_key_id", about: "odd kids", codes: &["bad_header", "no_kid", "unknown_key"], keyless: Some("kid \"../../../../etc/passwd\", foreign"), make: key_choice::odd_key_id },
    Class { id: "key_in_header", about: "keys in the header", codes: &["bad_signature", "forbidden_header"], keyless: Some("all of them"), make: key_choice::key_in_header },
    Class { id: "key_by_claim", about: "keys by claims", codes: &["bad_signature", "unknown_key"], keyless: Some("the attacker as issuer, foreign"), make: key_choice::key_by_claim },
    Class { id: "no_token", about: "no token", codes: &["missing_header", "not_bearer", "not_compact"], keyless: Some("no header"), make: authorization::no_token },
    Class { id: "other_scheme", about: "another scheme", codes: &["not_bearer", "not_compact"], keyless: Some("Basic with the token as password"), make: authorization::other_scheme },
    Class { id: "odd_separator", about: "odd separators", codes: &["not_bearer", "not_compact"], keyless: Some("a tab"), make: authorization::odd_separator },
    Class { id: "quoted_token", about: "quoted or encoded", codes: &["bad_header", "not_compact"], keyless: Some("double quotes"), make: authorization::quoted_token },
    Class { id: "token_elsewhere", about: "the token elsewhere", codes: &["missing_header"], keyless: Some("query access_token"), make: authorization::token_elsewhere },
    Class { id: "several_tokens", about: "several tokens", codes: &["not_bearer", "not_compact", "repeated_header"], keyless: Some("two headers, both good"), make: authorization::several_tokens },
    Class { id: "issuer", about: "iss", codes: &["bad_claims", "missing_claim", "wrong_issuer"], keyless: None, make: identity::issuer },
    Class { id: "audience", about: "aud", codes: &["bad_claims", "missing_claim", "wrong_audience"], keyless: None, make: identity::audience },
    Class { id: "other_app", about: "another app's tokens", codes: &["wrong_app", "wrong_audience"], keyless: None, make: identity::other_app },
    Class { id: "app_claim", about: "app", codes: &["bad_claims", "installation_mismatch", "missing_claim", "wrong_app"], keyless: None, make: claims::app_claim },
    Class { id: "expiry", about: "exp", codes: &["bad_claims", "expired", "lives_too_long", "missing_claim"], keyless: None, make: dates::expiry },
    Class { id: "not_yet_valid", about: "nbf and iat", codes: &["bad_claims", "issued_in_future", "not_yet_valid"], keyless: None, make: dates::not_yet_valid },
    Class { id: "other_endpoint", about: "another endpoint's tokens", codes: &["wrong_endpoint"], keyless: None, make: claims::other_endpoint },
    Class { id: "user_on_trigger", about: "users' tokens on a trigger", codes: &["bad_claims", "has_principal"], keyless: None, make: claims::user_on_trigger },
    Class { id: "other_serialisation", about: "other serialisations", codes: &["missing_header", "not_compact"], keyless: Some("flattened JSON in base64url"), make: serialisation::other_serialisation },
    Class { id: "wrong_parts", about: "missing and extra parts", codes: &["bad_header", "not_compact", "wrong_algorithm"], keyless: Some("h.p."), make: serialisation::wrong_parts },
    Class { id: "invalid_base64url", about: "odd base64url", codes: &["bad_claims", "bad_header", "bad_signature", "not_compact"], keyless: Some("padding: header"), make: serialisation::invalid_base64url },
    Class { id: "payload_not_object", about: "payloads that are not an object", codes: &["bad_claims", "missing_claim", "not_compact"], keyless: None, make: payload::payload_not_object },
    Class { id: "payload_not_utf8", about: "payloads that aren't UTF-8", codes: &["bad_claims"], keyless: None, make: payload::payload_not_utf8 },
    Class { id: "unreadable_context", about: "contexts that no parser takes", codes: &["bad_claims"], keyless: None, make: payload::unreadable_context },
    Class { id: "duplicate_member", about: "duplicate members", codes: &["bad_claims"], keyless: None, make: payload::duplicate_member },
    Class { id: "deep_payload", about: "deep payloads", codes: &["bad_claims"], keyless: None, make: payload::deep_payload },
    Class { id: "wide_payload", about: "wide payloads", codes: &["bad_claims", "bad_header", "wrong_audience"], keyless: None, make: payload::wide_payload },
    Class { id: "oversized", about: "too large tokens", codes: &["bad_header", "bad_signature", "too_long"], keyless: None, make: serialisation::oversized },
    Class { id: "changed_signature", about: "changed signatures", codes: &["bad_header", "bad_signature", "no_kid", "not_compact", "unknown_key", "wrong_algorithm"], keyless: Some("one zero"), make: signature::changed_signature },
    Class { id: "other_text", about: "signatures of something else", codes: &["bad_signature"], keyless: None, make: signature::other_text },
    Class { id: "special_number", about: "special numbers", codes: &["bad_signature"], keyless: Some("zero"), make: signature::special_number },
    Class { id: "wrong_padding", about: "wrong paddings", codes: &["bad_signature"], keyless: None, make: signature::wrong_padding },
    Class { id: "valid_header", about: "headers of good tokens", codes: &[], keyless: None, make: valid::valid_header },
    Class { id: "valid_claims", about: "claims of good tokens", codes: &[], keyless: None, make: valid::valid_claims },
    Class { id: "page_module", about: "types of pages", codes: &["wrong_module_type"], keyless: None, make: modules::page_module },
    Class { id: "unknown_module", about: "types of modules", codes: &["wrong_endpoint", "wrong_module_type"], keyless: None, make: modules::unknown_module },
];
