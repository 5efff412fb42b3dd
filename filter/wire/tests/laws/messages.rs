//! What Anthropic's own clients demand of answers, and what the laws for all formats do not say about its streams.

use wire::format::{INBOUND, StreamContext, label};
use wire::ir::{Event, Fault, FaultKind, Losses, Operation, PartStart, StopReason};

use crate::cases::{self, Case};
use crate::stream::{context, decode};
use crate::tree::Tree;

/// Members of the vendor's types that are always there, null or not.
const MESSAGE: &[&str] =
    &["id", "type", "role", "model", "content", "container", "stop_reason", "stop_sequence", "stop_details", "usage"];
const USAGE: &[&str] = &[
    "input_tokens",
    "output_tokens",
    "cache_creation",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "inference_geo",
    "output_tokens_details",
    "server_tool_use",
    "service_tier",
];

fn has(tree: &Tree, members: &[&str], at: &str) {
    for name in members {
        assert!(tree.get(name).is_some(), "{name} is missing: {at}");
    }
}

/// Everything of `less` is in `more`.
fn within(less: &Tree, more: &Tree, at: &str) {
    match (less, more) {
        (Tree::Object(members), Tree::Object(_)) => {
            for (name, value) in members {
                let Some(more) = more.get(name) else { panic!("{name} is lost: {at}") };
                within(value, more, at);
            }
        }
        (Tree::Array(a), Tree::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).for_each(|(less, more)| within(less, more, at));
        }
        _ => assert_eq!(less, more, "{at}"),
    }
}

#[test]
fn answers_lose_nothing_within_the_format() {
    let mut checked = 0;
    let reserved = |case: &Case| String::from_utf8_lossy(&case.body).contains("attache_output");
    for case in cases::responses().into_iter().filter(|case| case.format == "anthropic" && !reserved(case)) {
        let response = cases::outbound("anthropic").decode_response(&case.body).unwrap();
        let again = cases::inbound("anthropic").encode_response(&response, &StreamContext::default());
        within(&Tree::parse(&case.body), &Tree::parse(&again), &case.name);
        checked += 1;
    }
    println!("{checked} answers");
}

#[test]
fn answers_have_every_member_the_clients_types_require() {
    for case in cases::responses() {
        let response = cases::outbound(case.format).decode_response(&case.body).unwrap();
        let told = Tree::parse(&cases::inbound("anthropic").encode_response(&response, &context()));
        let at = &case.name;
        has(&told, MESSAGE, at);
        has(told.get("usage").unwrap(), USAGE, at);
        assert!(told.get("id").and_then(Tree::text).unwrap().starts_with("msg_"), "{at}");
        for block in told.get("content").unwrap().items() {
            match block.get("type").and_then(Tree::text).unwrap() {
                "text" => has(block, &["text", "citations"], at),
                "tool_use" => has(block, &["id", "name", "input", "caller"], at),
                "thinking" => has(block, &["thinking", "signature"], at),
                "redacted_thinking" => has(block, &["data"], at),
                _ => {}
            }
        }
    }
}

#[test]
fn a_refusal_is_the_reason_and_keeps_its_words() {
    let body = br#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,
        "finish_reason":"stop","message":{"role":"assistant","content":null,"refusal":"I cannot."}}]}"#;
    let response = cases::outbound("openai_chat").decode_response(body).unwrap();
    let told = Tree::parse(&cases::inbound("anthropic").encode_response(&response, &context()));
    assert_eq!(told.get("stop_reason").and_then(Tree::text), Some("refusal"));
    let details = told.get("stop_details").unwrap();
    assert_eq!(details.get("explanation").and_then(Tree::text), Some("I cannot."));
    assert_eq!(told.get("content").unwrap().items()[0].get("text").and_then(Tree::text), Some("I cannot."));
}

fn stream(name: &str) -> Case {
    let name = format!("anthropic/stream/{name}.sse");
    cases::corpus("stream").into_iter().find(|case| case.name == name).unwrap()
}

