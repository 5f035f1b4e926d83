//! JSON as FITs and keys need it: stricter than a parser for everybody.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use memchr::{memchr2, memchr2_iter};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::surrogates::repair_str;

/// Deeper nesting than this is rejected, as serde_json does where it parses.
const MAX_DEPTH: usize = 128;

/// An `f64` holds every number of 308 digits.
const MAX_DIGITS: u32 = 300;

/// Returns whether a JSON text is nested too deep. Unlike a parser, it also looks at parts that are kept unparsed.
pub(crate) fn is_too_deep(text: &str) -> bool {
    // Hardly any text has that many brackets at all.
    let mut opening = memchr2_iter(b'[', b'{', text.as_bytes());
    if opening.nth(MAX_DEPTH).is_none() {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Returns a valid JSON text that is kept unparsed, if a parser will read it in full. Half a surrogate pair in it
/// becomes U+FFFD. The text is part of one that is not [too deep](is_too_deep).
pub(crate) fn readable(text: &str) -> Option<Cow<'_, str>> {
    if is_plain(text) {
        return Some(Cow::Borrowed(text));
    }
    parsable(text)
}

/// Returns the same as [`readable`], by parsing the text.
pub(crate) fn parsable(text: &str) -> Option<Cow<'_, str>> {
    let text = repair_str(text);
    serde_json::from_str::<Readable>(&text)
        .is_ok()
        .then_some(text)
}

/// Returns whether a valid JSON text has nothing that a parser may reject: it has no escapes, which may be halves of
/// surrogate pairs, and no numbers with an exponent or hundreds of digits, which may be too large.
pub(crate) fn is_plain(text: &str) -> bool {
    let mut rest = text.as_bytes();
    let mut digits = 0;
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'0'..=b'9' if digits < MAX_DIGITS => {
                digits += 1;
                continue;
            }
            b'0'..=b'9' => return false,
            b'e' | b'E' if digits > 0 => return false,
            b'"' => {
                let end = memchr2(b'"', b'\\', rest).and_then(|end| rest.split_at_checked(end));
                let Some((_, [b'"', after @ ..])) = end else {
                    return false;
                };
                rest = after;
            }
            _ => {}
        }
        digits = 0;
    }
    true
}

