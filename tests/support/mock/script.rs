//! A provider that follows a script: rules in order, each a question about the request and what to answer to it.
//!
//! Does not: skip the vendor's own checks: a request is checked first, and one that no rule knows is refused, so that a
//! story that leaves its script says where. Does not speak Anthropic's protocol: what needs a script is a client of that
//! protocol on a provider of the other.
//!
//! Decision: a rule looks at the request, not at how many came before. Rejected: a queue of answers: agents ask in
//! parallel, ask again, and ask small models on the side.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::vendor::{Answer, Ask, Refusal, pieces};

const CREATED: u64 = 1_760_000_000;

/// What the provider says.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    reasoning: String,
    text: String,
    calls: Vec<Call>,
}

/// One tool call.
#[derive(Debug, Clone)]
struct Call {
    id: String,
    name: String,
    arguments: Value,
}

impl Reply {
    /// Text, and that is all so far.
    pub fn text(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    /// Thought before anything is said, as servers of this protocol tell it that show thoughts at all.
    pub fn thinking(mut self, reasoning: &str) -> Self {
        self.reasoning = reasoning.to_owned();
        self
    }

    /// And this call.
    pub fn call(mut self, id: &str, name: &str, arguments: Value) -> Self {
        self.calls.push(Call { id: id.to_owned(), name: name.to_owned(), arguments });
        self
    }

    /// As OpenAI writes it.
    pub(super) fn answer(&self, ask: &Ask, id: u64) -> Answer {
        if ask.stream { Answer::Stream(self.stream(ask, id)) } else { Answer::Unary(self.unary(ask, id)) }
    }

    fn finish(&self) -> &'static str {
        if self.calls.is_empty() { "stop" } else { "tool_calls" }
    }

    fn usage(&self, ask: &Ask) -> Value {
        let arguments: String = self.calls.iter().map(|call| call.arguments.to_string()).collect();
        let (input, output) = ask.tokens(&format!("{}{arguments}", self.text));
        json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output})
    }

    fn unary(&self, ask: &Ask, id: u64) -> Vec<u8> {
        let mut message = json!({"role": "assistant", "content": null, "refusal": null});
        if !self.reasoning.is_empty() {
            message["reasoning_content"] = json!(self.reasoning);
        }
        if !self.text.is_empty() {
            message["content"] = json!(self.text);
        }
        if !self.calls.is_empty() {
            message["tool_calls"] = self.calls.iter().map(|call| call.head(&call.arguments.to_string())).collect();
        }
        let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": self.finish()});
        let body = json!({
            "id": format!("chatcmpl-{id:08}"), "object": "chat.completion", "created": CREATED, "model": ask.model,
            "choices": [choice], "usage": self.usage(ask),
        });
        body.to_string().into_bytes()
    }

    fn stream(&self, ask: &Ask, id: u64) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let mut chunk = |choices: Value, usage: Value| {
            let mut body = json!({
                "id": format!("chatcmpl-{id:08}"), "object": "chat.completion.chunk", "created": CREATED,
                "model": ask.model, "choices": choices,
            });
            if ask.usage {
                body["usage"] = usage;
            }
            out.push(format!("data: {body}\n\n").into_bytes());
        };
        let mut delta = |delta: Value, finish: Option<&str>| {
            chunk(json!([{"index": 0, "delta": delta, "finish_reason": finish}]), Value::Null);
        };
        delta(json!({"role": "assistant", "content": "", "refusal": null}), None);
        for piece in pieces(&self.reasoning) {
            delta(json!({"reasoning_content": piece}), None);
        }
        for piece in pieces(&self.text) {
            delta(json!({"content": piece}), None);
        }
        for (index, call) in self.calls.iter().enumerate() {
            let mut head = call.head("");
            head["index"] = json!(index);
            delta(json!({"tool_calls": [head]}), None);
            for piece in pieces(&call.arguments.to_string()) {
                delta(json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}), None);
            }
        }
        delta(json!({}), Some(self.finish()));
        if ask.usage {
            chunk(json!([]), self.usage(ask));
        }
        out.push(b"data: [DONE]\n\n".to_vec());
        out
    }
}

impl Call {
    fn head(&self, arguments: &str) -> Value {
        json!({"id": self.id, "type": "function", "function": {"name": self.name, "arguments": arguments}})
    }
}

type Question = Box<dyn Fn(&Value) -> bool + Send + Sync>;

/// Rules; the first whose question the request answers with yes says what comes back.
#[derive(Default)]
pub struct Script(Vec<(Question, Reply)>);

impl Script {
    /// One more rule.
    pub fn when(mut self, question: impl Fn(&Value) -> bool + Send + Sync + 'static, reply: Reply) -> Self {
        self.0.push((Box::new(question), reply));
        self
    }

    /// The reply to a request's body.
    pub(super) fn reply(&self, body: &[u8]) -> Result<Reply, Refusal> {
        let body = serde_json::from_slice(body).unwrap_or_default();
        let found = self.0.iter().find(|(question, _)| question(&body)).map(|(_, reply)| reply.clone());
        found.ok_or_else(|| Refusal::of(400, &format!("the script has no rule for a request to {}", body["model"])))
    }
}

/// Whether the request offers this tool.
pub fn offers(name: &str) -> impl Fn(&Value) -> bool + Send + Sync + use<> {
    let name = name.to_owned();
    move |body| body["tools"].as_array().into_iter().flatten().any(|tool| tool["function"]["name"] == name.as_str())
}

/// Whether the request carries the results of all these calls.
pub fn answered(ids: &[&str]) -> impl Fn(&Value) -> bool + Send + Sync + use<> {
    let ids: BTreeSet<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    move |body| {
        let messages = body["messages"].as_array().into_iter().flatten();
        let results: BTreeSet<&str> = messages.filter_map(|message| message["tool_call_id"].as_str()).collect();
        ids.iter().all(|id| results.contains(id.as_str()))
    }
}
