//! The checks other than forged FITs: reach, proxy, time, drift.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderValue, Method, StatusCode, header};

use super::certificate::Validity;
use super::plan::{Plan, Route, UNKNOWN_PATH};
use super::rules::{
    BODY_LIMIT, CACHED_RESPONSE, CERTIFICATE, FOREIGN_RESPONSE, HEADER_LIMIT, LOST_CHALLENGE,
    LOST_PATH, NO_KEYS, OTHER_BUILD, REDIRECT, REJECTED_ESCAPES, REWRITTEN_PATH, SLOW_RESPONSES,
    TLS, UNREACHABLE, UNVERIFIED_CALL,
};
use super::session::{Answer, ProbeError, Session, in_two_parts};
use crate::app::ROUTE_DIGEST_HEADER;
use crate::cli::doctor::line::Line;
use crate::diagnostic::Rule;

/// The largest header, in bytes: with its name, its blank and the end of its line. Proxies limit a header to 8 KB
/// by default.
const HEADER_BYTES: usize = 16 * 1024;
const AROUND_TOKEN: usize = "authorization: Bearer \r\n".len();
const FASTER: &str = "deploy nearer to Atlassian's region, keep an instance running";
const RAISE_LIMIT: &str = "raise the limit of the proxy in front of the app";
/// The time that 19 of 20 responses may take.
const MAX_P95: Duration = Duration::from_secs(1);

/// Returns the line of a failed check.
pub(super) fn trouble(
    check: &'static str,
    rule: &Rule,
    detail: impl Into<String>,
    fix: &str,
) -> Line {
    Line::failed(check, detail, fix).code(rule)
}

