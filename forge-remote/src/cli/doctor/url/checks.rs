//! The checks beside forged tokens: reach, proxy, exposure, time, drift.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderValue, Method, StatusCode, header};
use serde_json::Value;

use super::certificate::Validity;
use super::plan::{Plan, Route, UNKNOWN_PATH};
use super::rules::{
    BODY_LIMIT, CACHED_RESPONSE, CERTIFICATE, EXPOSED_CONSOLE, EXPOSED_FILE, EXPOSED_KEYS,
    EXPOSED_METRICS, FOREIGN_RESPONSE, HEADER_LIMIT, LOST_CHALLENGE, LOST_PATH, NO_KEYS,
    OTHER_BUILD, REDIRECT, REFUSED_ESCAPES, REWRITTEN_PATH, SLOW_RESPONSES, UNREACHABLE,
    UNVERIFIED_CALL,
};
use super::session::{Answer, SendError, Session, in_two_parts};
use crate::app::ROUTE_DIGEST_HEADER;
use crate::cli::doctor::line::Line;
use crate::diagnostic::Rule;

/// The size of a large token, in bytes. Proxies limit a header to 8 KB by default.
const TOKEN_BYTES: usize = 12 * 1024;
/// The time that 19 of 20 responses may take.
const MAX_P95: Duration = Duration::from_secs(1);

/// A failed check.
pub(super) fn trouble(
    check: &'static str,
    rule: &Rule,
    detail: impl Into<String>,
    fix: &str,
) -> Line {
    Line::failed(check, detail, fix).code(rule)
}

/// A check whose request got no response.
pub(super) fn not_sent(check: &'static str, error: &SendError) -> Line {
    let fix = "start the deployment, and check its name, port and firewall";
    trouble(check, &UNREACHABLE, format!("no response: {error}"), fix)
}

/// Returns the rule that an unexpected response breaks, with its fix: `own` for one of forge-remote.
pub(super) fn fault<'a>(answer: &Answer, own: &'a Rule) -> (&'a Rule, &'static str) {
    match answer.code() {
        _ if answer.status.is_redirection() => (
            &REDIRECT,
            "write the address that it leads to into `baseUrl`: Forge follows no redirect",
        ),
        Some(_) if answer.is_without_key() => (&NO_KEYS, "run `doctor` where the app runs"),
        None if answer.status.is_success() && answer.is_cached() => (
            &CACHED_RESPONSE,
            "turn caching off for the paths of the app",
        ),
        None if answer.status.is_success() => (
            &UNVERIFIED_CALL,
            "forward calls and their `Authorization` header unchanged to the app",
        ),
        None => (
            &FOREIGN_RESPONSE,
            "see the log of the proxy or gateway in front of the app",
        ),
        Some(_) => (own, "see the log of the app, which has the reason"),
    }
}

/// Checks that the app responds at the base URL itself. Returns its digest as well, if it does.
pub(super) async fn reach(
    session: &mut Session,
    plan: &Plan,
) -> (Vec<Line>, Option<Option<HeaderValue>>) {
    let check = "address";
    let request = match plan.has_fallback {
        true => session.get(Method::GET, "/healthz").await,
        false => session.get(Method::POST, UNKNOWN_PATH).await,
    };
    let answer = match request {
        Ok(answer) => answer,
        Err(error) if error.to_string().contains("certificate") => {
            let fix = "install a certificate of a public authority for this host, with its intermediates";
            let line = trouble(check, &CERTIFICATE, error.to_string(), fix);
            return (vec![line], None);
        }
        Err(error) => return (vec![not_sent(check, &error)], None),
    };
    let mut lines = Vec::new();
    lines.extend(answer.certificate.map(certificate));
    let is_own = match plan.has_fallback {
        true => answer.status == StatusCode::OK && answer.body == b"ok\n",
        false => {
            answer.status == StatusCode::NOT_FOUND
                && answer.code().as_deref() == Some("not_found")
        }
    };
    if is_own {
        lines.push(Line::passed(check, "the app responds, without a redirect"));
    } else {
        let (rule, fix) = fault(&answer, &FOREIGN_RESPONSE);
        let detail = format!("a path that no handler has got {}, not 404 of the app", answer.status);
        lines.push(trouble(check, rule, detail, fix));
    }
    // A redirect, or a gateway's error, is the same for every other request.
    let is_reachable = is_own || answer.status.is_success() || answer.status == StatusCode::NOT_FOUND;
    let digest = answer.headers.get(ROUTE_DIGEST_HEADER).cloned();
    (lines, is_reachable.then_some(digest))
}

