//! Every forged FIT of `forge-remote-attacks`, sent to a handler in this process.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request, header};
use forge_remote_attacks::{CLASSES, Case, Verdict};
use forge_remote_fit::__private::response::ErrorCode;
use tower_service::Service as _;

use super::call::Call;
use crate::app::Service;
use crate::fit::KeysUnavailable;

/// The classes whose verdict depends on the handler's kind, and on the app's policy.
const OF_THE_HANDLER: [&str; 4] = [
    "other_endpoint",
    "user_on_trigger",
    "page_module",
    "unknown_module",
];

/// Forged FITs that a handler did not reject.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "{} of {sent} forged FITs were not rejected, the first is `{}`: remove the layer or route that responds before \
     verification",
    not_rejected.len(), not_rejected.first().map(String::as_str).unwrap_or_default()
)]
pub struct AttackError {
    sent: usize,
    not_rejected: Vec<String>,
}

impl AttackError {
    /// Returns the class, the name and the status of each FIT that was not rejected.
    pub fn not_rejected(&self) -> &[String] {
        &self.not_rejected
    }
}

/// Sends every forged FIT instead of the call's, and returns their number if all are rejected.
pub(crate) async fn attack(call: Call, app: &Service) -> Result<usize, AttackError> {
    let (platform, claims) = (call.platform().clone(), call.claims().clone());
    let base = call.signed("");
    let (mut sent, mut not_rejected) = (0, Vec::new());
    for class in CLASSES {
        if OF_THE_HANDLER.contains(&class.id) {
            continue;
        }
        // The clock advances: a FIT from the future would become valid.
        let scene = platform.scene(&claims);
        for case in class.cases(&scene) {
            let Verdict::Rejected(statuses) = case.verdict else {
                continue;
            };
            let Some(request) = forged(&base, &case) else {
                continue;
            };
            let response = match app.router().call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            sent += 1;
            let status = response.status().as_u16();
            // A key that is not published is not looked for each time.
            let has_no_key = response.extensions().get::<ErrorCode>().map(|code| code.0)
                == Some(KeysUnavailable::NotFetched.code());
            if !has_no_key && !statuses.contains(&status) {
                not_rejected.push(format!("{}: {}: {status}", class.id, case.name));
            }
        }
    }
    match not_rejected.is_empty() {
        true => Ok(sent),
        false => Err(AttackError { sent, not_rejected }),
    }
}

/// Returns the request of a case to the handler; `None` if HTTP forbids it.
fn forged(base: &Request<Vec<u8>>, case: &Case) -> Option<Request<Body>> {
    let mut request = base.clone();
    let rest = case.request.target.trim_start_matches('/');
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
    *request.uri_mut() = format!("{}{rest}", base.uri()).parse().ok()?;
    let headers = request.headers_mut();
    headers.remove(header::AUTHORIZATION);
    for (name, value) in &case.request.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let mut value = HeaderValue::from_bytes(value.trim_ascii()).ok()?;
        value.set_sensitive(name == header::AUTHORIZATION);
        headers.append(name, value);
    }
    if !case.request.body.is_empty() {
        request.body_mut().clone_from(&case.request.body);
    }
    Some(request.map(Body::from))
}
