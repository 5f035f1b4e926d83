//! Escaping of foreign text for a log line.

#[cfg(feature = "cli")]
use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Upper bound on the length of foreign text, in characters; longer text is cut.
const MAX_FOREIGN: usize = 4000;

/// Text from a caller or another server, for a log line or an error: characters that could begin a
/// line or control a terminal are escaped, and text of more than 4,000 characters is cut.
#[derive(Clone, Copy)]
pub(crate) struct Foreign<'a>(pub(crate) &'a str);

impl fmt::Display for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        for character in characters.by_ref().take(MAX_FOREIGN) {
            if is_unsafe(character) || character == '\t' {
                write_escaped(f, character)?;
            } else {
                f.write_char(character)?;
            }
        }
        if characters.next().is_some() {
            f.write_str("…")?;
        }
        Ok(())
    }
}

/// Returns an event as one line, its line feed included. Characters that could begin another line or
/// control a terminal are escaped, in a form that is valid JSON. `keeps_escape` preserves the escape
/// character, which the formatter writes for colours and escapes in values.
#[cfg(feature = "cli")]
pub(crate) fn one_line(event: &[u8], keeps_escape: bool) -> Cow<'_, [u8]> {
    let text = String::from_utf8_lossy(event);
    let body = text.strip_suffix('\n').unwrap_or(&text);
    let is_unsafe =
        |character: char| is_unsafe(character) && !(keeps_escape && character == '\u{1b}');
    if !body.chars().any(is_unsafe) {
        return Cow::Borrowed(event);
    }
    let mut line = String::with_capacity(body.len() + 16);
    for character in body.chars() {
        if is_unsafe(character) {
            // Writing to a string cannot fail.
            let _ = write_escaped(&mut line, character);
        } else {
            line.push(character);
        }
    }
    line.push('\n');
    Cow::Owned(line.into_bytes())
}

/// Returns whether a log viewer or a terminal may interpret the character: control characters,
/// Unicode's line ends, and characters that change the direction of text.
fn is_unsafe(character: char) -> bool {
    let reorders = matches!(character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let ends_line = matches!(character, '\u{2028}' | '\u{2029}');
    (character.is_control() && character != '\t') || reorders || ends_line
}

fn write_escaped(out: &mut impl fmt::Write, character: char) -> fmt::Result {
    match character {
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        _ => write!(out, "\\u{:04x}", u32::from(character)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FORGED: &str = "a\nERROR forged\r\u{85}\u{2028}\u{1b}[31m\u{202e}b";

    #[test]
    fn foreign_text_stays_on_its_line() {
        assert_eq!(
            Foreign(FORGED).to_string(),
            "a\\nERROR forged\\r\\u0085\\u2028\\u001b[31m\\u202eb"
        );
        assert_eq!(Foreign("Grüße, 日本").to_string(), "Grüße, 日本");
        let long = Foreign(&"x".repeat(5000)).to_string();
        assert_eq!(long.chars().count(), MAX_FOREIGN + 1);
    }

    #[test]
    fn an_event_is_one_line() {
        let event = format!("WARN {FORGED}\n");
        let line = one_line(event.as_bytes(), false);
        let line = std::str::from_utf8(&line).unwrap();
        assert_eq!(line.lines().count(), 1);
        assert!(line.ends_with("\\u202eb\n"), "{line}");
        // The formatter's own colours are preserved.
        let coloured = "\u{1b}[33m WARN\u{1b}[0m a\tb\n".as_bytes();
        assert_eq!(&*one_line(coloured, true), coloured);
    }

    #[test]
    fn json_stays_json() {
        let json = format!("{}\n", serde_json::json!({ "reason": FORGED }));
        let line = one_line(json.as_bytes(), false);
        let read: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(read["reason"], FORGED);
    }
}
