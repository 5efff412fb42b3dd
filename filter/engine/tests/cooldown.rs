//! A lane's record in simulated time: how often it must fail, how long it rests, who tries it, and what clears it.
#![cfg(test)]

use engine::config::snapshot::{Lane, Snapshot};
use engine::cooldown::{Cooldowns, LONGEST, MODELS, Mark, Place, TRIAL};
use serde_json::{Value, json};

const SECOND: u64 = 1_000_000_000;
const MODEL: &str = "gpt-4o";
/// Bytes of one record.
const RECORD: usize = 40;
/// When everything begins.
const START: u64 = 1_000 * SECOND;

fn snapshot(rest: &Value) -> Snapshot {
    let keys = json!([{"name": "k1", "models": ["*"]}, {"name": "k2", "models": ["*"]}]);
    let config = json!({"version": 1, "retry": {"rest": rest}, "providers": {"openai": {"keys": keys}}});
    engine::config::load(config).unwrap_or_else(|faults| panic!("{faults:?}")).snapshot
}

/// The shared value as several workers see it: each step reads and writes its bytes.
struct Shared {
    bytes: Vec<u8>,
    config: Snapshot,
}

impl Shared {
    fn new(rest: &Value) -> Self {
        Self { bytes: Vec::new(), config: snapshot(rest) }
    }

    /// What everything is about, unless it says otherwise.
    fn place(&self) -> Place<'_> {
        Place { lane: &self.config.lanes[0], model: MODEL }
    }

    fn read(&self, now: u64) -> Cooldowns {
        Cooldowns::parse(&self.bytes, now)
    }

    fn note(&mut self, mark: Mark, now: u64) -> bool {
        let mut records = self.read(now);
        let rested = records.note(self.place(), mark, &self.config.lanes, &self.config.retry.rest, now);
        self.bytes = records.to_bytes();
        rested
    }

    fn claim(&mut self, now: u64) -> bool {
        let mut records = self.read(now);
        let claimed = records.claim(self.place(), now);
        self.bytes = records.to_bytes();
        claimed
    }

    /// Seconds it still rests.
    fn rests(&self, now: u64) -> Option<u64> {
        self.read(now).until(self.place(), now).map(|until| (until - now) / SECOND)
    }

    fn due(&self, now: u64) -> bool {
        self.read(now).due(self.place(), now)
    }
}

#[test]
fn it_takes_five_failures_in_a_row_and_one_good_answer_breaks_the_row() {
    let mut shared = Shared::new(&json!({}));
    for _ in 0..4 {
        assert!(!shared.note(Mark::Failed, START));
    }
    assert_eq!(shared.rests(START), None);
    shared.note(Mark::Served(START - SECOND), START);
    assert!(shared.bytes.is_empty(), "a lane in health has no record");
    for n in 0..5 {
        assert_eq!(shared.note(Mark::Failed, START), n == 4, "the fifth sends it to rest");
    }
    assert_eq!(shared.rests(START), Some(5));
    assert!(!shared.note(Mark::Failed, START + SECOND), "those that were under way are no news");
    assert_eq!(shared.rests(START + SECOND), Some(4));
}

#[test]
fn each_rest_that_a_trial_ends_in_failure_is_twice_as_long_up_to_the_longest() {
    let failures: [(Mark, &[u64]); 3] = [
        (Mark::Failed, &[5, 10, 20, 40, 60, 60]),
        (Mark::Refused, &[60, 120, 240, 480, 600, 600]),
        (Mark::Limited, &[5, 10, 20, 40, 60, 60]),
    ];
    for (mark, lengths) in failures {
        let mut shared = Shared::new(&json!({}));
        for _ in 0..4 {
            shared.note(mark, START);
        }
        let mut now = START;
        for length in lengths {
            shared.note(mark, now);
            assert_eq!(shared.rests(now), Some(*length), "{mark:?}");
            assert!(!shared.claim(now) && !shared.due(now), "{mark:?}: not before it is over");
            now += length * SECOND;
            assert_eq!((shared.rests(now), shared.due(now)), (None, true), "{mark:?}");
            assert!(shared.claim(now), "{mark:?}");
        }
        shared.note(Mark::Served(now), now + SECOND);
        assert!(shared.bytes.is_empty(), "{mark:?}: and a good answer ends it");
    }
}

