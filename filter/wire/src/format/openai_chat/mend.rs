//! A client's own body, mended for a server that would refuse it.
//!
//! Does not: touch a body that holds none of it; a search for a few words decides that, before anything is parsed.

use memchr::memmem;
use serde_json::value::RawValue;

use super::quirk::{Compatible, Memory};
use crate::format::bounds;
use crate::ir::Losses;
use crate::json;
use crate::scan::{Edit, Inside, Member, Scan};

/// Members of a message that some server minds.
const MINDED: &[&str] = &["role", "name", "reasoning_content", "reasoning", "reasoning_details"];

/// Minds something that stands inside a body.
pub(super) fn is_particular(dialect: &Compatible) -> bool {
    !dialect.refuses.is_empty() || !words(dialect).is_empty()
}

/// Words without which there is nothing to mend in the messages.
fn words(dialect: &Compatible) -> Vec<&'static str> {
    let mut words = Vec::new();
    if !dialect.developer {
        words.push("\"developer\"");
    }
    if !dialect.message_names {
        words.push("\"name\"");
    }
    if matches!(dialect.memory, Memory::Refused | Memory::Reasoning) {
        words.extend(["\"reasoning_content\"", "\"reasoning_details\""]);
    }
    words
}

/// The edits inside the messages. Notes what they take out, and which members of the body the server refuses.
pub(super) fn mend(dialect: &Compatible, scan: &Scan, body: &[u8], losses: &mut Losses) -> Vec<Edit> {
    let refused = dialect.refuses.iter().filter(|name| scan.aside(name).is_some());
    refused.for_each(|name| losses.drop_field(*name));
    let mut edits = Vec::new();
    let Some(messages) = scan.messages_at.as_ref().and_then(|at| body.get(at.value.clone())) else { return edits };
    let words = words(dialect);
    let minded = |text: &[u8]| words.iter().any(|word| memmem::find(text, word.as_bytes()).is_some());
    if !minded(messages) {
        return edits;
    }
    let Ok(text) = std::str::from_utf8(body) else { return edits };
    // More messages than any server takes are left to it.
    let whole: Option<&RawValue> = serde_json::from_slice(messages).ok();
    let list = whole.and_then(|whole| json::list(whole, &bounds::MESSAGES, String::new).ok());
    for (i, raw) in list.unwrap_or_default().into_iter().enumerate().filter(|(_, raw)| minded(raw.get().as_bytes())) {
        let start = (raw.get().as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
        if let Some(members) = Inside::find(text, start..start + raw.get().len(), MINDED) {
            message(dialect, text, i, &members, &mut edits, losses);
        }
    }
    edits
}

fn message(dialect: &Compatible, body: &str, i: usize, members: &Inside, edits: &mut Vec<Edit>, losses: &mut Losses) {
    let role = members.at("role");
    let role_is = |word: &str| role.is_some_and(|at| body.get(at.value.clone()) == Some(word));
    if let Some(at) = role.filter(|_| !dialect.developer && role_is("\"developer\"")) {
        edits.push(Edit { range: at.value.clone(), with: b"\"system\"".to_vec() });
    }
    let mut removed: Vec<&Member> = Vec::new();
    let mut remove = |name: &str, at| {
        losses.drop_field(format!("messages[{i}].{name}"));
        removed.push(at);
    };
    // The result of a tool or function may be named everywhere.
    if let Some(at) = members.at("name").filter(|_| !dialect.message_names)
        && !role_is("\"tool\"")
        && !role_is("\"function\"")
    {
        remove("name", at);
    }
    if matches!(dialect.memory, Memory::Refused | Memory::Reasoning) {
        let renamed = dialect.memory == Memory::Reasoning && members.at("reasoning").is_none();
        match members.at("reasoning_content") {
            Some(at) if renamed => edits.push(Edit { range: at.name.clone(), with: b"\"reasoning\"".to_vec() }),
            Some(at) => remove("reasoning_content", at),
            None => {}
        }
        if let Some(at) = members.at("reasoning_details") {
            remove("reasoning_details", at);
        }
    }
    edits.extend(members.remove_all(&removed));
}
