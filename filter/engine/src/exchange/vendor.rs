//! Headers that vendors have for the same thing under different names: the request's id, what is left of a rate limit.
//!
//! Does not: touch a head that stays in its format; what of that passes is another list's matter. `retry-after` is
//! one name everywhere and no matter of this file; what only one vendor has (processing times, organizations) ends here.
//!
//! Sources: <https://platform.openai.com/docs/guides/rate-limits> (a reset is a duration such as `6m0s`),
//! <https://docs.anthropic.com/en/api/rate-limits> (a reset is an RFC 3339 time).

use std::borrow::Cow;

use wire::mask::mask;

use super::Headers;
use crate::govern::Counted;

/// How a format's vendors write the time of a reset.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reset {
    /// From now, as Go prints durations.
    Duration,
    /// A time in UTC.
    Time,
}

struct Row {
    format: &'static str,
    request_id: &'static str,
    /// Requests, then tokens: limit, remaining, reset.
    rates: [[&'static str; 3]; 2],
    reset: Reset,
}

const ROWS: [Row; 2] = [
    Row {
        format: wire::format::openai_chat::NAME,
        request_id: "x-request-id",
        rates: [
            ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
            ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
        ],
        reset: Reset::Duration,
    },
    Row {
        format: wire::format::anthropic::NAME,
        request_id: "request-id",
        rates: [
            [
                "anthropic-ratelimit-requests-limit",
                "anthropic-ratelimit-requests-remaining",
                "anthropic-ratelimit-requests-reset",
            ],
            [
                "anthropic-ratelimit-tokens-limit",
                "anthropic-ratelimit-tokens-remaining",
                "anthropic-ratelimit-tokens-reset",
            ],
        ],
        reset: Reset::Time,
    },
];

/// Buckets that one vendor counts besides: remaining, reset.
const MORE: [[&str; 2]; 2] = [
    ["anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"],
    ["anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"],
];

/// Names of a limit's three headers for what only one vendor counts by itself: input tokens, output tokens.
const APART: [[&str; 3]; 2] = [
    [
        "anthropic-ratelimit-input-tokens-limit",
        "anthropic-ratelimit-input-tokens-remaining",
        "anthropic-ratelimit-input-tokens-reset",
    ],
    [
        "anthropic-ratelimit-output-tokens-limit",
        "anthropic-ratelimit-output-tokens-remaining",
        "anthropic-ratelimit-output-tokens-reset",
    ],
];

/// A limit of ours in the words of this format: the limit, what is left of it, seconds until it begins anew. Nothing for
/// what no vendor has a header for: money, and requests at once.
pub(super) fn limit(format: &str, counted: Counted, (most, left, wait): (u64, u64, u64), now: u64) -> Headers {
    let Some(row) = row(format) else { return Headers::new() };
    let [requests, tokens] = row.rates;
    let [input, output] = if row.reset == Reset::Time { APART } else { [tokens, tokens] };
    let [name, remaining, reset] = match counted {
        Counted::Requests => requests,
        Counted::TotalTokens => tokens,
        Counted::InputTokens => input,
        Counted::OutputTokens => output,
        Counted::Money | Counted::Concurrent => return Headers::new(),
    };
    let back = match row.reset {
        Reset::Duration => Some(duration(wait)),
        Reset::Time => time((now / 1_000_000_000).saturating_add(wait)),
    };
    let values = [(name, Some(most.to_string())), (remaining, Some(left.to_string())), (reset, back)];
    values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into_bytes()))).collect()
}

/// Nanoseconds until the buckets of this key are filled again that have nothing left; of several the last one.
pub(super) fn exhausted<B: AsRef<[u8]>>(headers: &[(B, B)], format: &str, now: u64) -> Option<u64> {
    let row = row(format)?;
    let get = |name: &str| {
        let value = headers.iter().find(|(n, _)| n.as_ref() == name.as_bytes()).map(|(_, value)| value.as_ref())?;
        std::str::from_utf8(value).ok()
    };
    let more = if row.reset == Reset::Time { &MORE[..] } else { &[] };
    let buckets = row.rates.iter().map(|[_, remaining, reset]| [*remaining, *reset]).chain(more.iter().copied());
    let empty = buckets.filter(|[remaining, _]| get(remaining) == Some("0"));
    let waits = empty.filter_map(|[_, reset]| match row.reset {
        Reset::Duration => millis(get(reset)?)?.checked_mul(1_000_000),
        Reset::Time => Some(unix(get(reset)?)?.checked_mul(1_000_000_000)?.saturating_sub(now)),
    });
    waits.max()
}

/// Anthropic's word that a subscription's unified limit, not one model's, refused the request; and the windows that all
/// models share. Others (`seven_day_opus`) are of one family of models.
const UNIFIED: (&str, &str) =
    ("anthropic-ratelimit-unified-status", "anthropic-ratelimit-unified-representative-claim");
