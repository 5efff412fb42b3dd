//! What clients send: every place of `tests/corpus/<format>/parameter.json`, and crossings of two places by hand.

use std::collections::BTreeSet;

use serde_json::Value;
use wasmtime::Result;

use super::bomb::{Bomb, bombs};
use super::{Case, Cost, gateway, hold, measure};
use crate::fixture::KEY;
use crate::gateway::Message;

/// An operation, and the providers that are tried in turn: all but the last answer 503, so one exchange goes each way.
struct Way {
    /// The client's format and the path it asks.
    format: &'static str,
    path: &'static str,
    providers: &'static [&'static str],
}

/// The samples of a table, each over the table's minimal body.
pub fn samples(format: &str, table: &str) -> Vec<Value> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");
    let file = format!("{root}/{format}/{table}.json");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file}: {e}"));
    let table: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{file}: {e}"));
    let rows = table["rows"].as_array().expect("a table has rows");
    let over = |row: &Value| {
        let mut body = table["minimal"].clone();
        for (name, value) in row["sample"].as_object().expect("a row has a sample") {
            body[name.as_str()] = value.clone();
        }
        body
    };
    rows.iter().map(over).collect()
}

/// All bombs of a table.
pub fn all(format: &str, table: &str) -> Vec<Bomb> {
    let mut seen = BTreeSet::new();
    samples(format, table).iter().flat_map(|sample| bombs(sample, &mut seen)).collect()
}

fn ask(way: &Way, body: &[u8]) -> Result<Cost> {
    let mut gateway = gateway(way.providers);
    let length = body.len().to_string();
    let bearer = format!("Bearer {KEY}");
    let headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "127.0.0.1:8080"),
        (":path", way.path),
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("content-length", &length),
    ];
    let (first, second) = body.split_at(body.len() / 2);
    let (cost, _) = measure(&mut gateway, &Message::new(&headers, &[first, second]), body)?;
    Ok(cost)
}

fn law(way: &Way) {
    let case = |bomb: Bomb, known| {
        let name = format!("{}: {}", way.path, bomb.name);
        Case { name, known, run: Box::new(move |size| ask(way, &bomb.body(size))) }
    };
    let tables = all(way.format, "parameter").into_iter().map(|bomb| case(bomb, false));
    let crossed = crossings(way.format).into_iter().map(|bomb| case(bomb, true));
    hold(&tables.chain(crossed).collect::<Vec<_>>());
}

/// Bombs in two places at once: each was, or would be, the square of a body that is linear in either place.
fn crossings(format: &str) -> Vec<Bomb> {
    let hand = |name: &str, body: &str, unit: &str| Bomb::by_hand(name, body, unit, ",");
    let head = r#"{"model":"m","max_tokens":5,"#;
    let closed = r#""type":"object","additionalProperties":false"#;
    let long = "n".repeat(800);
    match format {
        "openai_chat" => vec![
            hand(
                "system turns in a row",
                &format!(r#"{head}"messages":[@,{{"role":"user","content":"Q"}}]}}"#),
                r#"{"role":"system","content":"a"}"#,
            ),
            hand(
                "functions",
                &format!(r#"{head}"messages":[{{"role":"user","content":"Q"}}],"functions":[@]}}"#),
                r#"{"name":""}"#,
            ),
            hand(
                "one definition of many schemas",
                &format!(
                    r#"{head}"messages":[{{"role":"user","content":"Q"}}],"response_format":{{"type":"json_schema","json_schema":{{"name":"r","strict":true,"schema":{{{closed},"$defs":{{"{long}":{{"anyOf":[@]}}}}}}}}}}}}"#
                ),
                "{}",
            ),
            hand(
                "references in a row",
                &format!(
                    r#"{head}"messages":[{{"role":"user","content":"Q"}}],"tools":[{{"type":"function","function":{{"name":"f","strict":true,"parameters":{{{closed},"$defs":{{@}}}}}}}}]}}"#
                ),
                r##""d#":{"$ref":"#/$defs/d"}"##,
            ),
            hand(
                "marked parts",
                &format!(r#"{head}"messages":[{{"role":"user","content":[@]}}]}}"#),
                r#"{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}"#,
            ),
            hand(
                "images with a spelling",
                &format!(r#"{head}"messages":[{{"role":"user","content":[@]}}]}}"#),
                r#"{"type":"image_url","image_url":{"url":"https://a","detail":"auto"}}"#,
            ),
            hand(
                "unsigned reasoning",
                &format!(
                    r#"{head}"messages":[{{"role":"assistant","content":"A","reasoning_details":[@]}},{{"role":"user","content":"Q"}}]}}"#
                ),
                r#"{"type":"reasoning.text","text":"a","index":#}"#,
            ),
            hand(
                "calls and results",
                &format!(r#"{head}"messages":[{{"role":"user","content":"Q"}},@]}}"#),
                r#"{"role":"assistant","tool_calls":[{"id":"c#","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c#","content":""}"#,
            ),
        ],
        _ => vec![
            hand(
                "documents inside documents",
                &format!(r#"{head}"messages":[{{"role":"user","content":[@]}}]}}"#),
                r#"{"type":"document","source":{"type":"content","content":[{"type":"text","text":"a"}]}}"#,
            ),
            hand(
                "required properties",
                &format!(
                    r#"{head}"messages":[{{"role":"user","content":"Q"}}],"tools":[{{"name":"f","strict":true,"input_schema":{{{closed},"required":[@],"properties":{{"a":{{}}}}}}}}]}}"#
                ),
                r#""k#""#,
            ),
            hand(
                "strict tools of references",
                &format!(r#"{head}"messages":[{{"role":"user","content":"Q"}}],"tools":[@]}}"#),
                r##"{"name":"f","strict":true,"input_schema":{"type":"object","$defs":{"a":{"$ref":"#/$defs/b"}}}}"##,
            ),
            hand(
                "unsigned thinking",
                &format!(r#"{head}"messages":[@,{{"role":"user","content":"Q"}}]}}"#),
                r#"{"role":"assistant","content":[{"type":"thinking","thinking":"a","signature":""},{"type":"text","text":"b"}]}"#,
            ),
            hand(
                "results with images",
                &format!(r#"{head}"messages":[{{"role":"user","content":[@]}}]}}"#),
                r#"{"type":"tool_result","tool_use_id":"t#","content":[{"type":"image","source":{"type":"url","url":"https://a"}}]}"#,
            ),
        ],
    }
}

/// To its own vendor as it is, to a server that minds some members, and translated.
#[test]
fn a_request_of_openai() {
    let providers = &["openai", "groq", "anthropic"];
    law(&Way { format: "openai_chat", path: "/v1/chat/completions", providers });
}

/// To its own vendor as it is, and translated for a server that forgets reasoning and one that keeps it.
#[test]
fn a_request_of_anthropic() {
    let providers = &["anthropic", "openai", "openrouter"];
    law(&Way { format: "anthropic", path: "/v1/messages", providers });
}

#[test]
fn a_request_to_count() {
    law(&Way { format: "anthropic", path: "/v1/messages/count_tokens", providers: &["anthropic"] });
}
