//! The contents of an envelope: a verified call without its tokens.

use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::kept_claims::KeptClaims;
use super::versioned::{self, UnreadableContents, Versioned};
use crate::fit::{Claims, EndpointTarget, TokenRejection, Verifier};
use crate::schedules::Occurrence;
use crate::telemetry::http::{SPAN_ID, TRACE_ID};

/// The headers that are kept. All others are Forge's tokens, or of no use later.
const HEADERS: [HeaderName; 3] = [header::CONTENT_TYPE, TRACE_ID, SPAN_ID];

/// A verified call without its tokens. It is written only into sealed envelopes, and its claims come
/// back only through the verifier.
#[derive(Serialize, Deserialize)]
pub(crate) struct Contents {
    version: u8,
    #[serde(flatten)]
    claims: KeptClaims,
    method: String,
    uri: String,
    headers: Vec<(String, String)>,
    /// The body, in base64.
    body: String,
    /// The occurrence of a cron schedule, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    occurrence: Option<u64>,
    /// A developer has started it, ahead of its time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    fired: bool,
}

impl Versioned for Contents {
    const VERSION: u8 = 1;

    fn version(&self) -> u8 {
        self.version
    }
}

impl Contents {
    pub(crate) fn new(claims: &Claims, parts: &Parts, body: &Bytes) -> Self {
        let header = |name: &HeaderName| {
            let value = parts.headers.get(name)?.to_str().ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        };
        Self {
            version: Self::VERSION,
            claims: KeptClaims::from(claims),
            method: parts.method.as_str().to_owned(),
            uri: parts.uri.to_string(),
            headers: HEADERS.iter().filter_map(header).collect(),
            body: STANDARD.encode(body),
            occurrence: None,
            fired: false,
        }
    }

    /// Sets the occurrence that it is for: it is then a run of a schedule, not a call of Forge.
    pub(crate) fn of_occurrence(mut self, occurrence: Occurrence) -> Self {
        let since = occurrence
            .scheduled_for()
            .duration_since(SystemTime::UNIX_EPOCH);
        self.occurrence = since.ok().map(|since| since.as_secs());
        self
    }

    /// Returns the occurrence that it is for.
    pub(crate) fn occurrence(&self) -> Option<Occurrence> {
        let seconds = Duration::from_secs(self.occurrence?);
        let time = SystemTime::UNIX_EPOCH.checked_add(seconds)?;
        Some(Occurrence::new(time))
    }

    /// Records that a developer has started the occurrence: it runs regardless of the time, in addition to the scheduled one.
    #[cfg(feature = "dev")]
    pub(crate) fn fired(mut self) -> Self {
        self.fired = true;
        self
    }

    /// Returns whether a developer has started the occurrence.
    pub(crate) fn is_fired(&self) -> bool {
        self.fired
    }

    pub(crate) fn write(&self) -> Zeroizing<Vec<u8>> {
        versioned::write(self)
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, UnreadableContents> {
        versioned::read(bytes)
    }

    /// Returns the claims, if the app would accept the call still.
    pub(crate) fn claims(
        &self,
        verifier: &Verifier,
        target: &EndpointTarget,
    ) -> Result<Claims, TokenRejection> {
        self.claims.restore(verifier, Some(target))
    }

    /// Returns the request, without extensions.
    pub(crate) fn request(&self) -> Result<Request, UnreadableContents> {
        let body = STANDARD
            .decode(&self.body)
            .map_err(|_| UnreadableContents::Damaged)?;
        let mut request = Request::builder()
            .method(self.method.as_str())
            .uri(self.uri.as_str());
        for (name, value) in &self.headers {
            let value = HeaderValue::from_str(value).map_err(|_| UnreadableContents::Damaged)?;
            request = request.header(name.as_str(), value);
        }
        request
            .body(Body::from(body))
            .map_err(|_| UnreadableContents::Damaged)
    }
}