const SHARED_WINDOWS: [&[u8]; 2] = [b"five_hour", b"seven_day"];

/// The limit that an error tells of is the whole account's, whatever the model.
pub(super) fn of_account<B: AsRef<[u8]>>(headers: &[(B, B)]) -> bool {
    let get = |name: &str| headers.iter().find(|(n, _)| n.as_ref() == name.as_bytes()).map(|(_, value)| value.as_ref());
    get(UNIFIED.0) == Some(b"rejected") && get(UNIFIED.1).is_some_and(|window| SHARED_WINDOWS.contains(&window))
}

fn row(format: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.format == format)
}

/// The header in which clients of this format look for a request's id.
#[must_use]
pub fn request_id_header(format: &str) -> Option<&'static str> {
    row(format).map(|row| row.request_id)
}

/// What of a provider's head a client of another format understands, in that format's words.
pub(super) fn translate<B: AsRef<[u8]>>(headers: &[(B, B)], from: &str, to: &str, now: u64) -> Headers {
    let (Some(from), Some(to)) = (row(from), row(to)) else { return Headers::new() };
    let get = |name: &str| {
        let value = headers.iter().find(|(n, _)| n.as_ref() == name.as_bytes()).map(|(_, value)| value.as_ref())?;
        let text = std::str::from_utf8(value).ok()?;
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        // An id of which a key is a part is none.
        (plain && matches!(mask(text), Cow::Borrowed(_))).then_some(text)
    };
    let mut out = Headers::new();
    let mut put = |name: &str, value: Option<String>| {
        out.extend(value.map(|value| (name.to_owned(), value.into_bytes())));
    };
    put(to.request_id, get(from.request_id).map(str::to_owned));
    // Both SDKs obey it.
    put("x-should-retry", get("x-should-retry").map(str::to_owned));
    for ([limit, remaining, reset], [to_limit, to_remaining, to_reset]) in from.rates.iter().zip(to.rates) {
        put(to_limit, get(limit).map(str::to_owned));
        put(to_remaining, get(remaining).map(str::to_owned));
        put(to_reset, get(reset).and_then(|text| reset_in(text, from.reset, to.reset, now)));
    }
    out
}

fn reset_in(text: &str, from: Reset, to: Reset, now: u64) -> Option<String> {
    let now = now / 1_000_000_000;
    match (from, to) {
        (Reset::Duration, Reset::Time) => time(now.checked_add(seconds(text)?)?),
        (Reset::Time, Reset::Duration) => Some(duration(unix(text)?.saturating_sub(now))),
        (Reset::Duration, Reset::Duration) | (Reset::Time, Reset::Time) => Some(text.to_owned()),
    }
}

/// `6m0s`, `1h2m3.5s`, `120ms`: in whole seconds, rounded up.
fn seconds(text: &str) -> Option<u64> {
    Some(millis(text)?.div_ceil(1_000))
}

fn millis(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at_checked(rest.find(|c: char| c.is_ascii_alphabetic())?)?;
        let end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(end)?;
        let unit: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        // Thousandths are as fine as anybody reports.
        let thousandths: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
        let part = whole.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(thousandths)?.checked_mul(unit)?;
        millis = millis.checked_add(part.div_ceil(1_000))?;
        rest = tail;
    }
    (!text.is_empty()).then_some(millis)
}

