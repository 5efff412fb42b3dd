//! Plays a recorded exchange: its status, its content type, its body in realistic chunks.
//!
//! Does not: compare the request; the caller has the journal for that.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::vendor::Answer;

/// Sizes in which a recorded unary body arrives.
const CHUNK: usize = 1400;

/// One recorded exchange.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub request_path: String,
    pub request: Vec<u8>,
    pub status: u16,
    pub response: Vec<u8>,
    content_type: String,
    /// What it says of limits.
    limits: Vec<(String, String)>,
}

impl Exchange {
    /// Reads an exchange file: `request` and `response` each with `headers` and a body in `text`.
    ///
    /// # Errors
    /// No such file, or not of this shape.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| path.display().to_string())?;
        let file: Value = serde_json::from_slice(&text)?;
        let body = |side: &str| match file[side]["text"].as_str() {
            Some(text) => Ok(text.as_bytes().to_vec()),
            None if file[side]["base64"].is_null() => Ok(Vec::new()),
            None => bail!("{}: the {side}'s body is no text", path.display()),
        };
        let header = |name: &str| file["response"]["headers"][name].as_str().map(str::to_owned);
        let headers = file["response"]["headers"].as_object().into_iter().flatten();
        let limits = headers.filter(|(name, _)| *name == "retry-after" || name.contains("ratelimit"));
        Ok(Self {
            request_path: file["request"]["path"].as_str().unwrap_or_default().to_owned(),
            request: body("request")?,
            status: file["response"]["status"].as_u64().and_then(|n| u16::try_from(n).ok()).context("no status")?,
            response: body("response")?,
            content_type: header("content-type").unwrap_or_else(|| "application/json".to_owned()),
            limits: limits.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect(),
        })
    }

    /// Whether it was streamed.
    pub fn streamed(&self) -> bool {
        self.content_type.starts_with("text/event-stream")
    }

    pub(super) fn headers(&self) -> Vec<(String, String)> {
        let mut out = vec![("content-type".to_owned(), self.content_type.clone())];
        out.extend(self.limits.iter().cloned());
        out
    }

    pub(super) fn answer(&self) -> Answer {
        if !self.streamed() {
            return Answer::Unary(self.response.clone());
        }
        // Whole events, as vendors flush them.
        let text = String::from_utf8_lossy(&self.response);
        let events = text.split_inclusive("\n\n").map(|event| event.as_bytes().to_vec());
        Answer::Stream(events.flat_map(|event| event.chunks(CHUNK).map(<[u8]>::to_vec).collect::<Vec<_>>()).collect())
    }
}

/// Where recorded exchanges are, if this machine has them: `ATTACHE_RECORDINGS`, else beside the repository.
pub fn recordings() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/recordings");
    let root = std::env::var_os("ATTACHE_RECORDINGS").map_or_else(beside, PathBuf::from);
    root.join("INDEX.tsv").is_file().then_some(root)
}
