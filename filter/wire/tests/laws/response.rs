//! Answers of one piece.

use wire::format::{INBOUND, NoAnswer};
use wire::ir::{Fault, FaultKind};

use crate::cases;
use crate::fold::Answer;
use crate::stream::context;
use crate::tree::Tree;

#[test]
fn what_is_encoded_is_read_back_as_the_same_answer() {
    let mut checked = 0;
    for case in cases::responses() {
        let response = cases::outbound(case.format).decode_response(&case.body);
        let response = response.unwrap_or_else(|e| panic!("{}: {e:?}", case.name));
        for format in INBOUND {
            let body = format.encode_response(&response, &context());
            let told = cases::outbound(format.name()).decode_response(&body).unwrap();
            let expected = Answer::of_response(&response).told_by(format.name());
            let mut told = Answer::of_response(&told).told_by(format.name());
            // An answer always says why it ended.
            if expected.stop.is_none() {
                told.stop = None;
            }
            if expected.id.is_empty() {
                told.id.clear();
            }
            assert_eq!(told, expected, "{} as {}", case.name, format.name());
        }
        checked += 1;
    }
    println!("{checked} answers");
}

#[test]
fn members_at_the_top_survive_within_the_format() {
    for case in cases::responses() {
        let response = cases::outbound(case.format).decode_response(&case.body).unwrap();
        let again = Tree::parse(&cases::inbound(case.format).encode_response(&response, &context()));
        let Tree::Object(members) = Tree::parse(&case.body) else { panic!("{}", case.name) };
        for (name, value) in members {
            let empty_id = name == "id" && value.text() == Some("");
            if !empty_id && !matches!(name.as_str(), "choices" | "content" | "usage" | "stop_reason" | "object") {
                assert_eq!(again.get(&name), Some(&value), "{}: {name}", case.name);
            }
        }
    }
}

#[test]
fn usage_alone_is_the_usage_of_the_answer() {
    for case in cases::responses() {
        let format = cases::outbound(case.format);
        let usage = format.decode_response(&case.body).unwrap().usage;
        assert_eq!(format.glance(&case.body).unwrap(), usage, "{}", case.name);
    }
}

#[test]
fn an_answer_told_as_a_stream_says_the_same() {
    for case in cases::responses() {
        let response = cases::outbound(case.format).decode_response(&case.body).unwrap();
        let whole = Answer::of_response(&response);
        let told = Answer::of_events(&response.into_events());
        assert!(told.done, "{}", case.name);
        assert_eq!(Answer { done: whole.done, ..told }, whole, "{}", case.name);
    }
}

#[test]
fn what_is_no_answer_is_known_without_building_one() {
    let fault = |kind, status, message: &str| NoAnswer::Fault(Fault { status, ..Fault::new(kind, message) });
    let limited = fault(FaultKind::RateLimited, 429, "slow down");
    for (format, body, expected) in [
        ("openai_chat", r#"{"error":{"message":"slow down","code":429}}"#, limited.clone()),
        ("openai_chat", r#"{"choices":null,"error":{"message":"slow down","code":429}}"#, limited.clone()),
        ("openai_chat", r#"{"choices":[ ],"usage":{"prompt_tokens":3}}"#, NoAnswer::Empty),
        ("openai_chat", " ", NoAnswer::Empty),
        ("anthropic", r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}"#, limited),
        ("anthropic", "", NoAnswer::Empty),
    ] {
        assert_eq!(cases::outbound(format).glance(body.as_bytes()), Err(expected), "{body}");
    }
    for body in ["<html>", "{\"choices\":[{}", "{}", "[]", r#"{"choices":7,"content":null,"x":1"#, "{\"choices\":{}}"] {
        for format in ["openai_chat", "anthropic"] {
            let told = cases::outbound(format).glance(body.as_bytes());
            assert!(matches!(told, Err(NoAnswer::Garbled(_))), "{format} {body}: {told:?}");
        }
    }
}
