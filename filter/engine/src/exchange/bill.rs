//! The bounds of a try's bill: what a strict limit is charged where nobody knows it, and what no report may exceed.
//!
//! Under a strict limit a try takes what was reserved for it, save for the totals that its provider has reported for
//! good.
//!
//! ```text
//! reset before the answer                     longest prompt, longest answer
//! Messages stream left after `message_start`  prompt as told, longest answer
//! stream left after its last usage            as told
//! ```
//!
//! Decision: a report above the worst case is a lie or a fault, and counts as the worst case. Rejected: believing it, by
//! which one answer of one provider uses up a budget that everybody shares.

use wire::ir::{Certain, Usage};

use super::{Exchange, Try};
use crate::govern::price::Rates;
use crate::govern::size::Size;

/// Most tokens of a prompt where nothing else bounds it: more than any model's window, searched and read several times.
const MOST_INPUT: u64 = 1 << 26;

/// Most tokens of an answer where nothing else bounds it: more than any model's longest, times the answers one may ask for.
const MOST_OUTPUT: u64 = 1 << 24;

/// Windows that a prompt may fill where a vendor works in between: it searches and reads again.
const ROUNDS: u64 = 16;

/// Answers a request may ask for (`n`).
const ANSWERS: u64 = 128;

/// The most tokens a try may be charged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    input: u64,
    output: u64,
}

impl Bounds {
    /// Those of a request of this size at a model with these rates, as far as either is known.
    pub(super) fn of(size: Option<&Size>, rates: Option<&Rates>) -> Self {
        let times = |most: Option<u64>, times: u64| most.map_or(u64::MAX, |most| most.saturating_mul(times));
        let window = times(rates.and_then(|rates| rates.context), ROUNDS).min(MOST_INPUT);
        let longest = times(rates.and_then(|rates| rates.max_output), ANSWERS).min(MOST_OUTPUT);
        Self {
            input: size.and_then(|size| size.input_worst).unwrap_or(window),
            output: size.and_then(|size| size.output_worst).unwrap_or(longest),
        }
    }

    /// The usage within the bounds: no total and no part of it is above them.
    pub(super) fn cap(self, usage: &Usage) -> Usage {
        let within = |tokens: Option<u64>, most: u64| tokens.map(|tokens| tokens.min(most));
        let read = within(usage.cache_read, self.input);
        let written = within(usage.cache_write, self.input.saturating_sub(read.unwrap_or(0)));
        Usage {
            input: within(usage.input, self.input),
            output: within(usage.output, self.output),
            cache_read: read,
            cache_write: written,
            cache_write_long: within(usage.cache_write_long, written.unwrap_or(0)),
            reasoning: within(usage.reasoning, self.output),
            audio_input: within(usage.audio_input, self.input),
            audio_output: within(usage.audio_output, self.output),
        }
    }
}

impl Exchange {
    /// A strict limit on tokens or money counts the tries at this provider.
    pub(super) fn is_strict_at(&self, provider: &str) -> bool {
        self.governor.as_ref().is_some_and(|governor| {
            let accounts = governor.needs().iter().filter_map(|(at, _)| governor.accounts().get(*at));
            accounts.into_iter().any(|one| one.is_strict() && one.needs_rates() && one.counts(provider))
        })
    }
}

/// The usage to charge a strict limit for, and which of its totals the provider has told. `likely` is the rest where
/// nothing bounds it; then no strict limit counts it.
pub(super) fn reserved(t: &Try, size: Option<&Size>, likely: &Usage) -> (Usage, Certain) {
    let mut usage = t.usage;
    if !t.certain.input {
        let input = size.and_then(|size| size.input_worst).or(likely.input);
        let none = Usage::default();
        usage = Usage { output: usage.output, reasoning: usage.reasoning, audio_output: usage.audio_output, ..none };
        usage.input = input;
    }
    if !t.certain.output {
        let output = size.and_then(|size| size.output_worst).or(likely.output);
        usage = Usage { output, reasoning: None, audio_output: None, ..usage };
    }
    (usage, t.certain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_usage_is_above_the_bounds() {
        let huge = Usage {
            input: Some(u64::MAX),
            output: Some(u64::MAX),
            cache_read: Some(1 << 63),
            cache_write: Some(1 << 62),
            cache_write_long: Some(u64::MAX),
            reasoning: Some(u64::MAX),
            audio_input: Some(u64::MAX),
            audio_output: Some(u64::MAX),
        };
        let bounds = Bounds { input: 100, output: 10 };
        let capped = bounds.cap(&huge);
        assert_eq!((capped.input, capped.output, capped.reasoning), (Some(100), Some(10), Some(10)));
        let cached = capped.cache_read.unwrap() + capped.cache_write.unwrap();
        assert!(cached <= 100 && capped.cache_write_long <= capped.cache_write, "{capped:?}");
        assert_eq!(bounds.cap(&capped), capped, "what is within them stays");
        assert_eq!(bounds.cap(&Usage::default()), Usage::default(), "and so does what nobody said");
    }

    #[test]
    fn without_a_size_what_is_known_of_the_model_bounds_it_and_else_what_is_possible() {
        let rates = Rates { context: Some(1000), max_output: Some(100), ..Rates::default() };
        assert_eq!(Bounds::of(None, Some(&rates)), Bounds { input: 1000 * ROUNDS, output: 100 * ANSWERS });
        assert_eq!(Bounds::of(None, None), Bounds { input: MOST_INPUT, output: MOST_OUTPUT });
        let size = Size { input_worst: Some(7), output_worst: None, ..Size::default() };
        assert_eq!(Bounds::of(Some(&size), Some(&rates)), Bounds { input: 7, output: 100 * ANSWERS });
    }
}
