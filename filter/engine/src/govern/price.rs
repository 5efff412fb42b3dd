//! What a try costs.
//!
//! Rates are pico-dollars a token (1e-12 $; $1 for a million tokens is 1,000,000), amounts nano-dollars (1e-9 $). Sums
//! are u128 and rounded up once, at the end: so many tokens at a rate cannot overflow, and no try that uses something
//! with a price costs nothing.
//!
//! Vendors that charge long prompts more charge the *whole* request at the higher rate, its answer included; cached
//! tokens count towards the length. So do Anthropic
//! (<https://docs.anthropic.com/en/docs/about-claude/pricing>), OpenAI (<https://developers.openai.com/api/docs/pricing>)
//! and xAI (<https://docs.x.ai/docs/models>).
//!
//! Does not: know a model's price (the sidecar has the table), or what is charged otherwise than by the token: searches,
//! sessions of a code interpreter, images made.
//!
//! Decision: a rate nobody published falls back to the dearer neighbour (a cached token costs an uncached one), so a
//! gap in a table charges too much and never too little. Rejected: the ratios most vendors have; they differ.

use wire::ir::{Certain, Usage};
use wire::scan::Scan;

use super::size::Size;

/// What one model of one provider costs and takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rates {
    /// By length of the prompt, shortest first; the first counts from 0.
    pub standard: Vec<Tier>,
    /// `service_tier: flex`. Here and below: empty means as `standard`.
    pub flex: Vec<Tier>,
    /// `service_tier: priority`.
    pub priority: Vec<Tier>,
    /// `speed: fast` of Anthropic, `service_tier: ultrafast` of OpenAI.
    pub fast: Vec<Tier>,
    /// Batches.
    pub batch: Vec<Tier>,
    /// What a promise of where it runs (`inference_geo`) multiplies all by, in thousandths.
    pub resident: Option<u32>,
    /// Most tokens a prompt may have.
    pub context: Option<u64>,
    /// Most tokens an answer may have.
    pub max_output: Option<u64>,
    /// Most tokens the vendor itself puts before every prompt and bills, beyond its template.
    pub preamble: u64,
    /// What was learned of its tokens.
    pub calibration: Calibration,
}

/// Rates for prompts from a length on, in pico-dollars a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tier {
    /// The shortest prompt they hold for, in tokens, cached ones included.
    pub from: u64,
    /// Prompt.
    pub input: u64,
    /// Answer.
    pub output: u64,
    /// Prompt, read from the vendor's cache; else as `input`.
    pub cache_read: Option<u64>,
    /// Prompt, written to the vendor's cache; else as `input`.
    pub cache_write: Option<u64>,
    /// The same, to be kept for an hour and more; else as `cache_write`.
    pub cache_write_long: Option<u64>,
    /// Answer, spent on reasoning; else as `output`.
    pub reasoning: Option<u64>,
    /// Prompt, sound; else as `input`.
    pub audio_in: Option<u64>,
    /// Answer, sound; else as `output`.
    pub audio_out: Option<u64>,
}

/// What settled requests taught of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calibration {
    /// Bytes of a request's body for one token of its prompt, in thousandths. 0: not known.
    pub milli_bytes_per_token: u32,
    /// Nineteen of twenty answers have no more tokens.
    pub p95_output: Option<u64>,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { milli_bytes_per_token: Self::UNLEARNED, p95_output: None }
    }
}

impl Calibration {
    /// Below the 4 bytes a token that English prose has: code and JSON have fewer.
    pub const UNLEARNED: u32 = 3500;

    /// Tokens a body of so many bytes has as a rule.
    #[must_use]
    pub fn tokens(&self, bytes: u64) -> u64 {
        let milli = if self.milli_bytes_per_token == 0 { Self::UNLEARNED } else { self.milli_bytes_per_token };
        bytes.saturating_mul(1000).div_ceil(u64::from(milli))
    }
}

/// On which terms a request is served, as it asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Service {
    /// Which list of rates.
    pub class: Class,
    /// It says where it must run.
    pub resident: bool,
    /// It asks OpenAI to keep its prompt longer. What was written then is not told apart, so all of it counts as kept.
    pub kept: bool,
}

/// Which list of rates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Class {
    /// Nothing particular.
    #[default]
    Standard,
    /// Cheaper, later.
    Flex,
    /// Dearer, sooner.
    Priority,
    /// Dearer, quicker.
    Fast,
    /// In a batch.
    Batch,
    /// A word nobody here knows: charged at the dearest list, and nothing is known to be enough.
    Unknown,
}

