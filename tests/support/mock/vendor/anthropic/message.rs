//! The turns of a messages request: who may speak when, and what answers what.

use serde_json::Value;

use super::super::Refusal;
use super::super::check::{Checked, ensure, known, text};
use super::block;
use super::request::Thinks;

/// What a conversation comes to.
pub(super) struct Said {
    /// The text of the last user turn, tool results included.
    pub(super) last: String,
    /// The last turn holds results.
    pub(super) after_tool: bool,
}

const USER: &[&str] = &["text", "image", "document", "tool_result", "search_result", "container_upload"];
const ASSISTANT: &[&str] = &[
    "text",
    "tool_use",
    "thinking",
    "redacted_thinking",
    "server_tool_use",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
];

/// Checks each turn. `thinks`: the model is asked to think, which asks something of a tool round.
pub(super) fn conversation(messages: &[Value], thinks: Thinks) -> Checked<Said> {
    // Calls that wait for their results, and whether thinking stood before them.
    let (mut open, mut thought): (Vec<String>, bool) = (Vec::new(), true);
    let mut said = Said { last: String::new(), after_tool: false };
    for (i, message) in messages.iter().enumerate() {
        let path = format!("messages.{i}");
        known(message, &path, &["role", "content"])?;
        let role = text(message, &path, "role")?;
        ensure(i > 0 || role == "user", "messages", || {
            "messages: first message must use the \"user\" role".to_owned()
        })?;
        let blocks = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
        match role {
            "user" => {
                said.last = block::content(message, "content", &path, USER)?;
                results(blocks, &path, &mut open)?;
                said.after_tool = blocks.iter().any(|block| block["type"] == "tool_result");
                let last = i + 1 == messages.len();
                ensure(!(thinks == Thinks::ByBudget && last && said.after_tool) || thought, "messages", || {
                    format!("{path}: the turn before must begin with a thinking block when thinking is enabled")
                })?;
            }
            "assistant" => {
                ensure(open.is_empty(), "messages", || format!("{path}: {open:?} have no result"))?;
                block::content(message, "content", &path, ASSISTANT)?;
                open = ids(blocks, "tool_use", "id");
                thought = blocks.first().is_some_and(is_thinking);
                ending(message, blocks, &path, i + 1 == messages.len(), thinks)?;
            }
            "system" => {
                ensure(open.is_empty(), "messages", || format!("{path}: {open:?} have no result"))?;
                block::content(message, "content", &path, &["text"])?;
            }
            _ => return Err(Refusal::bad("messages", format!("{path}: unknown role {role}"))),
        }
    }
    ensure(open.is_empty(), "messages", || format!("{open:?} have no result"))?;
    Ok(said)
}

/// Results answer the calls of the turn before, each once, and stand before everything else.
fn results(blocks: &[Value], path: &str, open: &mut Vec<String>) -> Checked<()> {
    let mut answered = ids(blocks, "tool_result", "tool_use_id");
    let first = blocks.iter().take(answered.len()).all(|block| block["type"] == "tool_result");
    ensure(first, "messages", || format!("{path}: tool results must stand before other blocks"))?;
    answered.sort_unstable();
    open.sort_unstable();
    ensure(answered == *open, "messages", || format!("{path}: calls {open:?} and results {answered:?} do not match"))?;
    open.clear();
    Ok(())
}

/// An assistant's turn does not end in thinking, and the last one, which the answer goes on from, not in white space.
fn ending(message: &Value, blocks: &[Value], path: &str, last: bool, thinks: Thinks) -> Checked<()> {
    let end = blocks.last().is_some_and(is_thinking);
    ensure(!end, "messages", || format!("{path}: the final block of an assistant turn cannot be thinking"))?;
    let text = message["content"].as_str().or_else(|| blocks.last()?["text"].as_str()).unwrap_or_default();
    let trailing = last && text.ends_with(char::is_whitespace);
    ensure(!trailing, "messages", || format!("{path}: final assistant content cannot end with white space"))?;
    ensure(!(last && thinks != Thinks::No), "messages", || {
        format!("{path}: an answer cannot be begun when thinking is enabled")
    })
}

fn ids(blocks: &[Value], kind: &str, member: &str) -> Vec<String> {
    let mine = blocks.iter().filter(|block| block["type"] == kind);
    mine.map(|block| block[member].as_str().unwrap_or_default().to_owned()).collect()
}

fn is_thinking(block: &Value) -> bool {
    block["type"] == "thinking" || block["type"] == "redacted_thinking"
}
