//! How long streams are held back, as a whole and by provider.

use std::time::Duration;

use super::{duration, size};
use crate::config::fault::Faults;
use crate::config::path::Path;
use crate::config::schema;
use crate::config::snapshot::{Hold, Patience};

/// The bounds, and the patience of providers that have none of their own.
pub(super) fn resolve(given: &schema::Hold, path: &Path, faults: &mut Faults) -> (Hold, Patience) {
    let max = duration(given.max.as_deref(), Duration::from_secs(20), &path.member("max"), faults);
    let max_bytes = size(given.max_bytes.as_deref(), 64 << 10, &path.member("max_bytes"), faults);
    let own = schema::Patience { soft: given.soft.clone(), hard: given.hard.clone() };
    let patience = patience(Some(&own), Patience::default(), max, path, faults);
    (Hold { max, max_bytes }, patience)
}

/// One provider's patience.
pub(super) fn patience(
    given: Option<&schema::Patience>,
    default: Patience,
    max: Duration,
    path: &Path,
    faults: &mut Faults,
) -> Patience {
    let Some(given) = given else { return default };
    let mut limit = |text: &Option<String>, member: &str| {
        Some(duration(Some(text.as_deref()?), Duration::ZERO, &path.member(member), faults))
    };
    let (soft, hard) = (limit(&given.soft, "soft"), limit(&given.hard, "hard"));
    if let Some(text) = given.hard.as_ref().filter(|_| hard.is_some_and(|hard| hard >= max)) {
        let expected = format!("less than hold.max ({max:?}), after which nothing is held that could fail over");
        faults.add(&path.member("hard"), format!("{text:?}"), expected);
    }
    Patience { soft: soft.or(default.soft), hard: hard.or(default.hard) }
}
