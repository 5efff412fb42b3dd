//! Requests.

use wire::ir::Losses;

use crate::cases::{self, Case};
use crate::doc::Doc;
use crate::tree::Tree;
use crate::walk::path;

fn decode(case: &Case) -> wire::ir::Request {
    cases::inbound(case.format).decode_request(&case.body).unwrap_or_else(|e| panic!("{}: {e:?}", case.name))
}

/// Spellings that mean the same and of which only one is written.
fn normal(format: &str, mut body: Tree) -> Tree {
    if format == "openai_chat" {
        // A tool without a type is a function.
        for tool in body.get_mut("tools").map(Tree::items_mut).unwrap_or_default() {
            if tool.get("type").is_none() {
                tool.set("type", Tree::Text("function".to_owned()));
            }
        }
    }
    body
}

#[test]
fn same_format_translation_loses_nothing() {
    let mut checked = 0;
    for case in cases::requests() {
        let request = decode(&case);
        let mut losses = Losses::default();
        let encoded = cases::outbound(case.format).encode_request(&request, &request.model, &mut losses);
        let (sent, encoded) = (Tree::parse(&case.body), Tree::parse(&encoded));
        assert_eq!(encoded, normal(case.format, sent), "{}", case.name);
        assert_eq!(losses, Losses::default(), "{}", case.name);
        checked += 1;
    }
    println!("{checked} requests");
}

#[test]
fn every_format_can_be_encoded_to_and_says_what_it_drops() {
    let mut misnamed = Vec::new();
    for case in cases::requests() {
        let request = decode(&case);
        for format in cases::formats() {
            let mut losses = Losses::default();
            let encoded = Tree::parse(&format.encode_request(&request, "other-model", &mut losses));
            assert_eq!(encoded.get("model").and_then(Tree::text), Some("other-model"), "{}", case.name);
            assert!(!encoded.get("messages").unwrap().items().is_empty(), "{}", case.name);
            let sent = Doc::parse(&case.body);
            for loss in &losses.dropped {
                if loss != "..." && !path::leads(&sent, loss) {
                    misnamed.push(format!("{}: {loss}", case.name));
                }
            }
        }
    }
    misnamed.sort();
    misnamed.dedup();
    assert_eq!(misnamed, Vec::<String>::new(), "losses that name what was never sent");
}

fn losses(from: &str, to: &str, messages: &str) -> Vec<String> {
    let body = format!(r#"{{"model":"m","max_tokens":9,"messages":{messages}}}"#);
    let request = cases::inbound(from).decode_request(body.as_bytes()).unwrap();
    let mut losses = Losses::default();
    cases::outbound(to).encode_request(&request, "m", &mut losses);
    losses.dropped
}

#[test]
fn what_is_lost_inside_a_tool_result_is_named_there() {
    let result = |content: &str| {
        let call = r#"{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]}"#;
        format!(
            r#"[{call},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t","content":[{content}]}}]}}]"#
        )
    };
    for (content, expected) in [
        (r#"{"type":"text","text":"a"},{"type":"text","text":"b","cache_control":{}}"#, "content[1].cache_control"),
        (r#"{"type":"text","text":"a"},{"type":"image","source":{"type":"url","url":"https://a/b"}}"#, "content[1]"),
        (r#"{"type":"text","text":"a"},{"type":"tool_reference","tool_name":"f"}"#, "content[1]"),
    ] {
        let expected = format!("messages[1].content[0].{expected}");
        assert_eq!(losses("anthropic", "openai_chat", &result(content)), [expected], "{content}");
    }
    let parts = r#"[{"role":"user","content":"q"},
        {"role":"assistant","tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]},
        {"role":"tool","tool_call_id":"t","content":[{"type":"text","text":"a"},{"type":"text","text":"b","x":1}]}]"#;
    assert_eq!(losses("openai_chat", "anthropic", parts), ["messages[2].content[1].x"]);
}

#[test]
fn lost_reasoning_has_the_name_it_was_sent_under() {
    for (member, expected) in [
        (r#""reasoning":"r""#, "reasoning"),
        (r#""reasoning_content":"r""#, "reasoning_content"),
        (r#""reasoning_content":"r","reasoning":"r""#, "reasoning_content"),
        (r#""reasoning_content":null,"reasoning":"r""#, "reasoning"),
        (r#""reasoning_content":"","reasoning":"r""#, "reasoning"),
        (r#""reasoning_details":[{"type":"reasoning.text","text":"r"}]"#, "reasoning_details"),
        (r#""reasoning":"r","reasoning_details":[{"type":"reasoning.text","text":"r","signature":""}]"#, "reasoning"),
    ] {
        let messages = format!(
            r#"[{{"role":"user","content":"q"}},{{"role":"assistant","content":"a",{member}}},{{"role":"user","content":"q"}}]"#
        );
        assert_eq!(losses("openai_chat", "anthropic", &messages), [format!("messages[1].{expected}")], "{member}");
    }
}
