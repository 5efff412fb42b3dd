//! One configuration, two dialects, and those around the gateway: providers that answer, a sidecar that knows one key.

use std::cell::RefCell;
use std::rc::Rc;

use prost::Message as _;
use sidecar_api::v1;
use wasmtime::Result;

use crate::gateway::{Answer, Gateway, Message, Reply, Seen};
use crate::host::Guest;
use crate::host::abi;
use crate::host::world::{Call, Fault};

/// What the one known key looks like on the wire. A provider must never see it.
pub const KEY: &str = "vk-known-to-the-sidecar";
pub const CONFIG: &str = r#"{"role": "plan", "config": {
    "version": 1,
    "auth": "required",
    "providers": {
        "openai": {"keys": [{"name": "k1", "models": ["*"]}, {"name": "k2", "weight": 0, "models": ["*"]}]},
        "anthropic": {"keys": [{"name": "k1", "models": ["*"]}]}
    },
    "models": {
        "both": {"candidates": [
            {"provider": "openai", "model": "gpt-4o-mini"},
            {"provider": "anthropic", "model": "claude-3-5-haiku-latest", "priority": 1}
        ]},
        "gpt": {"candidates": [{"provider": "openai", "model": "gpt-4o-mini"}]},
        "claude": {"candidates": [{"provider": "anthropic", "model": "claude-3-5-haiku-latest"}]}
    },
    "sidecar": {"key_ttl": "30s"},
    "routing": {"seed": 7}
}}"#;

pub const LANES: &[(&str, &str)] = &[
    ("openai_k1", r#"{"role": "attempt", "lane": "openai_k1"}"#),
    ("openai_k2", r#"{"role": "attempt", "lane": "openai_k2"}"#),
    ("anthropic_k1", r#"{"role": "attempt", "lane": "anthropic_k1"}"#),
];

/// The dialect of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    OpenAi,
    Anthropic,
}

/// A worker with everybody well. `None`: the guest refused its configuration.
pub fn start(guest: &Guest, fault: Option<Fault>) -> Result<Option<Gateway>> {
    let mut gateway = Gateway::start(guest, CONFIG, LANES, fault)?;
    if let Some(gateway) = &mut gateway {
        gateway.provider = Box::new(healthy);
        gateway.sidecar = Box::new(Sidecar::default().script());
    }
    Ok(gateway)
}

/// A chat request in two chunks, with the known key.
pub fn chat(dialect: Dialect, model: &str, stream: bool) -> Message {
    with_key(dialect, model, stream, KEY)
}

pub fn with_key(dialect: Dialect, model: &str, stream: bool, key: &str) -> Message {
    let body = format!(
        r#"{{"model": "{model}", "max_tokens": 32, "stream": {stream}, "messages": [{{"role": "user", "content": "hi"}}]}}"#
    );
    let bearer = format!("Bearer {key}");
    let (path, auth) = match dialect {
        Dialect::OpenAi => ("/v1/chat/completions", ("authorization", bearer.as_str())),
        Dialect::Anthropic => ("/v1/messages", ("x-api-key", key)),
    };
    let length = body.len().to_string();
    let headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "127.0.0.1:8080"),
        (":path", path),
        auth,
        ("content-type", "application/json"),
        ("content-length", &length),
        ("user-agent", "test"),
        ("x-request-id", "5f2a"),
    ];
    let (first, second) = body.as_bytes().split_at(20);
    Message::new(&headers, &[first, second])
}

