//! Parts of messages.

/// How long a message that is kept may be.
const MESSAGE_CHARS: usize = 300;

pub(in crate::client) fn trace(trace_id: Option<&str>) -> String {
    trace_id.map_or_else(String::new, |id| format!(" (trace {id})"))
}

pub(in crate::client) fn tries(attempts: u32) -> String {
    if attempts > 1 {
        format!(" after {attempts} attempts")
    } else {
        String::new()
    }
}

/// A message that can stand in a log: bounded, one line, without the token.
pub(in crate::client) fn plain(message: &str, secret: &str) -> String {
    let hidden;
    let message = if !secret.is_empty() && message.contains(secret) {
        hidden = message.replace(secret, "***");
        &hidden
    } else {
        message
    };
    let mut text: String = message
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MESSAGE_CHARS)
        .collect();
    if text.len() < message.len() && message.chars().nth(MESSAGE_CHARS).is_some() {
        text.push('…');
    }
    text
}
