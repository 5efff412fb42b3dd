//! What settled requests teach of a model: bytes of a request for a token of its prompt, and how long answers are.
//!
//! Sizes that are only to be expected (elastic limits) come from here, with a model's rates. Bounds of strict limits
//! never do.
//!
//! Does not: read a clock, lock or store anything. [`Learned`] is what a store keeps; whoever has the settlements calls
//! [`Calibrations::learn`].
//!
//! Decision: tokens for a byte are averaged, not bytes for a token: the mean of quotients the other way round says too
//! few tokens. The newest sample weighs one 64th, so a change of a model's tokenizer under its name is learned within a
//! hundred requests. Answers are counted by length, four classes for a doubling, and all counts are halved when there are
//! a thousand: the length that 95 of 100 do not exceed is off by a quarter at most, and forgets. Rejected: a quantile
//! sketch; it is finer than anything that follows from it.

use std::collections::BTreeMap;

use engine::govern::price::Calibration;
use serde::{Deserialize, Serialize};

/// Models that are remembered: far more than anybody configures, but clients can name models where a key serves all.
pub const MODELS: usize = 1024;
/// Share of the newest sample once there are enough.
const MEMORY: u32 = 64;
/// Tokens of a million bytes: a sixteenth of a token for a byte to one. Beyond lies what is not text.
const PLAUSIBLE: std::ops::RangeInclusive<u64> = 62_500..=1_000_000;
/// Shorter bodies are mostly envelope.
const SHORTEST: u64 = 256;
/// Classes of length: up to two million tokens.
const CLASSES: usize = 80;
/// Answers before their length says anything.
const ENOUGH: u32 = 20;
/// Answers after which all counts are halved.
const MANY: u32 = 1024;

/// What is known of all models.
#[derive(Debug, Default)]
pub struct Calibrations {
    models: BTreeMap<(String, String), Kept>,
    /// Grows with every sample.
    turn: u64,
}

#[derive(Debug, Default)]
struct Kept {
    learned: Learned,
    last: u64,
}

/// What is known of one model, as a store keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// Tokens of a million bytes.
    tokens: u32,
    /// Prompts it is the mean of, as far as that matters.
    prompts: u32,
    /// Answers by class of length; classes without any are left out.
    answers: BTreeMap<usize, u32>,
}

/// One answered request, as the provider counted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Bytes of its body.
    pub bytes: u64,
    /// Tokens of its prompt, cached ones included.
    pub input: u64,
    /// Tokens of its answer.
    pub output: u64,
    /// The answer is whole; one that was cut says nothing of the length answers have.
    pub whole: bool,
}

impl Calibrations {
    /// Learns from one request. Counts that are estimates teach nothing: leave them out.
    pub fn learn(&mut self, provider: &str, model: &str, sample: Sample) {
        self.turn += 1;
        let kept = self.models.entry((provider.to_owned(), model.to_owned())).or_default();
        kept.last = self.turn;
        kept.learned.learn(sample);
        self.forget();
    }

    /// What is known of a model.
    #[must_use]
    pub fn of(&self, provider: &str, model: &str) -> Calibration {
        let kept = self.models.get(&(provider.to_owned(), model.to_owned()));
        kept.map(|kept| kept.learned.calibration()).unwrap_or_default()
    }

    /// Everything, for a store.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str, &Learned)> {
        self.models.iter().map(|((provider, model), kept)| (provider.as_str(), model.as_str(), &kept.learned))
    }

    /// Takes back what a store kept.
    pub fn restore(&mut self, provider: String, model: String, learned: Learned) {
        self.models.insert((provider, model), Kept { learned: learned.bounded(), last: 0 });
        self.forget();
    }

    /// The one that was not learned of for longest makes room.
    fn forget(&mut self) {
        if self.models.len() > MODELS {
            let oldest = self.models.iter().min_by_key(|(_, kept)| kept.last).map(|(name, _)| name.clone());
            oldest.and_then(|name| self.models.remove(&name));
        }
    }
}

impl Learned {
    fn learn(&mut self, sample: Sample) {
        let tokens = sample.input.saturating_mul(1_000_000).checked_div(sample.bytes).unwrap_or(0);
        if sample.bytes >= SHORTEST && PLAUSIBLE.contains(&tokens) {
            self.prompts = (self.prompts + 1).min(MEMORY);
            let (weight, before) = (i64::from(self.prompts), i64::from(self.tokens));
            let now = before + (i64::try_from(tokens).unwrap_or(before) - before) / weight;
            self.tokens = u32::try_from(now).unwrap_or(self.tokens);
        }
        if sample.whole && sample.output > 0 {
            *self.answers.entry(class(sample.output)).or_default() += 1;
            if self.answers.values().sum::<u32>() >= MANY {
                self.answers.values_mut().for_each(|count| *count /= 2);
                self.answers.retain(|_, count| *count > 0);
            }
        }
    }

    fn calibration(&self) -> Calibration {
        let milli = 1_000_000_000_u32.checked_div(self.tokens).unwrap_or(Calibration::UNLEARNED);
        Calibration { milli_bytes_per_token: milli, p95_output: self.longest() }
    }

    /// The length that 95 of 100 answers do not exceed.
    fn longest(&self) -> Option<u64> {
        let all: u32 = self.answers.values().sum();
        let mut above = all / 20;
        let reached = self.answers.iter().rev().find(|(_, count)| {
            let within = above < **count;
            above = above.saturating_sub(**count);
            within
        });
        reached.filter(|_| all >= ENOUGH).map(|(class, _)| longest_of(*class))
    }

