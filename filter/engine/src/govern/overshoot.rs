//! By how much a limit can be overrun, at most.

/// Most that is used of a limit in one window beyond it. `in_flight` is the most requests that run on a lease at once, summed
/// over the leases of the window: one for each worker, those that were killed too, and of a limit that customers share one
/// for each customer of a worker. `worst` is the most that a request can use, and `expected` what was reserved for it.
///
/// A worker admits nothing that its lease has no room for, and leases are granted within the limit; so only what requests
/// in flight use beyond what they reserved is not covered. Where the worst case is reserved that is nothing: a strict limit
/// is never overrun.
#[must_use]
pub fn overshoot(in_flight: u64, worst: u64, expected: u64) -> u64 {
    in_flight.saturating_mul(worst.saturating_sub(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_reserved_can_be_too_much() {
        assert_eq!(overshoot(64, 50, 50), 0);
        assert_eq!(overshoot(64, 50, 20), 1920);
        assert_eq!(overshoot(64, 50, 60), 0);
        assert_eq!(overshoot(u64::MAX, 2, 0), u64::MAX);
    }
}
