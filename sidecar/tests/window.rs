//! Windows, and instants in a configuration, against another calendar library with a time zone database of its own.
#![cfg(test)]

use chrono::{DateTime, Datelike as _, Days, FixedOffset, Months, NaiveDate, NaiveDateTime};
use chrono_tz::Tz;
use engine::govern::{Unit, Window};
use sidecar::serve::window::{Zone, bounds};

/// Midnights that are skipped or struck twice, days that are missing, offsets of half and quarter hours.
const ZONES: [&str; 30] = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "Europe/Moscow",
    "Atlantic/Azores",
    "America/New_York",
    "America/Los_Angeles",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Havana",
    "America/Asuncion",
    "America/Santiago",
    "America/Scoresbysund",
    "America/Caracas",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/Monrovia",
    "Asia/Beirut",
    "Asia/Amman",
    "Asia/Tehran",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Gaza",
    "Asia/Pyongyang",
    "Australia/Lord_Howe",
    "Australia/Eucla",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Pacific/Kwajalein",
];

/// 2000 to 2025: the databases are of different years, and the newer one has corrected what was before.
const FROM: u64 = 946_684_800;
const TO: u64 = 1_760_000_000;

const CALENDAR: [&str; 7] = ["1d", "2d", "7d", "1w", "1M", "1Q", "1Y"];

fn window(text: &str) -> Window {
    Window::parse(text).expect(text)
}

/// Splitmix64: the same numbers in each run.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

fn local(zone: Tz, instant: i64) -> NaiveDateTime {
    DateTime::from_timestamp(instant, 0).expect("in range").with_timezone(&zone).naive_local()
}

/// The first second whose local time is not before this day, found by looking at clocks alone.
fn midnight(zone: Tz, day: NaiveDate) -> i64 {
    let midnight = day.and_hms_opt(0, 0, 0).expect("midnight");
    let guess = midnight.and_utc().timestamp();
    let offset = local(zone, guess).and_utc().timestamp() - guess;
    // No clock goes back by more than three hours; a day of the South Sea is missing as a whole.
    let from = guess - offset - 4 * 3600;
    let late = |instant: &i64| local(zone, *instant) >= midnight;
    let minute = (0..60 * 60).map(|minute| from + minute * 60).find(late).expect("a midnight");
    (minute - 59..=minute).find(late).expect("a second")
}

/// The day on which the window of this day begins, and that of the next.
fn days(window: Window, day: NaiveDate) -> (NaiveDate, NaiveDate) {
    let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).expect("a day");
    let month = |month: u32| NaiveDate::from_ymd_opt(day.year(), month, 1).expect("a day");
    match window.unit {
        Unit::Week => {
            let monday = day - Days::new(u64::from(day.weekday().num_days_from_monday()));
            (monday, monday + Days::new(7))
        }
        Unit::Month => (month(day.month()), month(day.month()) + Months::new(1)),
        Unit::Quarter => {
            let first = month((day.month() - 1) / 3 * 3 + 1);
            (first, first + Months::new(3))
        }
        Unit::Year => (month(1), month(1) + Months::new(12)),
        Unit::Day | Unit::Hour | Unit::Minute | Unit::Second => {
            let into = (day - epoch).num_days().rem_euclid(i64::from(window.count));
            let first = day - Days::new(into.unsigned_abs());
            (first, first + Days::new(u64::from(window.count)))
        }
    }
}

/// As the other library has it: where clocks went back over midnight, the day that has begun already.
fn expected(window: Window, zone: Tz, now: i64) -> (i64, i64) {
    let today = local(zone, now).date();
    let tomorrow = today.succ_opt().expect("a day");
    let day = if now >= midnight(zone, tomorrow) { tomorrow } else { today };
    let (first, next) = days(window, day);
    (midnight(zone, first), midnight(zone, next))
}

fn agree(text: &str, name: &str, now: u64) {
    let zone = Zone::find(name).expect(name);
    let (start, end) = bounds(window(text), &zone, now * 1_000_000_000);
    let (first, next) = expected(window(text), name.parse().expect(name), i64::try_from(now).expect("a time"));
    assert_eq!((start as i64, end as i64), (first, next), "{text} in {name} at {now}");
}

#[test]
fn windows_begin_and_end_where_another_calendar_says() {
    let mut dice = Dice(6);
    for name in ZONES {
        for text in CALENDAR {
            for _ in 0..30 {
                agree(text, name, FROM + dice.next(TO - FROM));
            }
        }
    }
}

