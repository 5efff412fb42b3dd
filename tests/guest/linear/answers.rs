//! What providers send: every place of `tests/corpus/<format>/answer.json`, of the error bodies and of the events there;
//! streams of one event again and again, and streams cut into single bytes.

use std::collections::BTreeSet;

use serde_json::Value;
use wasmtime::Result;

use super::bomb::{Bomb, bombs};
use super::requests::all;
use super::{Case, Cost, gateway, hold, measure};
use crate::fixture::KEY;
use crate::gateway::{Answer, Message};

/// A client's path and a provider.
#[derive(Clone, Copy)]
struct Way {
    path: &'static str,
    provider: &'static str,
    /// The provider's format.
    format: &'static str,
}

const WAYS: [Way; 4] = [
    Way { path: "/v1/chat/completions", provider: "openai", format: "openai_chat" },
    Way { path: "/v1/messages", provider: "openai", format: "openai_chat" },
    Way { path: "/v1/chat/completions", provider: "anthropic", format: "anthropic" },
    Way { path: "/v1/messages", provider: "anthropic", format: "anthropic" },
];

/// What a provider answers, in pieces of this size.
struct Given {
    status: &'static str,
    stream: bool,
    piece: usize,
}

const UNARY: Given = Given { status: "200", stream: false, piece: 16 << 10 };
const STREAM: Given = Given { status: "200", stream: true, piece: 16 << 10 };

fn answer(way: Way, given: &Given, body: &[u8]) -> Result<Cost> {
    let mut gateway = gateway(&[way.provider]);
    let kind = if given.stream { "text/event-stream" } else { "application/json" };
    let head = [(":status", given.status), ("content-type", kind)];
    let chunks: Vec<&[u8]> = body.chunks(given.piece).collect();
    let said = Message::new(&head, &chunks);
    gateway.provider = Box::new(move |_| Answer::Whole(said.clone()));
    let asked = format!(
        r#"{{"model":"m","max_tokens":5,"stream":{},"messages":[{{"role":"user","content":"Q"}}]}}"#,
        given.stream
    );
    let bearer = format!("Bearer {KEY}");
    let headers =
        [(":method", "POST"), (":path", way.path), ("authorization", &bearer), ("content-type", "application/json")];
    let (cost, _) = measure(&mut gateway, &Message::new(&headers, &[asked.as_bytes()]), body)?;
    Ok(cost)
}

