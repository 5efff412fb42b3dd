//! Tokens of a text, counted as OpenAI's models do.
//!
//! The tables of merges are part of the library, 8 MB of a program that calls this. Those of one family are unpacked when
//! they are first asked for: 130 ms and 46 MB of memory for the newer models, 50 ms and 24 MB for the older; then about
//! 12 MB of text a second (measured on 47 kB of Rust and Markdown, one core).
//!
//! Does not: know a vendor's template, images, or anybody else's tokens; for other families there is no answer.
//!
//! Decision: the text is counted in pieces. The library's regular expression gives up on a long run of white space, and
//! the library panics then. Pieces end where no token can go on, at a line's end before a letter or digit, so the sum is
//! exact; in a line longer than a piece they end anywhere, which makes a token or two more of it. Rejected: catching the
//! panic, which needs an unwinding build and loses the count.

use tiktoken_rs::bpe_for_tokenizer;
use tiktoken_rs::tokenizer::{Tokenizer, get_tokenizer};

/// Bytes of a piece.
const PIECE: usize = 32 << 10;

/// Tokens of this text for a model of OpenAI's. None: another model, or one newer than the tables.
#[must_use]
pub fn count(model: &str, text: &str) -> Option<u64> {
    let tokenizer = bpe_for_tokenizer(get_tokenizer(model)?).ok()?;
    let mut tokens = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at_checked(end_of_piece(rest))?;
        tokens += tokenizer.count_ordinary(piece) as u64;
        rest = after;
    }
    Some(tokens)
}

/// Unpacks the tables, so that nobody has to wait for it.
pub fn warm() {
    let _tokens = ["gpt-4o", "gpt-4"].map(|model| count(model, "a"));
}

/// The vendor puts a prompt of its own before every one: what their open models say of themselves.
pub(super) fn has_system_prompt(model: &str) -> bool {
    get_tokenizer(model) == Some(Tokenizer::O200kHarmony)
}

/// Where the first piece ends: never 0, and between characters.
fn end_of_piece(text: &str) -> usize {
    if text.len() <= PIECE {
        return text.len();
    }
    let most = text.floor_char_boundary(PIECE);
    let lines = text.get(..most).into_iter().flat_map(|head| head.rmatch_indices('\n'));
    let ends = lines.map(|(at, _)| at + 1);
    let clean = |at: &usize| text.get(*at..).is_some_and(|rest| rest.starts_with(char::is_alphanumeric));
    ends.filter(|at| *at < most).find(clean).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use tiktoken_rs::{cl100k_base_singleton, o200k_base_singleton};

    use super::*;

    /// Text as it is sent: this repository's.
    const TEXT: &str = include_str!("../../../README.md");

    #[test]
    fn counts_are_those_vendors_publish() {
        // https://github.com/openai/openai-cookbook/blob/main/examples/How_to_count_tokens_with_tiktoken.ipynb
        for (model, text, tokens) in [
            ("gpt-4o", "antidisestablishmentarianism", 6),
            ("gpt-4", "antidisestablishmentarianism", 6),
            ("gpt-4o-mini-2024-07-18", "2 + 2 = 4", 7),
            ("gpt-3.5-turbo", "お誕生日おめでとう", 9),
            ("gpt-4o", "お誕生日おめでとう", 8),
            ("gpt-5", "", 0),
        ] {
            assert_eq!(count(model, text), Some(tokens), "{model}: {text}");
        }
    }

    #[test]
    fn other_families_have_no_count() {
        for model in ["claude-sonnet-4-6", "grok-4.7", "llama-3.3-70b", "gpt-9", ""] {
            assert_eq!(count(model, "Hello"), None, "{model}");
        }
        assert_eq!(count("ft:gpt-4o-2024-08-06:acme::1", "Hello"), Some(1));
    }

    #[test]
    fn pieces_sum_up_to_the_whole() {
        let long = TEXT.repeat(12);
        assert!(long.len() > 3 * PIECE);
        let started = std::time::Instant::now();
        for (model, whole) in [("gpt-4o", o200k_base_singleton()), ("gpt-4", cl100k_base_singleton())] {
            assert_eq!(count(model, &long), Some(whole.count_ordinary(&long) as u64), "{model}");
        }
        println!("{} bytes counted four times, tables unpacked, in {:?}", long.len(), started.elapsed());
    }

    #[test]
    fn no_text_is_too_hostile_and_no_count_above_the_bytes() {
        let odd = ["a", " ", "\n", " \n", "é", "😀", "'s", "^", "\u{3000}", "0", "\u{0}", "a\n"];
        for part in odd {
            for text in [part.repeat(4 * PIECE / part.len()), format!("x{}", part.repeat(PIECE / part.len()))] {
                let tokens = count("gpt-4o", &text).unwrap();
                assert!(tokens > 0 && tokens <= text.len() as u64, "{part:?}: {tokens}");
            }
        }
    }
}