fn certificate(validity: Validity) -> Line {
    let check = "tls";
    let left = validity.until.duration_since(SystemTime::now()).unwrap_or_default();
    let time = match left.as_secs() / 3600 {
        hours @ 0..48 => format!("{hours} hours"),
        hours => format!("{} days", hours / 24),
    };
    if left >= validity.late_renewal() {
        return Line::passed(check, format!("the certificate is valid for another {time}"));
    }
    let detail = format!("the certificate expires in {time}, which is late for a renewal");
    Line::warning(check, detail, "renew it, and repair the automatic renewal").code(&CERTIFICATE)
}

/// Checks that each handler is there and refuses a call without a token.
pub(super) async fn routes(session: &mut Session, plan: &Plan) -> Vec<Line> {
    let check = "routes";
    let mut has_challenge = true;
    for route in &plan.routes {
        let answer = match session.get(route.method.clone(), &route.path).await {
            Ok(answer) => answer,
            Err(error) => return vec![not_sent(check, &error)],
        };
        if !answer.is_refusal() {
            return vec![not_refused(check, route, &answer)];
        }
        has_challenge &= answer.has_challenge();
    }
    let called = plan.routes.len();
    let paths = match plan.paths_left_out {
        0 => format!("each of {called} paths"),
        more => format!("each of {called} paths ({more} more are not called)"),
    };
    let passed = Line::passed(check, format!("{paths} refuses a call without a token"));
    let mut lines = vec![passed];
    if !has_challenge {
        let detail = "the header `WWW-Authenticate` of a refusal is missing or changed";
        let fix = "let the proxy forward it, if a caller needs it: Forge does not";
        lines.push(Line::warning(check, detail, fix).code(&LOST_CHALLENGE));
    }
    lines
}

fn not_refused(check: &'static str, route: &Route, answer: &Answer) -> Line {
    let call = format!("{} {}", route.method, route.path);
    let detail = format!("{call} got {} without a token, not 401", answer.status);
    if answer.status == StatusCode::NOT_FOUND {
        let fix = "forward the path unchanged to the app, and compare it with `routes`";
        return trouble(check, &LOST_PATH, detail, fix);
    }
    // A handler's own response may look like anything.
    if answer.status.is_success() {
        let rule = if answer.is_cached() { &CACHED_RESPONSE } else { &UNVERIFIED_CALL };
        let fix = match answer.is_cached() {
            true => "turn caching off for the paths of the app",
            false => "forward calls and their `Authorization` header unchanged to the app",
        };
        return trouble(check, rule, detail, fix);
    }
    let (rule, fix) = fault(answer, &FOREIGN_RESPONSE);
    trouble(check, rule, detail, fix)
}