/// Any lane answers as its vendor does.
pub fn healthy(seen: &Seen) -> Answer {
    let body = seen.message.body();
    let stream = body.windows(14).any(|window| window == br#""stream": true"# || &window[..13] == br#""stream":true"#);
    Answer::Whole(match (seen.lane.starts_with("openai"), stream) {
        (true, false) => json("200", OPENAI),
        (true, true) => events(OPENAI_STREAM),
        (false, false) => json("200", ANTHROPIC),
        (false, true) => events(ANTHROPIC_STREAM),
    })
}

pub fn json(status: &str, body: &str) -> Message {
    let length = body.len().to_string();
    let headers =
        [(":status", status), ("content-type", "application/json"), ("content-length", &length), ("server", "vendor")];
    let (first, second) = body.as_bytes().split_at(body.len() / 2);
    Message::new(&headers, &[first, second])
}

/// An event stream in chunks that cut events in two, and an empty chunk at its end.
fn events(text: &str) -> Message {
    let headers = [(":status", "200"), ("content-type", "text/event-stream; charset=utf-8")];
    let mut chunks: Vec<&[u8]> = text.as_bytes().chunks(97).collect();
    chunks.push(b"");
    Message::new(&headers, &chunks)
}

const OPENAI: &str = r#"{"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}}"#;

const OPENAI_STREAM: &str = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"role":"assistant","content":"hel"},"finish_reason":null}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":null}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}

data: [DONE]

"#;

const ANTHROPIC: &str = r#"{"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-3-5-haiku-latest",
    "content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn", "stop_sequence": null,
    "usage": {"input_tokens": 9, "output_tokens": 2}}"#;

const ANTHROPIC_STREAM: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-3-5-haiku-latest","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hel"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lo"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2}}

event: message_stop
data: {"type":"message_stop"}

"#;

/// What the sidecar was asked, and what it answers.
#[derive(Debug, Clone, Default)]
pub struct Sidecar {
    pub seen: Rc<RefCell<Asked>>,
    /// Settlements are refused this often first.
    pub refuse: Rc<RefCell<usize>>,
}

#[derive(Debug, Default)]
pub struct Asked {
    pub admits: usize,
    pub settled: Vec<v1::Settlement>,
}

impl Sidecar {
    pub fn script(self) -> impl FnMut(&Call) -> Reply {
        move |call| {
            assert_eq!((call.cluster.as_str(), call.service.as_str()), ("sidecar", sidecar_api::SERVICE));
            assert!(call.timeout_ms > 0, "a call without a deadline can wait for ever");
            match call.method.as_str() {
                sidecar_api::ADMIT => Some(Ok(self.admit(&call.message).encode_to_vec())),
                sidecar_api::SETTLE => Some(self.settle(&call.message)),
                other => panic!("the guest called {other}"),
            }
        }
    }

    fn admit(&self, message: &[u8]) -> v1::AdmitResponse {
        let request = v1::AdmitRequest::decode(message).unwrap_or_else(|e| panic!("{e}: {message:?}"));
        let vm_nonce = if request.hello { vec![7; sidecar_api::NONCE_LEN] } else { Vec::new() };
        // Nobody's price is known.
        let unknown = |name: &v1::ModelName| {
            let v1::ModelName { provider, model } = name.clone();
            v1::Rates { provider, model, ..Default::default() }
        };
        let rates = request.rates.iter().map(unknown).collect();
        if request.key_sha256.is_empty() {
            return v1::AdmitResponse { vm_nonce, ttl_ms: 30_000, generation: 1, rates, ..Default::default() };
        }
        self.seen.borrow_mut().admits += 1;
        let known = request.key_sha256 == engine::keys::digest(KEY.as_bytes());
        let verdict =
            if known { v1::admit_response::Verdict::Admitted } else { v1::admit_response::Verdict::UnknownKey };
        let key = known.then(|| v1::KeyRecord { name: "known".to_owned(), ..Default::default() });
        v1::AdmitResponse {
            verdict: verdict.into(),
            key,
            ttl_ms: 30_000,
            generation: 1,
            vm_nonce,
            ..Default::default()
        }
    }

    fn settle(&self, message: &[u8]) -> Result<Vec<u8>, u32> {
        let mut refuse = self.refuse.borrow_mut();
        if *refuse > 0 {
            *refuse -= 1;
            return Err(14);
        }
        let request = v1::SettleRequest::decode(message).expect("the guest encodes its own message");
        self.seen.borrow_mut().settled.extend(request.settlements);
        Ok(v1::SettleResponse { generation: 1 }.encode_to_vec())
    }
}

/// Did this secret reach a provider?
pub fn leaked(seen: &Seen, secret: &str) -> bool {
    let within = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    within(&abi::encode_pairs(&seen.message.headers)) || within(&seen.message.body())
}
