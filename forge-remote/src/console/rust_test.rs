//! A recorded call as a test and as a command, to paste.

use std::borrow::Cow;

use aws_lc_rs::digest::{Context, SHA256};

use super::invoke::DEFAULT_PLATFORM;
use super::state::Console;
use crate::app::FIRE_HEADER;
use crate::platform::{Record, Sent};
use crate::registry::Method;

/// The largest argument of a command, in bytes: Linux has a limit of 128 KiB.
const MAX_ARGUMENT: usize = 100 * 1024;

/// The texts to copy of a call, or the reasons why there are none.
pub(super) struct Copies {
    pub(super) command: Result<String, &'static str>,
    pub(super) test: Result<String, &'static str>,
}

/// Returns a test of the app that makes the call again with the test kit, and expects the same status. The test
/// kit makes forged calls in another way.
pub(super) fn rust_test(record: &Record, console: &Console) -> Result<String, &'static str> {
    let sent = &record.sent;
    if sent.changes.forgery.is_some() {
        return Err("A forged call has no test to copy");
    }
    let Some(outcome) = &record.outcome else {
        return Err("A call that runs has no test to copy");
    };
    let Ok(response) = &outcome.response else {
        return Err("A call without a response has no test to copy");
    };
    let registry = console.caller.app.registry();
    let handler = registry.find_named(&sent.handler, None);
    let handler = handler.ok_or("The app has no such handler")?;
    let status = response.status.as_u16();
    let name = name(handler.registration().function, status, sent);
    let changes = &sent.changes;
    // Several handlers can share a key, and even a method.
    let key = [handler.key(), handler.endpoint()];
    let key = key.into_iter().find(|key| *key == sent.handler);
    let key = key.unwrap_or(handler.key());
    let method = Method::named(sent.method).unwrap_or(handler.method());
    let called = registry.find(key).find(|one| one.accepts(method));
    let path = called.filter(|called| called.path() != handler.path());
    let link = |name: &str, value: Option<&str>| value.map(|value| format!("{name}({value:?})"));
    let mut links = vec![format!(
        "call_method(Method::{}, {key:?})",
        variant(sent.method)
    )];
    links.extend(link("at_path", path.map(|_| handler.path())));
    links.extend(link("subpath", changes.subpath.as_deref()));
    links.extend(link("query", changes.query.as_deref()));
    let fires = changes.fires.as_ref();
    links.extend(fires.map(|key| format!("header({FIRE_HEADER:?}, {key:?})")));
    if let Some(body) = body(sent) {
        links.push(format!("body({})", raw_string(&body)));
    }
    let fixtures = console.fixtures.as_ref().map_or_else(String::new, |path| {
        let path = path.display().to_string();
        // In lines that rustfmt leaves as they are.
        let apis = "let apis = harness.platform().apis();";
        format!("{apis}\n    apis.read_fixtures({path:?})?;\n    ")
    });
    // As rustfmt breaks a chain.
    let call = match links.as_slice() {
        [one] => format!("harness.{one}"),
        all => format!("harness\n        .{}", all.join("\n        .")),
    };
    Ok(format!(
        "/// Recorded by the console of `dev`. `app()` is the function that returns the app.\n\
         #[tokio::test]\n\
         async fn {name}() -> forge_remote::Result<()> {{\n    \
             use forge_remote::registry::Method;\n    \
             use forge_remote::testing::Harness;\n\n    \
             let harness = Harness::with_apis(crate::app()).await?;\n    \
             {fixtures}\
             let call = {call};\n    \
             assert_eq!(call.send().await.status(), {status});\n    \
             Ok(())\n\
         }}\n"
    ))
}

/// Returns the name of a call's test: the tests of different calls have different names.
fn name(function: &str, status: u16, sent: &Sent) -> String {
    let mut digest = Context::new(&SHA256);
    let fires = sent.changes.fires.as_deref().unwrap_or_default();
    for part in [sent.method, &sent.key, &sent.path, fires] {
        digest.update(part.as_bytes());
        digest.update(b"\0");
    }
    digest.update(&sent.body);
    let digest = digest.finish();
    let digest = digest.as_ref().iter().take(3);
    let digest: String = digest.map(|byte| format!("{byte:02x}")).collect();
    format!("{function}_responds_with_{status}_{digest}")
}

/// Returns the body that was sent instead of none: an empty one can replace the sample.
fn body(sent: &Sent) -> Option<Cow<'_, str>> {
    let has_body = !sent.body.is_empty() || sent.changes.raw_body.is_some();
    has_body.then(|| String::from_utf8_lossy(&sent.body))
}

/// Returns the command that makes the call again, byte for byte.
pub(super) fn invoke_command(record: &Record, platform_url: &str) -> Result<String, &'static str> {
    let sent = &record.sent;
    let changes = &sent.changes;
    if changes.forgery.is_some() {
        return Err("A forged call has no command to copy");
    }
    if changes.fires.is_some() {
        return Err(
            "A fired schedule has no command to copy: `invoke` calls its handler, not the clock",
        );
    }
    let body = body(sent);
    let body = body.as_deref();
    if body.is_some_and(|body| body.len() > MAX_ARGUMENT) {
        return Err("The body is too large for a command");
    }
    if body.is_some_and(|body| body.contains('\0')) {
        return Err("The body has a NUL character, which no command can have");
    }
    let mut command = format!("cargo run -- invoke {}", quoted(&sent.handler));
    let mut option = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            // A value that begins like an option is taken for one.
            let separator = if value.starts_with('-') { '=' } else { ' ' };
            command.push_str(&format!(" --{name}{separator}{}", quoted(value)));
        }
    };
    option(
        "platform",
        Some(platform_url).filter(|url| *url != DEFAULT_PLATFORM),
    );
    option("method", changes.method.map(Method::as_str));
    option("event", sent.event.as_deref());
    option("subpath", changes.subpath.as_deref());
    option("query", changes.query.as_deref());
    option("body", body);
    Ok(command)
}

/// Returns the variant of `Method` with this name.
fn variant(method: &str) -> String {
    let (first, rest) = method.split_at(1.min(method.len()));
    format!("{first}{}", rest.to_ascii_lowercase())
}

/// Returns a text as a raw string literal.
fn raw_string(text: &str) -> String {
    // A raw string cannot have a carriage return.
    if text.contains('\r') {
        return format!("{text:?}");
    }
    let hashes = (1..).map(|count| "#".repeat(count));
    let hashes = hashes
        .into_iter()
        .find(|hashes| !text.contains(&format!("\"{hashes}")));
    let hashes = hashes.unwrap_or_default();
    format!("r{hashes}\"{text}\"{hashes}")
}

/// Returns a text as one argument of a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=?&@%".contains(c);
    // `?` and `&` mean something to a shell.
    if !text.is_empty() && text.chars().all(is_plain) && !text.contains(['?', '&']) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_for_rust_and_for_a_shell() {
        assert_eq!(raw_string(r#"{"a":"b"}"#), "r#\"{\"a\":\"b\"}\"#");
        assert_eq!(raw_string("a\"#b"), "r##\"a\"#b\"##");
        assert_eq!(raw_string("a\r\nb"), "\"a\\r\\nb\"");
        assert_eq!(quoted("refresh-index"), "refresh-index");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted("a&b"), "'a&b'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn methods_have_the_names_of_their_variants() {
        assert_eq!(["GET", "PATCH"].map(variant), ["Get", "Patch"]);
    }
}
