//! A recorded call as a test and as a command, to paste.

use crate::platform::Record;
use crate::registry::Handler;

/// Returns a test of the app that makes the call again with the test kit, and expects the same status. The
/// text is empty for a forged call, which the test kit makes in another way.
pub(super) fn rust_test(record: &Record, handler: &Handler) -> String {
    let sent = &record.sent;
    if sent.changes.forgery.is_some() {
        return String::new();
    }
    let response = record
        .outcome
        .as_ref()
        .and_then(|one| one.response.as_ref().ok());
    let status = response.map_or(200, |response| response.status.as_u16());
    let name = handler.registration().function;
    let changes = &sent.changes;
    let mut links = vec![format!(
        "call_method(Method::{}, {:?})",
        variant(sent.method),
        sent.key
    )];
    links.extend(
        changes
            .subpath
            .as_ref()
            .map(|path| format!("subpath({path:?})")),
    );
    links.extend(
        changes
            .query
            .as_ref()
            .map(|query| format!("query({query:?})")),
    );
    if !sent.body.is_empty() {
        let body = String::from_utf8_lossy(&sent.body);
        links.push(format!("body({})", raw_string(&body)));
    }
    // As rustfmt breaks a chain.
    let call = match links.as_slice() {
        [one] => format!("harness.{one}"),
        all => format!("harness\n        .{}", all.join("\n        .")),
    };
    format!(
        "/// Recorded by the console of `dev`. `app()` is the function that returns the app.\n\
         #[tokio::test]\n\
         async fn {name}_responds_with_{status}() -> forge_remote::Result<()> {{\n    \
             use forge_remote::registry::Method;\n    \
             use forge_remote::testing::Harness;\n\n    \
             let harness = Harness::with_apis(crate::app()).await?;\n    \
             let call = {call};\n    \
             assert_eq!(call.send().await.status(), {status});\n    \
             Ok(())\n\
         }}\n"
    )
}

/// Returns the command that makes the call again.
pub(super) fn invoke_command(record: &Record) -> String {
    let sent = &record.sent;
    let mut command = format!("cargo run -- invoke {}", quoted(&sent.key));
    let mut option = |name: &str, value: &str| {
        command.push_str(&format!(" --{name} {}", quoted(value)));
    };
    let changes = &sent.changes;
    if let Some(method) = changes.method {
        option("method", method.as_str());
    }
    if let Some(event) = &sent.event {
        option("event", event);
    }
    if let Some(path) = &changes.subpath {
        option("subpath", path);
    }
    if let Some(query) = &changes.query {
        option("query", query);
    }
    if !sent.body.is_empty() {
        option("body", &String::from_utf8_lossy(&sent.body));
    }
    command
}

/// Returns the variant of `Method` with this name.
fn variant(method: &str) -> String {
    let (first, rest) = method.split_at(1.min(method.len()));
    format!("{first}{}", rest.to_ascii_lowercase())
}

/// Returns a text as a raw string literal.
fn raw_string(text: &str) -> String {
    // A raw string can't have a carriage return.
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