fn cases(bombs: Vec<Bomb>, way: Way, given: &'static Given, known: bool) -> impl Iterator<Item = Case<'static>> {
    bombs.into_iter().map(move |bomb| {
        let what = if given.stream { "stream" } else { given.status };
        let name = format!("{} of {} to a client of {}: {}", what, way.provider, way.path, bomb.name);
        Case { name, known, run: Box::new(move |size| answer(way, given, &bomb.body(size))) }
    })
}

#[test]
fn a_whole_answer() {
    let of = |way: Way| cases(all(way.format, "answer"), way, &UNARY, false);
    hold(&WAYS.into_iter().flat_map(of).collect::<Vec<_>>());
}

fn files(format: &str, folder: &str) -> Vec<(String, String)> {
    let root = format!("{}/corpus/{format}/{folder}", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(&root).unwrap_or_else(|e| panic!("{root}: {e}"));
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn an_error() {
    const REFUSED: Given = Given { status: "400", ..UNARY };
    let of = |way: Way| {
        let mut seen = BTreeSet::new();
        let bodies = files(way.format, "fault").into_iter();
        let parsed = bodies.filter_map(|(_, text)| serde_json::from_str::<Value>(&text).ok());
        let bombs = parsed.flat_map(|body| bombs(&body, &mut seen)).collect();
        cases(bombs, way, &REFUSED, false)
    };
    hold(&WAYS.into_iter().flat_map(of).collect::<Vec<_>>());
}

/// The stream of all events, in its parts: each is the bytes of one event.
fn events(format: &str) -> Vec<String> {
    let text = files(format, "event").into_iter().find(|(name, _)| name == "all.sse").expect("all events").1;
    text.split_inclusive("\n\n").filter(|event| !event.starts_with(": ")).map(str::to_owned).collect()
}

/// One event of the stream again and again, and one blown up from within.
fn event_bombs(format: &str) -> Vec<Bomb> {
    let events = events(format);
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (n, event) in events.iter().enumerate() {
        let (before, after) = (events[..n].concat(), events[n + 1..].concat());
        let again = event.replace("\"index\": 0", "\"index\": #").replace("\"index\":0", "\"index\":#");
        for (kind, unit) in [("again", event), ("counted", &again)] {
            found.push(Bomb::by_hand(&format!("event {n} {kind}"), &format!("{before}@{after}"), unit, ""));
        }
        let Some((name, data)) = event.split_once("data: ") else { continue };
        let Ok(value) = serde_json::from_str::<Value>(data.trim()) else { continue };
        let inner = bombs(&value, &mut seen).into_iter();
        found.extend(inner.map(|bomb| bomb.within(&format!("{before}{name}data: "), &format!("\n\n{after}"))));
    }
    found
}

#[test]
fn a_stream() {
    let of = |way: Way| {
        let known = crossings(way.format).into_iter();
        cases(event_bombs(way.format), way, &STREAM, false).chain(cases(known.collect(), way, &STREAM, true))
    };
    hold(&WAYS.into_iter().flat_map(of).collect::<Vec<_>>());
}

/// Streams in which two things grow together.
fn crossings(format: &str) -> Vec<Bomb> {
    let chunk = |delta: &str| {
        format!("data: {{\"id\":\"c\",\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{{delta}}}}}]}}\n\n")
    };
    let open = chunk(r#""tool_calls":[{"index":0,"id":"c0","function":{"name":"f","arguments":"{"}}]"#);
    match format {
        "openai_chat" => vec![
            Bomb::by_hand(
                "parts behind an open call",
                &format!("{open}@data: [DONE]\n\n"),
                &[chunk(r#""content":"a""#), chunk(r#""refusal":"b""#)].concat(),
                "",
            ),
            Bomb::by_hand(
                "calls that interleave",
                &format!("{open}@data: [DONE]\n\n"),
                &chunk(r#""tool_calls":[{"index":#,"id":"c#","function":{"name":"f","arguments":"{"}}]"#),
                "",
            ),
            Bomb::by_hand(
                "citations behind an open call",
                &format!("{open}{}@data: [DONE]\n\n", chunk(r#""content":"a""#)),
                &chunk(r##""annotations":[{"type":"url_citation","url_citation":{"url":"https://a","title":"#"}}]"##),
                "",
            ),
        ],
        _ => vec![Bomb::by_hand(
            "blocks in a row",
            "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\"}}\n\n@data: {\"type\":\"message_stop\"}\n\n",
            "data: {\"type\":\"content_block_start\",\"index\":#,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t#\",\"name\":\"f\"}}\n\n",
            "",
        )],
    }
}

#[test]
fn a_stream_in_single_bytes() {
    const BYTES: Given = Given { piece: 1, ..STREAM };
    /// Each byte is a callback, so sizes are small.
    const LESS: usize = 64;
    let mut cases = Vec::new();
    for way in WAYS {
        let events = events(way.format);
        let (first, second) = (events[0].clone(), events[1..events.len() - 1].concat());
        let last = &events[events.len() - 1];
        for (kind, body, unit) in [
            ("all events", format!("{first}@{last}"), second),
            ("a line without end", "data: @\n\n".to_owned(), "x".to_owned()),
            ("lines without end", "data: @\n\n".to_owned(), "x\ndata: ".to_owned()),
        ] {
            let bomb = Bomb::by_hand(kind, &body, &unit, "");
            let name = format!("bytes of {} to a client of {}: {kind}", way.provider, way.path);
            cases.push(Case {
                name,
                known: false,
                run: Box::new(move |size| answer(way, &BYTES, &bomb.body(size / LESS))),
            });
        }
    }
    hold(&cases);
}