impl Class {
    /// Its name in the books; empty for the standard one.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Standard => "",
            Self::Flex => "flex",
            Self::Priority => "priority",
            Self::Fast => "fast",
            Self::Batch => "batch",
            Self::Unknown => "unknown",
        }
    }
}

impl Service {
    /// What this request asks for. A vendor that serves it otherwise (`priority` as `default`, when it is crowded) says
    /// so in its answer, which is not looked at: what was asked for is charged.
    #[must_use]
    pub fn asked(scan: &Scan, body: &[u8]) -> Self {
        let word = |range: std::ops::Range<usize>| body.get(range).unwrap_or_default();
        let tier = match scan.aside("service_tier").map(|at| word(at.value.clone())) {
            None | Some(b"null" | b"\"auto\"" | b"\"default\"" | b"\"standard_only\"" | b"\"on_demand\"") => {
                Class::Standard
            }
            Some(b"\"flex\"") => Class::Flex,
            Some(b"\"priority\"") => Class::Priority,
            Some(b"\"fast\"" | b"\"ultrafast\"") => Class::Fast,
            Some(_) => Class::Unknown,
        };
        let class = match scan.term("speed").map(word) {
            None | Some(b"null" | b"\"standard\"") => tier,
            Some(b"\"fast\"") => Class::Fast,
            Some(_) => Class::Unknown,
        };
        let place = scan.term("inference_geo").map(word);
        let resident = place.is_some_and(|place| place != b"null" && place != b"\"global\"");
        // Its `ttl` is `30m` or `12h`. `prompt_cache_retention` changes no price.
        let cache = scan.term("prompt_cache_options").map(word).and_then(|options| std::str::from_utf8(options).ok());
        let longer =
            |options: &str| !options.contains("\"30m\"") && (options.contains("ttl") || options.contains('\\'));
        let kept = cache.is_some_and(longer);
        Self { class, resident, kept }
    }
}

/// Tokens by what they cost; nothing is counted twice.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    input: u64,
    read: u64,
    written: u64,
    written_long: u64,
    heard: u64,
    output: u64,
    reasoning: u64,
    spoken: u64,
}

impl Counts {
    fn of(usage: &Usage, service: Service) -> Self {
        let count = |tokens: Option<u64>| tokens.unwrap_or(0);
        let (read, written) = (count(usage.cache_read), count(usage.cache_write));
        let long = if service.kept { usage.cache_write } else { None };
        let written_long = count(usage.cache_write_long.or(long)).min(written);
        // A part that is larger than the whole counts in full.
        let input = count(usage.input).max(read.saturating_add(written));
        let fresh = input - read.saturating_add(written).min(input);
        let heard = count(usage.audio_input).min(fresh);
        let output = count(usage.output).max(count(usage.reasoning));
        let reasoning = count(usage.reasoning);
        let spoken = count(usage.audio_output).min(output - reasoning);
        Self { input, read, written, written_long, heard, output, reasoning, spoken }
    }

    /// In pico-dollars.
    fn at(&self, tier: &Tier) -> u128 {
        let write = tier.cache_write.unwrap_or(tier.input);
        let fresh = self.input.saturating_sub(self.read.saturating_add(self.written)).saturating_sub(self.heard);
        let told = self.output.saturating_sub(self.reasoning).saturating_sub(self.spoken);
        let parts = [
            (fresh, tier.input),
            (self.read, tier.cache_read.unwrap_or(tier.input)),
            (self.written - self.written_long, write),
            (self.written_long, tier.cache_write_long.unwrap_or(write)),
            (self.heard, tier.audio_in.unwrap_or(tier.input)),
            (told, tier.output),
            (self.reasoning, tier.reasoning.unwrap_or(tier.output)),
            (self.spoken, tier.audio_out.unwrap_or(tier.output)),
        ];
        parts.iter().fold(0, |sum: u128, (tokens, rate)| sum.saturating_add(u128::from(*tokens) * u128::from(*rate)))
    }
}

/// What this usage costs, in nano-dollars, rounded up.
#[must_use]
pub fn cost(rates: &Rates, usage: &Usage, service: Service) -> u64 {
    let counts = Counts::of(usage, service);
    let dearest =
        rates.lists(service.class).map(|list| tier(list, counts.input).map_or(0, |tier| counts.at(tier))).max();
    rates.nano(dearest.unwrap_or(0), service)
}