/// Reads any JSON in full and keeps nothing of it.
struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ReadableVisitor;

        impl<'de> Visitor<'de> for ReadableVisitor {
            type Value = Readable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_bool<E>(self, _: bool) -> Result<Readable, E> {
                Ok(Readable)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Readable, E> {
                Ok(Readable)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Readable, E> {
                Ok(Readable)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Readable, E> {
                Ok(Readable)
            }

            fn visit_str<E>(self, _: &str) -> Result<Readable, E> {
                Ok(Readable)
            }

            fn visit_unit<E>(self) -> Result<Readable, E> {
                Ok(Readable)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Readable, A::Error> {
                while seq.next_element::<Readable>()?.is_some() {}
                Ok(Readable)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Readable, A::Error> {
                while map.next_entry::<Readable, Readable>()?.is_some() {}
                Ok(Readable)
            }
        }

        deserializer.deserialize_any(ReadableVisitor)
    }
}

/// A struct that is written as an object: derived code would take a list of its values as well.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// A JSON string, borrowed from the input unless it is written with escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// The member names of one object: a second of the same name is an error (RFC 7519 §4).
#[derive(Default)]
pub(crate) struct Names<'a> {
    count: usize,
    /// A bit for each known name that was seen.
    known: u32,
    others: Vec<Text<'a>>,
}

/// More members than this in one object is not a FIT, which has about a dozen.
const MAX_MEMBERS: usize = 64;

impl<'a> Names<'a> {
    /// Reads the value of a known member. Each has a different number, below 32.
    pub(crate) fn value<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
        &mut self,
        number: u32,
        map: &mut A,
    ) -> Result<T, A::Error> {
        let value = map.next_value()?;
        let bit = 1 << number;
        self.count(self.known & bit != 0)?;
        self.known |= bit;
        Ok(value)
    }

    /// Passes over the value of another member.
    pub(crate) fn pass_over<'de, A: MapAccess<'de>>(
        &mut self,
        name: Text<'a>,
        map: &mut A,
    ) -> Result<(), A::Error> {
        map.next_value::<IgnoredAny>()?;
        self.count(self.others.contains(&name))?;
        self.others.push(name);
        Ok(())
    }

    fn count<E: serde::de::Error>(&mut self, is_known: bool) -> Result<(), E> {
        if is_known {
            return Err(E::custom("duplicate member"));
        }
        if self.count >= MAX_MEMBERS {
            return Err(E::custom("too many members"));
        }
        self.count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a pseudorandom number below `bound`.
    fn below(state: &mut u64, bound: u64) -> u64 {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (*state >> 33) % bound
    }

    fn random_json(state: &mut u64, depth: u32) -> String {
        const STRINGS: [&str; 10] = [
            "", "a", "5e9", "1e999", "é", "[{,:", r"\u00e9", r"\ud800", r"\\", r#"\""#,
        ];
        let string = |state: &mut u64| {
            let count = below(state, 3);
            let parts = (0..count).map(|_| STRINGS[below(state, 10) as usize]);
            format!("\"{}\"", parts.collect::<String>())
        };
        let digits = |state: &mut u64, most: u64| {
            let count = below(state, most);
            let rest = (0..count).map(|_| char::from(b'0' + below(state, 10) as u8));
            rest.collect::<String>()
        };
        let space = |state: &mut u64| ["", " ", "\n"][below(state, 3) as usize];
        match below(state, if depth == 0 { 6 } else { 8 }) {
            0 => "null".to_owned(),
            1 => ["true", "false"][below(state, 2) as usize].to_owned(),
            2 | 3 => string(state),
            4 => {
                let most = [3, 20, 305, 320][below(state, 4) as usize];
                format!(
                    "{}7{}",
                    ["", "-"][below(state, 2) as usize],
                    digits(state, most)
                )
            }
            5 => {
                let exponent =
                    ["", "e5", "E-400", "e+308", "e309", "e999"][below(state, 6) as usize];
                format!("9.{}1{exponent}", digits(state, 5))
            }
            kind => {
                let count = below(state, 4);
                let items: Vec<_> = (0..count)
                    .map(|_| {
                        let item = random_json(state, depth - 1);
                        let (before, after) = (space(state), space(state));
                        let name = if kind == 6 {
                            String::new()
                        } else {
                            format!("{}:", string(state))
                        };
                        format!("{before}{name}{before}{item}{after}")
                    })
                    .collect();
                let [open, close] = if kind == 6 { ["[", "]"] } else { ["{", "}"] };
                format!("{open}{}{close}", items.join(","))
            }
        }
    }

    #[test]
    fn plain_text_is_parsable_as_it_is() {
        let mut state = 1;
        let [mut plain, mut rejected] = [0, 0];
        for _ in 0..20_000 {
            let text = random_json(&mut state, 4);
            assert!(
                serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok(),
                "{text}"
            );
            if is_plain(&text) {
                plain += 1;
                assert!(
                    matches!(parsable(&text), Some(Cow::Borrowed(same)) if same == text),
                    "{text}"
                );
            } else if parsable(&text).is_none() {
                rejected += 1;
            }
        }
        assert!(plain > 1000 && rejected > 1000, "{plain} {rejected}");
    }

    #[test]
    fn usual_contexts_are_plain() {
        for text in [
            r#"{"cloudId":"d0d52620-3203-4cfa-8db5-f2587155f0dd","extension":{"issue":{"id":"10001","key":"5E-1"}},"n":[1,-2.5,true,null]}"#,
            &format!("[{}]", "9".repeat(298)),
        ] {
            assert!(is_plain(text), "{text}");
        }
        let long = format!("[{}]", "9".repeat(309));
        for text in ["1e5", "[1E5]", r#"{"a":2.0e1,"b":""}"#, r#"["\n"]"#, &long] {
            assert!(!is_plain(text), "{text}");
        }
        assert_eq!(readable(&long), None);
    }

    #[test]
    fn unparsable_text_is_not_readable() {
        for (text, expected) in [
            (r#"{"a":"\ud83d\ude00"}"#, Some(r#"{"a":"\ud83d\ude00"}"#)),
            (r#"{"a":"\ud800"}"#, Some(r#"{"a":"\ufffd"}"#)),
            (r#"{"a":"\ud800","b":1e999}"#, None),
            (r#"{"a":1e999}"#, None),
        ] {
            assert_eq!(readable(text).as_deref(), expected, "{text}");
        }
        assert_eq!(parsable("{"), None);
    }

    /// Reads two known members and others.
    struct Members;

    impl<'de> Deserialize<'de> for Members {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct MembersVisitor;

            impl<'de> Visitor<'de> for MembersVisitor {
                type Value = Members;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                    let mut seen = Names::default();
                    while let Some(name) = map.next_key::<Text<'de>>()? {
                        match &*name.0 {
                            "a" => seen.value(0, &mut map)?,
                            "b" => seen.value(31, &mut map)?,
                            _ => seen.pass_over(name, &mut map)?,
                        }
                    }
                    Ok(Members)
                }
            }

            deserializer.deserialize_map(MembersVisitor)
        }
    }

    #[test]
    fn a_member_occurs_once_and_members_are_limited() {
        let is_read = |text: &str| serde_json::from_str::<Members>(text).is_ok();
        let others = |count: usize| {
            let names = (0..count).map(|at| format!(r#","x{at}":null"#));
            names.collect::<String>()
        };
        assert!(is_read(r#"{"a":null,"b":null,"c":[1],"d":{}}"#));
        for twice in [
            r#"{"a":null,"a":null}"#,
            r#"{"b":null,"a":null,"b":null}"#,
            r#"{"a":null,"\u0061":null}"#,
            r#"{"c":1,"c":1}"#,
            r#"{"c":1,"a":null,"\u0063":2}"#,
        ] {
            assert!(!is_read(twice), "{twice}");
        }
        for (count, expected) in [(62, true), (63, false)] {
            let text = format!(r#"{{"a":null,"b":null{}}}"#, others(count));
            assert_eq!(is_read(&text), expected, "{count} others at the end");
            let text = format!(r#"{{"a":null{},"b":null}}"#, others(count));
            assert_eq!(is_read(&text), expected, "{count} others before the end");
        }
    }

    #[test]
    fn depth_counts_brackets_outside_strings() {
        assert!(is_too_deep(&"[".repeat(129)));
        assert!(!is_too_deep(&"[".repeat(128)));
        assert!(!is_too_deep(&format!("[\"{}\\\"[\"]", "[".repeat(500))));
        assert!(!is_too_deep(&"[]".repeat(500)));
    }
}
