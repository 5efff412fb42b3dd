//! Requests.

use wire::ir::Losses;

use crate::cases::{self, Case};
use crate::tree::Tree;

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
    for case in cases::requests() {
        let request = decode(&case);
        for format in cases::formats() {
            let mut losses = Losses::default();
            let encoded = Tree::parse(&format.encode_request(&request, "other-model", &mut losses));
            assert_eq!(encoded.get("model").and_then(Tree::text), Some("other-model"), "{}", case.name);
            assert!(!encoded.get("messages").unwrap().items().is_empty(), "{}", case.name);
            let sent = Tree::parse(&case.body);
            for loss in &losses.dropped {
                let first = loss.split(['.', '[']).next().unwrap();
                assert!(loss == "…" || sent.get(first).is_some(), "{}: {loss} was never sent", case.name);
            }
        }
    }
}
