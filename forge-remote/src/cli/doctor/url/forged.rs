//! Forged FITs: they reach the app, and each is rejected as every other one is.

use axum::http::{HeaderName, HeaderValue, header};
use forge_remote_attacks::jws::unique_id;
use forge_remote_attacks::{CLASSES, Request, Verdict};

use super::checks::{fault, not_sent, trouble};
use super::plan::Plan;
use super::rules::{
    FOREIGN_RESPONSE, FORGED_TOKEN, NO_KEYS, NO_TOKEN_ARRIVES, OTHER_KEYS, OWN_KEYS, PUBLIC_KEY,
    UNFETCHED_KEYS,
};
use super::session::{Answer, ProbeError, Session};
use crate::cli::doctor::line::Line;

const CHECK: &str = "forgeries";
/// The FITs with invented key ids. The first one lets the app fetch the key set, and the next ones come
/// before it may do so again.
const INVENTED_KEYS: usize = 3;

/// The result of sending FITs to the app.
pub(super) struct Arrival {
    pub(super) lines: Vec<Line>,
    /// Whether the app gets the FITs that are sent.
    pub(super) do_arrive: bool,
}

/// Checks that FITs reach the app, and that it has Atlassian's keys. `has_stranger` is whether the app got a
/// FIT with a call that had none.
///
/// The app's response distinguishes a missing FIT from an invalid one. An unknown key id distinguishes more:
/// within `JwksPolicy::unknown_key_cooldown`, a second one gets 503. This runs before any other FIT that
/// names a published key, because the app remembers for a minute which ids it has looked for.
pub(super) async fn arrival(session: &mut Session, plan: &Plan, has_stranger: bool) -> Arrival {
    let check = "arrival";
    let arrived = |lines| Arrival {
        lines,
        do_arrive: true,
    };
    let (mut rejected, mut without_key) = (0, 0);
    for _ in 0..INVENTED_KEYS {
        let kid = format!("forge/invocation-token/doctor-{}", unique_id());
        match send_with_key_id(session, plan, &kid).await {
            Ok(answer) if answer.is_without_token() => return lost(check, "removes"),
            Ok(answer) if answer.is_without_key() => without_key += 1,
            Ok(answer) if answer.is_rejection() => rejected += 1,
            // The next checks name the problem.
            Ok(_) => return arrived(Vec::new()),
            Err(error) => return arrived(vec![not_sent(check, &error)]),
        }
    }
    if without_key == 0 && has_stranger {
        return lost(check, "replaces");
    }
    let has_published_key = match plan.published_kid() {
        Some(kid) => match send_with_key_id(session, plan, kid).await {
            Ok(answer) => Some(!answer.is_without_key()),
            Err(error) => return arrived(vec![not_sent(check, &error)]),
        },
        None => None,
    };
    let mut lines = Vec::new();
    if plan.has_own_keys() {
        let detail = format!(
            "this build is configured with the keys of {}, not with Atlassian's",
            plan.key_set
        );
        let fix = "remove FORGE_REMOTE_JWKS_URL, `App::jwks_url` and `App::key_source`, unless it mirrors Atlassian's set";
        lines.push(Line::warning(check, detail, fix).code(&OWN_KEYS));
    }
    if has_published_key.is_none() {
        let detail = format!(
            "{} cannot be fetched here: no token is forged with its keys, and whether the deployment has \
             them is not checked",
            plan.key_set
        );
        let fix = "allow the connection from this machine (a firewall, a proxy: HTTPS_PROXY)";
        lines.push(Line::warning(check, detail, fix).code(&UNFETCHED_KEYS));
    }
    lines.push(match has_published_key {
        // An app with keys looks for the first unknown one, unless another caller has just named one.
        None | Some(false) if rejected == 0 => {
            let detail = "the deployment has no keys, so it cannot verify tokens";
            trouble(check, &NO_KEYS, detail, "run `doctor` where the app runs")
        }
        Some(false) => other_keys(check, plan),
        // Each of several instances may have got only one of these FITs.
        Some(true) if without_key == 0 => Line::unknown(
            check,
            format!(
                "FITs reach the app; it is unknown whether it has the keys of {}",
                plan.key_set
            ),
            "run `doctor` where the app runs",
        ),
        None | Some(true) => Line::passed(check, "FITs reach the app"),
    });
    arrived(lines)
}

/// Returns the result for a proxy that does this to the header with the FIT.
fn lost(check: &'static str, does: &str) -> Arrival {
    let detail = format!(
        "no token reaches the app: something in front of it {does} the `Authorization` header"
    );
    let fix = "forward the `Authorization` header unchanged to the app, which verifies it";
    Arrival {
        lines: vec![trouble(check, &NO_TOKEN_ARRIVES, detail, fix)],
        do_arrive: false,
    }
}

