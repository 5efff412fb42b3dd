//! What an answer says, read in the client's dialect as strictly as a vendor's own library reads it.
//!
//! Does not: use `wire`: a reader that shares code with the writer would share its mistakes.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::client::{Answer, Dialect};

/// The content of an answer, whatever dialect and framing carried it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    pub model: String,
    pub text: String,
    /// Names and arguments of calls.
    pub tools: Vec<(String, Value)>,
    /// `finish_reason` or `stop_reason`.
    pub stop: String,
    /// Input and output tokens.
    pub usage: Option<(u64, u64)>,
}

impl Said {
    /// Reads an answer.
    ///
    /// # Errors
    /// It is no success, broke off, or is not well formed.
    pub fn read(dialect: Dialect, stream: bool, answer: &Answer) -> Result<Self> {
        ensure!(answer.status == 200, "status {}: {}", answer.status, answer.text());
        ensure!(answer.broken.is_none(), "{}: {}", answer.broken.as_deref().unwrap_or_default(), answer.text());
        let body = answer.body();
        let expected = if stream { "text/event-stream" } else { "application/json" };
        let kind = answer.header("content-type");
        ensure!(kind.starts_with(expected), "content-type {kind}: {}", answer.text());
        let said = match (dialect, stream) {
            (Dialect::OpenAi, false) => openai(&serde_json::from_slice(&body)?),
            (Dialect::Anthropic, false) => anthropic(&serde_json::from_slice(&body)?),
            (Dialect::OpenAi, true) => openai_stream(&events(&body)?),
            (Dialect::Anthropic, true) => anthropic_stream(&events(&body)?),
        };
        said.with_context(|| answer.text())
    }

    /// Type and message of an error body, if it has the dialect's shape.
    ///
    /// # Errors
    /// It has not.
    pub fn error(dialect: Dialect, answer: &Answer) -> Result<(String, String)> {
        let kind = answer.header("content-type");
        ensure!(kind.starts_with("application/json"), "{} content-type {kind}: {}", answer.status, answer.text());
        let body: Value = serde_json::from_slice(&answer.body()).with_context(|| answer.text())?;
        ensure!(dialect == Dialect::OpenAi || body["type"] == "error", "no `type: error` in {body}");
        ensure!(dialect == Dialect::Anthropic || body.get("type").is_none(), "Anthropic's shape in {body}");
        let text = |name: &str| body["error"][name].as_str().map(str::to_owned);
        Ok((text("type").context(body.to_string())?, text("message").context(body.to_string())?))
    }
}

/// The text in the whole events of a stream that has not ended.
pub fn text_so_far(dialect: Dialect, body: &[u8]) -> String {
    let whole = body.windows(2).rposition(|pair| pair == b"\n\n").map_or(0, |at| at + 2);
    let path = match dialect {
        Dialect::OpenAi => "/choices/0/delta/content",
        Dialect::Anthropic => "/delta/text",
    };
    let events = events(&body[..whole]).unwrap_or_default();
    let bodies = events.iter().filter_map(|(_, data)| serde_json::from_str::<Value>(data).ok());
    bodies.filter_map(|body| body.pointer(path)?.as_str().map(str::to_owned)).collect()
}

/// `event` and `data` of each server-sent event.
///
/// # Errors
/// The bytes are no whole events.
pub fn events(body: &[u8]) -> Result<Vec<(String, String)>> {
    let text = std::str::from_utf8(body).context("the stream is not UTF-8")?;
    ensure!(text.ends_with("\n\n"), "the stream ends inside an event: {text}");
    let mut out = Vec::new();
    for block in text.split_terminator("\n\n") {
        let (mut event, mut data) = (String::new(), String::new());
        for line in block.lines().filter(|line| !line.starts_with(':')) {
            match line.split_once(": ") {
                Some(("event", name)) => event = name.to_owned(),
                Some(("data", value)) => data.push_str(value),
                _ => bail!("not a line of an event: {line:?}"),
            }
        }
        // Comments alone keep a connection warm; no client library sees them.
        if !(event.is_empty() && data.is_empty()) {
            out.push((event, data));
        }
    }
    Ok(out)
}

fn openai(body: &Value) -> Result<Said> {
    ensure!(body["object"] == "chat.completion", "object {}", body["object"]);
    ensure!(body["id"].is_string() && body["created"].is_u64(), "no id or created");
    let choice = &body["choices"][0];
    ensure!(choice["message"]["role"] == "assistant", "role {}", choice["message"]["role"]);
    let calls = choice["message"]["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    let calls = calls.iter().map(|call| {
        ensure!(call["id"].is_string() && call["type"] == "function", "a call without id or type: {call}");
        Ok((word(&call["function"]["name"])?, word(&call["function"]["arguments"])?))
    });
    let tools = parsed(calls.collect::<Result<Vec<_>>>()?)?;
    Ok(Said {
        model: word(&body["model"])?,
        text: choice["message"]["content"].as_str().unwrap_or_default().to_owned(),
        tools,
        stop: word(&choice["finish_reason"])?,
        usage: pair(&body["usage"], "prompt_tokens", "completion_tokens"),
    })
}

