//! A client's own body, mended where the API would refuse it: thinking that nobody signed.
//!
//! Servers of other formats sign nothing, but thinking blocks need the member, so their thinking is told with an empty
//! signature. Clients send it back as it was, and a conversation may go on with a provider of this format, which checks
//! signatures (<https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking>). What it did not sign it gets
//! from no client: a request of another format loses the same blocks.
//!
//! With a budget for thinking the API wants an open round of tools to begin with thinking. Where that was unsigned, the
//! rest of the round goes without: so do requests of other formats.
//!
//! Does not: touch a body without an empty signature; the scan knows.

use crate::ir::Losses;
use crate::scan::{Edit, Inside, List, Member, Scan, empty_signature};

/// The edits that take unsigned thinking out of the assistant's messages. Notes each block.
pub(super) fn mend(scan: &Scan, body: &[u8], losses: &mut Losses) -> Vec<Edit> {
    let mut edits = Vec::new();
    let at = scan.messages_at.as_ref().filter(|_| scan.unsigned);
    let (Some(at), Ok(text)) = (at, std::str::from_utf8(body)) else { return edits };
    let Some(messages) = List::find(text, at.value.clone()) else { return edits };
    let mut emptied = Vec::new();
    for (i, message) in messages.items.iter().enumerate() {
        let Some(content) = suspect(text, message) else { continue };
        let unsigned = content.items.iter().enumerate().filter(|(_, block)| is_unsigned(text, block));
        let (numbers, blocks): (Vec<usize>, Vec<&Member>) = unsigned.unzip();
        numbers.into_iter().for_each(|j| losses.drop_field(format!("messages[{i}].content[{j}]")));
        if blocks.len() < content.items.len() {
            edits.extend(content.remove_all(&blocks));
        } else if !blocks.is_empty() {
            // A message without content is refused. Two of the user's in a row are one to this API.
            emptied.push(message);
        }
    }
    edits.extend(messages.remove_all(&emptied));
    if !edits.is_empty() && ends_in_unsigned_round(text, &messages) {
        edits.extend(no_budget(text, losses));
    }
    edits
}

/// The assistant's last message calls tools, and holds no thinking that is signed.
fn ends_in_unsigned_round(body: &str, messages: &List) -> bool {
    let last = messages.items.iter().rfind(|message| is(body, message, "role", "\"assistant\""));
    let Some(content) = last.and_then(|message| blocks(body, message)) else { return false };
    let signed = |block: &Member| {
        let thinks = is(body, block, "type", "\"thinking\"") && !is_unsigned(body, block);
        thinks || is(body, block, "type", "\"redacted_thinking\"")
    };
    content.items.iter().any(|block| is(body, block, "type", "\"tool_use\"")) && !content.items.iter().any(signed)
}

/// Switches thinking off, if it has a budget, and what is refused without it.
fn no_budget(body: &str, losses: &mut Losses) -> Vec<Edit> {
    let mut edits = Vec::new();
    let Some(members) = Inside::find(body, 0..body.len(), &["thinking", "context_management"]) else { return edits };
    let Some(thinking) = members.at("thinking").filter(|at| is(body, at, "type", "\"enabled\"")) else { return edits };
    losses.drop_field("thinking");
    edits.push(Edit { range: thinking.value.clone(), with: br#"{"type":"disabled"}"#.to_vec() });
    let clears = |at: &&Member| body.get(at.value.clone()).is_some_and(|json| json.contains("\"clear_thinking_"));
    if let Some(at) = members.at("context_management").filter(clears) {
        losses.drop_field("context_management");
        edits.push(Edit { range: at.value.clone(), with: b"null".to_vec() });
    }
    edits
}

/// The blocks of a message of the assistant.
fn blocks(body: &str, message: &Member) -> Option<List> {
    let content = Inside::find(body, message.value.clone(), &["content"])?;
    let assistant = is(body, message, "role", "\"assistant\"");
    List::find(body, content.at("content")?.value.clone()).filter(|_| assistant)
}

/// The same, if they may hold such thinking.
fn suspect(body: &str, message: &Member) -> Option<List> {
    body.get(message.value.clone()).filter(|json| empty_signature(json))?;
    blocks(body, message)
}

/// The member of this object is exactly this.
fn is(body: &str, object: &Member, name: &str, value: &str) -> bool {
    let members = Inside::find(body, object.value.clone(), &["role", "type", "signature"]);
    members.is_some_and(|members| members.at(name).is_some_and(|at| body.get(at.value.clone()) == Some(value)))
}

fn is_unsigned(body: &str, block: &Member) -> bool {
    body.get(block.value.clone()).is_some_and(empty_signature)
        && is(body, block, "type", "\"thinking\"")
        && is(body, block, "signature", "\"\"")
}
