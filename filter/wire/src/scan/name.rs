//! Names of models as a request has them: `model`, and the items of `fallbacks`.
//!
//! Both are bounded while they are read. Names become keys of tables, hops of a plan and lines of a ledger: a name of a
//! megabyte would be kept many times over. A plan of a million fallbacks would be sorted.

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::format::Malformed;
use crate::json::{self, Object};

/// Longest name of a model, in bytes. The names of a configuration have the same bound.
pub const LONGEST_NAME: usize = 256;

/// Most items of `fallbacks`.
pub const MOST_FALLBACKS: usize = 16;

/// A name of at most [`LONGEST_NAME`] bytes.
pub(super) fn name(value: &RawValue, path: &str) -> Result<String, Malformed> {
    let text = json::text(value, path)?;
    if text.len() > LONGEST_NAME {
        let message = format!("found a name of {} bytes, expected at most {LONGEST_NAME}", text.len());
        return Err(Malformed { path: path.to_owned(), message });
    }
    Ok(text.into_owned())
}

/// Our list of names, or Anthropic's of objects: at most [`MOST_FALLBACKS`] items.
pub(super) fn fallbacks(value: &RawValue) -> Result<Vec<String>, Malformed> {
    let path = "fallbacks";
    if json::kind(value) != "array" {
        return Err(Malformed::expected(path, value, "array"));
    }
    let many = || {
        let message = format!("found more than {MOST_FALLBACKS} models, expected at most {MOST_FALLBACKS}");
        Malformed { path: path.to_owned(), message }
    };
    let items = few(value).ok_or_else(many)?;
    items.into_iter().enumerate().map(|(i, item)| fallback(item, &format!("{path}[{i}]"))).collect()
}

/// The items of a list of at most [`MOST_FALLBACKS`]; `None` if there are more, or it is no list. What is too much is not
/// kept.
pub(super) fn few(value: &RawValue) -> Option<Vec<&RawValue>> {
    let mut list = Few(Vec::new());
    // Where more follows the parser finds that the list has not ended.
    serde_json::Deserializer::from_str(value.get()).deserialize_seq(&mut list).ok()?;
    Some(list.0).filter(|items| items.len() <= MOST_FALLBACKS)
}

/// The first items of a list: one more than may be, and the rest unread.
struct Few<'a>(Vec<&'a RawValue>);

impl<'a> Visitor<'a> for &mut Few<'a> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut items: S) -> Result<(), S::Error> {
        while self.0.len() <= MOST_FALLBACKS {
            match items.next_element()? {
                Some(item) => self.0.push(item),
                None => return Ok(()),
            }
        }
        Ok(())
    }
}

/// A model's name, or Anthropic's way (in beta) to say the same: an object with `model`. Theirs never reaches a provider,
/// which would serve models the key may not ask for.
fn fallback(item: &RawValue, path: &str) -> Result<String, Malformed> {
    if json::kind(item) != "object" {
        return name(item, path);
    }
    let mut fallback = Object::of(item, path)?;
    let model = fallback.raw("model")?;
    let model = name(fallback.need("model", model)?, &fallback.at("model"))?;
    if fallback.is_empty() {
        return Ok(model);
    }
    let message = "found more than `model`, which is all that is known here".to_owned();
    Err(Malformed { path: fallback.path().to_owned(), message })
}