fn openai_stream(events: &[(String, String)]) -> Result<Said> {
    let (last, chunks) = events.split_last().context("no event")?;
    ensure!(last.1 == "[DONE]", "the last event is {}", last.1);
    let (mut said, mut calls) = (Said::default(), Vec::<(String, String)>::new());
    for (event, data) in chunks {
        ensure!(event.is_empty(), "a named event: {event}");
        let chunk: Value = serde_json::from_str(data)?;
        ensure!(chunk["object"] == "chat.completion.chunk", "{chunk}");
        said.model = word(&chunk["model"])?;
        said.usage = pair(&chunk["usage"], "prompt_tokens", "completion_tokens").or(said.usage);
        let choice = &chunk["choices"][0];
        said.text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let index = call["index"].as_u64().and_then(|n| usize::try_from(n).ok()).context("index")?;
            if index == calls.len() {
                ensure!(call["id"].is_string() && call["type"] == "function", "a call without id or type: {call}");
                calls.push((word(&call["function"]["name"])?, String::new()));
            }
            let open = calls.get_mut(index).with_context(|| format!("call {index} comes too early"))?;
            open.1.push_str(call["function"]["arguments"].as_str().unwrap_or_default());
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            ensure!(said.stop.is_empty(), "two finish reasons");
            said.stop = reason.to_owned();
        }
    }
    ensure!(!said.stop.is_empty(), "no finish reason");
    said.tools = parsed(calls)?;
    Ok(said)
}

fn anthropic(body: &Value) -> Result<Said> {
    ensure!(body["type"] == "message" && body["role"] == "assistant" && body["id"].is_string(), "no message");
    let mut said = Said {
        model: word(&body["model"])?,
        stop: word(&body["stop_reason"])?,
        usage: pair(&body["usage"], "input_tokens", "output_tokens"),
        ..Said::default()
    };
    for block in body["content"].as_array().context("content")? {
        match block["type"].as_str() {
            Some("text") => said.text.push_str(&word(&block["text"])?),
            Some("tool_use") => said.tools.push((word(&block["name"])?, block["input"].clone())),
            // Reasoning and the tools of the vendor's own side: nothing these stories look at.
            Some("thinking" | "redacted_thinking" | "server_tool_use" | "web_search_tool_result") => {}
            _ => bail!("unknown block {block}"),
        }
    }
    Ok(said)
}

fn anthropic_stream(events: &[(String, String)]) -> Result<Said> {
    let (mut said, mut calls) = (Said::default(), Vec::<(String, String)>::new());
    let (mut input, mut output) = (None, None);
    let (mut open, mut blocks) = (None, 0);
    // Pings may stand anywhere, and SDKs pass over them.
    let events: Vec<_> = events.iter().filter(|(event, _)| event != "ping").collect();
    for (i, (event, data)) in events.iter().enumerate() {
        let body: Value = serde_json::from_str(data)?;
        ensure!(body["type"] == event.as_str(), "event {event} carries {body}");
        ensure!((i == 0) == (event == "message_start"), "{event} is event {i}");
        ensure!((i + 1 == events.len()) == (event == "message_stop"), "{event} is event {i} of {}", events.len());
        match event.as_str() {
            "message_start" => {
                said.model = word(&body["message"]["model"])?;
                input = body["message"]["usage"]["input_tokens"].as_u64();
            }
            "content_block_start" => {
                ensure!(open.is_none() && body["index"] == blocks, "block {} opens out of order", body["index"]);
                open = Some(blocks);
                blocks += 1;
                if let Some(name) = body["content_block"]["name"].as_str() {
                    calls.push((name.to_owned(), String::new()));
                }
            }
            "content_block_delta" => {
                ensure!(open.is_some_and(|n| body["index"] == n), "a delta outside its block: {body}");
                said.text.push_str(body["delta"]["text"].as_str().unwrap_or_default());
                if let (Some(piece), Some(call)) = (body["delta"]["partial_json"].as_str(), calls.last_mut()) {
                    call.1.push_str(piece);
                }
            }
            "content_block_stop" => {
                ensure!(open.take().is_some_and(|n| body["index"] == n), "a block ends that is not open: {body}")
            }
            "message_delta" => {
                said.stop = word(&body["delta"]["stop_reason"])?;
                output = body["usage"]["output_tokens"].as_u64();
                input = body["usage"]["input_tokens"].as_u64().or(input);
            }
            "message_stop" => ensure!(open.is_none() && !said.stop.is_empty(), "it ends in the middle"),
            _ => bail!("unknown event {event}"),
        }
    }
    said.usage = input.zip(output);
    said.tools = parsed(calls)?;
    Ok(said)
}

/// Arguments as values; a call without any is one with none.
fn parsed(calls: Vec<(String, String)>) -> Result<Vec<(String, Value)>> {
    let value = |text: &str| serde_json::from_str(if text.is_empty() { "{}" } else { text });
    calls.into_iter().map(|(name, text)| Ok((name, value(&text).context(text)?))).collect()
}

fn word(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("a text was expected, not {value}"))
}

fn pair(usage: &Value, first: &str, second: &str) -> Option<(u64, u64)> {
    usage[first].as_u64().zip(usage[second].as_u64())
}
