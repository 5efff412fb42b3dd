//! The time in which a limit counts: `30s`, `1h`, `1d`, `1M`.
//!
//! Does not: say when one begins or ends; that takes a calendar and a zone, and the sidecar has them.

use std::fmt;

/// The most of a unit that a window may span.
const MOST: u32 = 9999;

/// A window: seconds, minutes and hours are aligned to the Unix epoch, all others to the calendar of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// How many of them; 1 for a week and whatever is longer.
    pub count: u32,
    /// Of what.
    pub unit: Unit,
}

/// What a window is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// `s`.
    Second,
    /// `m`.
    Minute,
    /// `h`.
    Hour,
    /// `d`: from midnight to midnight; more than one are counted from 1970-01-01.
    Day,
    /// `w`: from Monday to Monday.
    Week,
    /// `M`.
    Month,
    /// `Q`: from the 1st of January, April, July and October.
    Quarter,
    /// `Y`.
    Year,
}

impl Unit {
    /// All there are, the shortest first.
    pub const ALL: [Self; 8] =
        [Self::Second, Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// As it is written.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Second => 's',
            Self::Minute => 'm',
            Self::Hour => 'h',
            Self::Day => 'd',
            Self::Week => 'w',
            Self::Month => 'M',
            Self::Quarter => 'Q',
            Self::Year => 'Y',
        }
    }

    /// The seconds of one, where it has as many everywhere.
    #[must_use]
    pub fn seconds(self) -> Option<u64> {
        match self {
            Self::Second => Some(1),
            Self::Minute => Some(60),
            Self::Hour => Some(3600),
            Self::Day | Self::Week | Self::Month | Self::Quarter | Self::Year => None,
        }
    }
}

impl Window {
    /// From `30s`, `5m`, `1h`, `7d`, `1w`, `1M`, `1Q`, `1Y`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (digits, letter) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let unit = Unit::ALL.into_iter().find(|unit| letter.contains(unit.letter()))?;
        // No sign and no leading zero: a window has one name.
        let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        let count = digits.parse().ok().filter(|_| plain)?;
        let most = if unit > Unit::Day { 1 } else { MOST };
        (1..=most).contains(&count).then_some(Self { count, unit })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.count, self.unit.letter())
    }
}

#[cfg(test)]
mod tests {
    use super::Window;

    #[test]
    fn a_window_is_written_as_it_is_read() {
        for text in ["30s", "1m", "5m", "1h", "24h", "1d", "7d", "9999d", "1w", "1M", "1Q", "1Y"] {
            assert_eq!(Window::parse(text).map(|window| window.to_string()).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_is_no_window_is_none() {
        for text in [
            "", "1", "d", "0s", "01d", "+1d", "-1d", "1 d", "1.5h", "2w", "12M", "1D", "1H", "1y", "10000s", "1ä",
            "1ms",
        ] {
            assert_eq!(Window::parse(text), None, "{text}");
        }
    }
}
