//! Bytes on a connection, as no HTTP library would send them, and what comes back.
//!
//! Does not: know HTTP/2, or more of HTTP/1.1 than it takes to read Envoy's answers.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Envoy has an answer ready by then, or it says nothing until its own timeouts end.
const PATIENCE: Duration = Duration::from_secs(2);

/// One connection to write anything to.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

/// One answer read from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As text, since all that Envoy and the filter say by themselves is text.
    pub body: String,
}

impl Plain {
    /// A header as text; empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// It is an error in OpenAI's shape, which is what a client gets that speaks no dialect.
    pub fn is_error(&self) -> bool {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        self.status >= 400 && body["error"]["message"].is_string()
    }
}

impl Raw {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub async fn connect(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::new() })
    }

    /// Writes these bytes. That the other side has closed already is no error: its answer tells why.
    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Says that no more will be written.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next answer; `None` if the connection ends without one.
    ///
    /// # Errors
    /// Nothing comes for long, or what comes is no answer.
    pub async fn answer(&mut self) -> Result<Option<Plain>> {
        loop {
            if let Some((answer, length)) = parse(&self.read)? {
                self.read.drain(..length);
                return Ok(Some(answer));
            }
            let mut more = [0; 16 << 10];
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut more)).await;
            match read.with_context(|| format!("no answer, only {:?}", String::from_utf8_lossy(&self.read)))? {
                // A reset is an end as well.
                Ok(0) | Err(_) => {
                    ensure!(self.read.is_empty(), "cut off: {:?}", String::from_utf8_lossy(&self.read));
                    return Ok(None);
                }
                Ok(n) => self.read.extend_from_slice(&more[..n]),
            }
        }
    }

    /// The answers until the connection ends.
    ///
    /// # Errors
    /// As [`Raw::answer`]: it stays open and silent, or what comes is no answer.
    pub async fn answers(&mut self) -> Result<Vec<Plain>> {
        let mut all = Vec::new();
        while let Some(answer) = self.answer().await? {
            all.push(answer);
        }
        Ok(all)
    }
}

/// The first answer and its length, if all of it is there.
fn parse(bytes: &[u8]) -> Result<Option<(Plain, usize)>> {
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end]).context("a head that is no text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let status = status.with_context(|| format!("no status line: {head}"))?;
    let header = |line: &str| line.split_once(':').map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()));
    let headers: Vec<_> = lines.map(header).collect::<Option<_>>().with_context(|| head.to_owned())?;
    let mut answer = Plain { status, headers, body: String::new() };
    let mut at = end + 4;
    if answer.header("transfer-encoding") == "chunked" {
        loop {
            let Some(line) = find(&bytes[at..], b"\r\n") else { return Ok(None) };
            let size = usize::from_str_radix(std::str::from_utf8(&bytes[at..at + line])?, 16)?;
            let from = at + line + 2;
            let Some(chunk) = bytes.get(from..from + size) else { return Ok(None) };
            if bytes.len() < from + size + 2 {
                return Ok(None);
            }
            answer.body.push_str(&String::from_utf8_lossy(chunk));
            at = from + size + 2;
            if size == 0 {
                return Ok(Some((answer, at)));
            }
        }
    }
    let length: usize = answer.header("content-length").parse().unwrap_or(0);
    let Some(body) = bytes.get(at..at + length) else { return Ok(None) };
    answer.body = String::from_utf8_lossy(body).into_owned();
    at += length;
    Ok(Some((answer, at)))
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}
