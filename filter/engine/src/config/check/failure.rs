//! How tries are repeated, how long keys rest, and which errors of a provider are what.

use std::time::Duration;

use super::duration;
use crate::config::fault::Faults;
use crate::config::path::Path;
use crate::config::schema::{self, Is};
use crate::config::snapshot::{ErrorRule, Rests, Retry};
use crate::exchange::Disposition;

/// Each try is one row of every composite cluster.
const MOST_TRIES: u32 = 32;

const MOST_FAILURES: u32 = 1000;

pub(super) fn retry(given: &schema::Retry, path: &Path, faults: &mut Faults) -> Retry {
    let mut tries = |given: Option<u32>, default: u32, member: &str| {
        let tries = given.unwrap_or(default);
        if !(1..=MOST_TRIES).contains(&tries) {
            faults.add(&path.member(member), tries.to_string(), format!("1 to {MOST_TRIES}, the first try included"));
        }
        tries
    };
    let per_candidate = tries(given.per_candidate, 1, "per_candidate");
    let max = tries(given.max, 4, "max");
    let backoff = duration(given.backoff.as_deref(), Duration::from_millis(5), &path.member("backoff"), faults);
    let rest = rest(given.rest.as_ref(), &path.member("rest"), faults);
    Retry { per_candidate, backoff, max, also: given.also.clone(), rest }
}

fn rest(given: Option<&schema::Rest>, path: &Path, faults: &mut Faults) -> Rests {
    let given = given.cloned().unwrap_or_default();
    let failures = given.failures.unwrap_or(5);
    if failures > MOST_FAILURES {
        faults.add(&path.member("failures"), failures.to_string(), format!("0 to {MOST_FAILURES}; 0 for never"));
    }
    let mut time = |text: &Option<String>, seconds: u64, member: &str| {
        duration(text.as_deref(), Duration::from_secs(seconds), &path.member(member), faults)
    };
    let first = time(&given.first, 5, "first");
    let longest = time(&given.longest, 60, "longest");
    let refused = time(&given.refused, 60, "refused");
    if longest < first {
        faults.add(&path.member("longest"), format!("{longest:?}"), format!("no less than the first rest ({first:?})"));
    }
    Rests { failures, first, longest, refused }
}

/// The rules of one provider: the user's first, then what is known of the row it is like.
pub(super) fn errors(
    given: &[schema::ErrorRule],
    row: Option<&str>,
    path: &Path,
    faults: &mut Faults,
) -> Vec<ErrorRule> {
    let own = given.iter().enumerate().filter_map(|(i, rule)| error(rule, &path.index(i), faults));
    let mut rules: Vec<ErrorRule> = own.collect();
    rules.extend(row.into_iter().flat_map(Disposition::known));
    rules
}

fn error(given: &schema::ErrorRule, path: &Path, faults: &mut Faults) -> Option<ErrorRule> {
    if let Some(status) = given.status.filter(|status| !(400..=599).contains(status)) {
        faults.add(&path.member("status"), status.to_string(), "the status of an error, 400 to 599");
    }
    for (text, member) in [(&given.code, "code"), (&given.message, "message")] {
        if text.as_deref() == Some("") {
            faults.add(&path.member(member), "an empty text", "what to look for");
        }
    }
    if given.status.is_none() && given.code.is_none() && given.message.is_none() {
        faults.add(path, "no condition", "at least one of status, code and message");
    }
    let Some(is) = given.is else {
        faults.add(&path.member("is"), "nothing", "what such an error is, e.g. transient or client_fault");
        return None;
    };
    let is = match is {
        Is::Transient => Disposition::Transient,
        Is::RateLimited => Disposition::RateLimited,
        Is::HardDown => Disposition::HardDown,
        Is::ClientFault => Disposition::ClientFault,
        Is::ContextTooLong => Disposition::ContextTooLong,
        Is::ContentPolicy => Disposition::ContentPolicy,
    };
    let rest = given.rest.as_deref().map(|rest| duration(Some(rest), Duration::ZERO, &path.member("rest"), faults));
    if rest.is_some() && is.also().is_some() {
        let expected = "no rest: whoever sends such a request would take the key from everybody";
        faults.add(&path.member("rest"), format!("a rest for {}", is.word()), expected);
    }
    let message = given.message.as_ref().map(|words| words.to_ascii_lowercase());
    Some(ErrorRule { status: given.status, code: given.code.clone(), message, is, rest })
}