/// Sends an `Authorization` header of 12 KB: proxies limit each header as well as all of them.
pub(super) async fn header_limit(session: &mut Session, plan: &Plan) -> Line {
    let check = "headers";
    let sent = async {
        let mut request = session.request(plan.target.method.clone(), &plan.target.path)?;
        let token = format!("Bearer {}", "x".repeat(TOKEN_BYTES));
        if let Ok(mut value) = HeaderValue::from_str(&token) {
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        session.send(request).await
    };
    match sent.await {
        Ok(answer) if answer.is_refusal() => Line::passed(check, "a token of 12 KB reaches the app"),
        answer => limited(check, &HEADER_LIMIT, "a token of 12 KB", answer),
    }
}

/// Sends the largest body, with its length and in chunks.
pub(super) async fn body_limit(session: &mut Session, plan: &Plan) -> Line {
    let check = "body";
    let size = plan.body;
    for is_chunked in [false, true] {
        let sent = async {
            let mut request = session.request(Method::POST, &plan.target.path)?;
            *request.method_mut() = plan.target.method.clone();
            // A server that refuses a call without reading its body closes the connection.
            let close = HeaderValue::from_static("close");
            request.headers_mut().insert(header::CONNECTION, close);
            if !is_chunked {
                request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(size));
            }
            *request.body_mut() = Some(in_two_parts(&vec![b' '; size]));
            session.send(request).await
        };
        match sent.await {
            Ok(answer) if answer.is_refusal() => {}
            answer => {
                let what = match is_chunked {
                    true => format!("a body of {size} bytes in chunks"),
                    false => format!("a body of {size} bytes"),
                };
                return limited(check, &BODY_LIMIT, &what, answer);
            }
        }
    }
    Line::passed(check, format!("{size} bytes reach the app, in one piece and in chunks"))
}

fn limited(
    check: &'static str,
    rule: &Rule,
    what: &str,
    answer: Result<Answer, SendError>,
) -> Line {
    let detail = match answer {
        Ok(answer) => format!("{what} got {}, not 401 of the app", answer.status),
        Err(SendError::Limit) => return not_sent(check, &SendError::Limit),
        Err(error) => format!("{what} got no response: {error}"),
    };
    trouble(check, rule, detail, "raise the limit of the proxy in front of the app")
}

/// Sends a path with `%2F`, which is another path for the app than the one with slashes.
pub(super) async fn paths(session: &mut Session, plan: &Plan) -> Line {
    let check = "paths";
    let route = plan.escapable();
    let path = escaped(&route.path);
    let answer = match session.get(route.method.clone(), &path).await {
        Ok(answer) => answer,
        Err(error) => return not_sent(check, &error),
    };
    let status = answer.status;
    if answer.is_refusal() {
        let detail = format!("`{path}` got {status} of `{}`: a proxy decoded it", route.path);
        let fix = "let the proxy forward the path as it came, undecoded";
        return trouble(check, &REWRITTEN_PATH, detail, fix);
    }
    if answer.code().as_deref() == Some("not_found") {
        return Line::passed(check, "`%2F` in a path is not decoded on its way to the app");
    }
    if plan.has_fallback {
        let detail = "`%2F` in a path does not lead to a handler; whether it is forwarded is not known, because \
                      the app's own routes respond to every path";
        return Line::passed(check, detail);
    }
    let detail = format!("`{path}` got {status}, not 404 of the app");
    let fix = "let the proxy accept `%2F`, if the app has paths with it";
    Line::warning(check, detail, fix).code(&REFUSED_ESCAPES)
}

/// Returns another path, which becomes this one if a proxy decodes and simplifies it.
fn escaped(path: &str) -> String {
    let rest = path.strip_prefix('/').unwrap_or(path);
    match rest.contains('/') {
        true => format!("/{}", rest.replace('/', "%2F")),
        false => format!("/forge-remote-doctor/..%2F{rest}"),
    }
}

/// Sends a method that no handler has.
pub(super) async fn methods(session: &mut Session, plan: &Plan) -> Line {
    let check = "methods";
    let method = Method::from_bytes(b"PROPFIND").unwrap_or(Method::TRACE);
    match session.get(method, &plan.target.path).await {
        Err(error) => not_sent(check, &error),
        // Some handlers accept every method, and refuse the call.
        Ok(answer)
            if answer.code().as_deref() == Some("method_not_allowed") || answer.is_refusal() =>
        {
            Line::passed(check, "an unknown method is refused by the app")
        }
        // A proxy may forbid methods; nothing is lost.
        Ok(answer) if answer.status.is_client_error() => {
            Line::passed(check, format!("an unknown method is refused with {}", answer.status))
        }
        Ok(answer) => {
            let detail = format!("an unknown method got {}", answer.status);
            let (rule, fix) = fault(&answer, &FOREIGN_RESPONSE);
            trouble(check, rule, detail, fix)
        }
    }
}

