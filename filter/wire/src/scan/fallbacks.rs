//! The member `fallbacks`: models to try after the first.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::format::Malformed;
use crate::json::{self, Object};

/// Our list of names, or Anthropic's of objects.
pub(super) fn names(value: &RawValue) -> Result<Vec<String>, Malformed> {
    let items = json::array(value, "fallbacks")?;
    items.into_iter().enumerate().map(|(i, item)| name(item, format!("fallbacks[{i}]"))).collect()
}

/// A model's name, or Anthropic's way (in beta) to say the same: an object with `model`. Theirs never reaches a provider,
/// which would serve models the key may not ask for.
fn name(item: &RawValue, path: String) -> Result<String, Malformed> {
    if json::kind(item) != "object" {
        return json::text(item, path).map(Cow::into_owned);
    }
    let mut fallback = Object::of(item, path)?;
    let model = fallback.string("model")?;
    let model = fallback.need("model", model)?;
    if fallback.is_empty() {
        return Ok(model);
    }
    let message = "found more than `model`, which is all that is known here".to_owned();
    Err(Malformed { path: fallback.path().to_owned(), message })
}
