//! Cool-downs: which lanes must rest until when, as one small value that all workers of an Envoy share.
//!
//! Decision: one entry of shared data holds all cool-downs, and only the running ones; a request reads it with one host
//! call and it is nearly always empty. Rejected: one entry a lane (a host call a lane a request); a copy in each worker
//! refreshed by a timer (a rested key would still be asked until the next tick).

/// Length of one record: hash of the lane's cluster name, then the end in Unix nanoseconds, both little endian.
const RECORD: usize = 16;

/// Longest rest, whatever a provider asks for: a wrong `retry-after` must not take a key away for a day.
pub const LONGEST: u64 = 600 * 1_000_000_000;

/// The running cool-downs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cooldowns(Vec<(u64, u64)>);

/// Stable hash of a lane's cluster name (FNV-1a): names come from the configuration, not from clients.
#[must_use]
pub fn lane_hash(cluster: &str) -> u64 {
    cluster.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Cooldowns {
    /// Reads the shared value; anything that is no record is passed over.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let word = |b: &[u8]| b.try_into().map(u64::from_le_bytes).unwrap_or(0);
        Self(
            bytes
                .chunks_exact(RECORD)
                .map(|record| {
                    let (lane, until) = record.split_at(8);
                    (word(lane), word(until))
                })
                .collect(),
        )
    }

    /// When this lane's rest ends, if it is resting at `now`.
    #[must_use]
    pub fn until(&self, cluster: &str, now: u64) -> Option<u64> {
        if self.0.is_empty() {
            return None;
        }
        let lane = lane_hash(cluster);
        self.0.iter().find(|(l, until)| *l == lane && *until > now).map(|(_, until)| *until)
    }

    /// Sends a lane to rest; a longer rest that already runs stays.
    pub fn rest(&mut self, cluster: &str, until: u64, now: u64) {
        let lane = lane_hash(cluster);
        let until = until.min(now.saturating_add(LONGEST)).max(self.until(cluster, now).unwrap_or(0));
        self.0.retain(|(l, end)| *l != lane && *end > now);
        self.0.push((lane, until));
    }

    /// The shared value.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(lane, until)| [lane.to_le_bytes(), until.to_le_bytes()].concat()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Cooldowns, LONGEST};

    #[test]
    fn survives_the_shared_value_and_ends_on_time() {
        let mut c = Cooldowns::default();
        c.rest("openai_k1", 500, 100);
        c.rest("openai_k2", 200, 100);
        let c = Cooldowns::parse(&c.to_bytes());
        assert_eq!(c.until("openai_k1", 499), Some(500));
        assert_eq!(c.until("openai_k1", 500), None);
        assert_eq!(c.until("openai_k3", 100), None);
    }

    #[test]
    fn ended_rests_leave_the_value_and_longer_ones_win() {
        let mut c = Cooldowns::default();
        c.rest("a", 200, 100);
        c.rest("b", 900, 300);
        assert_eq!(c.to_bytes().len(), 16, "a has ended and is gone");
        c.rest("b", 400, 300);
        assert_eq!(c.until("b", 300), Some(900));
    }

    #[test]
    fn a_provider_cannot_ask_for_for_ever() {
        let mut c = Cooldowns::default();
        c.rest("a", u64::MAX, 5);
        assert_eq!(c.until("a", 5), Some(5 + LONGEST));
        assert_eq!(Cooldowns::parse(&[1, 2, 3]), Cooldowns::default());
    }
}
