//! Properties of the verifier and the key sets, for fuzzing.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::base64url;
use super::claims::{Claims, Expected, KeyChoice};
use super::json::strict::{is_plain, is_too_deep, parsable};
use super::jws::{self, Compact};
use super::source::{FetchError, JwksDocument, KeySource};
use super::{
    AllowedCaller, AllowedModuleKey, AppId, Clock, EndpointTarget, Jwks, JwksPolicy, KeyRing,
    TokenRejection, VerificationPolicy, Verifier, jwk,
};

/// Splits an input into its first line and the rest. An input without a line end is all rest.
pub fn first_line(input: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match input.iter().position(|byte| *byte == b'\n') {
        Some(end) => (Some(&input[..end]), &input[end + 1..]),
        None => (None, input),
    }
}

const APP_ID: &str = "ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107";
/// The time of every run, in seconds since 1970: the corpus has dates around it.
const NOW: u64 = 1_800_000_000;
const KID: &str = "k";
/// The header of inputs that are a payload alone.
const HEADER: &[u8] = br#"{"alg":"RS256","kid":"k","typ":"JWT"}"#;
/// FITs of larger inputs are rejected for their length.
const MAX_INPUT: usize = 32 * 1024;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

struct Still;

impl Clock for Still {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> Boxed<()> {
        Box::pin(std::future::pending())
    }
}

struct OneKey(Vec<u8>);

impl KeySource for OneKey {
    fn fetch(&self) -> Boxed<Result<JwksDocument, FetchError>> {
        let document = self.0.clone().into();
        Box::pin(async move {
            Ok(JwksDocument {
                document,
                max_age: None,
            })
        })
    }

    fn name(&self) -> &str {
        "one key"
    }
}

/// A verifier, and the private key of the one key it trusts.
struct Rig {
    key: KeyPair,
    verifier: Verifier,
    runtime: tokio::runtime::Runtime,
}

static RIG: LazyLock<Rig> = LazyLock::new(|| {
    let key = KeyPair::generate(KeySize::Rsa2048).expect("a key can be made");
    let public = RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
    let document = serde_json::json!({"keys": [{
        "kty": "RSA", "kid": KID, "use": "sig", "alg": "RS256",
        "n": URL_SAFE_NO_PAD.encode(public.n), "e": URL_SAFE_NO_PAD.encode(public.e),
    }]});
    let source = OneKey(document.to_string().into_bytes());
    let keys = Jwks::new(source, JwksPolicy::default(), Arc::new(Still));
    let app_id = APP_ID.parse::<AppId>().expect("it is an app's id");
    let verifier = Verifier::new(
        app_id,
        KeyRing::new(keys),
        VerificationPolicy::default(),
        Arc::new(Still),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    Rig {
        key,
        verifier,
        runtime: runtime.expect("a runtime can be made"),
    }
});

impl Rig {
    fn sign(&self, signed: &str) -> String {
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .expect("it can be signed");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn verify(&self, authorization: HeaderValue, caller: AllowedCaller) -> Option<Claims> {
        let mut target = EndpointTarget::new("tick", "scheduledTrigger", caller);
        target.module = Some("tick-trigger".to_owned());
        if target.caller == AllowedCaller::Page {
            // Any module's key.
            target.module_keys = AllowedModuleKey::Any;
        }
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, authorization)]);
        let verified = self.verifier.verify(&headers, &target);
        match self.runtime.block_on(verified) {
            Ok(claims) => Some(claims),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                None
            }
        }
    }
}

fn bearer(token: &str) -> HeaderValue {
    HeaderValue::try_from(format!("Bearer {token}")).expect("base64url is a header's value")
}

