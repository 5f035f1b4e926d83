//! The handlers of the app under test, each of which records its calls.

use std::sync::{Arc, Mutex};

use forge_remote::fit::Claims;
use forge_remote::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The calls that handlers saw, in order.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<Mutex<Vec<Value>>>);

impl Seen {
    /// Returns the number of calls.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Returns the last call.
    pub fn last(&self) -> Option<Value> {
        self.0.lock().unwrap().last().cloned()
    }

    fn add(&self, call: &Invocation, handler: &str) -> Value {
        self.add_claims(call, call.trace_id(), handler)
    }

    /// Records a call by its claims.
    pub fn add_claims(&self, call: &Claims, trace_id: Option<&str>, handler: &str) -> Value {
        let value = json!({
            "handler": handler,
            "appId": call.app_id(),
            "installationId": call.installation_id(),
            "principal": call.principal(),
            "moduleKey": call.module_key(),
            "moduleType": call.module_type(),
            "environmentId": call.environment_id(),
            "environmentType": call.environment_type(),
            "apiBaseUrl": call.api_base_url(),
            "context": call.context(),
            "jti": call.claim("jti"),
            "traceId": trace_id,
        });
        self.0.lock().unwrap().push(value.clone());
        value
    }
}

/// A call by the platform.
#[scheduled_trigger(interval = "hour", auth = system, key = "tick-trigger", endpoint = "tick", path = "/tick")]
pub async fn tick(
    call: Invocation,
    token: Option<SystemToken>,
    State(seen): State<Seen>,
) -> Result<Json<Value>> {
    let mut value = seen.add(&call, "tick");
    value["systemToken"] = json!(token.is_some());
    Ok(Json(value))
}

/// A page's call.
#[endpoint(method = "POST", path = "/ui", auth = [system, user], key = "ui")]
pub async fn ui(
    call: Invocation,
    system: Option<SystemToken>,
    user: Option<UserToken>,
    State(seen): State<Seen>,
) -> Result<Json<Value>> {
    let mut value = seen.add(&call, "ui");
    value["systemToken"] = json!(system.is_some());
    value["userToken"] = json!(user.is_some());
    Ok(Json(value))
}

/// The body of `echo`.
#[derive(Debug, Deserialize, Serialize)]
pub struct EchoRequest {
    /// Any text.
    pub text: String,
}

/// A page's call with a body of a known shape.
#[endpoint(method = "POST", path = "/echo", key = "echo")]
pub async fn echo(
    call: Invocation,
    State(seen): State<Seen>,
    Json(request): Json<EchoRequest>,
) -> Result<Json<Value>> {
    seen.add(&call, "echo");
    Ok(Json(json!({ "length": request.text.len() })))
}

/// A page's call with a body of any shape.
#[endpoint(method = "PUT", path = "/any", key = "any")]
pub async fn any(
    call: Invocation,
    State(seen): State<Seen>,
    Json(_): Json<Value>,
) -> Result<Json<Value>> {
    Ok(Json(seen.add(&call, "any")))
}
