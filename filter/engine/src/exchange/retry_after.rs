//! The time that a provider asks to be left alone, in all the ways it is written.
//!
//! ```text
//! retry-after-ms: 250                              OpenAI, Azure
//! retry-after: 7   retry-after: 1.5                RFC 9110 section 10.2.3; fractions are a habit of gateways
//! retry-after: Sat, 21 Nov 2026 12:00:30 GMT       the same section
//! ```

use super::vendor::unix;

const SECOND: u64 = 1_000_000_000;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Nanoseconds from `now` (Unix nanoseconds). `get` finds a header's value. `None`: nothing that can be read.
pub(super) fn retry_after<'a>(get: &impl Fn(&str) -> Option<&'a [u8]>, now: u64) -> Option<u64> {
    let text = |name: &str| get(name).and_then(|value| std::str::from_utf8(value).ok()).map(str::trim);
    let ms = text("retry-after-ms").and_then(|text| decimal(text, SECOND / 1_000));
    let after = || text("retry-after").and_then(|text| decimal(text, SECOND).or_else(|| date(text, now)));
    ms.or_else(after)
}

/// A number of units, with or without a fraction, in nanoseconds.
fn decimal(text: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    // Larger than any time: the longest rest bounds it.
    let whole = whole.parse().unwrap_or(u64::MAX);
    let thousandths: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some(whole.saturating_mul(unit).saturating_add(thousandths * (unit / 1_000)))
}

/// `Sat, 21 Nov 2026 12:00:30 GMT`; the two obsolete forms of dates are not read. A time that is over asks for nothing.
fn date(text: &str, now: u64) -> Option<u64> {
    let (_, date) = text.strip_suffix(" GMT")?.split_once(", ")?;
    let mut parts = date.split(' ');
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let at = unix(&format!("{year}-{month:02}-{day}T{time}Z"))?;
    Some(at.checked_mul(SECOND)?.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21T12:00:00Z.
    const NOON: u64 = 1_795_262_400 * SECOND;

    fn wait(name: &str, value: &str) -> Option<u64> {
        retry_after(&|asked: &str| (asked == name).then_some(value.as_bytes()), NOON)
    }

    #[test]
    fn seconds_fractions_milliseconds_and_dates_are_times() {
        for (name, value, nanos) in [
            ("retry-after", "7", 7 * SECOND),
            ("retry-after", " 1.5 ", 3 * SECOND / 2),
            ("retry-after", "0.0625", 62_000_000),
            ("retry-after", "0", 0),
            ("retry-after", "99999999999999999999", u64::MAX),
            ("retry-after-ms", "250", SECOND / 4),
            ("retry-after-ms", "0.5", 500_000),
            ("retry-after", "Sat, 21 Nov 2026 12:00:30 GMT", 30 * SECOND),
            ("retry-after", "Sat, 21 Nov 2026 11:59:00 GMT", 0),
        ] {
            assert_eq!(wait(name, value), Some(nanos), "{name}: {value}");
        }
    }

    #[test]
    fn nothing_else_is_one() {
        for value in [
            "",
            "-1",
            "soon",
            "1e3",
            ".5",
            "1.",
            "1.5.2",
            "+7",
            "Sat, 21 Nov 2026 12:00:30",
            "Sat, 21 Foo 2026 1:0:0 GMT",
        ] {
            assert_eq!(wait("retry-after", value), None, "{value}");
        }
    }
}
