//! The calls that the local platform makes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::outcome::Outcome;
use crate::app::Service;
use crate::fit;
use crate::platform::{Platform, has_body};
use crate::registry::{Handler, Method, SampleCall};
use crate::response;
use crate::work::RESPOND_FIRST;

/// The local platform's client, which calls the app's handlers.
pub(super) struct PlatformClient {
    pub(super) platform: Platform,
    pub(super) app: Service,
    pub(super) origin: String,
    pub(super) samples: BTreeMap<String, Vec<serde_json::Value>>,
    pub(super) client: reqwest::Client,
}

impl PlatformClient {
    /// Returns the sample calls of a handler: its kind's, with the app's own sample bodies where it
    /// has any.
    pub(super) fn simulations(&self, handler: &Handler) -> Vec<SampleCall> {
        let kind = handler.registration().kind;
        let mut simulations = kind.simulations();
        if simulations.is_empty() {
            simulations.push(kind.simulation());
        }
        if !has_body(handler.method()) {
            return simulations;
        }
        let samples = [handler.key(), handler.endpoint()];
        let samples = samples.iter().find_map(|key| self.samples.get(*key));
        for sample in samples.into_iter().flatten() {
            let event = |simulation: &SampleCall| {
                let named = sample.get("eventType").or_else(|| sample.get("type"));
                simulation.event.is_some()
                    && named.and_then(|name| name.as_str()) == simulation.event
            };
            // A sample for none of the events is sent for all of them.
            let at = simulations.iter().position(event);
            if at.is_none() {
                simulations.truncate(1);
                simulations[0].event = None;
            }
            let simulation = &mut simulations[at.unwrap_or_default()];
            simulation.body = Some(sample.clone());
            simulation.is_guess = false;
        }
        simulations
    }

    /// Returns the sample call for this event, or the first one if the handler has none for it.
    pub(super) fn simulation(&self, handler: &Handler, event: Option<&str>) -> SampleCall {
        let mut all = self.simulations(handler);
        let named = all
            .iter()
            .position(|one| event.is_some() && one.event == event);
        all.swap_remove(named.unwrap_or_default())
    }

    /// Signs one call and sends it.
    pub(super) async fn call(
        &self,
        handler: &Handler,
        simulation: SampleCall,
        changes: &CallChanges,
    ) -> Outcome {
        let is_guess = simulation.is_guess;
        let sample_event = simulation.event.filter(|_| changes.body.is_none());
        let event = changes.event.clone().or(sample_event.map(str::to_owned));
        let declared = handler.registration().kind.simulations();
        let is_declared = |event: &str| declared.iter().any(|one| one.event == Some(event));
        let has_body = changes.body.is_some() || simulation.body.is_some();
        let mut call = self.platform.call_as(handler, simulation);
        let method = changes.method.unwrap_or(handler.method());
        call = call.method(method);
        if let Some(body) = &changes.body {
            call = call.json(body);
        }
        if let Some(path) = &changes.subpath {
            call = call.subpath(path);
        }
        if let Some(query) = &changes.query {
            call = call.query(query);
        }
        if let Some(count) = changes.retry {
            call = call.as_retry(count, "INVALID_REMOTE_INVOCATION_ERROR");
        }
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
            is_guess: is_guess && changes.body.is_none(),
            from_page: handler.registration().kind.caller() == fit::AllowedCaller::Page,
            invoke_remote_error: None,
            elapsed: Duration::ZERO,
            response: Err("not sent".to_owned()),
        };
        let timeout = call.timeout();
        let started = Instant::now();
        let exchange = async {
            let request = reqwest::Request::try_from(call.signed(&self.origin))
                .map_err(|error| error.to_string())?;
            let response = self
                .client
                .execute(request)
                .await
                .map_err(|error| error.without_url().to_string())?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = response
                .bytes()
                .await
                .map_err(|error| error.without_url().to_string())?;
            Ok((status, headers, body))
        };
        outcome.response = match tokio::time::timeout(timeout, exchange).await {
            Ok(Ok((status, headers, body))) => {
                if outcome.from_page {
                    outcome.invoke_remote_error = response::invoke_remote_error(&headers, &body);
                }
                Ok((status, String::from_utf8_lossy(&body).into_owned()))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(format!(
                "no response within {} s: Forge would have closed the connection; {RESPOND_FIRST}",
                timeout.as_secs()
            )),
        };
        outcome.elapsed = started.elapsed();
        outcome
    }
}

/// The changes to the call that the platform makes by default.
#[derive(Default, serde::Deserialize, serde::Serialize)]
#[serde(default)]
pub(super) struct CallChanges {
    #[serde(with = "method")]
    pub(super) method: Option<Method>,
    pub(super) body: Option<serde_json::Value>,
    pub(super) subpath: Option<String>,
    pub(super) query: Option<String>,
    pub(super) event: Option<String>,
    pub(super) retry: Option<u32>,
}

/// Serializes a method by its name.
mod method {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::registry::Method;

    pub(super) fn serialize<S: Serializer>(
        method: &Option<Method>,
        writer: S,
    ) -> Result<S::Ok, S::Error> {
        method.map(Method::as_str).serialize(writer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        reader: D,
    ) -> Result<Option<Method>, D::Error> {
        let Some(name) = Option::<String>::deserialize(reader)? else {
            return Ok(None);
        };
        let known = Method::named(&name);
        known.map(Some).ok_or_else(|| {
            serde::de::Error::custom(format!("`{name}` is not a method that Forge uses"))
        })
    }
}
