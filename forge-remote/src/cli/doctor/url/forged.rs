//! Forged tokens: each is refused exactly as a missing token is.

use axum::http::{HeaderName, HeaderValue, header};
use forge_remote_attacks::{CLASSES, Request, Verdict};

use super::checks::{fault, not_sent, trouble};
use super::plan::Plan;
use super::rules::{FORGED_TOKEN, NO_KEYS, PUBLIC_KEY};
use super::session::{Answer, SendError, Session};
use crate::cli::doctor::line::Line;

const CHECK: &str = "tokens";

/// Sends a case of each class that needs no key of Atlassian's.
pub(super) async fn tokens(session: &mut Session, plan: &Plan) -> Line {
    let (mut sent, mut wrong) = (0, Vec::new());
    for class in CLASSES {
        let Some(name) = class.keyless else { continue };
        let Some(case) = class.case(&plan.scene, name) else {
            continue;
        };
        let answer = match send(session, plan, &case.request).await {
            Ok(answer) => answer,
            Err(error) => return not_sent(CHECK, &error),
        };
        sent += 1;
        let statuses: &[u16] = match case.verdict {
            Verdict::Refused(statuses) => statuses,
            Verdict::Accepted(_) | Verdict::Prompt => &[401],
        };
        let status = answer.status.as_u16();
        if answer.code().as_deref() == Some("keys_unavailable") {
            let detail = "the deployment has no keys, so it can't verify tokens";
            return trouble(CHECK, &NO_KEYS, detail, "run `doctor` where the app runs");
        }
        // For a key that is not published, the app may not want to fetch the key set again.
        let is_cooldown = answer.code().as_deref() == Some("unknown_key_cooldown");
        // HTTP itself forbids some requests, which a proxy may find first.
        let by_http = status != 401 && statuses.contains(&status);
        if !answer.is_refusal() && !by_http && !is_cooldown {
            wrong.push((class.about, answer));
        }
    }
    let Some((about, answer)) = wrong.first() else {
        return Line::passed(CHECK, format!("{sent} kinds of forged tokens are refused alike"));
    };
    let (status, others) = (answer.status, wrong.len() - 1);
    let detail = match others {
        0 => format!("a forged token ({about}) got {status}"),
        _ => format!("a forged token ({about}) got {status}, and {others} of {sent} others were not refused either"),
    };
    let (rule, fix) = match answer.status.is_success() {
        true => (&FORGED_TOKEN, "let the app alone verify: forward calls and headers unchanged"),
        false => fault(answer, &FORGED_TOKEN),
    };
    trouble(CHECK, rule, detail, fix)
}

/// Sends a token whose private key is published.
pub(super) async fn public_key(session: &mut Session, plan: &Plan) -> Line {
    let check = "key set";
    let request = Request::post("/tick").bearer(&plan.public_token);
    match send(session, plan, &request).await {
        Err(error) => not_sent(check, &error),
        Ok(answer) if answer.is_refusal() || answer.status.is_server_error() => {
            Line::passed(check, "a token by a published private key is refused")
        }
        Ok(answer) if answer.status.is_success() => {
            let detail = "a token was accepted whose private key anybody can read";
            let fix = "remove FORGE_REMOTE_JWKS_URL and `App::jwks_url` from the deployment";
            trouble(check, &PUBLIC_KEY, detail, fix)
        }
        Ok(answer) => {
            let (rule, fix) = fault(&answer, &FORGED_TOKEN);
            let detail = format!("a token by a published private key got {}", answer.status);
            trouble(check, rule, detail, fix)
        }
    }
}

/// Sends a request of the table to the target, which stands for its `/tick` and `/ui`.
async fn send(
    session: &mut Session,
    plan: &Plan,
    request: &Request,
) -> Result<Answer, SendError> {
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