#[test]
fn one_request_tries_it_and_the_others_wait_for_a_bounded_time() {
    let mut shared = Shared::new(&json!({}));
    shared.note(Mark::Refused, START);
    let over = START + 60 * SECOND;
    let claims = (0..32).filter(|_| shared.claim(over)).count();
    assert_eq!(claims, 1);
    assert_eq!(shared.rests(over), Some(TRIAL / SECOND), "the others see it resting");
    assert!(shared.claim(over + TRIAL), "no verdict came: one more");
    assert!(!shared.claim(over + TRIAL));
}

#[test]
fn an_answer_that_began_before_the_rest_says_nothing_of_it() {
    let mut shared = Shared::new(&json!({}));
    shared.note(Mark::Refused, START);
    shared.note(Mark::Served(START - SECOND), START + SECOND);
    assert_eq!(shared.rests(START + SECOND), Some(59));
    shared.note(Mark::Served(START + SECOND), START + 2 * SECOND);
    assert_eq!(shared.rests(START + 2 * SECOND), None, "one that was asked all the same does");
}

#[test]
fn what_a_provider_told_needs_no_trial_and_a_longer_rest_stays() {
    let mut shared = Shared::new(&json!({}));
    assert!(shared.note(Mark::Until(START + 7 * SECOND), START));
    assert_eq!(shared.rests(START), Some(7));
    assert!(shared.read(START).told(shared.place(), START));
    shared.note(Mark::Until(START + 3 * SECOND), START);
    shared.note(Mark::Served(START), START);
    shared.note(Mark::Failed, START);
    assert_eq!(shared.rests(START), Some(7), "neither a shorter one, nor an answer, nor a failure changes it");
    let over = START + 7 * SECOND;
    assert_eq!((shared.rests(over), shared.due(over)), (None, false));
    shared.note(Mark::Refused, START);
    assert_eq!(shared.rests(START), Some(60), "but a refused key is worse");
}

#[test]
fn a_provider_cannot_ask_for_for_ever() {
    let mut shared = Shared::new(&json!({}));
    shared.note(Mark::Until(u64::MAX), START);
    assert_eq!(shared.rests(START), Some(LONGEST / SECOND));
}

#[test]
fn a_key_that_is_doubted_rests_like_a_refused_one_but_not_at_once() {
    let mut shared = Shared::new(&json!({"failures": 3, "refused": "90s"}));
    assert!(!shared.note(Mark::Doubted, START) && !shared.note(Mark::Doubted, START));
    assert!(shared.note(Mark::Doubted, START));
    assert_eq!(shared.rests(START), Some(90));
}

#[test]
fn without_failures_that_count_only_the_told_rest() {
    let mut shared = Shared::new(&json!({"failures": 0}));
    for mark in [Mark::Failed, Mark::Doubted, Mark::Refused, Mark::Limited] {
        (0..100).for_each(|_| assert!(!shared.note(mark, START), "{mark:?}"));
    }
    assert!(shared.bytes.is_empty());
    assert!(shared.note(Mark::Until(START + SECOND), START));
}

#[test]
fn there_are_no_more_records_than_lanes() {
    let mut shared = Shared::new(&json!({}));
    let other = snapshot(&json!({}));
    let mut records = Cooldowns::default();
    for (n, cluster) in ["gone_k1", "gone_k2", "openai_k1", "openai_k2"].into_iter().enumerate() {
        let lane =
            Lane { cluster: cluster.to_owned(), hash: engine::cooldown::lane_hash(cluster), ..other.lanes[0].clone() };
        let lanes = [std::slice::from_ref(&lane), other.lanes.as_slice()].concat();
        let place = Place { lane: &lane, model: MODEL };
        records.note(place, Mark::Refused, &lanes, &other.retry.rest, START);
        assert_eq!(records.to_bytes().len(), RECORD * if n < 2 { 1 } else { n - 1 }, "{cluster}: the others went");
    }
    shared.bytes = records.to_bytes();
    assert!(!shared.note(Mark::Until(START + SECOND), START + LONGEST));
    assert_eq!(shared.bytes.len(), 2 * RECORD, "it was over before it began");
}

