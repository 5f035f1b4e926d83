//! The baseline of the benchmarks: a hand-written server on axum and jsonwebtoken that verifies as
//! strictly as forge-remote; the signature alone with `BASELINE_VERIFY=signature`, which no server can
//! leave out; or nothing with `BASELINE_VERIFY=off`.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

struct Verifier {
    keys: HashMap<String, DecodingKey>,
    validation: Validation,
    app_id: String,
    endpoint: String,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Claims {
    app: AppClaims,
    context: Option<serde_json::Value>,
    principal: Option<String>,
    exp: f64,
    iat: Option<f64>,
    jti: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct AppClaims {
    id: String,
    installation_id: String,
    api_base_url: Option<String>,
    app_version: Option<String>,
    installation: Option<Installation>,
    environment: Option<Environment>,
    module: Option<Module>,
    license: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Installation {
    id: String,
    contexts: Option<Vec<serde_json::Value>>,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Environment {
    #[serde(rename = "type")]
    kind: String,
    id: String,
}

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
    key: String,
}

impl Verifier {
    fn verify(&self, headers: &HeaderMap) -> Result<Claims, StatusCode> {
        let rejected = StatusCode::UNAUTHORIZED;
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = values
            .next()
            .ok_or(rejected)?
            .to_str()
            .map_err(|_| rejected)?;
        if values.next().is_some() {
            return Err(rejected);
        }
        let (scheme, token) = value.split_once(' ').ok_or(rejected)?;
        if !scheme.eq_ignore_ascii_case("bearer") || token.len() > 64 * 1024 {
            return Err(rejected);
        }
        let header = decode_header(token).map_err(|_| rejected)?;
        let typ = header
            .typ
            .as_deref()
            .is_none_or(|typ| typ.eq_ignore_ascii_case("JWT"));
        let odd = header.jwk.is_some()
            || header.jku.is_some()
            || header.x5c.is_some()
            || header.x5u.is_some()
            || header.cty.is_some();
        if header.alg != Algorithm::RS256
            || !typ
            || odd
            || ["crit", "b64", "zip"]
                .iter()
                .any(|name| !matches!(header.extras.get::<serde_json::Value>(name), Ok(None)))
        {
            return Err(rejected);
        }
        let key = self
            .keys
            .get(header.kid.as_deref().ok_or(rejected)?)
            .ok_or(rejected)?;
        let claims = decode::<Claims>(token, key, &self.validation)
            .map_err(|_| rejected)?
            .claims;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs_f64();
        let module = claims.app.module.as_ref();
        let bound = module
            .is_none_or(|module| module.kind != "core:endpoint" || module.key == self.endpoint);
        let installed = claims
            .app
            .installation
            .as_ref()
            .is_none_or(|one| one.id == claims.app.installation_id);
        if claims.iat.is_some_and(|iat| iat > now + 10.0)
            || claims.exp > now + 3600.0
            || claims.exp <= now
            || claims.app.id != self.app_id
            || claims.principal.is_some()
            || !bound
            || !installed
        {
            return Err(rejected);
        }
        Ok(claims)
    }
}

async fn handle(
    State(verifier): State<Arc<Verifier>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    match verifier.verify(&headers) {
        Ok(claims)
            if headers.contains_key("x-forge-oauth-system")
                && !claims.app.installation_id.is_empty()
                && !body.is_empty() =>
        {
            StatusCode::OK
        }
        Ok(_) => StatusCode::BAD_REQUEST,
        Err(status) => status,
    }
}

/// Checks the signature alone, with a key that is parsed once and without reading a claim.
async fn check_signature(
    State(key): State<Arc<ParsedPublicKey>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let is_signed = || {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (signed, signature) = value.strip_prefix("Bearer ")?.rsplit_once('.')?;
        let signature = BASE64.decode(signature).ok()?;
        key.verify_sig(signed.as_bytes(), &signature).ok()
    };
    match is_signed() {
        Some(()) if !body.is_empty() => StatusCode::OK,
        Some(()) => StatusCode::BAD_REQUEST,
        None => StatusCode::UNAUTHORIZED,
    }
}

/// Returns the first key of a set, parsed.
fn parsed_key(document: &serde_json::Value) -> ParsedPublicKey {
    let number = |name: &str| {
        let text = document["keys"][0][name].as_str().unwrap();
        BASE64.decode(text).unwrap()
    };
    let (n, e) = (number("n"), number("e"));
    let components = RsaPublicKeyComponents { n: &n, e: &e };
    components
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .unwrap()
}

/// Fetches the key set over plain HTTP, since a client library would add to the baseline's memory.
async fn fetch(url: &str) -> serde_json::Value {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    serde_json::from_str(response.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::main]
async fn main() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let verify = std::env::var("BASELINE_VERIFY").unwrap_or_default();
    let router = if verify == "off" {
        let floor = |headers: HeaderMap, body: Bytes| async move {
            if headers.contains_key("authorization") && !body.is_empty() {
                StatusCode::OK
            } else {
                StatusCode::BAD_REQUEST
            }
        };
        Router::new().route("/frc-trigger", post(floor))
    } else if verify == "signature" {
        let key = parsed_key(&fetch(&variable("FORGE_REMOTE_JWKS_URL")).await);
        Router::new()
            .route("/frc-trigger", post(check_signature))
            .with_state(Arc::new(key))
    } else {
        let document = fetch(&variable("FORGE_REMOTE_JWKS_URL")).await;
        let keys = document["keys"].as_array().unwrap().iter().map(|key| {
            let text = |name: &str| key[name].as_str().unwrap();
            (
                text("kid").to_owned(),
                DecodingKey::from_rsa_components(text("n"), text("e")).unwrap(),
            )
        });
        let app_id = variable("FORGE_REMOTE_APP_ID");
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&["forge/invocation-token"]);
        validation.set_audience(&[&app_id]);
        validation.validate_nbf = true;
        validation.leeway = 10;
        let endpoint = "remote-trigger-node".to_owned();
        let verifier = Arc::new(Verifier {
            keys: keys.collect(),
            validation,
            app_id,
            endpoint,
        });
        Router::new()
            .route("/frc-trigger", post(handle))
            .with_state(verifier)
    };
    let router = router.route("/healthz", get(|| async { "ok" }));
    let listener = TcpListener::bind(variable("FORGE_REMOTE_BIND"))
        .await
        .unwrap();
    axum::serve(listener, router).await.unwrap();
}
