//! A provider that answers whatever bytes an attack wants, and reads requests of any size without looking at them.
//!
//! Does not: check requests; the mock provider of the other stories does, and would spend the machine on 31 MiB of them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tests::client::Dialect;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// So much of a request is looked at and kept.
const SEEN: usize = 64 << 10;
const KEPT: usize = 4_096;

/// What a request is answered.
#[derive(Debug, Clone)]
pub(crate) enum Play {
    /// As the vendor would, so much later.
    Right(Duration),
    /// Exactly these bytes, head included; then the connection ends, or stays open and silent.
    Raw { bytes: Arc<Vec<u8>>, silent: bool },
}

impl Play {
    pub(crate) fn raw(bytes: Vec<u8>) -> Self {
        Self::Raw { bytes: Arc::new(bytes), silent: false }
    }

    /// A status with a JSON body.
    pub(crate) fn status(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n");
        Self::raw(format!("{head}{headers}\r\n{body}").into_bytes())
    }
}

#[derive(Default)]
struct State {
    /// By what a request's body must hold; the last one set that fits.
    plays: Vec<(String, Play)>,
    seen: Vec<String>,
}

pub(crate) struct Sink {
    addr: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Sink {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    let _ = serve(stream, &state).await;
                });
            }
        });
        Self { addr, state }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on requests whose body holds `mark` are answered so.
    pub(crate) fn on(&self, mark: &str, play: Play) {
        let mut state = self.state.lock().unwrap();
        state.plays.retain(|(known, _)| known != mark);
        state.plays.push((mark.to_owned(), play));
    }

    /// The beginnings of the bodies that came and hold `mark`.
    pub(crate) fn seen(&self, mark: &str) -> Vec<String> {
        self.state.lock().unwrap().seen.iter().filter(|body| body.contains(mark)).cloned().collect()
    }

    pub(crate) fn forget(&self) {
        self.state.lock().unwrap().seen.clear();
    }
}

async fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut buffer, mut chunk) = (Vec::new(), vec![0; 256 << 10]);
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            match stream.read(&mut chunk).await? {
                0 => return Ok(()),
                n => buffer.extend_from_slice(&chunk[..n]),
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
        let length = head.split("\r\ncontent-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        let mut body = buffer.split_off(end);
        buffer.clear();
        let mut left = length.unwrap_or(0_usize).saturating_sub(body.len());
        while left > 0 {
            let n = stream.read(&mut chunk).await?;
            if n == 0 {
                return Ok(());
            }
            left = left.saturating_sub(n);
            body.extend_from_slice(&chunk[..n.min(SEEN.saturating_sub(body.len()))]);
        }
        body.truncate(SEEN);
        let body = String::from_utf8_lossy(&body).into_owned();
        let play = {
            let mut state = state.lock().unwrap();
            let play = state.plays.iter().rev().find(|(mark, _)| body.contains(mark)).map(|(_, play)| play.clone());
            if state.seen.len() < KEPT {
                state.seen.push(body.chars().take(4_096).collect());
            }
            play.unwrap_or(Play::Right(Duration::ZERO))
        };
        match play {
            Play::Right(later) => {
                tokio::time::sleep(later).await;
                let dialect = if head.contains("/messages ") { Dialect::Anthropic } else { Dialect::OpenAi };
                stream.write_all(&right(dialect, body.contains(r#""stream":true"#))).await?;
            }
            Play::Raw { bytes, silent } => {
                stream.write_all(&bytes).await?;
                while silent && stream.read(&mut chunk).await? > 0 {}
                return Ok(());
            }
        }
    }
}

/// The smallest good answer, with its head.
fn right(dialect: Dialect, stream: bool) -> Vec<u8> {
    if stream {
        let mut out = stream_head();
        out.extend(good_events(dialect).iter().flat_map(|event| chunk(event.as_bytes())));
        out.extend_from_slice(b"0\r\n\r\n");
        return out;
    }
    let body = right_body(dialect);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.into_bytes(), body.into_bytes()].concat()
}

/// The body of a smallest good answer.
pub(crate) fn right_body(dialect: Dialect) -> String {
    match dialect {
        Dialect::OpenAi => json!({
            "id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }),
        Dialect::Anthropic => json!({
            "id": "m", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }),
    }
    .to_string()
}

/// The head of a stream whose events follow as chunks.
pub(crate) fn stream_head() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()
}

/// One chunk of a chunked body.
pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// The events of a good stream; what begins it, and what ends it.
pub(crate) fn good_events(dialect: Dialect) -> Vec<String> {
    let (begin, end) = framed(dialect);
    [begin, end].concat()
}

/// What stands before and after an attack's own events, so that the stream is a good one but for them.
pub(crate) fn framed(dialect: Dialect) -> (Vec<String>, Vec<String>) {
    let plain = |data: serde_json::Value| format!("data: {data}\n\n");
    let named = |name: &str, data: serde_json::Value| format!("event: {name}\ndata: {data}\n\n");
    match dialect {
        Dialect::OpenAi => {
            let chunk = |delta: serde_json::Value, stop: serde_json::Value| {
                plain(json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                    "choices": [{"index": 0, "delta": delta, "finish_reason": stop}]}))
            };
            let begin = vec![chunk(json!({"role": "assistant", "content": "hello"}), json!(null))];
            (begin, vec![chunk(json!({}), json!("stop")), "data: [DONE]\n\n".to_owned()])
        }
        Dialect::Anthropic => {
            let message = json!({"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [],
                "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": 1}});
            let begin = vec![
                named("message_start", json!({"type": "message_start", "message": message})),
                named(
                    "content_block_start",
                    json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
                ),
                named(
                    "content_block_delta",
                    json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}}),
                ),
                named("content_block_stop", json!({"type": "content_block_stop", "index": 0})),
            ];
            let end = vec![
                named(
                    "message_delta",
                    json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
                        "usage": {"output_tokens": 1}}),
                ),
                named("message_stop", json!({"type": "message_stop"})),
            ];
            (begin, end)
        }
    }
}