    /// Whatever a store had: nothing that arithmetic here cannot hold.
    fn bounded(mut self) -> Self {
        let plausible = PLAUSIBLE.contains(&u64::from(self.tokens));
        (self.tokens, self.prompts) = if plausible { (self.tokens, self.prompts.min(MEMORY)) } else { (0, 0) };
        self.answers.retain(|class, count| *class < CLASSES && (1..=MANY).contains(count));
        self
    }
}

/// Four classes for a doubling, one for each length below four.
fn class(length: u64) -> usize {
    let doublings = length.max(1).ilog2();
    let class = match doublings {
        0 | 1 => length,
        _ => u64::from(doublings - 1) * 4 + ((length >> (doublings - 2)) & 3),
    };
    usize::try_from(class).unwrap_or(CLASSES).min(CLASSES - 1)
}

/// The longest length of a class.
fn longest_of(class: usize) -> u64 {
    let (doublings, part) = (class / 4, class as u64 % 4);
    match doublings {
        0 => part,
        _ => ((5 + part) << (doublings - 1)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(bytes: u64, input: u64, output: u64) -> Sample {
        Sample { bytes, input, output, whole: true }
    }

    fn learned(samples: impl IntoIterator<Item = Sample>) -> Calibration {
        let mut all = Calibrations::default();
        samples.into_iter().for_each(|sample| all.learn("p", "m", sample));
        all.of("p", "m")
    }

    #[test]
    fn classes_follow_one_another_and_hold_their_lengths() {
        let mut last = 0;
        for length in 1..100_000_u64 {
            let class = class(length);
            assert!(class == last || class == last + 1, "{length}");
            assert!(length <= longest_of(class) && longest_of(class) < length + length.div_ceil(4), "{length}");
            assert!(class == 0 || longest_of(class - 1) < length, "{length}");
            last = class;
        }
        assert_eq!(class(u64::MAX), CLASSES - 1);
    }

    #[test]
    fn nothing_learned_is_the_default() {
        assert_eq!(Calibrations::default().of("p", "m"), Calibration::default());
        assert_eq!(learned([sample(100, 50, 0), sample(4000, 0, 0)]), Calibration::default(), "short, or not counted");
    }

    #[test]
    fn bytes_for_a_token_are_learned_and_a_change_is_followed() {
        assert_eq!(learned([sample(4000, 1000, 1)]).milli_bytes_per_token, 4000);
        let steady = (0..50).map(|_| sample(4000, 1000, 1));
        let denser = (0..300).map(|_| sample(4000, 1600, 1));
        let after = learned(steady.chain(denser)).milli_bytes_per_token;
        assert!((2490..2600).contains(&after), "{after}");
    }

    #[test]
    fn one_odd_request_moves_little_and_an_image_nothing() {
        let steady = || (0..100).map(|_| sample(4000, 1000, 1));
        let odd = learned(steady().chain([sample(4000, 4000, 1)])).milli_bytes_per_token;
        assert!((3700..4000).contains(&odd), "{odd}");
        assert_eq!(learned(steady().chain([sample(5_000_000, 1600, 1)])), learned(steady()));
        assert_eq!(learned(steady().chain([sample(4000, u64::MAX, 1)])), learned(steady()));
    }

    #[test]
    fn nineteen_of_twenty_answers_are_no_longer() {
        assert_eq!(learned((0..19).map(|_| sample(4000, 1000, 500))).p95_output, None, "too few");
        let p95 = learned((1..=1000).map(|length| sample(4000, 1000, length))).p95_output.unwrap();
        assert!((950..1190).contains(&p95), "{p95}");
        let rare = (0..100).map(|i| sample(4000, 1000, if i % 25 == 0 { 50_000 } else { 100 }));
        assert!((100..125).contains(&learned(rare).p95_output.unwrap()));
        let often = (0..100).map(|i| sample(4000, 1000, if i % 10 == 0 { 50_000 } else { 100 }));
        assert!(learned(often).p95_output.unwrap() >= 50_000);
    }

    #[test]
    fn lengths_are_forgotten_and_cut_answers_are_not_counted() {
        let long = (0..1000).map(|_| sample(4000, 1000, 8000));
        let short = (0..20_000).map(|_| sample(4000, 1000, 80));
        assert!(learned(long.chain(short)).p95_output.unwrap() < 100);
        let cut = (0..100).map(|_| Sample { whole: false, ..sample(4000, 1000, 9) });
        assert_eq!(learned(cut).p95_output, None);
    }

    #[test]
    fn what_is_kept_comes_back_as_it_was_and_nonsense_does_not() {
        let mut all = Calibrations::default();
        (1..200).for_each(|length| all.learn("p", "m", sample(4000, 1000 + length, length)));
        let mut back = Calibrations::default();
        for (provider, model, learned) in all.all() {
            let text = serde_json::to_string(learned).unwrap();
            back.restore(provider.to_owned(), model.to_owned(), serde_json::from_str(&text).unwrap());
        }
        assert_eq!(back.of("p", "m"), all.of("p", "m"));
        let nonsense = r#"{"tokens":4294967295,"prompts":4294967295,"answers":{"79":4294967295,"999":5,"3":7}}"#;
        back.restore("p".to_owned(), "m".to_owned(), serde_json::from_str(nonsense).unwrap());
        back.learn("p", "m", sample(4000, 1000, 1));
        assert_eq!(back.of("p", "m"), Calibration { milli_bytes_per_token: 4000, p95_output: None });
    }

    #[test]
    fn no_more_models_are_remembered_than_there_is_room_for() {
        let mut all = Calibrations::default();
        for number in 0..3 * MODELS {
            all.learn("p", &format!("invented-{number}"), sample(4000, 2000, 1));
            all.learn("p", "m", sample(4000, 1000, 1));
        }
        assert_eq!(all.all().count(), MODELS);
        assert_eq!(all.of("p", "m").milli_bytes_per_token, 4000, "the one in use stays");
    }
}