/// What a deployment does not serve.
struct Exposure {
    path: &'static str,
    rule: &'static Rule,
    /// What the response contains where the app's own routes respond to every path.
    sign: &'static str,
    fix: &'static str,
}

const NO_DEV: &str = "deploy the command `serve`, never `dev`";
const NO_FOLDER: &str = "serve no folder of files beside the app";

#[rustfmt::skip]
const EXPOSURES: [Exposure; 5] = [
    Exposure { path: "/metrics", rule: &EXPOSED_METRICS, sign: "# TYPE ", fix: "serve metrics on a second port" },
    Exposure { path: "/console", rule: &EXPOSED_CONSOLE, sign: "<title>forge-remote console", fix: NO_DEV },
    Exposure { path: "/.well-known/jwks.json", rule: &EXPOSED_KEYS, sign: "\"keys\"", fix: NO_DEV },
    Exposure { path: "/.env", rule: &EXPOSED_FILE, sign: "KEY=", fix: NO_FOLDER },
    Exposure { path: "/manifest.yml", rule: &EXPOSED_FILE, sign: "app:", fix: NO_FOLDER },
];

/// Requests what a deployment does not serve.
pub(super) async fn exposure(session: &mut Session, plan: &Plan) -> Vec<Line> {
    let check = "exposure";
    let mut lines = Vec::new();
    for Exposure { path, rule, sign, fix } in EXPOSURES {
        let answer = match session.get(Method::GET, path).await {
            Ok(answer) => answer,
            Err(error) => {
                lines.push(not_sent(check, &error));
                return lines;
            }
        };
        // Some services respond to every path, so a key set has to be one.
        let is_it = match std::ptr::eq(rule, &EXPOSED_KEYS) {
            true => is_key_set(&answer.body),
            false => !plan.has_fallback || contains(&answer.body, sign),
        };
        if answer.status.is_success() && is_it {
            let detail = format!("GET {path} got {}", answer.status);
            lines.push(trouble(check, rule, detail, fix));
        }
    }
    if lines.is_empty() {
        let count = EXPOSURES.len();
        let detail = format!("none of {count} paths is served: metrics, console, key set, files");
        lines.push(Line::passed(check, detail));
    }
    lines
}

fn is_key_set(body: &[u8]) -> bool {
    let set: Option<Value> = serde_json::from_slice(body).ok();
    set.is_some_and(|set| set.get("keys").is_some())
}

fn contains(body: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(body).contains(text)
}

/// Compares how long 19 of 20 responses took.
pub(super) fn time(session: &Session) -> Line {
    let check = "time";
    let mut took = session.took.clone();
    took.sort_unstable();
    let index = (took.len() * 95).div_ceil(100).saturating_sub(1);
    let p95 = took.get(index).copied().unwrap_or_default();
    if p95 < MAX_P95 {
        return Line::passed(check, "19 of 20 responses took less than 1 s");
    }
    let detail = format!("one of 20 responses took {:.1} s or longer", p95.as_secs_f32());
    let fix = "deploy nearer to Atlassian's region, keep an instance running";
    trouble(check, &SLOW_RESPONSES, detail, fix)
}

/// Compares the routes of the deployed build with this one's.
pub(super) fn build(plan: &Plan, deployed: &Option<HeaderValue>) -> Line {
    let check = "build";
    let local = plan.digest.as_str();
    let fix = "deploy this build, or run `doctor --url` from the deployed one";
    match deployed.as_ref().map(HeaderValue::as_bytes) {
        Some(deployed) if deployed == local.as_bytes() => {
            Line::passed(check, format!("the deployed routes are this build's ({local})"))
        }
        Some(deployed) => {
            let deployed: String = String::from_utf8_lossy(deployed).chars().take(32).collect();
            let detail = format!("the deployed routes are {deployed:?}, this build's are {local}");
            trouble(check, &OTHER_BUILD, detail, fix)
        }
        None => {
            let detail = format!("the deployment names no digest of its routes, this build's is {local}");
            trouble(check, &OTHER_BUILD, detail, fix)
        }
    }
}
