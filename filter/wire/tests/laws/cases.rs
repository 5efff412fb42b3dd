//! All cases: `tests/corpus` of the repository, and recordings if `ATTACHE_RECORDINGS` names them (or they lie beside
//! the repository).

#![expect(clippy::disallowed_methods, reason = "tests read their cases from files")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::value::RawValue;
use wire::format::{INBOUND, Inbound, Outbound};
use wire::json::{self, Object};
use wire::provider;

use crate::walk::row;

/// One body and where it is from.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) format: &'static str,
    pub(crate) body: Vec<u8>,
}

/// One recorded exchange.
#[derive(Clone)]
pub(crate) struct Exchange {
    pub(crate) request: Option<Case>,
    pub(crate) status: u16,
    pub(crate) response: Option<Case>,
}

pub(crate) fn inbound(name: &str) -> &'static dyn Inbound {
    *INBOUND.iter().find(|format| format.name() == name).unwrap()
}

/// The outbound half, as the format's own vendor speaks it.
pub(crate) fn outbound(name: &str) -> &'static dyn Outbound {
    let vendor = if name == "openai_chat" { "openai" } else { name };
    provider::find(vendor).unwrap().format
}

/// Every format some provider speaks.
pub(crate) fn formats() -> Vec<&'static dyn Outbound> {
    let mut formats: Vec<&dyn Outbound> = provider::names().map(|name| provider::find(name).unwrap().format).collect();
    formats.sort_by_key(|format| format.name());
    formats.dedup_by_key(|format| format.name());
    formats
}

/// Of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The corpus cases of one kind (`request`, `response`, `stream`, `event`, `fault`), all formats.
pub(crate) fn corpus(kind: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for format in INBOUND {
        let folder = root().join("tests/corpus").join(format.name()).join(kind);
        let mut files: Vec<PathBuf> = fs::read_dir(&folder)
            .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "{} is empty", folder.display());
        for file in files {
            let name = format!("{}/{kind}/{}", format.name(), file.file_name().unwrap().to_string_lossy());
            cases.push(Case { name, format: format.name(), body: fs::read(&file).unwrap() });
        }
    }
    cases
}

/// The recorded exchanges of all formats, read once.
pub(crate) fn recordings() -> impl Iterator<Item = Exchange> {
    static READ: OnceLock<Vec<Exchange>> = OnceLock::new();
    READ.get_or_init(read_recordings).iter().cloned()
}

/// Says aloud how many there are.
fn read_recordings() -> Vec<Exchange> {
    let folder =
        std::env::var_os("ATTACHE_RECORDINGS").map_or_else(|| root().join("../shared/recordings"), PathBuf::from);
    if !folder.is_dir() {
        println!("no recordings at {}: the corpus alone is checked", folder.display());
        return Vec::new();
    }
    let mut exchanges = Vec::new();
    for format in INBOUND {
        let mut files: Vec<PathBuf> =
            fs::read_dir(folder.join(format.name())).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        exchanges.extend(files.iter().map(|file| exchange(format.name(), file)));
    }
    println!("{} recorded exchanges", exchanges.len());
    exchanges
}

fn exchange(format: &'static str, file: &Path) -> Exchange {
    let bytes = fs::read(file).unwrap();
    let mut o = Object::parse(&bytes).unwrap();
    let name = format!("{format}/{}", file.file_name().unwrap().to_string_lossy());
    let half = |raw: Option<&RawValue>| {
        let text = json::members(raw?).into_iter().find(|(name, _)| name == "text")?.1;
        let body = json::text(text, "").unwrap().into_owned().into_bytes();
        Some(Case { name: name.clone(), format, body })
    };
    let (request, response) = (o.raw("request").unwrap(), o.raw("response").unwrap());
    let status = Object::of(response.unwrap(), "").unwrap().u64("status").unwrap().unwrap();
    Exchange { request: half(request), status: u16::try_from(status).unwrap(), response: half(response) }
}

/// All requests.
pub(crate) fn requests() -> Vec<Case> {
    let recorded = recordings().filter_map(|exchange| exchange.request);
    corpus("request").into_iter().chain(parameters()).chain(recorded).collect()
}

/// A request for every documented parameter, those that are refused left out.
pub(crate) fn parameters() -> Vec<Case> {
    let mut cases = Vec::new();
    for format in INBOUND {
        for row in row::rows(format.name(), "parameter") {
            let case = Case {
                name: format!("{}/parameter {}", format.name(), row.label),
                format: format.name(),
                body: row.with.line().into_bytes(),
            };
            cases.extend(format.decode_request(&case.body).is_ok().then_some(case));
        }
    }
    cases
}

/// All good answers of one piece.
pub(crate) fn responses() -> Vec<Case> {
    let good = |e: &Exchange| e.status == 200;
    let recorded = recordings().filter(good).filter_map(|exchange| exchange.response);
    corpus("response").into_iter().chain(recorded.filter(|case| !is_stream(case))).collect()
}

/// All streams.
pub(crate) fn streams() -> Vec<Case> {
    let good = |e: &Exchange| e.status == 200;
    let recorded = recordings().filter(good).filter_map(|exchange| exchange.response);
    let own = corpus("stream").into_iter().chain(corpus("event"));
    own.chain(recorded.filter(is_stream)).collect()
}

fn is_stream(case: &Case) -> bool {
    !case.body.trim_ascii_start().starts_with(b"{")
}

/// All error answers with their status. Corpus files begin with it: `429-rate-limit.json`.
pub(crate) fn faults() -> Vec<(u16, Case)> {
    let own = corpus("fault").into_iter().map(|case| (status_of(&case), case));
    let recorded = recordings().filter(|e| e.status >= 400);
    own.chain(recorded.filter_map(|e| Some((e.status, e.response?)))).collect()
}

/// The status a corpus file of an error begins with.
pub(crate) fn status_of(case: &Case) -> u16 {
    case.name.rsplit('/').next().and_then(|file| file.get(..3)).unwrap().parse().unwrap()
}
