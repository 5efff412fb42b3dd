//! The time in which a limit counts.

use crate::config::fault::Faults;
use crate::config::path::Path;
use crate::govern::{Unit, Window};

pub(super) fn window(text: &str, path: &Path, faults: &mut Faults) -> Option<Window> {
    let window = Window::parse(text);
    if window.is_none() {
        let expected = "a number up to 9999 of s, m, h or d, or 1w, 1M, 1Q or 1Y";
        faults.meant(path, format!("{text:?}"), expected, meant(text));
    }
    window
}

/// `1month`, `12M`, `2 weeks`, `daily`: what was probably meant.
fn meant(text: &str) -> Option<String> {
    let text = text.trim();
    let (digits, word) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
    let count: u32 = if digits.is_empty() { 1 } else { digits.parse().ok()? };
    let unit = match word.trim().to_ascii_lowercase().as_str() {
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Second,
        "m" if word.trim() == "M" => Unit::Month,
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
        "h" | "hr" | "hrs" | "hour" | "hours" | "hourly" => Unit::Hour,
        "d" | "day" | "days" | "daily" => Unit::Day,
        "w" | "week" | "weeks" | "weekly" => Unit::Week,
        "mo" | "mon" | "month" | "months" | "monthly" => Unit::Month,
        "q" | "quarter" | "quarters" | "quarterly" => Unit::Quarter,
        "y" | "yr" | "year" | "years" | "yearly" => Unit::Year,
        _ => return None,
    };
    let (count, unit) = match (count, unit) {
        (2.., Unit::Week) => (count.checked_mul(7)?, Unit::Day),
        (3, Unit::Month) => (1, Unit::Quarter),
        (12, Unit::Month) | (4, Unit::Quarter) => (1, Unit::Year),
        other => other,
    };
    Window::parse(&Window { count, unit }.to_string()).map(|window| window.to_string())
}

#[cfg(test)]
mod tests {
    use super::meant;

    #[test]
    fn a_window_in_words_is_understood() {
        for (text, window) in [
            ("1month", "1M"),
            ("1 Month", "1M"),
            ("monthly", "1M"),
            ("12M", "1Y"),
            ("3months", "1Q"),
            ("2w", "14d"),
            ("30sec", "30s"),
            ("5min", "5m"),
            ("1D", "1d"),
            ("24H", "24h"),
            ("1y", "1Y"),
        ] {
            assert_eq!(meant(text).as_deref(), Some(window), "{text}");
        }
        for text in ["", "60", "2M", "0d", "fortnight", "99999999999d", "10000d"] {
            assert_eq!(meant(text), None, "{text}");
        }
    }
}
