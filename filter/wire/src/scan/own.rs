//! Members by which providers of one format alone do more than they are told: others never see them, since translation
//! leaves them out.

use serde_json::value::RawValue;

use super::reach::BEYOND;
use super::routing::ROUTING;
use crate::format::bounds;
use crate::json::{self, Object};

/// Those of [`BEYOND`] that other formats have as well.
pub(super) const SHARED: &[&str] = &["web_search_options"];

/// A member under which only a provider of the client's own format works beyond: translation leaves it out.
pub(super) fn is_own(name: &str) -> bool {
    (BEYOND.contains(&name) || ROUTING.contains(&name)) && !SHARED.contains(&name)
}

/// This value of a member asks for no work: null, or edits that only take something out of the conversation
/// (<https://docs.claude.com/en/docs/build-with-claude/context-editing>).
pub(super) fn is_harmless(name: &str, value: Option<&[u8]>) -> bool {
    let Some(value) = value.and_then(|value| serde_json::from_slice::<&RawValue>(value).ok()) else { return false };
    value.get() == "null" || name == "context_management" && only_clears(value).unwrap_or(false)
}

fn only_clears(value: &RawValue) -> Option<bool> {
    let mut management = Object::of(value, "").ok()?;
    let edits = management.list("edits", &bounds::PARTS).ok()?.unwrap_or_default();
    let clears = |edit: &RawValue| {
        // Some servers do not mind the case of a name.
        let mut members = json::members(edit);
        members.retain(|(name, _)| name.eq_ignore_ascii_case("type"));
        let clears = |word: &RawValue| json::text(word, "").is_ok_and(|word| word.starts_with("clear_"));
        !members.is_empty() && members.iter().all(|(_, word)| clears(word))
    };
    Some(management.is_empty() && edits.into_iter().all(clears))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{INBOUND, Outbound, anthropic::Anthropic, openai_chat::OpenAiChat};
    use crate::ir::Losses;

    #[test]
    fn no_provider_of_another_format_is_told_of_them() {
        let outbound: [&dyn Outbound; 2] = [&Anthropic, &OpenAiChat];
        let values = [r#""zzz""#, "[\"zzz\"]", r#"{"type":"zzz","id":"zzz","content":"zzz"}"#, r#"[{"type":"zzz"}]"#];
        let mut told = 0;
        for name in BEYOND.iter().chain(ROUTING).filter(|name| is_own(name)) {
            for value in values {
                let body = format!(
                    r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":"hi"}}],"{name}":{value}}}"#
                );
                for from in INBOUND {
                    let Ok(request) = from.decode_request(body.as_bytes()) else { continue };
                    for to in outbound.iter().filter(|to| to.name() != from.name()) {
                        let encoded = to.encode_request(&request, "m", &mut Losses::default());
                        assert!(
                            !String::from_utf8(encoded).unwrap().contains("zzz"),
                            "{name}: {} to {}",
                            from.name(),
                            to.name()
                        );
                        told += 1;
                    }
                }
            }
        }
        assert!(told > 100, "{told}");
    }
}
