//! How many tokens a request can use, and how many it will as a rule.
//!
//! **Prompt, worst case.** A byte-level tokenizer makes at most one token of a byte, and the text is never longer than
//! the JSON that holds it; what a vendor's template puts around a message or a tool is shorter than the JSON around it.
//! So the body's length bounds the prompt, and what is added besides has an allowance: [`TEMPLATE`] always,
//! [`INSTRUCTIONS`] if there are tools or anything else a vendor may write instructions for, [`TOOL`] for each of the
//! tools that Anthropic itself describes, and what the table knows of the vendor ([`Rates::preamble`]). A prompt is
//! never longer than the model's window, if that is known. What is not text is bounded by the window alone; what a
//! vendor adds while it works (searches, code, other models) by nothing.
//!
//! **Answer, worst case.** What the request allows, else what the model can.
//!
//! Does not: tokenize; where that was done ([`Shape::with_exact`]) the smaller of the two bounds holds. Decision: a bound by bytes, since it needs no table of a vendor's tokens and holds for the next
//! model as well; it is about four times what is used, which is given back when the answer is there. Rejected: an
//! estimate with a factor of safety (random text has two bytes a token, and a limit is attacked with such text).

use std::ops::Range;

use wire::json::whole;
use wire::scan::{Prompt, Reach, Scan};

use super::price::Rates;

/// Tokens a vendor's template has besides the messages: markers, a line about the date, a default system prompt. The
/// most that has been seen is about 70.
pub const TEMPLATE: u64 = 128;

/// Tokens of what a vendor writes for tools and schemas. Up to about 600 have been seen; Anthropic publishes its own
/// (<https://docs.anthropic.com/en/docs/build-with-claude/tool-use>).
pub const INSTRUCTIONS: u64 = 1024;

/// Tokens of what Anthropic writes for one of the tools it describes itself; about 1,600 have been seen (`memory`).
pub const TOOL: u64 = 2048;

/// Bytes of the longest body whose tokens are counted.
pub const COUNTED: u64 = 256 << 10;

/// Tokens an image has as a rule; nobody can tell from its bytes.
const IMAGE: u64 = 1500;

/// Tokens an answer is taken to have when nothing was learned and the request allows more.
const ANSWER: u64 = 1024;

/// Tokens of a request at one provider's model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// No prompt is longer. None: nothing bounds it.
    pub input_worst: Option<u64>,
    /// The member of the body for which nothing does; empty if nobody can name it.
    pub way: &'static str,
    /// As a rule.
    pub input_expected: u64,
    /// All its answers together are not longer. None: nothing bounds them.
    pub output_worst: Option<u64>,
    /// As a rule.
    pub output_expected: u64,
    /// The prompt may go into a cache that keeps it long.
    pub long_cache: bool,
    /// Not all of the prompt is text.
    pub media: bool,
    /// The answer may be sound.
    pub audio: bool,
}

/// What a body says about its size, whoever is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    bytes: u64,
    prompt: Prompt,
    /// What the request allows an answer.
    most: Option<u64>,
    /// Answers it asks for. None: not a number.
    answers: Option<u64>,
    audio: bool,
    /// It goes to a provider of the client's own format.
    same: bool,
    /// Somebody has counted: the prompt has no more tokens than these, a vendor's preamble aside.
    exact: Option<u64>,
}

impl Size {
    /// The size of a request at a model with these rates; `None` where nobody knows the model. For several models
    /// look at the body once, with [`Shape::of`].
    #[must_use]
    pub fn of(scan: &Scan, body: &[u8], rates: Option<&Rates>) -> Self {
        Shape::of(scan, body).at(rates)
    }
}

impl Shape {
    /// Looks through the body.
    #[must_use]
    pub fn of(scan: &Scan, body: &[u8]) -> Self {
        let text = |range: Range<usize>| std::str::from_utf8(body.get(range).unwrap_or_default()).unwrap_or_default();
        let times = |name| match scan.term(name).map(text) {
            None | Some("null") => Some(1),
            Some(number) => whole(number),
        };
        let answers = times("n").zip(times("best_of")).map(|(n, best)| n.max(best).max(1));
        // Of two bounds some providers heed the one, some the other.
        let bounds = [&scan.max_tokens_at, &scan.max_completion_tokens_at].into_iter().flatten();
        let bounds = bounds.map(|at| text(at.value.clone())).filter(|bound| *bound != "null");
        // Zero or less may mean no bound.
        let most = bounds.map(|bound| whole(bound).filter(|most| *most > 0)).collect::<Option<Vec<_>>>();
        let most = most.and_then(|most| most.into_iter().max());
        Self {
            bytes: body.len() as u64,
            prompt: Prompt::of(scan, body),
            most,
            answers,
            audio: scan.aside("audio").is_some() || scan.aside("modalities").is_some(),
            same: true,
            exact: None,
        }
    }

    /// The same at a provider of the client's own format (`same`) or of another, where what translation leaves out counts not.
    #[must_use]
    pub fn towards(self, same: bool) -> Self {
        Self { same, ..self }
    }

    /// The prompt is nothing but text, and short enough to be counted.
    #[must_use]
    pub fn is_countable(&self) -> bool {
        self.prompt.at(self.same).0 <= Reach::Instructed && self.prompt.tools == 0 && self.bytes <= COUNTED
    }

    /// The same, with what was counted by who has the tokenizer of every model that may be asked.
    #[must_use]
    pub fn with_exact(self, exact: Option<u64>) -> Self {
        Self { exact, ..self }
    }

    /// The size at a model with these rates.
    #[must_use]
    pub fn at(&self, rates: Option<&Rates>) -> Size {
        let window = rates.and_then(|rates| rates.context);
        let calibration = rates.map(|rates| rates.calibration).unwrap_or_default();
        let most = self.most.or(rates.and_then(|rates| rates.max_output));
        let output_worst = most.zip(self.answers).map(|(most, answers)| most.saturating_mul(answers));
        let usual = calibration.p95_output.unwrap_or(ANSWER).saturating_mul(self.answers.unwrap_or(1));
        let (reach, way) = self.prompt.at(self.same);
        let input_worst = self.input(reach, rates, window);
        let text = calibration.tokens(self.bytes.saturating_sub(self.prompt.data));
        let expected = text.saturating_add(self.prompt.media.saturating_mul(IMAGE)).min(window.unwrap_or(u64::MAX));
        Size {
            input_worst,
            way,
            input_expected: expected.min(input_worst.unwrap_or(u64::MAX)),
            output_worst,
            output_expected: usual.min(output_worst.unwrap_or(u64::MAX)),
            long_cache: self.prompt.long_cache,
            media: reach >= Reach::Media,
            audio: self.audio,
        }
    }

    fn input(&self, reach: Reach, rates: Option<&Rates>, window: Option<u64>) -> Option<u64> {
        let instructions = match reach {
            Reach::Said => 0,
            Reach::Instructed => INSTRUCTIONS,
            Reach::Media => return window,
            Reach::Beyond => return None,
        };
        let tools = self.prompt.tools.saturating_mul(TOOL);
        let parts = [TEMPLATE, instructions, tools];
        let all = parts.into_iter().fold(self.bytes, u64::saturating_add).min(self.exact.unwrap_or(u64::MAX));
        let preamble = rates.map_or(0, |rates| rates.preamble);
        Some(all.saturating_add(preamble).min(window.unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests;