/// The most a request of this size can cost. None: there is no bound, or nobody knows the price.
#[must_use]
pub fn worst_cost(rates: &Rates, size: &Size, service: Service) -> Option<u64> {
    rates.most(size, size.output_worst?, service)
}

/// The most a try of this size can cost, in nano-dollars, of whose usage these totals are certain. `None`: there is no
/// bound.
#[must_use]
pub fn most_cost(rates: &Rates, usage: &Usage, certain: Certain, size: &Size, service: Service) -> Option<u64> {
    let (worst, longest) = (worst_cost(rates, size, service)?, size.output_worst?);
    let most = match (certain.input, certain.output) {
        (true, true) => cost(rates, usage, service),
        (true, false) => {
            let prompt = Usage { output: None, reasoning: None, audio_output: None, ..*usage };
            let counts = Counts::of(&prompt, service);
            let of = |tier: &Tier| counts.at(tier) + u128::from(longest) * u128::from(dearest_output(tier, size));
            let lists = rates.lists(service.class).filter_map(|list| tier(list, counts.input));
            rates.nano(lists.map(of).max().unwrap_or(0), service)
        }
        (false, true) => rates.most(size, Counts::of(usage, service).output, service)?,
        (false, false) => worst,
    };
    Some(most.min(worst))
}

/// What a request of this size costs as a rule, nothing cached.
#[must_use]
pub fn expected_cost(rates: &Rates, size: &Size, service: Service) -> u64 {
    let usage = Usage { input: Some(size.input_expected), output: Some(size.output_expected), ..Usage::default() };
    cost(rates, &usage, service)
}

impl Rates {
    /// The lists that may count: one, but for a class nobody knows.
    fn lists(&self, class: Class) -> impl Iterator<Item = &[Tier]> {
        let all = [&self.standard, &self.flex, &self.priority, &self.fast, &self.batch];
        let named = match class {
            Class::Standard => Some(&self.standard),
            Class::Flex => Some(&self.flex),
            Class::Priority => Some(&self.priority),
            Class::Fast => Some(&self.fast),
            Class::Batch => Some(&self.batch),
            Class::Unknown => None,
        };
        let named = named.map(|list| if list.is_empty() { &self.standard } else { list });
        all.into_iter().filter(move |_| named.is_none()).chain(named).map(Vec::as_slice)
    }

    fn most(&self, size: &Size, output: u64, service: Service) -> Option<u64> {
        if service.class == Class::Unknown {
            return None;
        }
        let input = size.input_worst?;
        let list = self.lists(service.class).next()?;
        // The longest prompt is the dearest unless a table has lower rates for longer ones.
        let ends = list.iter().skip(1).map(|next| next.from.saturating_sub(1)).chain([u64::MAX]);
        let reached = list.iter().zip(ends).filter(|(tier, _)| tier.from <= input);
        let most = reached.map(|(tier, end)| {
            let (of_input, of_output) = (dearest_input(tier, size), dearest_output(tier, size));
            let input = u128::from(input.min(end)) * u128::from(of_input);
            input.saturating_add(u128::from(output) * u128::from(of_output))
        });
        most.max().map(|pico| self.nano(pico, service))
    }

    fn nano(&self, pico: u128, service: Service) -> u64 {
        let factor = if service.resident { self.resident.unwrap_or(1000) } else { 1000 };
        let pico = pico.saturating_mul(u128::from(factor));
        // Few costs need more than 64 bits, and the guest divides 128 of them by hand.
        let nano = u64::try_from(pico).map(|pico| pico.div_ceil(1_000_000));
        nano.or_else(|_| u64::try_from(pico.div_ceil(1_000_000))).unwrap_or(u64::MAX)
    }
}

/// The rates for a prompt of this length.
fn tier(list: &[Tier], input: u64) -> Option<&Tier> {
    list.iter().rev().find(|tier| tier.from <= input).or(list.first())
}

fn dearest_input(tier: &Tier, size: &Size) -> u64 {
    let long = tier.cache_write_long.filter(|_| size.long_cache);
    let heard = tier.audio_in.filter(|_| size.media);
    [tier.cache_read, tier.cache_write, long, heard].into_iter().flatten().fold(tier.input, u64::max)
}

fn dearest_output(tier: &Tier, size: &Size) -> u64 {
    let spoken = tier.audio_out.filter(|_| size.audio);
    [tier.reasoning, spoken].into_iter().flatten().fold(tier.output, u64::max)
}

#[cfg(test)]
mod tests;
