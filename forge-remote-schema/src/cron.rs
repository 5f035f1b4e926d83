//! Compile-time checks of a cron schedule's syntax. The app checks the meaning at launch.

use crate::durable::seconds;
use crate::{Mistake, did_you_mean_or, nearest, one_of};

/// The names of common expressions.
pub const NICKNAMES: [&str; 6] = [
    "@hourly",
    "@daily",
    "@weekly",
    "@monthly",
    "@yearly",
    "@annually",
];

/// The names of the fields.
const FIELDS: [&str; 5] = ["minute", "hour", "day of the month", "month", "weekday"];

/// Checks the shape of a cron expression: five fields, or a nickname.
///
/// ```
/// use forge_remote_schema::cron::check_expression;
///
/// assert!(check_expression("30 2 * * 1-5").is_ok());
/// assert!(check_expression("@daily").is_ok());
/// assert!(check_expression("0 30 2 * * 1-5").is_err());
/// ```
///
/// # Errors
///
/// The expression does not have five fields, or has an invalid character.
pub fn check_expression(text: &str) -> Result<(), Mistake> {
    let example = "write `cron = \"30 2 * * 1-5\"`";
    if text.trim_start().starts_with('@') {
        if NICKNAMES.contains(&text) {
            return Ok(());
        }
        let all = format!("the nicknames are {}", one_of(NICKNAMES));
        let help = did_you_mean_or(nearest(text, NICKNAMES), '`', &all);
        return Err(Mistake::new(
            format!("`{text}` is not a cron expression"),
            help,
        ));
    }
    let fields: Vec<&str> = text.split(' ').filter(|field| !field.is_empty()).collect();
    if fields.len() != FIELDS.len() {
        let number = match fields.len() {
            1 => "1 field".to_owned(),
            number => format!("{number} fields"),
        };
        let help = match fields.len() {
            6 | 7 => {
                "cron expressions here have no field for seconds or years: write the minute \
                      first"
            }
            _ => example,
        };
        return Err(Mistake::new(
            format!(
                "`{text}` has {number}, and a cron expression has five: {}",
                FIELDS.join(", ")
            ),
            help,
        ));
    }
    let is_allowed = |sign: char| sign.is_ascii_alphanumeric() || "*,-/#?+".contains(sign);
    match text.chars().find(|sign| *sign != ' ' && !is_allowed(*sign)) {
        None => Ok(()),
        Some(sign) => Err(Mistake::new(
            format!("`{}` is not part of a cron expression", sign.escape_debug()),
            format!("{example}: a field has letters, digits and `* , - / # ? +`"),
        )),
    }
}

/// Checks the shape of a time zone's name.
///
/// # Errors
///
/// The name has an invalid character.
pub fn check_zone(text: &str) -> Result<(), Mistake> {
    let is_allowed = |sign: char| sign.is_ascii_alphanumeric() || "/_+-".contains(sign);
    if text.chars().all(is_allowed) {
        return Ok(());
    }
    Err(Mistake::new(
        format!("`{text}` is not the name of a time zone"),
        "write a name of the IANA database, such as `tz = \"Europe/Berlin\"`",
    ))
}

/// Returns the seconds of a time within these bounds, inclusive.
///
/// # Errors
///
/// The text is not a time, or is out of bounds.
pub fn check_time(name: &str, text: &str, (min, max): (&str, &str)) -> Result<u64, Mistake> {
    let bounds = seconds(min).unwrap_or_default()..=seconds(max).unwrap_or_default();
    let found = seconds(text).filter(|seconds| bounds.contains(seconds));
    found.ok_or_else(|| {
        Mistake::new(
            format!("`{name}` takes a time from `{min}` to `{max}`, not `{text}`"),
            format!("write a number with `s`, `m` or `h`, such as `{name} = \"10m\"`"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_has_five_fields_or_a_nickname() {
        for text in [
            "30 2 * * 1-5",
            "*/15 8-17 ? JAN,JUN MON#2",
            "0 0 L * *",
            "0  9 1-7 * +MON",
            "@hourly",
            "@annually",
        ] {
            assert_eq!(check_expression(text), Ok(()), "{text}");
        }
        for (text, reason) in [
            ("0 30 2 * * 1-5", "6 fields"),
            ("30 2 * *", "4 fields"),
            ("hourly", "1 field,"),
            ("@daly", "not a cron"),
            ("@reboot", "not a cron"),
            (" @daily", "not a cron"),
            ("30\t2 * * * *", "`\\t`"),
            ("30 2 * * ä", "`ä`"),
            ("30 2 * * $x", "`$`"),
        ] {
            let mistake = check_expression(text).unwrap_err();
            assert!(mistake.message.contains(reason), "{mistake:?}");
        }
        let mistake = check_expression("@daly").unwrap_err();
        assert!(mistake.help.contains("did you mean `@daily`?"));
    }

    #[test]
    fn zones_and_times_have_a_shape() {
        assert!(check_zone("America/Argentina/Buenos_Aires").is_ok());
        assert!(check_zone("Etc/GMT+5").is_ok());
        assert!(check_zone("Europe Berlin").is_err());
        let bounds = ("0s", "12h");
        assert_eq!(check_time("catch_up", "0s", bounds), Ok(0));
        assert_eq!(check_time("catch_up", "12h", bounds), Ok(43_200));
        assert!(check_time("catch_up", "13h", bounds).is_err());
        assert!(check_time("catch_up", "an hour", bounds).is_err());
    }
}