/// Returns the line of a check whose request got no response.
pub(super) fn not_sent(check: &'static str, error: &ProbeError) -> Line {
    if matches!(error, ProbeError::Late) {
        return trouble(
            check,
            &SLOW_RESPONSES,
            format!("not checked: {error}"),
            FASTER,
        );
    }
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

/// The responses of the base URL.
pub(super) struct Reach {
    pub(super) lines: Vec<Line>,
    /// Whether other requests have a meaning.
    pub(super) is_reachable: bool,
    /// The failed line of a path that something other than the app rejected, unless the handlers' paths reach the
    /// app: a front end may forward these alone.
    pub(super) doubt: Option<Line>,
    /// The app's own response, which has its digest.
    pub(super) own: Option<Answer>,
}

/// Checks that the app responds at the base URL itself.
pub(super) async fn reach(session: &mut Session, plan: &Plan) -> Reach {
    let check = "address";
    let request = match plan.has_fallback {
        true => session.get(Method::GET, "/healthz").await,
        false => session.get(Method::POST, UNKNOWN_PATH).await,
    };
    let answer = match request {
        Ok(answer) => answer,
        Err(error) => {
            return Reach {
                lines: vec![unreached(check, &error)],
                is_reachable: false,
                doubt: None,
                own: None,
            };
        }
    };
    let mut lines = Vec::new();
    lines.extend(answer.certificate.as_ref().map(certificate));
    let is_own = match plan.has_fallback {
        true => answer.status == StatusCode::OK && answer.body == b"ok\n",
        false => {
            answer.status == StatusCode::NOT_FOUND && answer.code().as_deref() == Some("not_found")
        }
    };
    if is_own {
        lines.push(Line::passed(check, "the app responds, without a redirect"));
        return Reach {
            lines,
            is_reachable: true,
            doubt: None,
            own: Some(answer),
        };
    }
    let (rule, fix) = fault(&answer, &FOREIGN_RESPONSE);
    let detail = format!(
        "a path without a handler got {} instead of the app's 404",
        answer.status
    );
    let line = trouble(check, rule, detail, fix);
    if answer.status.is_client_error() {
        return Reach {
            lines,
            is_reachable: true,
            doubt: Some(line),
            own: None,
        };
    }
    lines.push(line);
    // A redirect, or a gateway's error, is the same for every other request.
    Reach {
        lines,
        is_reachable: answer.status.is_success(),
        doubt: None,
        own: None,
    }
}

impl Reach {
    /// Returns the line about paths other than the handlers', whose calls reach the app or do not.
    pub(super) fn other_paths(&mut self, do_reach: bool) -> Option<Line> {
        let doubt = self.doubt.take()?;
        Some(match do_reach {
            true => Line::passed(
                "address",
                "only the handlers' paths are forwarded to the app",
            ),
            false => doubt,
        })
    }
}

/// Returns the line of a base URL that sent no response.
fn unreached(check: &'static str, error: &ProbeError) -> Line {
    let text = error.to_string();
    if text.contains("certificate") {
        let fix =
            "install a certificate of a public authority for this host, with its intermediates";
        return trouble(check, &CERTIFICATE, text, fix);
    }
    // In the words of rustls.
    let signs = [
        "fatal alert",
        "corrupt message",
        "peer is incompatible",
        "tls handshake",
    ];
    if signs.iter().any(|sign| text.contains(sign)) {
        let fix =
            "serve TLS 1.2 or newer on the port of the base URL, with a certificate for its name";
        return trouble(check, &TLS, text, fix);
    }
    not_sent(check, error)
}

fn certificate(validity: &Validity) -> Line {
    let check = "tls";
    let left = validity
        .until
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    let time = match left.as_secs() / 3600 {
        hours @ 0..48 => format!("{hours} hours"),
        hours => format!("{} days", hours / 24),
    };
    if left >= validity.late_renewal() {
        return Line::passed(
            check,
            format!("the certificate is valid for another {time}"),
        );
    }
    let detail = format!("the certificate expires in {time}, which is late for a renewal");
    Line::warning(check, detail, "renew it, and repair the automatic renewal").code(&CERTIFICATE)
}

/// The responses of the handlers' paths to calls without a FIT.
pub(super) struct Routes {
    pub(super) lines: Vec<Line>,
    /// Whether the app got a FIT nevertheless, of something in front of it.
    pub(super) has_stranger: bool,
}

/// Checks that each handler is there and rejects a call without a FIT.
pub(super) async fn routes(session: &mut Session, plan: &Plan) -> Routes {
    let check = "routes";
    let failed = |line| Routes {
        lines: vec![line],
        has_stranger: false,
    };
    let (mut has_challenge, mut has_stranger) = (true, false);
    for route in &plan.routes {
        let answer = match session.get(route.method.clone(), &route.path).await {
            Ok(answer) => answer,
            Err(error) => return failed(not_sent(check, &error)),
        };
        if !answer.is_rejection() {
            return failed(not_rejected(check, route, &answer));
        }
        has_stranger |= !answer.is_without_token();
        has_challenge &= answer.has_challenge();
    }
    let mut paths = match plan.routes.len() {
        1 => "the path".to_owned(),
        called => format!("each of {called} paths"),
    };
    if plan.paths_left_out > 0 {
        paths.push_str(&format!(" ({} more not called)", plan.paths_left_out));
    }
    let passed = Line::passed(check, format!("{paths} rejects a call without a FIT"));
    let mut lines = vec![passed];
    if !has_challenge {
        let detail = "the header `WWW-Authenticate` of a rejection is missing or changed";
        let fix = "let the proxy forward it, if a caller needs it: Forge does not";
        lines.push(Line::warning(check, detail, fix).code(&LOST_CHALLENGE));
    }
    Routes {
        lines,
        has_stranger,
    }
}

fn not_rejected(check: &'static str, route: &Route, answer: &Answer) -> Line {
    let call = format!("{} {}", route.method, route.path);
    let detail = format!("{call} got {} without a FIT, not 401", answer.status);
    if answer.status == StatusCode::NOT_FOUND {
        let fix = "forward the path unchanged to the app, and compare it with `routes`";
        return trouble(check, &LOST_PATH, detail, fix);
    }
    // A handler's own response may look like anything.
    if answer.status.is_success() {
        let rule = if answer.is_cached() {
            &CACHED_RESPONSE
        } else {
            &UNVERIFIED_CALL
        };
        let fix = match answer.is_cached() {
            true => "turn caching off for the paths of the app",
            false => "forward calls and their `Authorization` header unchanged to the app",
        };
        return trouble(check, rule, detail, fix);
    }
    let (rule, fix) = fault(answer, &FOREIGN_RESPONSE);
    trouble(check, rule, detail, fix)
}

/// Sends an `Authorization` header of 16 KB: proxies limit each header as well as all of them.
pub(super) async fn header_limit(session: &mut Session, plan: &Plan) -> Line {
    let check = "headers";
    let sent = async {
        let mut request = session.request(plan.target.method.clone(), &plan.target.path)?;
        let token = format!("Bearer {}", "x".repeat(HEADER_BYTES - AROUND_TOKEN));
        if let Ok(mut value) = HeaderValue::from_str(&token) {
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        session.send(request).await
    };
    match sent.await {
        Ok(answer) if answer.is_of_token() => {
            Line::passed(check, "a header of 16 KB reaches the app")
        }
        Ok(answer) if answer.is_without_token() => {
            let detail = "a header of 16 KB was removed on its way to the app";
            trouble(check, &HEADER_LIMIT, detail, RAISE_LIMIT)
        }
        answer => limited(check, &HEADER_LIMIT, "a header of 16 KB", answer),
    }
}

/// Sends the largest body, with its length and in chunks.
pub(super) async fn body_limit(session: &mut Session, plan: &Plan) -> Line {
    let check = "body";
    let Some(size) = plan.body else {
        let fix = "nothing: Forge sends them no body";
        return Line::unknown(check, "no handler has a method with a body", fix);
    };
    for is_chunked in [false, true] {
        let sent = async {
            let mut request = session.request(Method::POST, &plan.target.path)?;
            *request.method_mut() = plan.target.method.clone();
            // A server that rejects a call without reading its body closes the connection.
            let close = HeaderValue::from_static("close");
            request.headers_mut().insert(header::CONNECTION, close);
            if !is_chunked {
                request
                    .headers_mut()
                    .insert(header::CONTENT_LENGTH, HeaderValue::from(size));
            }
            *request.body_mut() = Some(in_two_parts(&vec![b' '; size]));
            session.send(request).await
        };
        match sent.await {
            Ok(answer) if answer.is_rejection() => {}
            // The app rejected the call, and closed the connection while the proxy still forwarded the body: no limit
            // of the proxy's did.
            Ok(answer) if answer.status == StatusCode::BAD_GATEWAY => {}
            answer => {
                let what = match is_chunked {
                    true => format!("a body of {size} bytes in chunks"),
                    false => format!("a body of {size} bytes"),
                };
                return limited(check, &BODY_LIMIT, &what, answer);
            }
        }
    }
    Line::passed(
        check,
        format!("{size} bytes reach the app, in one piece and in chunks"),
    )
}

fn limited(
    check: &'static str,
    rule: &Rule,
    what: &str,
    answer: Result<Answer, ProbeError>,
) -> Line {
    let detail = match answer {
        Ok(answer) => format!("{what} got {}, not 401 of the app", answer.status),
        Err(error @ (ProbeError::Limit | ProbeError::Late)) => return not_sent(check, &error),
        Err(error) => format!("{what} got no response: {error}"),
    };
    trouble(check, rule, detail, RAISE_LIMIT)
}

/// Sends a path with `%2F`, which for the app differs from the path with slashes.
pub(super) async fn paths(session: &mut Session, plan: &Plan) -> Line {
    let check = "paths";
    let route = plan.escapable();
    let path = escaped(&route.path);
    let answer = match session.get(route.method.clone(), &path).await {
        Ok(answer) => answer,
        Err(error) => return not_sent(check, &error),
    };
    let status = answer.status;
    if answer.is_rejection() {
        let detail = format!(
            "`{path}` got {status} from `{}`: a proxy decoded the path",
            route.path
        );
        let fix = "let the proxy forward the path as it came, undecoded";
        return trouble(check, &REWRITTEN_PATH, detail, fix);
    }
    if answer.code().as_deref() == Some("not_found") {
        return Line::passed(
            check,
            "`%2F` in a path is not decoded on its way to the app",
        );
    }
    if plan.has_fallback {
        let detail = "`%2F` in a path does not reach a handler; it is unknown whether it is forwarded, because the \
                      app's own routes respond to every path";
        return Line::passed(check, detail);
    }
    let detail = format!("`{path}` got {status}, not 404 of the app");
    let fix = "let the proxy accept `%2F`, if the app has paths with it";
    Line::warning(check, detail, fix).code(&REJECTED_ESCAPES)
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
        // Some handlers accept every method, and reject the call.
        Ok(answer)
            if answer.code().as_deref() == Some("method_not_allowed") || answer.is_rejection() =>
        {
            Line::passed(check, "an unknown method is rejected by the app")
        }
        // A proxy may forbid methods, or not know this one; nothing is lost.
        Ok(answer)
            if answer.status.is_client_error() || answer.status == StatusCode::NOT_IMPLEMENTED =>
        {
            Line::passed(
                check,
                format!("an unknown method is rejected with {}", answer.status),
            )
        }
        Ok(answer) => {
            let detail = format!("an unknown method got {}", answer.status);
            let (rule, fix) = fault(&answer, &FOREIGN_RESPONSE);
            trouble(check, rule, detail, fix)
        }
    }
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
    let detail = format!(
        "one of 20 responses took {:.1} s or longer",
        p95.as_secs_f32()
    );
    trouble(check, &SLOW_RESPONSES, detail, FASTER)
}

/// Compares the routes of the deployed build with this one's. `own` is a response of the app itself.
pub(super) fn build(plan: &Plan, own: Option<&Answer>) -> Line {
    let check = "build";
    let local = plan.digest.as_str();
    let fix = "deploy this build, or run `doctor --url` from the deployed one";
    let Some(own) = own else {
        let fix = "run `routes` of both builds and compare them";
        return Line::unknown(
            check,
            "the digest of the routes is in the app's 404 response, which something in front \
                                     of the app replaces",
            fix,
        );
    };
    match own
        .headers
        .get(ROUTE_DIGEST_HEADER)
        .map(HeaderValue::as_bytes)
    {
        Some(deployed) if deployed == local.as_bytes() => Line::passed(
            check,
            format!("the deployed routes are this build's ({local})"),
        ),
        Some(deployed) => {
            let deployed: String = String::from_utf8_lossy(deployed).chars().take(32).collect();
            let detail = format!("the deployed routes are {deployed:?}, this build's are {local}");
            trouble(check, &OTHER_BUILD, detail, fix)
        }
        None => {
            let detail =
                format!("the deployment names no digest of its routes, this build's is {local}");
            trouble(check, &OTHER_BUILD, detail, fix)
        }
    }
}
