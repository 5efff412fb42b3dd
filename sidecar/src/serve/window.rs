//! When a window begins and ends: the calendar of a zone.
//!
//! Does not: read a clock, or the time zones of the system it runs on; they come with the program, so that every sidecar
//! of one version has the same days.
//!
//! Decision: a window begins at the first instant of its first day, whatever clocks do around midnight: where they skip
//! it, at the skip; where they strike it twice, at the first stroke. Which window an instant is in is asked of these
//! beginnings and not of its date, since where clocks go back over midnight a date comes twice. So windows have neither
//! gap nor overlap in any zone. Rejected: days of 24 hours, which drift; the date alone, which gives some instants a
//! window that they are not in.

use std::sync::LazyLock;

use engine::govern::{Unit, Window};
use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

const NANOS: u64 = 1_000_000_000;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// Where nobody says which.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The zone of this IANA name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        ZONES.get(name).ok().map(Self)
    }

    /// All there are.
    #[must_use]
    pub fn names() -> Vec<String> {
        ZONES.available().map(|name| name.to_string()).collect()
    }

    /// The first instant that is not before this day.
    fn midnight(&self, day: Date) -> Option<i64> {
        let midnight = self.0.to_ambiguous_timestamp(day.at(0, 0, 0, 0));
        let skipped = matches!(midnight.offset(), AmbiguousOffset::Gap { .. });
        let instant = midnight.compatible().ok()?;
        if !skipped {
            return Some(instant.as_second());
        }
        // As much after the skip as midnight lies in it.
        let after = instant.checked_add(SignedDuration::from_secs(1)).ok()?;
        self.0.preceding(after).next().map(|skip| skip.timestamp().as_second())
    }
}

/// The window that this moment (Unix nanoseconds) is in: from its first second to the first of the next, in Unix seconds.
#[must_use]
pub fn bounds(window: Window, zone: &Zone, now: u64) -> (u64, u64) {
    let now = now / NANOS;
    let found = match window.unit.seconds() {
        Some(seconds) => fixed(seconds * u64::from(window.count), now),
        None => calendar(window, zone, now),
    };
    // Beyond the last year that a calendar has; no number of nanoseconds that fits reaches it.
    found.unwrap_or((now, u64::MAX))
}

fn fixed(length: u64, now: u64) -> Option<(u64, u64)> {
    let start = now.checked_div(length)? * length;
    Some((start, start.checked_add(length)?))
}

fn calendar(window: Window, zone: &Zone, now: u64) -> Option<(u64, u64)> {
    let now = i64::try_from(now).ok()?;
    let begin = |number: i64| zone.midnight(first_day(window, number)?);
    let mut number = number_of(window, zone.0.to_datetime(Timestamp::from_second(now).ok()?).date());
    while begin(number)? > now {
        number -= 1;
    }
    while begin(number + 1)? <= now {
        number += 1;
    }
    // In the west the first of all began before 1970.
    let seconds = |instant: i64| u64::try_from(instant.max(0)).ok();
    Some((seconds(begin(number)?)?, seconds(begin(number + 1)?)?))
}

fn epoch() -> Date {
    Date::constant(1970, 1, 1)
}

/// Windows are numbered from 1970 on, months and what is longer from year 0.
fn number_of(window: Window, day: Date) -> i64 {
    let days = day.duration_since(epoch()).as_hours() / 24;
    let months = i64::from(day.year()) * 12 + i64::from(day.month()) - 1;
    match per(window) {
        Per::Days { count, first } => (days - first).div_euclid(count),
        Per::Months(count) => months.div_euclid(count),
    }
}

fn first_day(window: Window, number: i64) -> Option<Date> {
    match per(window) {
        Per::Days { count, first } => {
            let days = number.checked_mul(count)?.checked_add(first)?;
            epoch().checked_add(SignedDuration::from_hours(days.checked_mul(24)?)).ok()
        }
        Per::Months(count) => {
            let months = number.checked_mul(count)?;
            let (year, month) = (i16::try_from(months.div_euclid(12)).ok()?, i8::try_from(months.rem_euclid(12)).ok()?);
            Date::new(year, month + 1, 1).ok()
        }
    }
}

/// How many days or months a window spans; `first`: days from 1970-01-01 to where one begins.
enum Per {
    Days { count: i64, first: i64 },
    Months(i64),
}

fn per(window: Window) -> Per {
    let count = i64::from(window.count.max(1));
    match window.unit {
        // They have no calendar; [`bounds`] does not ask.
        Unit::Second | Unit::Minute | Unit::Hour | Unit::Day => Per::Days { count, first: 0 },
        // 1970-01-01 was a Thursday.
        Unit::Week => Per::Days { count: 7 * count, first: -3 },
        Unit::Month => Per::Months(count),
        Unit::Quarter => Per::Months(3 * count),
        Unit::Year => Per::Months(12 * count),
    }
}
