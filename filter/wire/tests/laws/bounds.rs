//! Bounds on what is decoded: what is over one is refused in words that name the member, the count and the bound.

use wire::format::bounds::{BOUNDS, Bound, PER_BYTE, PER_VALUE};

use crate::cases;

/// A body with so many of what is bounded, and the member that is at fault.
struct Case {
    format: &'static str,
    path: &'static str,
    body: fn(usize) -> String,
}

fn many(item: &str, count: usize) -> String {
    vec![item; count].join(",")
}

fn openai(members: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"Q"}}],{members}}}"#)
}

fn openai_of(messages: &str) -> String {
    format!(r#"{{"model":"m","messages":[{messages}]}}"#)
}

fn anthropic(members: &str) -> String {
    format!(r#"{{"model":"m","max_tokens":5,"messages":[{{"role":"user","content":"Q"}}],{members}}}"#)
}

fn anthropic_of(messages: &str) -> String {
    format!(r#"{{"model":"m","max_tokens":5,"messages":[{messages}]}}"#)
}

/// The cases of a bound, by the words of its row.
fn cases_of(bound: &Bound) -> Vec<Case> {
    let openai_case = |path, body| Case { format: "openai_chat", path, body };
    let anthropic_case = |path, body| Case { format: "anthropic", path, body };
    const TURN: &str = r#"{"role":"user","content":"Q"}"#;
    const TEXT: &str = r#"{"type":"text","text":"a"}"#;
    match bound.what {
        "messages of a request" => vec![
            openai_case("messages", |n| openai_of(&many(TURN, n))),
            anthropic_case("messages", |n| anthropic_of(&many(TURN, n))),
        ],
        "content parts of a message, a `system` or a tool result" => vec![
            openai_case("messages[0].content", |n| {
                openai_of(&format!(r#"{{"role":"user","content":[{}]}}"#, many(TEXT, n)))
            }),
            anthropic_case("messages[0].content", |n| {
                anthropic_of(&format!(r#"{{"role":"user","content":[{}]}}"#, many(TEXT, n)))
            }),
            anthropic_case("system", |n| anthropic(&format!(r#""system":[{}]"#, many(TEXT, n)))),
        ],
        "`tools` (or `functions`)" => vec![
            openai_case("tools", |n| {
                openai(&format!(r#""tools":[{}]"#, many(r#"{"type":"function","function":{"name":"f"}}"#, n)))
            }),
            openai_case("functions", |n| openai(&format!(r#""functions":[{}]"#, many(r#"{"name":"f"}"#, n)))),
            anthropic_case("tools", |n| anthropic(&format!(r#""tools":[{}]"#, many(r#"{"name":"f"}"#, n)))),
        ],
        "`tool_calls` of a message" => vec![openai_case("messages[0].tool_calls", |n| {
            let call = r#"{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}"#;
            openai_of(&format!(r#"{{"role":"assistant","tool_calls":[{}]}}"#, many(call, n)))
        })],
        "`stop` (or `stop_sequences`)" => vec![
            openai_case("stop", |n| openai(&format!(r#""stop":[{}]"#, many("\"x\"", n)))),
            anthropic_case("stop_sequences", |n| anthropic(&format!(r#""stop_sequences":[{}]"#, many("\"x\"", n)))),
        ],
        "`allowed_domains` or `blocked_domains` of a search" => {
            vec![anthropic_case("tools[0].allowed_domains", |n| {
                let tool = format!(r#"{{"type":"web_search_20250305","allowed_domains":[{}]}}"#, many("\"a\"", n));
                anthropic(&format!(r#""tools":[{tool}]"#))
            })]
        }
        "members of the body, a message, a part or a tool" => vec![
            // The body has three members of its own.
            openai_case("", |n| openai(&many("\"x\":1", n - 2))),
            anthropic_case("", |n| anthropic(&many("\"x\":1", n - 3))),
            openai_case("messages[0]", |n| {
                openai_of(&format!(r#"{{"role":"user","content":"Q",{}}}"#, many("\"x\":1", n - 2)))
            }),
            anthropic_case("messages[0].content[0]", |n| {
                let block = format!(r#"{{"type":"text","text":"a",{}}}"#, many("\"x\":1", n - 2));
                anthropic_of(&format!(r#"{{"role":"user","content":[{block}]}}"#))
            }),
        ],
        "name of a tool or function" => vec![
            openai_case("tools[0].function.name", |n| {
                openai(&format!(r#""tools":[{{"type":"function","function":{{"name":"{}"}}}}]"#, "f".repeat(n)))
            }),
            anthropic_case("tools[0].name", |n| anthropic(&format!(r#""tools":[{{"name":"{}"}}]"#, "f".repeat(n)))),
        ],
        "id of a tool call" => vec![
            openai_case("messages[0].tool_call_id", |n| {
                openai_of(&format!(r#"{{"role":"tool","content":"R","tool_call_id":"{}"}}"#, "c".repeat(n)))
            }),
            anthropic_case("messages[0].content[0].tool_use_id", |n| {
                let block = format!(r#"{{"type":"tool_result","tool_use_id":"{}"}}"#, "t".repeat(n));
                anthropic_of(&format!(r#"{{"role":"user","content":[{block}]}}"#))
            }),
        ],
        // Of answers, which no client is told about.
        "`choices` of an answer" => Vec::new(),
        other => panic!("say what is over the bound on {other}"),
    }
}

#[test]
fn what_is_over_a_bound_is_refused_by_name() {
    for bound in BOUNDS {
        for case in cases_of(bound) {
            let decode = |count| cases::inbound(case.format).decode_request((case.body)(count).as_bytes());
            assert!(decode(bound.most).is_ok(), "{}: {} fit: {:?}", case.path, bound.most, decode(bound.most).err());
            let fault = decode(bound.most + 1).err().unwrap_or_else(|| panic!("{} takes one more", case.path));
            let expected = format!("found {} {}, expected at most {}", bound.most + 1, bound.unit, bound.most);
            assert_eq!((fault.path.as_str(), fault.message.as_str()), (case.path, expected.as_str()));
        }
    }
}

#[test]
fn operators_are_told_every_bound() {
    let page = include_str!("../../../docs/limits-of-bodies.md");
    for bound in BOUNDS {
        let row = format!("| {} | {} {} | {} |", bound.what, bound.most, bound.unit, bound.vendors);
        assert!(page.lines().any(|line| line == row), "missing: {row}");
    }
    let formula = format!("**{PER_BYTE} × its bytes + {PER_VALUE} × its values**");
    assert!(page.contains(&formula), "missing: {formula}");
}

#[test]
fn an_answer_of_too_many_choices_is_garbled() {
    let bound = BOUNDS.iter().find(|bound| bound.what.contains("choices")).unwrap();
    let choices = many(r#"{"message":{"content":"A"}}"#, bound.most + 1);
    let fault = cases::outbound("openai_chat").decode_response(format!(r#"{{"choices":[{choices}]}}"#).as_bytes());
    assert_eq!(fault.err().unwrap().path, "choices");
}

#[test]
fn what_is_told_back_of_a_client_is_short() {
    let long = "\\u0001".repeat(100_000);
    for format in ["openai_chat", "anthropic"] {
        let role = format!(r#"{{"model":"m","max_tokens":5,"messages":[{{"role":"{long}","content":"Q"}}]}}"#);
        for body in [role, format!("\"{long}\"")] {
            let fault = cases::inbound(format).decode_request(body.as_bytes()).err().unwrap();
            assert!(fault.message.len() < 2048, "{format}: {} bytes", fault.message.len());
        }
    }
}
