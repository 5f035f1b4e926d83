//! The calls that the local platform makes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::{HeaderMap, HeaderValue, Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::call::Call;
use super::changes::{CallChanges, RetryNumber};
use super::journal::{Journal, Origin, Sent};
use super::outcome::{Exchanged, Outcome};
use super::{Platform, has_body};
use crate::app::{FIRE_HEADER, Service};
use crate::extract::Trace;
use crate::fit;
use crate::kinds::event_sample;
use crate::registry::{Handler, SampleCall};
use crate::response;
use crate::work::RESPOND_FIRST;
use forge_remote_schema::Durability;

/// The local platform's client, which calls the app's handlers.
pub(crate) struct PlatformClient {
    pub(crate) platform: Platform,
    pub(crate) app: Service,
    pub(crate) origin: String,
    pub(crate) samples: BTreeMap<String, Vec<serde_json::Value>>,
    pub(crate) client: reqwest::Client,
    pub(crate) journal: Journal,
}

impl PlatformClient {
    /// Returns the sample calls of a handler: its kind's, with the app's own sample bodies where it
    /// has any. Each event has one call for each body that names it; otherwise one for each body that names no
    /// event; otherwise its kind's.
    pub(crate) fn sample_calls(&self, handler: &Handler) -> Vec<SampleCall> {
        let kind = handler.registration().kind;
        let mut sample_calls = kind.sample_calls();
        if sample_calls.is_empty() {
            sample_calls.push(kind.sample_call());
        }
        if !has_body(handler.method()) {
            return sample_calls;
        }
        let samples = self.samples_of(handler);
        let declared: Vec<&str> = sample_calls.iter().filter_map(|one| one.event).collect();
        let of = |event: Option<&str>| -> Vec<&serde_json::Value> {
            let bodies = samples.iter().copied();
            bodies
                .filter(|body| named_event(body, &declared) == event)
                .collect()
        };
        let general = of(None);
        // A body of an event that the handler does not declare is sent too, to see how it is handled.
        let is_undeclared = |body: &&&serde_json::Value| {
            named_event(body, &declared).is_some_and(|event| !declared.contains(&event))
        };
        let undeclared: Vec<SampleCall> = samples
            .iter()
            .filter(is_undeclared)
            .filter_map(|body| {
                let first = sample_calls.first()?.clone();
                let call = with_body(first, body);
                Some(SampleCall {
                    event: None,
                    ..call
                })
            })
            .collect();
        let with_samples = |sample_call: &SampleCall| -> Vec<SampleCall> {
            let own = sample_call
                .event
                .map(|event| of(Some(event)))
                .unwrap_or_default();
            let bodies = if own.is_empty() { &general } else { &own };
            match bodies.is_empty() {
                true => vec![sample_call.clone()],
                false => bodies
                    .iter()
                    .map(|body| with_body(sample_call.clone(), body))
                    .collect(),
            }
        };
        let declared_calls = sample_calls.iter().flat_map(with_samples);
        declared_calls.chain(undeclared).collect()
    }

    /// Returns the app's own sample bodies for a handler, by the key of its module or of its endpoint.
    fn samples_of(&self, handler: &Handler) -> Vec<&serde_json::Value> {
        let mut keys = vec![handler.key(), handler.endpoint()];
        keys.dedup();
        let samples = keys.into_iter().filter_map(|key| self.samples.get(key));
        samples.flatten().collect()
    }

    /// Returns the sample calls of a handler with the bodies that are sent.
    pub(crate) fn shown_samples(&self, handler: &Handler) -> Vec<SampleCall> {
        let mut samples = self.sample_calls(handler);
        for sample in &mut samples {
            sample.body = self.platform.sample_body(sample, handler);
        }
        samples
    }

    /// Returns the sample call for this event, or the first one if the handler has none for it.
    pub(crate) fn sample_call(&self, handler: &Handler, event: Option<&str>) -> SampleCall {
        let mut all = self.sample_calls(handler);
        let named = all
            .iter()
            .position(|one| event.is_some() && one.event == event);
        all.swap_remove(named.unwrap_or_default())
    }

    /// Returns the sample call for the event of these changes. An event that the handler doesn't declare is
    /// sent too, to see how it is handled.
    pub(crate) fn with_event(
        &self,
        handler: &Handler,
        mut changes: CallChanges,
    ) -> (SampleCall, CallChanges) {
        let sample_call = self.sample_call(handler, changes.event.as_deref());
        if let Some(event) = &changes.event
            && sample_call.event != Some(event.as_str())
            && !changes.has_body()
        {
            changes.json = Some(event_sample(event));
        }
        (sample_call, changes)
    }

