//! An HTTP client that shows what a client of the gateway sees: every chunk with its time, and how the body ended.
//!
//! Does not: retry, follow or decompress.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Method, Request};
use hyper_util::client::legacy::{Client as Pool, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

/// No story waits longer for anything: beyond this it hangs.
const HANG: Duration = Duration::from_secs(60);

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    OpenAi,
    Anthropic,
}

/// Both dialects.
pub const DIALECTS: [Dialect; 2] = [Dialect::OpenAi, Dialect::Anthropic];

impl Dialect {
    /// The path of chat.
    pub fn path(self) -> &'static str {
        match self {
            Self::OpenAi => "/v1/chat/completions",
            Self::Anthropic => "/v1/messages",
        }
    }

    /// The status by which its clients know that nobody can take a request now.
    pub fn overloaded(self) -> u16 {
        match self {
            Self::OpenAi => 503,
            Self::Anthropic => 529,
        }
    }

    /// A smallest chat.
    pub fn chat(self, model: &str, text: &str, stream: bool) -> Call {
        let mut body = json!({"model": model, "messages": [{"role": "user", "content": text}]});
        if stream {
            body["stream"] = json!(true);
        }
        if self == Self::Anthropic {
            body["max_tokens"] = json!(256);
        }
        self.call(&body)
    }

    /// A chat with this body.
    pub fn call(self, body: &Value) -> Call {
        self.raw(body.to_string().into_bytes())
    }

    /// A chat with exactly these bytes.
    pub fn raw(self, body: Vec<u8>) -> Call {
        let call = Call {
            dialect: self,
            method: Method::POST,
            path: self.path().to_owned(),
            headers: vec![("content-type".into(), "application/json".into())],
            odd: Vec::new(),
            body,
        };
        if self == Self::Anthropic { call.header("anthropic-version", "2023-06-01") } else { call }
    }
}

/// One request.
#[derive(Debug, Clone)]
pub struct Call {
    pub dialect: Dialect,
    pub method: Method,
    pub path: String,
    pub headers: Vec<(String, String)>,
    /// Headers that need not be text.
    pub odd: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Call {
    /// A GET.
    pub fn get(path: &str) -> Self {
        let (dialect, method) = (Dialect::OpenAi, Method::GET);
        Self { dialect, method, path: path.to_owned(), headers: Vec::new(), odd: Vec::new(), body: Vec::new() }
    }

    /// One more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The body as JSON, to be changed.
    ///
    /// # Panics
    /// It is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    /// A key as the dialect's own client libraries send it.
    pub fn key(self, key: &str) -> Self {
        match self.dialect {
            Dialect::OpenAi => self.header("authorization", &format!("Bearer {key}")),
            Dialect::Anthropic => self.header("x-api-key", key),
        }
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub chunks: Vec<(Instant, Bytes)>,
    /// Why the body ended early, if it did.
    pub broken: Option<String>,
}

impl Answer {
    pub fn body(&self) -> Vec<u8> {
        self.chunks.iter().flat_map(|(_, chunk)| chunk.iter().copied()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body()).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// It is none; the message shows it.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body()).unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.text()))
    }

    /// A header as text; empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// An answer whose body is still coming.
#[derive(Debug)]
pub struct Live {
    pub status: u16,
    pub headers: HeaderMap,
    body: Incoming,
}

impl Live {
    /// The next chunk; `None` at the end.
    ///
    /// # Errors
    /// The body broke off, or nothing came for very long.
    pub async fn next(&mut self) -> Result<Option<(Instant, Bytes)>> {
        loop {
            let frame = tokio::time::timeout(HANG, self.body.frame()).await.context("the body hangs")?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(anyhow!("the body broke off: {error}")),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some((Instant::now(), data)));
                    }
                }
            }
        }
    }

    /// All the rest.
    pub async fn finish(mut self) -> Answer {
        let mut chunks = Vec::new();
        let broken = loop {
            match self.next().await {
                Ok(Some(chunk)) => chunks.push(chunk),
                Ok(None) => break None,
                Err(error) => break Some(format!("{error:#}")),
            }
        };
        Answer { status: self.status, headers: self.headers, chunks, broken }
    }
}

/// A pool of connections to one address.
#[derive(Debug, Clone)]
pub struct Client {
    pool: Pool<HttpConnector, Full<Bytes>>,
    addr: SocketAddr,
}

impl Client {
    /// HTTP/1.1 with keep-alive.
    pub fn h1(addr: SocketAddr) -> Self {
        Self::new(addr, false)
    }

    /// HTTP/2 with prior knowledge.
    pub fn h2c(addr: SocketAddr) -> Self {
        Self::new(addr, true)
    }

    fn new(addr: SocketAddr, h2: bool) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let pool = Pool::builder(TokioExecutor::new()).http2_only(h2).build(connector);
        Self { pool, addr }
    }

    /// Sends and returns at the response's head.
    ///
    /// # Errors
    /// No response, or none for very long.
    pub async fn open(&self, call: &Call) -> Result<Live> {
        let mut request = Request::builder().method(&call.method).uri(format!("http://{}{}", self.addr, call.path));
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        for (name, value) in &call.odd {
            request = request.header(name, value.as_slice());
        }
        let request = request.body(Full::new(Bytes::from(call.body.clone())))?;
        let response =
            tokio::time::timeout(HANG, self.pool.request(request)).await.context("no answer: it hangs")??;
        let (head, body) = response.into_parts();
        Ok(Live { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Sends and returns the whole answer.
    ///
    /// # Errors
    /// No response at all; a body that breaks off is told in [`Answer::broken`].
    pub async fn send(&self, call: &Call) -> Result<Answer> {
        Ok(self.open(call).await?.finish().await)
    }

    /// Sends all at once and returns the answers in order.
    ///
    /// # Errors
    /// One had no response.
    pub async fn all(&self, calls: Vec<Call>) -> Result<Vec<Answer>> {
        let tasks = calls.into_iter().map(|call| {
            let client = self.clone();
            tokio::spawn(async move { client.send(&call).await })
        });
        let mut answers = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            answers.push(task.await??);
        }
        Ok(answers)
    }
}