/// Verifies a FIT of a header and a payload, a line each; or of a payload alone; or an `Authorization` header.
///
/// - Base64url is decoded as by a second decoder, and rejected where that rejects it.
/// - JSON whose full parse is spared is read by the parser, as it is.
/// - No FIT without the key's signature is accepted.
/// - A signed one is accepted if and only if its header and its claims each pass, and both say what
///   another JSON reader finds in them.
/// - A handler that only the platform calls accepts no FIT with a principal, and none with a module
///   type other than `core:endpoint` and its own.
pub fn verifier(input: &[u8]) {
    if input.len() > MAX_INPUT {
        return;
    }
    assert_eq!(base64url::decode(input), base64url::tables::decode(input));
    let rig = &*RIG;
    if let Ok(authorization) = HeaderValue::from_bytes(input) {
        let accepted = rig.verify(authorization, AllowedCaller::Page);
        assert!(accepted.is_none(), "accepted without a signature");
    }
    let (header, payload) = first_line(input);
    if let Ok(text) = serde_json::from_slice::<&RawValue>(payload) {
        let text = text.get();
        let is_usual = !is_too_deep(&format!("[{text}]")) && is_plain(text);
        assert!(!is_usual || matches!(parsable(text), Some(Cow::Borrowed(_))));
    }
    let header = header.unwrap_or(HEADER);
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    );
    let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode([1; 256]));
    let kid = kid(forged.as_bytes());
    KeyChoice::of(payload);
    let app_ids = [APP_ID.parse::<AppId>().expect("it is an app's id")];
    let expected = Expected {
        app_ids: &app_ids,
        now: Still.now(),
        clock_skew: Duration::from_secs(10),
        max_lifetime: Duration::from_secs(3600),
    };
    let claims = Claims::check(payload.to_vec(), &expected);
    if let Ok(claims) = &claims {
        check_claims(claims, payload);
    }
    let passes = claims.is_ok() && kid.as_deref().is_ok_and(|kid| kid == KID);
    if !passes && claims.is_err() && kid.is_err() {
        return;
    }
    if kid.is_ok() {
        check_header(header);
    }
    let accepted = rig.verify(bearer(&forged), AllowedCaller::Page);
    assert!(accepted.is_none(), "accepted with a forged signature");
    if !kid.is_ok_and(|kid| kid == KID) {
        return;
    }
    let token = rig.sign(&signed);
    let accepted = rig.verify(bearer(&token), AllowedCaller::Page);
    assert_eq!(accepted.is_some(), claims.is_ok(), "a page's call");
    if let Some(claims) = rig.verify(bearer(&token), AllowedCaller::Platform) {
        assert!(passes && claims.principal().is_none(), "a platform's call");
        let types = [Some("core:endpoint"), Some("scheduledTrigger")];
        assert!(types.contains(&claims.module_type()), "a platform's call");
    }
}

/// Returns the `kid` of a FIT, without a check of its signature.
fn kid(token: &[u8]) -> Result<String, TokenRejection> {
    let jws = Compact::split(token)?;
    let mut buffer = jws.buffer();
    let [header, ..] = buffer.parts();
    jws.decode_header(header)?;
    jws::kid(header).map(Cow::into_owned)
}

fn check_header(header: &[u8]) {
    // A lone surrogate in a member that isn't read is passed over; not every reader does that.
    let Ok(header) = serde_json::from_slice::<Value>(header) else {
        return;
    };
    assert_eq!(header["alg"], "RS256");
    assert!(header["kid"].as_str().is_some_and(|kid| !kid.is_empty()));
    for name in ["crit", "b64", "jwk", "jku", "x5u", "x5c", "zip", "enc"] {
        assert!(header.get(name).is_none(), "{name}");
    }
}

/// Checks that accepted claims have the values that another reader finds.
fn check_claims(claims: &Claims, payload: &[u8]) {
    // Each can be read, regardless of the others.
    let _ = (claims.context(), claims.context_as::<Value>());
    let _ = (claims.installation_contexts(), claims.license());
    assert!(claims.expires_at() > Still.now());
    assert!(claims.expires_at() <= Still.now() + Duration::from_secs(3600));
    assert_eq!(claims.app_id(), APP_ID);
    assert!(!claims.installation_id().is_empty());
    let Ok(read) = serde_json::from_slice::<Value>(payload) else {
        return;
    };
    let text = |pointer: &str| read.pointer(pointer).and_then(Value::as_str);
    assert_eq!(text("/iss"), Some("forge/invocation-token"));
    let audience = &read["aud"];
    let many = audience.as_array().into_iter().flatten();
    assert!(many.chain([audience]).any(|one| one == APP_ID));
    assert!(read["exp"].as_f64().is_some_and(|exp| exp > NOW as f64));
    assert_eq!(text("/app/id"), Some(APP_ID));
    let installation = text("/app/installationId").or_else(|| text("/app/installation/id"));
    assert_eq!(installation, Some(claims.installation_id()));
    assert_eq!(text("/principal"), claims.principal());
    assert_eq!(text("/app/apiBaseUrl"), claims.api_base_url());
    assert_eq!(text("/app/environment/type"), claims.environment_type());
    assert_eq!(text("/app/module/type"), claims.module_type());
    assert_eq!(text("/app/module/key"), claims.module_key());
    assert_eq!(text("/icLabel"), claims.isolated_cloud_label());
    let context = read.get("context").filter(|context| !context.is_null());
    assert_eq!(context, claims.context().as_ref());
    for (name, value) in read.as_object().into_iter().flatten() {
        assert_eq!(claims.claim(name).as_ref(), Some(value), "{name}");
    }
}

