//! Parts of error messages.

/// Upper bound on the length of a kept message, in characters.
const MAX_MESSAGE_CHARS: usize = 300;

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

/// Makes a message safe to log: bounded, on one line, without the token.
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
        .take(MAX_MESSAGE_CHARS)
        .collect();
    if text.len() < message.len() && message.chars().nth(MAX_MESSAGE_CHARS).is_some() {
        text.push('…');
    }
    text
}