fn other_keys(check: &'static str, plan: &Plan) -> Line {
    let detail = format!("the deployment does not have the keys of {}", plan.key_set);
    let fix = "remove FORGE_REMOTE_JWKS_URL and `App::jwks_url` from the deployment";
    trouble(check, &OTHER_KEYS, detail, fix)
}

/// Sends a FIT of an attacker's own key under this key id.
async fn send_with_key_id(
    session: &mut Session,
    plan: &Plan,
    kid: &str,
) -> Result<Answer, ProbeError> {
    let token = plan.scene(session.now()).fit().head("kid", kid).token();
    send(session, plan, &Request::post("/tick").bearer(&token)).await
}

/// Sends a case of each class that needs no private key of Atlassian.
pub(super) async fn tokens(session: &mut Session, plan: &Plan) -> Line {
    let (mut sent, mut wrong) = (0, Vec::new());
    for class in CLASSES {
        let Some(name) = class.keyless else { continue };
        // It expires after seconds.
        let Some(case) = class.case(&plan.scene(session.now()), name) else {
            continue;
        };
        let answer = match send(session, plan, &case.request).await {
            Ok(answer) => answer,
            Err(error) => return not_sent(CHECK, &error),
        };
        sent += 1;
        let statuses: &[u16] = match case.verdict {
            Verdict::Rejected(statuses) => statuses,
            Verdict::Accepted(_) | Verdict::Prompt => &[401],
        };
        let status = answer.status.as_u16();
        // The app may not fetch the key set again for an invented key, but it has the published ones.
        let is_cooldown = answer.is_without_key();
        if is_cooldown && plan.names_published_key(&case) {
            return other_keys(CHECK, plan);
        }
        // HTTP itself forbids some requests, which a proxy may find first.
        let by_http = status != 401 && statuses.contains(&status);
        if !answer.is_rejection() && !by_http && !is_cooldown {
            let ran = answer.status.is_success();
            wrong.push((class.about, answer));
            // The handler may have run: once is enough.
            if ran {
                break;
            }
        }
    }
    let Some((about, answer)) = wrong.first() else {
        return Line::passed(
            CHECK,
            format!("{sent} classes of forged FITs are rejected alike"),
        );
    };
    let (status, others) = (answer.status, wrong.len() - 1);
    let detail = match others {
        0 => format!("a forged FIT ({about}) got {status}"),
        _ => format!(
            "a forged FIT ({about}) got {status}, and {others} of {} others were not rejected either",
            sent - 1
        ),
    };
    let (rule, fix) = match answer.status.is_success() {
        true => (
            &FORGED_TOKEN,
            "let the app alone verify: forward calls and headers unchanged",
        ),
        false => fault(answer, &FORGED_TOKEN),
    };
    trouble(CHECK, rule, detail, fix)
}

/// Sends a FIT whose private key is published.
pub(super) async fn public_key(session: &mut Session, plan: &Plan) -> Line {
    let check = "key set";
    let request = Request::post("/tick").bearer(&plan.public_token(session.now()));
    match send(session, plan, &request).await {
        Err(error) => not_sent(check, &error),
        Ok(answer) if answer.is_rejection() || answer.is_without_key() => Line::passed(
            check,
            "a FIT signed with a published private key is rejected",
        ),
        // A gateway's own rejection shows nothing of the keys.
        Ok(answer) if answer.code().is_none() && [401, 403].contains(&answer.status.as_u16()) => {
            let detail = format!(
                "a FIT got {} from something in front of the app",
                answer.status
            );
            let (rule, fix) = fault(&answer, &FOREIGN_RESPONSE);
            trouble(check, rule, detail, fix)
        }
        // A handler may respond with any status, and without a system token it responds with 500.
        Ok(answer) => {
            let detail = format!(
                "a FIT whose private key is published got {}, which is not a rejection",
                answer.status
            );
            let fix = "remove FORGE_REMOTE_JWKS_URL and `App::jwks_url` from the deployment";
            trouble(check, &PUBLIC_KEY, detail, fix)
        }
    }
}

/// Sends a request of the table to the target, which stands for its `/tick` and `/ui`.
async fn send(session: &mut Session, plan: &Plan, request: &Request) -> Result<Answer, ProbeError> {
    let target = &plan.target;
    let rest = request.target.trim_start_matches('/');
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
    let mut forged = session.request(target.method.clone(), &format!("{}{rest}", target.path))?;
    for (name, value) in &request.headers {
        let (Ok(name), Ok(mut value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(value),
        ) else {
            continue;
        };
        value.set_sensitive(name == header::AUTHORIZATION);
        forged.headers_mut().append(name, value);
    }
    if !request.body.is_empty() {
        *forged.body_mut() = Some(request.body.clone().into());
    }
    session.send(forged).await
}