#[test]
fn windows_are_right_on_the_days_when_clocks_change() {
    let mut dice = Dice(7);
    let mut changes = 0;
    for name in ZONES {
        let zone: Tz = name.parse().expect(name);
        let offset = |instant: i64| local(zone, instant).and_utc().timestamp() - instant;
        let mut from = FROM as i64;
        while from < TO as i64 {
            let to = from + 14 * 86_400;
            if offset(from) != offset(to) {
                let (mut before, mut after) = (from, to);
                while after - before > 1 {
                    let between = before.midpoint(after);
                    *(if offset(between) == offset(before) { &mut before } else { &mut after }) = between;
                }
                changes += 1;
                for near in [-86_400, -3600, -61, -1, 0, 1, 59, 3599, 3600, 7200, 86_399] {
                    let text = CALENDAR[dice.next(2) as usize];
                    if dice.next(4) == 0 {
                        agree(text, name, u64::try_from(after + near).expect("a time"));
                    }
                }
            }
            from = to;
        }
    }
    assert!(changes > 1000, "{changes}");
}

#[test]
fn windows_tile_time() {
    let mut dice = Dice(8);
    for name in Zone::names() {
        let zone = Zone::find(&name).expect("listed");
        for text in CALENDAR.iter().chain(&["30s", "5m", "7h", "24h"]) {
            let window = window(text);
            let mut now = dice.next(4_000_000_000);
            for _ in 0..4 {
                let (start, end) = bounds(window, &zone, now * 1_000_000_000);
                assert!(start <= now && now < end, "{text} in {name} at {now}: {start} to {end}");
                let again = |at: u64| bounds(window, &zone, at * 1_000_000_000 + 999_999_999);
                assert_eq!(again(start), (start, end), "{text} in {name}: its first second");
                assert_eq!(again(end - 1), (start, end), "{text} in {name}: its last second");
                assert_eq!(again(end).0, end, "{text} in {name}: the next begins where it ends");
                now = end;
            }
        }
    }
}

#[test]
fn days_are_those_of_people() {
    let at = |text: &str| DateTime::parse_from_rfc3339(text).expect(text).timestamp() as u64;
    for (text, zone, now, start, end) in [
        // The 31st, leap years, and a year that would be one.
        ("1M", "UTC", "2026-01-31T12:00:00Z", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
        ("1M", "UTC", "2028-02-29T23:59:59Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
        ("1M", "UTC", "2100-02-28T23:59:59Z", "2100-02-01T00:00:00Z", "2100-03-01T00:00:00Z"),
        ("1Y", "UTC", "2026-11-21T00:00:00Z", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("1Q", "UTC", "2026-11-21T00:00:00Z", "2026-10-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("1w", "UTC", "2026-11-22T23:00:00Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"),
        // 23 and 25 hours.
        ("1d", "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
        ("1d", "Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
        // A midnight that no clock struck.
        ("1d", "America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"),
        ("1d", "Asia/Beirut", "2022-03-27T12:00:00Z", "2022-03-27T01:00:00+03:00", "2022-03-28T00:00:00+03:00"),
        // A day that nobody had.
        ("1d", "Pacific/Apia", "2011-12-30T09:00:00Z", "2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00"),
        ("1d", "Asia/Kolkata", "2026-11-21T18:30:00Z", "2026-11-22T00:00:00+05:30", "2026-11-23T00:00:00+05:30"),
        ("1h", "Asia/Kolkata", "2026-11-21T18:30:00Z", "2026-11-21T18:00:00Z", "2026-11-21T19:00:00Z"),
    ] {
        let zone = Zone::find(zone).expect(zone);
        assert_eq!(bounds(window(text), &zone, at(now) * 1_000_000_000), (at(start), at(end)), "{text} at {now}");
    }
}

#[test]
fn the_first_and_the_last_moment_have_a_window() {
    for text in ["30s", "1d", "1w", "1M", "1Y"] {
        for name in ["UTC", "America/Los_Angeles", "Pacific/Kiritimati"] {
            let zone = Zone::find(name).expect(name);
            assert_eq!(bounds(window(text), &zone, 0).0, 0, "nothing began before 1970");
            let (start, end) = bounds(window(text), &zone, u64::MAX);
            assert!(start <= u64::MAX / 1_000_000_000 && u64::MAX / 1_000_000_000 < end);
        }
    }
}

#[test]
fn instants_in_a_configuration_are_those_of_another_library() {
    let mut dice = Dice(9);
    let mut expected = Vec::new();
    let mut yaml =
        "version: 1\nproviders: {a: {like: openai, keys: [{name: k, models: ['*']}]}}\nvirtual_keys:\n".to_owned();
    for i in 0..2000 {
        let instant = 100_000_000 + dice.next(250_000_000_000) as i64;
        let offset = FixedOffset::east_opt(dice.next(2 * 23 * 60) as i32 * 60 - 23 * 3600).expect("an offset");
        let written = DateTime::from_timestamp(instant, 0).expect("a time").with_timezone(&offset);
        let (written, secret) = (written.to_rfc3339(), format!("sha256:{i:064x}"));
        yaml.push_str(&format!("- {{name: k{i}, secret: '{secret}', expires: '{written}'}}\n"));
        expected.push((written, instant as u64));
    }
    let keys = sidecar::read::text(&yaml).expect("they are fine").virtual_keys;
    for (key, (written, instant)) in keys.iter().zip(expected) {
        assert_eq!(key.expires, Some(instant), "{written}");
    }
}