fn duration(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        (_, _) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `2026-11-21T12:34:56Z` from Unix seconds, by the civil calendar (Hinnant, "chrono-compatible low-level date
/// algorithms").
fn time(unix: u64) -> Option<String> {
    let days = unix / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (unix / 3_600 % 24, unix / 60 % 60, unix % 60);
    (year <= 9_999).then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

/// Unix seconds of an RFC 3339 time in UTC, the only zone vendors use.
pub(super) fn unix(text: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| -> Option<u64> { text.get(range)?.parse().ok() };
    let utc = text.get(19..).is_some_and(|zone| zone.ends_with('Z') || zone.ends_with("+00:00"));
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    if !utc || year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let (era, year) = (year / 400, year % 400);
    let days = era * 146_097 + year * 365 + year / 4 - year / 100 + of_year;
    let seconds = number(11..13)? * 3_600 + number(14..16)? * 60 + number(17..19)?;
    (days.checked_sub(719_468)? * 86_400).checked_add(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21T12:00:00Z.
    const NOON: u64 = 1_795_262_400;

    fn told(headers: &[(&str, &str)], from: &str, to: &str) -> Vec<(String, String)> {
        let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect();
        let told = translate(&headers, from, to, NOON * 1_000_000_000);
        told.into_iter().map(|(name, value)| (name, String::from_utf8(value).unwrap())).collect()
    }

    const OPENAI: [(&str, &str); 4] = [
        ("x-request-id", "req_1"),
        ("x-ratelimit-limit-requests", "500"),
        ("x-ratelimit-remaining-requests", "499"),
        ("x-ratelimit-reset-requests", "6m0s"),
    ];
    const ANTHROPIC: [(&str, &str); 4] = [
        ("request-id", "req_1"),
        ("anthropic-ratelimit-requests-limit", "500"),
        ("anthropic-ratelimit-requests-remaining", "499"),
        ("anthropic-ratelimit-requests-reset", "2026-11-21T12:06:00Z"),
    ];

    #[test]
    fn ids_and_limits_change_their_names_and_a_reset_its_spelling() {
        let own = |pairs: &[(&str, &str)]| -> Vec<_> {
            pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
        };
        assert_eq!(told(&OPENAI, "openai_chat", "anthropic"), own(&ANTHROPIC));
        assert_eq!(told(&ANTHROPIC, "anthropic", "openai_chat"), own(&OPENAI));
        assert_eq!(told(&OPENAI, "openai_chat", "another"), []);
    }

    #[test]
    fn what_one_vendor_alone_has_or_nobody_can_read_is_left_out() {
        let odd = [
            ("openai-processing-ms", "12"),
            ("openai-organization", "org"),
            ("x-ratelimit-reset-tokens", "soon"),
            ("x-request-id", "two words"),
        ];
        assert_eq!(told(&odd, "openai_chat", "anthropic"), []);
    }

    #[test]
    fn an_empty_bucket_says_when_it_is_filled_and_others_do_not() {
        let wait = |headers: &[(&str, &str)], format: &str| {
            let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect();
            exhausted(&headers, format, NOON * 1_000_000_000).map(|nanos| nanos / 1_000_000)
        };
        let openai = |requests: &str, tokens: &str| {
            let headers = [
                ("x-ratelimit-remaining-requests", requests),
                ("x-ratelimit-reset-requests", "6m0s"),
                ("x-ratelimit-remaining-tokens", tokens),
                ("x-ratelimit-reset-tokens", "17ms"),
            ];
            wait(&headers, "openai_chat")
        };
        assert_eq!(openai("0", "5"), Some(360_000));
        assert_eq!(openai("5", "0"), Some(17));
        assert_eq!(openai("0", "0"), Some(360_000), "both must be filled");
        assert_eq!(openai("5", "5"), None, "the request was too much for what is left");
        let anthropic = |bucket: &str, reset: &str| {
            let names = [bucket.to_owned() + "-remaining", bucket.to_owned() + "-reset"];
            wait(&[(&names[0], "0"), (&names[1], reset)], "anthropic")
        };
        for bucket in ["requests", "tokens", "input-tokens", "output-tokens"] {
            let bucket = format!("anthropic-ratelimit-{bucket}");
            assert_eq!(anthropic(&bucket, "2026-11-21T12:00:30Z"), Some(30_000), "{bucket}");
            assert_eq!(anthropic(&bucket, "2026-11-21T11:59:00Z"), Some(0), "{bucket}: filled already");
            assert_eq!(anthropic(&bucket, "soon"), None, "{bucket}");
        }
        assert_eq!(wait(&OPENAI, "anthropic"), None);
    }

    #[test]
    fn a_limit_of_all_models_is_told_from_one_of_a_model() {
        let of = |status: &str, claim: &str| {
            let headers = [(UNIFIED.0.as_bytes(), status.as_bytes()), (UNIFIED.1.as_bytes(), claim.as_bytes())];
            of_account(&headers)
        };
        assert!(of("rejected", "five_hour") && of("rejected", "seven_day"));
        assert!(!of("rejected", "seven_day_opus") && !of("allowed", "five_hour"));
        assert!(!of_account(&OPENAI) && !of_account(&ANTHROPIC));
    }

    #[test]
    fn durations_are_read_as_vendors_print_them() {
        for (text, expected) in [
            ("1s", 1),
            ("0s", 0),
            ("17ms", 1),
            ("6m0s", 360),
            ("1h2m3.5s", 3_724),
            ("7.66s", 8),
            ("2m59.56s", 180),
            ("1d0h0m0s", 86_400),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for text in ["", "s", "12", "1x", "-1s", "1..s", "99999999999999999999s", "é1s"] {
            assert_eq!(seconds(text), None, "{text}");
        }
        assert_eq!([0, 59, 360, 3_661].map(duration), ["0s", "59s", "6m0s", "1h1m1s"]);
    }

    #[test]
    fn times_go_there_and_back() {
        for (at, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (NOON, "2026-11-21T12:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
        ] {
            assert_eq!((time(at).as_deref(), unix(text)), (Some(text), Some(at)));
        }
        assert_eq!(unix("2026-11-21T12:00:00.123+00:00"), Some(NOON));
        for text in ["", "2026-11-21", "2026-11-21T12:00:00+01:00", "2026-13-01T00:00:00Z", "1969-12-31T23:59:59Z"] {
            assert_eq!(unix(text), None, "{text}");
        }
        assert_eq!(time(u64::MAX / 2), None, "no year of more than four digits");
    }
}
