//! Which workers are alive, by when they were last heard of.
//!
//! Does not: last. After a restart everybody counts as heard of at its start, so nobody's slots of concurrent requests are
//! taken before there was time to speak.
//!
//! Decision: the process's own monotonic clock, in memory. Rejected: the wall clock in the store, which a correction of
//! the time turns into a silence of everybody at once, and which costs a row an admission.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::serve::ledger::book::Holder;

/// Twice as long as a worker uses its slots without word from here; see `engine::govern::Wallet`.
const SILENCE: Duration = Duration::from_secs(60);
/// Workers known to have died that are remembered. Their nonces are never given again, and messages of theirs that come
/// late come soon.
const ENDED: usize = 4096;
/// Workers that are remembered before the silent ones are looked for.
const FEW: usize = 1024;

/// Workers.
#[derive(Debug)]
pub struct Heard {
    start: Instant,
    workers: Mutex<Workers>,
}

#[derive(Debug, Default)]
struct Workers {
    last: HashMap<Holder, Instant>,
    /// Those that have died, and in which order.
    ended: HashSet<Holder>,
    order: VecDeque<Holder>,
    /// When there are more than this, the silent ones go.
    most: usize,
}

impl Default for Heard {
    fn default() -> Self {
        Self::since(Instant::now())
    }
}

impl Heard {
    fn since(start: Instant) -> Self {
        Self { start, workers: Mutex::new(Workers { most: FEW, ..Workers::default() }) }
    }

    /// A worker has spoken.
    pub fn hear(&self, worker: Holder) {
        self.hear_at(worker, Instant::now());
    }

    /// It has died: its slots are free at once, whatever of it comes late. False if that was known.
    pub fn end(&self, worker: Holder) -> bool {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.last.remove(&worker);
        let new = workers.ended.insert(worker);
        if new {
            workers.order.push_back(worker);
        }
        if workers.order.len() > ENDED
            && let Some(first) = workers.order.pop_front()
        {
            workers.ended.remove(&first);
        }
        new
    }

    /// It has not spoken for so long that its slots are free.
    #[must_use]
    pub fn is_silent(&self, worker: &Holder) -> bool {
        self.is_silent_at(worker, Instant::now())
    }

    fn hear_at(&self, worker: Holder, now: Instant) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if workers.ended.contains(&worker) {
            return;
        }
        workers.last.insert(worker, now);
        // A worker that has been silent since the start and one nobody knows are the same; before, they are not.
        if workers.last.len() > workers.most && now.duration_since(self.start) > SILENCE {
            workers.last.retain(|_, last| now.duration_since(*last) <= SILENCE);
            workers.most = workers.last.len().saturating_mul(2).max(FEW);
        }
    }

    fn is_silent_at(&self, worker: &Holder, now: Instant) -> bool {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if workers.ended.contains(worker) {
            return true;
        }
        let last = workers.last.get(worker).copied().unwrap_or(self.start);
        now.duration_since(last) > SILENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_begins_with_the_last_word_or_with_the_process() {
        let start = Instant::now();
        let heard = Heard::since(start);
        heard.hear_at([1; 16], start + 30 * SECOND);
        for (worker, seconds, silent) in [(1, 90, false), (1, 91, true), (2, 60, false), (2, 61, true)] {
            assert_eq!(heard.is_silent_at(&[worker; 16], start + seconds * SECOND), silent, "{worker} after {seconds}");
        }
    }

    #[test]
    fn who_has_died_is_silent_at_once_and_stays_so() {
        let start = Instant::now();
        let heard = Heard::since(start);
        heard.hear_at([1; 16], start);
        assert!(!heard.is_silent_at(&[1; 16], start));
        assert!(heard.end([1; 16]) && !heard.end([1; 16]), "it dies once");
        heard.hear_at([1; 16], start + SECOND);
        assert!(heard.is_silent_at(&[1; 16], start + SECOND), "a late message of it changes nothing");
        for worker in 0..ENDED as u64 {
            heard.end(u128::from(worker).to_be_bytes());
        }
        let workers = heard.workers.lock().unwrap();
        assert_eq!((workers.ended.len(), workers.order.len()), (ENDED, ENDED));
    }

    #[test]
    fn workers_that_are_gone_are_forgotten() {
        let start = Instant::now();
        let heard = Heard::since(start);
        for round in 0..100_u32 {
            for worker in 0..100_u32 {
                let mut nonce = [0; 16];
                nonce[..4].copy_from_slice(&(round * 100 + worker).to_be_bytes());
                heard.hear_at(nonce, start + round * 70 * SECOND);
            }
        }
        assert!(heard.workers.lock().unwrap().last.len() <= FEW + 100);
    }
}