#[test]
fn a_structured_answer_streams_as_text_while_it_comes() {
    let events = decode("anthropic", &[&stream("structured-tool").body]);
    let texts: Vec<&str> = events
        .iter()
        .filter_map(|e| if let Event::Delta { text, .. } = e { Some(text.as_str()) } else { None })
        .collect();
    assert!(texts.len() > 1, "{texts:?}");
    assert_eq!(texts.concat(), r#"{"name":"Ada","age":36}"#);
    assert!(events.contains(&Event::PartStart { index: 0, part: PartStart::Text }));
    assert!(events.contains(&Event::Stop(StopReason::End)));
}

#[test]
fn what_is_garbled_is_counted_and_the_rest_goes_on() {
    let whole = stream("garbled");
    let giant = format!("data: {}\n\n", "x".repeat(2 << 20));
    for (body, expected) in [(whole.body.clone(), 3), ([giant.as_bytes(), &whole.body].concat(), 4)] {
        let (mut decoder, mut events) = (cases::outbound("anthropic").stream_decoder(), Vec::new());
        decoder.push(&body, &mut events);
        decoder.finish(&mut events);
        // What is too large ends it, and only what is passed on as it is goes on.
        let large = expected == 4;
        assert_eq!(decoder.skipped(), if large { 1 } else { expected });
        assert_eq!(events.last() == Some(&Event::Done), !large, "{events:?}");
        let (mut watch, mut out) = (cases::outbound("anthropic").stream_watch(false), Vec::new());
        watch.push(&body, &mut out);
        watch.finish(&mut out);
        assert_eq!(out, body);
        assert!(watch.done() && (1..=expected).contains(&watch.skipped()), "{}", watch.skipped());
    }
}

#[test]
fn nothing_is_skipped_in_what_the_vendor_sends() {
    for case in cases::streams().into_iter().filter(|case| case.format == "anthropic") {
        let (mut decoder, mut watch) =
            (cases::outbound("anthropic").stream_decoder(), cases::outbound("anthropic").stream_watch(false));
        decoder.push(&case.body, &mut Vec::new());
        watch.push(&case.body, &mut Vec::new());
        if !case.name.contains("garbled") {
            assert_eq!((decoder.skipped(), watch.skipped()), (0, 0), "{}", case.name);
        }
    }
}

#[test]
fn content_is_seen_with_the_event_that_brings_it() {
    for case in cases::streams().into_iter().filter(|case| case.format == "anthropic") {
        if case.name.contains("structured-tool") {
            continue;
        }
        let (mut decoder, mut watch) =
            (cases::outbound("anthropic").stream_decoder(), cases::outbound("anthropic").stream_watch(false));
        let (mut seen, mut events) = (false, Vec::new());
        for byte in case.body.chunks(1) {
            decoder.push(byte, &mut events);
            watch.push(byte, &mut Vec::new());
            seen |= events.drain(..).any(|event| event.is_content());
            assert_eq!(watch.content(), seen, "{}", case.name);
        }
    }
}

#[test]
fn tokens_are_counted_where_the_vendor_counts_them() {
    let format = cases::inbound("anthropic");
    for path in ["/v1/messages/count_tokens", "/anthropic/v1/messages/count_tokens"] {
        assert_eq!(format.claims(path), Some(Operation::CountTokens));
    }
    let request = format.decode_request(br#"{"model":"m","messages":[{"role":"user","content":"Q"}]}"#).unwrap();
    assert_eq!(request.max_tokens, None);
    assert_eq!(format.encode_count(17).as_deref(), Some(&br#"{"input_tokens":17}"#[..]));
}

/// Members that single servers add to a format.
const OF_ONE_SERVER: &[&str] = &["do_sample", "random_seed", "safe_prompt"];

#[test]
fn losses_of_documented_members_have_labels() {
    let mut other = Vec::new();
    let parameters = cases::parameters().into_iter();
    for case in cases::corpus("request").into_iter().chain(parameters).filter(|case| !case.name.contains("unknown")) {
        let request = cases::inbound(case.format).decode_request(&case.body).unwrap();
        for format in cases::formats().into_iter().filter(|format| INBOUND.iter().any(|f| f.name() == format.name())) {
            let mut losses = Losses::default();
            format.encode_request(&request, "m", &mut losses);
            let path = losses.dropped.into_iter().filter(|path| label(path) == "other");
            other.extend(path.filter(|path| !OF_ONE_SERVER.contains(&path.as_str())));
        }
    }
    assert!(other.is_empty(), "{other:#?}");
}

#[test]
fn text_in_documents_is_text_to_every_format() {
    let case =
        cases::corpus("request").into_iter().find(|case| case.name == "anthropic/request/documents.json").unwrap();
    let request = cases::inbound("anthropic").decode_request(&case.body).unwrap();
    let body = cases::outbound("openai_chat").encode_request(&request, "m", &mut Losses::default());
    let body = String::from_utf8(body).unwrap();
    for text in ["The grass is green.", "The sky is blue.", "One.\\nTwo.", "Three.\\nFour."] {
        assert!(body.contains(text), "{text}: {body}");
    }
}

#[test]
fn faults_have_the_vendors_statuses_and_words() {
    let format = cases::inbound("anthropic");
    for (kind, status, word) in [
        (FaultKind::InvalidRequest, 400, "invalid_request_error"),
        (FaultKind::Authentication, 401, "authentication_error"),
        (FaultKind::QuotaExceeded, 402, "billing_error"),
        (FaultKind::Permission, 403, "permission_error"),
        (FaultKind::NotFound, 404, "not_found_error"),
        (FaultKind::MethodNotAllowed, 405, "invalid_request_error"),
        (FaultKind::TooLarge, 413, "request_too_large"),
        (FaultKind::RateLimited, 429, "rate_limit_error"),
        (FaultKind::Internal, 500, "api_error"),
        (FaultKind::BadGateway, 502, "api_error"),
        (FaultKind::Timeout, 504, "timeout_error"),
        (FaultKind::Overloaded, 529, "overloaded_error"),
    ] {
        let fault = Fault::new(kind, "m");
        assert_eq!(format.status(&fault), status);
        let expected = format!(r#"{{"type":"error","error":{{"type":"{word}","message":"m"}},"request_id":null}}"#);
        assert_eq!(String::from_utf8(format.encode_fault(&fault)).unwrap(), expected);
    }
}