    /// Signs one call, sends it and records it. Returns its id in the journal, and its outcome.
    pub(crate) async fn call(
        &self,
        handler: &Handler,
        sample_call: SampleCall,
        changes: &CallChanges,
        origin: Origin,
    ) -> (u64, Arc<Outcome>) {
        let kind = handler.registration().kind;
        let is_guess = sample_call.is_guess;
        let sample_event = sample_call.event.filter(|_| !changes.has_body());
        let event = changes.event.clone().or(sample_event.map(str::to_owned));
        let declared = kind.sample_calls();
        let is_declared = |event: &str| declared.iter().any(|one| one.event == Some(event));
        let has_body = changes.has_body() || sample_call.body.is_some();
        let method = changes.method.unwrap_or(handler.method());
        let call = self.platform.call_as(handler, sample_call);
        let call = changed(call.method(method), changes);
        let mut outcome = Outcome {
            key: handler.key().to_owned(),
            method,
            path: call.path().to_owned(),
            event,
            is_undeclared_event: changes
                .event
                .as_deref()
                .is_some_and(|event| !is_declared(event)),
            tokens: call.auth(),
            has_body,
            is_guess: is_guess && !changes.has_body(),
            from_page: kind.caller() == fit::AllowedCaller::Page,
            is_scheduled: kind.interval().is_some(),
            is_retried: kind.spec().durable == Durability::Allowed,
            // The body is what counts: that of a call which is made again may be a retry's.
            retry: call
                .retry()
                .or(changes.retry.map(RetryNumber::get))
                .unwrap_or_default(),
            forgery: changes.forgery,
            invoke_remote_error: None,
            elapsed: Duration::ZERO,
            response: Err("not sent".to_owned()),
        };
        let timeout = call.timeout();
        let claims = call.claims().clone();
        let mut request = call.signed(&self.origin);
        if let Some(forgery) = changes.forgery {
            forgery.forge(&self.platform, &claims, request.headers_mut());
        }
        let id = self
            .journal
            .begin(self.sent(handler, &outcome, &request, changes, origin));
        let started = Instant::now();
        outcome.response = match tokio::time::timeout(timeout, self.exchange(request)).await {
            Ok(response) => response,
            Err(_) => Err(format!(
                "no response within {} s: Forge would have closed the connection; {RESPOND_FIRST}",
                timeout.as_secs()
            )),
        };
        if let (Ok(response), true) = (&outcome.response, outcome.from_page)
            && !response.is_cut()
            // A forged FIT has to get a 401.
            && changes.forgery.is_none()
        {
            outcome.invoke_remote_error =
                response::invoke_remote_error(response.status, &response.headers, &response.body);
        }
        outcome.elapsed = started.elapsed();
        let outcome = Arc::new(outcome);
        self.journal.end(id, Arc::clone(&outcome));
        (id, outcome)
    }

    /// Sends a request, and returns the response.
    async fn exchange(&self, request: Request<Vec<u8>>) -> Result<Exchanged, String> {
        let request = reqwest::Request::try_from(request).map_err(|error| error.to_string())?;
        let without_url = |error: reqwest::Error| error.without_url().to_string();
        let response = self.client.execute(request).await.map_err(without_url)?;
        Exchanged::receive(response).await.map_err(without_url)
    }

    /// Returns the record of a request.
    fn sent(
        &self,
        handler: &Handler,
        outcome: &Outcome,
        request: &Request<Vec<u8>>,
        changes: &CallChanges,
        origin: Origin,
    ) -> Sent {
        let tokens = outcome.tokens;
        let tokens = [(tokens.system, "system"), (tokens.user, "user")];
        Sent {
            handler: self.app.registry().label(handler),
            key: outcome.key.clone(),
            module_type: handler.registration().kind.spec().module_type,
            method: outcome.method.as_str(),
            path: outcome.path.clone(),
            event: outcome.event.clone(),
            tokens: tokens
                .into_iter()
                .filter(|(sent, _)| *sent)
                .map(|(_, name)| name)
                .collect(),
            origin,
            changes: CallChanges {
                json: None,
                // An empty body is one too.
                raw_body: changes.raw_body.as_ref().map(|_| String::new()),
                ..changes.clone()
            },
            retry: Some(outcome.retry).filter(|count| *count > 0),
            trace_id: Trace::of(request.headers())
                .trace_id()
                .unwrap_or_default()
                .to_owned(),
            claims: claims(request.headers()).unwrap_or_default(),
            headers: shown(request.headers()),
            body: request.body().clone(),
        }
    }
}

/// Returns the event that a sample body is of; `None` if it names none, or its handler declares none.
fn named_event<'a>(sample: &'a serde_json::Value, declared: &[&str]) -> Option<&'a str> {
    if declared.is_empty() {
        return None;
    }
    let text = |name: &str| sample.get(name).and_then(serde_json::Value::as_str);
    let by_type = text("type").filter(|name| declared.contains(name));
    text("eventType").or(by_type)
}

/// Returns a call with one of the app's own sample bodies.
fn with_body(sample_call: SampleCall, body: &serde_json::Value) -> SampleCall {
    SampleCall {
        body: Some(body.clone()),
        is_guess: false,
        ..sample_call
    }
}

/// Returns the platform's call with these changes.
fn changed(mut call: Call, changes: &CallChanges) -> Call {
    if let Some(body) = &changes.json {
        call = call.json(body);
    }
    if let Some(body) = &changes.raw_body {
        call = call.body(body.clone());
    }
    if let Some(path) = &changes.subpath {
        call = call.subpath(path);
    }
    if let Some(query) = &changes.query {
        call = call.query(query);
    }
    if let Some(key) = &changes.fires {
        call = call.header(FIRE_HEADER, key);
    }
    // A body that is a retry's already is sent byte for byte.
    let retry = changes.retry.map(RetryNumber::get);
    if let Some(count) = retry.filter(|count| call.retry() != Some(*count)) {
        call = call.as_retry(count, "INVALID_REMOTE_INVOCATION_ERROR");
    }
    call
}

/// Returns headers with a hash in the place of each token.
fn shown(headers: &HeaderMap) -> Vec<(String, String)> {
    let show = |value: &HeaderValue| {
        let text = String::from_utf8_lossy(value.as_bytes());
        if !value.is_sensitive() {
            return text.into_owned();
        }
        let hash = digest(&SHA256, value.as_bytes());
        let hash = hash.as_ref().iter().take(4);
        let hash: String = hash.map(|byte| format!("{byte:02x}")).collect();
        format!("Bearer … (sha-256 {hash})")
    };
    let headers = headers.iter();
    headers
        .map(|(name, value)| (name.to_string(), show(value)))
        .collect()
}

/// Returns the claims of the FIT in a request's headers.
fn claims(headers: &HeaderMap) -> Option<serde_json::Value> {
    let token = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}