#[test]
fn what_is_no_record_is_passed_over() {
    let mut shared = Shared::new(&json!({}));
    shared.note(Mark::Refused, START);
    let good = shared.bytes.clone();
    for state in [0, 5, 255] {
        shared.bytes[32] = state;
        assert_eq!(shared.read(START), Cooldowns::default(), "a state nobody knows");
    }
    shared.bytes = good.clone();
    shared.bytes[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(shared.rests(START), None, "longer than any rest can be");
    for cut in 0..good.len() {
        assert_eq!(Cooldowns::parse(&good[..cut], START), Cooldowns::default());
    }
    for byte in 0..=255_u8 {
        let garbage = vec![byte; 4096];
        let mut records = Cooldowns::parse(&garbage, START);
        records.note(shared.place(), Mark::Served(START), &shared.config.lanes, &shared.config.retry.rest, START);
        assert!(records.to_bytes().is_empty(), "none of it is of this configuration");
    }
}

/// What rests at `now`: key and model, of two keys and two models.
fn resting(shared: &Shared, now: u64) -> Vec<(usize, &'static str)> {
    let records = shared.read(now);
    let all = [(0, MODEL), (0, "other"), (1, MODEL), (1, "other")];
    let rests = |(lane, model): &(usize, &str)| {
        records.until(Place { lane: &shared.config.lanes[*lane], model }, now).is_some()
    };
    all.into_iter().filter(rests).collect()
}

#[test]
fn a_rest_is_as_wide_as_its_fault() {
    let model = vec![(0, MODEL)];
    let key = vec![(0, MODEL), (0, "other")];
    let until = START + 30 * SECOND;
    let cases = [
        (Mark::Until(until), &model),
        (Mark::Limited, &model),
        (Mark::KeyUntil(until), &key),
        (Mark::Refused, &key),
        (Mark::Failed, &key),
        (Mark::Doubted, &key),
    ];
    for (mark, expected) in cases {
        let mut shared = Shared::new(&json!({}));
        (0..5).for_each(|_| {
            shared.note(mark, START);
        });
        assert_eq!(resting(&shared, START), *expected, "{mark:?}");
    }
}

#[test]
fn a_model_and_its_key_rest_each_by_itself() {
    let mut shared = Shared::new(&json!({}));
    shared.note(Mark::Until(START + 30 * SECOND), START);
    shared.note(Mark::Refused, START);
    assert_eq!(shared.rests(START), Some(60), "the later end counts");
    let over = START + 60 * SECOND;
    assert!(shared.due(over) && shared.claim(over), "the key is to be tried, with any model");
    shared.note(Mark::Served(over), over);
    assert!(shared.bytes.is_empty(), "a good answer ends both");
}

#[test]
fn naming_many_models_neither_grows_the_records_nor_touches_another_key() {
    let mut shared = Shared::new(&json!({}));
    let Shared { bytes, config } = &mut shared;
    let mut records = Cooldowns::default();
    let mut note = |lane: usize, model: &str, until: u64| {
        let place = Place { lane: &config.lanes[lane], model };
        records.note(place, Mark::Until(until), &config.lanes, &config.retry.rest, START);
    };
    note(1, MODEL, START + SECOND);
    note(0, MODEL, START + LONGEST);
    (0..1000).for_each(|n| note(0, &format!("made-up-{n}"), START + 2 * SECOND));
    *bytes = records.to_bytes();
    assert_eq!(bytes.len(), (MODELS + 1) * RECORD);
    assert_eq!(resting(&shared, START), [(0, MODEL), (1, MODEL)], "the longest rest and the other key's stay");
}