/// Reads a key-set document, and compares its keys with those of another reader.
///
/// - Every key that can verify RS256, and that the document gives a `kid`, is there, regardless of
///   the other entries.
/// - Every key that is there is an entry of the document.
/// - No key accepts a signature of another key.
pub fn key_set(input: &[u8]) {
    #[derive(Deserialize)]
    struct Document<'a> {
        #[serde(borrow)]
        keys: Vec<&'a RawValue>,
    }
    let keys = jwk::parse(input);
    let Ok(document) = serde_json::from_slice::<Document<'_>>(input) else {
        assert!(keys.is_none_or(|keys| keys.is_empty()));
        return;
    };
    let Some(keys) = keys else {
        let members = serde_json::from_slice::<Members>(input);
        assert!(members.is_err(), "a key set isn't read");
        return;
    };
    let usable: Vec<(String, Vec<u8>, Vec<u8>)> = document
        .keys
        .iter()
        .take(1000)
        .filter_map(|entry| usable(entry))
        .collect();
    for (kid, modulus, exponent) in &usable {
        let candidates = keys.get(kid.as_str()).map_or(&[][..], |keys| keys);
        let found = candidates.iter().any(|key| key.is(modulus, exponent));
        // Of one name, as many are tried and no more.
        assert!(found || candidates.len() == 4, "`{kid}` is left out");
    }
    for (kid, candidates) in &keys {
        #[derive(Deserialize)]
        struct AllowedModuleKey {
            kid: String,
            kty: String,
        }
        let entry = |entry: &&RawValue| {
            let named = serde_json::from_str::<AllowedModuleKey>(entry.get());
            named.is_ok_and(|named| named.kid == **kid && named.kty == "RSA")
        };
        assert!(document.keys.iter().any(entry), "`{kid}` came from nowhere");
        assert!((1..=4).contains(&candidates.len()));
        for key in candidates.iter() {
            assert!(!key.has_signed(b"a.b", &[1; 256]));
            assert!(!key.has_signed(b"a.b", &[]));
        }
    }
}

/// Reads an entry that can verify RS256 by another reader.
fn usable(entry: &RawValue) -> Option<(String, Vec<u8>, Vec<u8>)> {
    const MEMBERS: [&str; 7] = ["kty", "kid", "use", "alg", "key_ops", "n", "e"];
    // Of a member twice, one reader takes the first and another the last.
    serde_json::from_str::<Members>(entry.get()).ok()?;
    let key: serde_json::Map<String, Value> = serde_json::from_str(entry.get()).ok()?;
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let is_absent = |name: &str| key.get(name).is_none_or(Value::is_null);
    let verifies = |ops: &Value| {
        let ops = ops.as_array().map_or(&[][..], Vec::as_slice);
        ops.iter().all(Value::is_string) && ops.contains(&Value::from("verify"))
    };
    let fits = text("kty") == Some("RSA")
        && (is_absent("use") || text("use") == Some("sig"))
        && (is_absent("alg") || text("alg") == Some("RS256"))
        && (is_absent("key_ops") || key.get("key_ops").is_some_and(verifies))
        // A certificate, say, may be unreadable.
        && key.keys().all(|name| MEMBERS.contains(&name.as_str()));
    let kid = text("kid").filter(|kid| fits && !kid.is_empty())?;
    let [n, e] = [text("n")?, text("e")?].map(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let (n, e) = (n?, e?);
    let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
    // A whole number of bytes, and without leading zeros: the usual keys.
    let is_usual = (256..=1024).contains(&n.len())
        && n.first().is_some_and(|byte| *byte >= 128)
        && is_odd(&n)
        && e == [1, 0, 1];
    is_usual.then_some((kid.to_owned(), n, e))
}

/// An object without a member twice.
struct Members;

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object without a member twice")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut seen = std::collections::BTreeSet::new();
                while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
                    if !seen.insert(name) {
                        return Err(serde::de::Error::custom("a member twice"));
                    }
                }
                Ok(Members)
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}
