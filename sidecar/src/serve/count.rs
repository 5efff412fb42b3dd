//! The most tokens that a prompt of nothing but text has, where somebody has the model's tokenizer.
//!
//! Counted is every text that the model may see, also where a name stands twice: all of `messages` and `system`, and of
//! other members those that are not known to be none of the prompt (tools, schemas of the answer). Two tokens are added
//! for what stands around a text and two for an object or a list, which is more than JSON takes, and more than what
//! OpenAI's template takes for a message: three, the role, and three for all together
//! (<https://github.com/openai/openai-cookbook/blob/main/examples/How_to_count_tokens_with_tiktoken.ipynb>). Names of
//! what every message is made of are in no prompt and add nothing. Whatever has the vendor write instructions has the
//! allowance that it has in a bound by bytes.
//!
//! Does not: keep or log a text. Knows no dialect: what the client sent is walked through as JSON.
//!
//! Decision: in threads of their own, few at once; who waits for long is given up by the caller's deadline. Rejected:
//! decoding the request first, which would leave uncounted what a provider reads and the decoder does not.

use std::sync::Arc;

use engine::govern::size::{COUNTED, INSTRUCTIONS, Shape, TEMPLATE};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use sidecar_api::v1::Count;
use tokio::sync::Semaphore;
use tonic::Status;
use wire::scan::{Prompt, Reach, scan};

use super::tokenizer;

/// Prompts that are counted at once.
const AT_ONCE: usize = 2;
/// Models in one question: a plan has no more tries.
const MOST_MODELS: usize = 64;
/// Tokens around a text, and around an object or a list.
const AROUND: u64 = 2;
/// With these the answer begins.
const REPLY: u64 = 3;
/// What messages and their parts are made of.
const FRAME: [&str; 4] = ["role", "content", "type", "text"];

/// Counts, so many prompts at once.
#[derive(Debug)]
pub struct Counting(Arc<Semaphore>);

impl Default for Counting {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Counting {
    /// The most tokens that the prompt has for any of the models; 0 if nobody can say for one of them.
    ///
    /// # Errors
    /// It is too long, or there are too many models.
    pub async fn count(&self, asked: Count) -> Result<u64, Status> {
        if asked.body.len() as u64 > COUNTED || asked.models.len() > MOST_MODELS {
            return Err(Status::invalid_argument("more than is counted at once"));
        }
        let permit = Arc::clone(&self.0).acquire_owned().await.map_err(|error| Status::internal(error.to_string()))?;
        let counted = tokio::task::spawn_blocking(move || {
            let most = asked
                .models
                .iter()
                .map(|model| prompt(&model.model, &asked.body))
                .try_fold(0, |most, tokens| Some(tokens?.max(most)));
            // Held until here also if the caller has left.
            drop(permit);
            most.unwrap_or_default()
        });
        counted.await.map_err(|_| Status::internal("not counted"))
    }
}

/// The most tokens that a model is billed for this prompt. None: nobody has its tokenizer, it is not only text, or it is
/// no request.
#[must_use]
pub fn prompt(model: &str, body: &[u8]) -> Option<u64> {
    let scanned = scan(body).ok()?;
    if !Shape::of(&scanned, body).is_countable() {
        return None;
    }
    let mut tally = Tally { model, tokens: REPLY, unknown: false };
    let mut json = serde_json::Deserializer::from_slice(body);
    Request(&mut tally).deserialize(&mut json).ok()?;
    if Prompt::of(&scanned, body).at(true).0 > Reach::Said {
        tally.tokens += INSTRUCTIONS;
    }
    if tokenizer::has_system_prompt(model) {
        tally.tokens += TEMPLATE;
    }
    (!tally.unknown).then_some(tally.tokens)
}

struct Tally<'a> {
    model: &'a str,
    tokens: u64,
    unknown: bool,
}

impl Tally<'_> {
    fn text(&mut self, text: &str) {
        match tokenizer::count(self.model, text) {
            Some(tokens) => self.tokens += tokens + AROUND,
            None => self.unknown = true,
        }
    }
}

/// The members of the request that are in its prompt.
struct Request<'a, 't>(&'a mut Tally<'t>);

impl<'de> DeserializeSeed<'de> for Request<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Request<'_, '_> {
    type Value = ();

    fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("a request")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let messages = matches!(name.as_str(), "messages" | "system");
            if messages || Reach::of(&name) > Reach::Said {
                self.0.text(if messages { "" } else { &name });
                map.next_value_seed(Texts { tally: self.0, frames: if messages { 2 } else { 0 } })?;
            } else {
                map.next_value::<serde::de::IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// All texts in a value.
struct Texts<'a, 't> {
    tally: &'a mut Tally<'t>,
    /// So many objects deep names of the frame are no text.
    frames: u8,
}

impl<'de> DeserializeSeed<'de> for Texts<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Texts<'_, '_> {
    type Value = ();

    fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("JSON")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.tally.text(text);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.visit_str(if value { "true" } else { "false" })
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.visit_str(&number.to_string())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.visit_str("null")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<(), S::Error> {
        let Self { tally, frames } = self;
        tally.tokens += AROUND;
        while list.next_element_seed(Texts { tally: &mut *tally, frames })?.is_some() {}
        Ok(())
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let Self { tally, frames } = self;
        tally.tokens += AROUND;
        while let Some(name) = map.next_key::<String>()? {
            if frames == 0 || !FRAME.contains(&name.as_str()) {
                tally.text(&name);
            }
            map.next_value_seed(Texts { tally: &mut *tally, frames: frames.saturating_sub(1) })?;
        }
        Ok(())
    }
}
