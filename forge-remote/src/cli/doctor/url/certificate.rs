//! The validity of a certificate.

use std::time::{Duration, SystemTime};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The validity period of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: SystemTime,
    pub(super) until: SystemTime,
}

impl Validity {
    /// Returns the rest of the validity below which a renewal is late: a sixth of it, and 14 days at most. Renewals
    /// of 90 days happen after 60, those of 6 days after 3.
    pub(super) fn late_renewal(self) -> Duration {
        const LONGEST: Duration = Duration::from_secs(14 * 24 * 3600);
        let whole = self.until.duration_since(self.from).unwrap_or_default();
        (whole / 6).min(LONGEST)
    }
}

/// Returns the validity of a certificate (DER). `None` for anything that is not a certificate.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc5280#section-4.1>
pub(super) fn validity(der: &[u8]) -> Option<Validity> {
    let (certificate, _) = content(SEQUENCE, der)?;
    let (mut fields, _) = content(SEQUENCE, certificate)?;
    if let Some((_, rest)) = content(VERSION, fields) {
        fields = rest;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, fields) = content(tag, fields)?;
    }
    let (validity, _) = content(SEQUENCE, fields)?;
    let (tag, not_before, rest) = element(validity)?;
    let from = time(tag, not_before)?;
    let (tag, not_after, _) = element(rest)?;
    let until = time(tag, not_after)?;
    Some(Validity { from, until })
}

fn time(tag: u8, text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?;
    match tag {
        UTC_TIME => {
            // Years from 50 on are those of the last century.
            let century = if text.get(..2)? < "50" { "20" } else { "19" };
            date(&format!("{century}{text}"))
        }
        GENERALIZED_TIME => date(text),
        _ => None,
    }
}

/// Reads a date: `20271231235959Z`.
fn date(text: &str) -> Option<SystemTime> {
    let digits = text.strip_suffix('Z')?;
    if digits.len() != 14 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| digits.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let time = number(8, 10)? * 3600 + number(10, 12)? * 60 + number(12, 14)?;
    // Days since 1970, with years that start in March.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = u64::try_from(days * 86_400 + time).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Returns the content of the first element, if it has this tag, and the bytes after it.
fn content(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(der)?;
    (found == tag).then_some((content, rest))
}

/// Returns the tag and the content of the first element, and the bytes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = length
                .iter()
                .fold(0, |sum: usize, byte| sum << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        let since = date(text)?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(since.as_secs())
    }

    #[test]
    fn dates_are_read() {
        assert_eq!(seconds("19700101000000Z"), Some(0));
        assert_eq!(seconds("20000229120000Z"), Some(951_825_600));
        assert_eq!(seconds("20261129000000Z"), Some(1_795_910_400));
        assert_eq!(seconds("99991231235959Z"), Some(253_402_300_799));
        assert_eq!(seconds("2026112900000Z"), None);
        assert_eq!(seconds("20261129000000"), None);
    }

    /// A certificate by `openssl req -x509`, which reports its end as Jan 3 03:48:34 2028 GMT.
    const CERTIFICATE: &str = "MIIBkTCCATegAwIBAgIUMpOsrqc6Iq0KqxGwCak/pmlA6fkwCgYIKoZIzj0EAwIwHjEcMBoGA1UEAwwTYmFja2VuZC5leGFtcGxl \
        LmNvbTAeFw0yNjExMjkwMzQ4MzRaFw0yODAxMDMwMzQ4MzRaMB4xHDAaBgNVBAMME2JhY2tlbmQuZXhhbXBsZS5jb20wWTATBgcq \
        hkjOPQIBBggqhkjOPQMBBwNCAASZ6RhAYxbm/YVgj/j/Dw6kpEl5lYk4FJeP6QIOATZlBuym1Fjol8faBBMOdRWy2zxP4bknB7QU \
        uGMjPYLnZX00o1MwUTAdBgNVHQ4EFgQU5gqb8QwCW0XmqnxcnCnmsQiYRUQwHwYDVR0jBBgwFoAU5gqb8QwCW0XmqnxcnCnmsQiY \
        RUQwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA2k3tHTkISRfSr/w7AdyuPfbByF02+mGysk1gbPea/7cCIBM9 \
        DWS3FZZ8JGjmSWJPN7NZM8a+VjTabqHc8HxwJrff";

    #[test]
    fn the_validity_of_a_certificate_is_read() {
        let base64: String = CERTIFICATE.split_whitespace().collect();
        let der = STANDARD.decode(base64).unwrap();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let (from, until) = (at(1_795_924_114), at(1_830_484_114));
        assert_eq!(validity(&der), Some(Validity { from, until }));
        for length in 0..100 {
            assert_eq!(validity(&der[..length]), None);
        }
    }

    #[test]
    fn a_late_renewal_depends_on_the_lifetime() {
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        for (whole, late) in [(398, 14), (90, 14), (60, 10), (6, 1)] {
            let from = SystemTime::UNIX_EPOCH;
            let validity = Validity {
                from,
                until: from + days(whole),
            };
            assert_eq!(validity.late_renewal(), days(late), "{whole}");
        }
    }

    #[test]
    fn anything_else_is_not_a_certificate() {
        for der in [
            &b""[..],
            b"\x30",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x02\x30\x00",
        ] {
            assert_eq!(validity(der), None);
        }
    }
}
