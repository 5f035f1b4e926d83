//! Sizes in bytes, as attributes have them.

use crate::Mistake;

/// Each unit with its bytes.
const UNITS: [(&str, usize); 6] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// The largest size: 1 GiB.
const MAX_SIZE: usize = 1 << 30;

/// Returns the bytes of a size.
///
/// ```
/// use forge_remote_schema::sizes::parse_size;
///
/// assert_eq!(parse_size("20MiB"), Ok(20 * 1024 * 1024));
/// assert_eq!(parse_size("500 KB"), Ok(500_000));
/// assert!(parse_size("20 parsecs").is_err());
/// ```
///
/// # Errors
///
/// A size without number or unit, of zero bytes, or of more than 1 GiB.
pub fn parse_size(text: &str) -> Result<usize, Mistake> {
    const HELP: &str = "write a number of `B`, `KiB`, `MiB`, `KB` or `MB`, such as \"20MiB\"";
    let invalid = |what: &str| Err(Mistake::new(format!("`{text}` {what}"), HELP));
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    let Some((_, bytes)) = UNITS.iter().find(|(name, _)| *name == unit.trim()) else {
        return invalid("is not a size");
    };
    let size = number
        .parse()
        .ok()
        .and_then(|number: usize| number.checked_mul(*bytes));
    match size {
        Some(0) => invalid("would reject every body"),
        Some(size) if size <= MAX_SIZE => Ok(size),
        _ if number.is_empty() => invalid("is not a size"),
        _ => invalid("is more than 1 GiB, and the body would be held in memory"),
    }
}
