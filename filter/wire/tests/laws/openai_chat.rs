//! Chat Completions written out: what its clients are told, and what its servers are asked.

use wire::format::StreamContext;
use wire::ir::{Citation, Event, Fault, FaultKind, Losses, Part, PartStart, Response, StopReason};

use crate::cases;
use crate::fold::Answer;
use crate::stream::{context, decode, encode};
use crate::tree::Tree;

const FORMAT: &str = "openai_chat";

fn cited(url: Option<&str>, title: Option<&str>, range: Option<(usize, usize)>) -> Citation {
    let own = |text: &str| text.to_owned();
    Citation { url: url.map(own), title: title.map(own), cited_text: Some("w".to_owned()), range, own: None }
}

fn text(text: &str, citations: Vec<Citation>) -> Part {
    Part::Text { text: text.to_owned(), citations, extra: wire::ir::Extra::default() }
}

fn thought(text: &str, signature: Option<&str>, redacted: bool) -> Part {
    Part::Reasoning { text: text.to_owned(), signature: signature.map(str::to_owned), redacted }
}

/// An answer no server of this format gives.
fn foreign() -> Response {
    Response {
        id: "msg_1".to_owned(),
        model: "claude".to_owned(),
        parts: vec![
            thought("Hm.", Some("sig"), false),
            thought("", Some("data"), true),
            text("Höhe: ", vec![]),
            text("4806 m", vec![cited(Some("https://e.org/"), None, None), cited(None, Some("a.txt"), None)]),
            text(".", vec![cited(Some("https://e.org/b"), Some("B"), Some((0, 1)))]),
        ],
        stop: Some(StopReason::End),
        ..Response::default()
    }
}

const ANNOTATIONS: &str = r#"[
    {"type":"url_citation","url_citation":
        {"start_index":6,"end_index":12,"title":"https://e.org/","url":"https://e.org/"}},
    {"type":"url_citation","url_citation":{"start_index":12,"end_index":13,"title":"B","url":"https://e.org/b"}}]"#;

const DETAILS: &str = r#"[{"type":"reasoning.text","text":"Hm.","signature":"sig","index":0},
    {"type":"reasoning.encrypted","data":"data","index":1}]"#;

#[test]
fn an_answer_of_another_format_is_told_whole() {
    let body = cases::inbound(FORMAT).encode_response(&foreign(), &context());
    let expected = format!(
        r#"{{"id":"chatcmpl-msg_1","object":"chat.completion","created":1700000000,"model":"claude","choices":[{{
            "index":0,"logprobs":null,"finish_reason":"stop","message":{{"role":"assistant","content":"Höhe: 4806 m.",
            "refusal":null,"reasoning_content":"Hm.","reasoning_details":{DETAILS},"annotations":{ANNOTATIONS}}}}}]}}"#
    );
    assert_eq!(Tree::parse(&body), Tree::parse(expected.as_bytes()));
}

#[test]
fn a_stream_of_another_format_is_told_whole() {
    let mut events = vec![Event::Start { id: "msg_1".to_owned(), model: "claude".to_owned(), created: None }];
    for (index, part) in foreign().parts.into_iter().enumerate() {
        let (mut signed, mut citations) = (None, vec![]);
        let (start, piece) = if let Part::Reasoning { text, signature, redacted: false } = part {
            signed = signature;
            (PartStart::Reasoning, text)
        } else if let Part::Reasoning { text, signature: Some(data), .. } = part {
            (PartStart::RedactedReasoning { data }, text)
        } else if let Part::Text { text, citations: cited, .. } = part {
            citations = cited;
            (PartStart::Text, text)
        } else {
            panic!("{part:?}")
        };
        events.push(Event::PartStart { index, part: start });
        // Anthropic cites before the text.
        events.extend(citations.into_iter().map(|citation| Event::Citation { index, citation }));
        events.extend((!piece.is_empty()).then_some(Event::Delta { index, text: piece }));
        events.extend(signed.map(|signature| Event::Signature { index, signature }));
        events.push(Event::PartEnd { index });
    }
    events.extend([Event::Stop(StopReason::End), Event::Done]);
    let bytes = encode(FORMAT, &events, StreamContext { usage: false, ..context() }).concat();
    let chunks = String::from_utf8(bytes.clone()).unwrap();
    let deltas: Vec<Tree> = chunks
        .lines()
        .filter_map(|line| line.strip_prefix("data: {"))
        .map(|data| Tree::parse(format!("{{{data}").as_bytes()).get("choices").unwrap().items()[0].clone())
        .map(|choice| choice.get("delta").unwrap().clone())
        .collect();
    let expected = [
        r#"{"role":"assistant","content":""}"#,
        r#"{"reasoning_content":"Hm.","reasoning_details":[{"type":"reasoning.text","text":"Hm.","index":0}]}"#,
        r#"{"reasoning_details":[{"type":"reasoning.text","signature":"sig","index":0}]}"#,
        r#"{"reasoning_details":[{"type":"reasoning.encrypted","data":"data","index":1}]}"#,
        r#"{"content":"Höhe: "}"#,
        r#"{"content":"4806 m"}"#,
        r#"{"annotations":[{"type":"url_citation","url_citation":
            {"start_index":6,"end_index":12,"title":"https://e.org/","url":"https://e.org/"}}]}"#,
        r#"{"content":"."}"#,
        r#"{"annotations":[{"type":"url_citation","url_citation":
            {"start_index":12,"end_index":13,"title":"B","url":"https://e.org/b"}}]}"#,
        "{}",
    ];
    assert_eq!(deltas, expected.map(|delta| Tree::parse(delta.as_bytes())));
    let told = Answer::of_events(&decode(FORMAT, &[&bytes]));
    let unary = cases::inbound(FORMAT).encode_response(&foreign(), &context());
    let unary = cases::outbound(FORMAT).decode_response(&unary).unwrap();
    assert_eq!(told.merged(), Answer::of_response(&unary).merged());
}

/// The citations of an answer, each with its text.
fn citations(parts: &[(String, Vec<Citation>)]) -> Vec<(String, Citation)> {
    parts.iter().flat_map(|(text, cited)| cited.iter().map(|c| (text.clone(), c.clone()))).collect()
}

fn of_unary(response: &Response) -> Vec<(String, Vec<Citation>)> {
    let texts = response.parts.iter().filter_map(|part| {
        let Part::Text { text, citations, .. } = part else { return None };
        Some((text.clone(), citations.clone()))
    });
    texts.collect()
}

fn of_stream(events: &[Event]) -> Vec<(String, Vec<Citation>)> {
    let mut texts: Vec<(usize, String, Vec<Citation>)> = Vec::new();
    for event in events {
        if let Event::PartStart { index, part: PartStart::Text } = event {
            texts.push((*index, String::new(), Vec::new()));
        } else if let Event::Delta { index, text } = event {
            texts.iter_mut().filter(|(at, ..)| at == index).for_each(|(_, have, _)| have.push_str(text));
        } else if let Event::Citation { index, citation } = event {
            let (.., have) = texts.iter_mut().find(|(at, ..)| at == index).unwrap();
            have.push(citation.clone());
        }
    }
    texts.into_iter().map(|(_, text, cited)| (text, cited)).collect()
}

#[test]
fn citations_are_the_same_streamed_and_whole_and_survive_the_format() {
    let mut found = 0;
    for case in cases::responses().into_iter().filter(|case| case.format == FORMAT) {
        let response = cases::outbound(FORMAT).decode_response(&case.body).unwrap();
        let expected = citations(&of_unary(&response));
        found += expected.len();
        for (text, citation) in &expected {
            let end = citation.range.map_or(0, |(_, to)| to);
            assert!(end <= text.chars().count() && citation.url.is_some(), "{}: {citation:?}", case.name);
        }
        let again = cases::inbound(FORMAT).encode_response(&response, &context());
        let again = cases::outbound(FORMAT).decode_response(&again).unwrap();
        let urls = |all: &[(String, Citation)]| all.iter().map(|(_, c)| c.url.clone()).collect::<Vec<_>>();
        assert_eq!(urls(&citations(&of_unary(&again))), urls(&expected), "{}", case.name);
        let stream = case.name.replace("/response/", "/stream/").replace(".json", ".sse");
        if let Some(stream) = cases::corpus("stream").into_iter().find(|case| case.name == stream) {
            let events = decode(FORMAT, &[&stream.body]);
            assert_eq!(citations(&of_stream(&events)), expected, "{}", stream.name);
            let bytes = encode(FORMAT, &events, context()).concat();
            let again = decode(FORMAT, &[&bytes]);
            assert_eq!(urls(&citations(&of_stream(&again))), urls(&expected), "{}", stream.name);
        }
    }
    assert!(found >= 3, "{found} citations");
}

#[test]
fn a_citation_counts_from_the_beginning_of_its_text() {
    let body = r#"{"choices":[{"message":{"content":[{"type":"text","text":"äb"},
        {"type":"thinking","thinking":[{"type":"text","text":"T"}]},{"type":"text","text":"cd"}],
        "annotations":[{"type":"url_citation","url_citation":{"url":"u","start_index":2,"end_index":3}},
        {"type":"url_citation","url_citation":{"url":"v","start_index":1,"end_index":2}},
        {"type":"file_citation","file_citation":{}}]}}]}"#;
    let response = cases::outbound(FORMAT).decode_response(body.as_bytes()).unwrap();
    let found: Vec<_> =
        citations(&of_unary(&response)).into_iter().map(|(t, c)| (t, c.url.unwrap(), c.range)).collect();
    let at = |text: &str, url: &str, range| (text.to_owned(), url.to_owned(), Some(range));
    assert_eq!(found, [at("äb", "v", (1, 2)), at("cd", "u", (0, 1))]);
}

#[test]
fn garbled_chunks_are_left_out_and_counted() {
    let case = cases::corpus("stream").into_iter().find(|case| case.name.ends_with("garbled.sse")).unwrap();
    let mut decoder = cases::outbound(FORMAT).stream_decoder();
    let mut events = Vec::new();
    decoder.push(&case.body, &mut events);
    decoder.finish(&mut events);
    assert_eq!(decoder.skipped(), 3);
    assert!(Answer::of_events(&events).done);
}

#[test]
fn a_call_that_contradicts_itself_is_no_answer() {
    let body = r#"data: {"choices":[{"delta":{"tool_calls":[
        {"index":0,"id":"a","function":{"name":"f","arguments":"{}"}},
        {"index":1,"id":"b","function":{"name":"g","arguments":""}},
        {"index":0,"function":{"arguments":"{\"x\":1}"}}]},"finish_reason":"tool_calls"}]}"#;
    let body = body.replace('\n', "") + "\n\ndata: [DONE]\n\n";
    let answer = Answer::of_events(&decode(FORMAT, &[body.as_bytes()]));
    assert!(!answer.done);
    assert_eq!(answer.fault.unwrap().kind, FaultKind::BadGateway);
}

#[test]
fn usage_is_null_in_every_chunk_but_the_last_if_asked_for() {
    let case = cases::corpus("stream").into_iter().find(|case| case.name == "anthropic/stream/text.sse").unwrap();
    let events = decode("anthropic", &[&case.body]);
    let bytes = encode(FORMAT, &events, context()).concat();
    let text = String::from_utf8(bytes).unwrap();
    let chunks: Vec<Tree> = text
        .lines()
        .filter_map(|l| l.strip_prefix("data: "))
        .filter(|d| *d != "[DONE]")
        .map(|d| Tree::parse(d.as_bytes()))
        .collect();
    let (last, others) = chunks.split_last().unwrap();
    assert!(others.iter().all(|chunk| chunk.get("usage") == Some(&Tree::Null)));
    assert!(matches!(last.get("usage"), Some(Tree::Object(_))));
    assert_eq!(last.get("choices").unwrap().items(), []);
}

#[test]
fn every_kind_of_fault_has_its_type_and_code() {
    for (kind, word, code) in [
        (FaultKind::InvalidRequest, "invalid_request_error", None),
        (FaultKind::Authentication, "invalid_request_error", Some("invalid_api_key")),
        (FaultKind::Permission, "invalid_request_error", None),
        (FaultKind::NotFound, "invalid_request_error", Some("model_not_found")),
        (FaultKind::MethodNotAllowed, "invalid_request_error", None),
        (FaultKind::TooLarge, "invalid_request_error", None),
        (FaultKind::RateLimited, "rate_limit_error", Some("rate_limit_exceeded")),
        (FaultKind::QuotaExceeded, "insufficient_quota", Some("insufficient_quota")),
        (FaultKind::Internal, "server_error", None),
        (FaultKind::BadGateway, "server_error", None),
        (FaultKind::Overloaded, "service_unavailable_error", Some("server_is_overloaded")),
        (FaultKind::Timeout, "server_error", Some("timeout")),
    ] {
        let code = code.map_or("null".to_owned(), |code| format!("{code:?}"));
        let expected = format!(r#"{{"error":{{"message":"M","type":"{word}","param":null,"code":{code}}}}}"#);
        let body = cases::inbound(FORMAT).encode_fault(&Fault::new(kind, "M"));
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }
    let fault = Fault::new(FaultKind::InvalidRequest, "M").with_param("n").with_code("c");
    let body = cases::inbound(FORMAT).encode_fault(&fault);
    let expected = r#"{"error":{"message":"M","type":"invalid_request_error","param":"n","code":"c"}}"#;
    assert_eq!(String::from_utf8(body).unwrap(), expected);
}

#[test]
fn the_words_of_an_error_are_found_wherever_they_are() {
    for (name, kind, message, code) in [
        (
            "400-top-level",
            FaultKind::InvalidRequest,
            "Model not found: grok-9",
            Some("Client specified an invalid argument"),
        ),
        ("401-detail", FaultKind::Authentication, "Unauthorized", None),
        ("402-credits", FaultKind::QuotaExceeded, "This request requires more credits.", None),
        ("404-list", FaultKind::NotFound, "models/gemini-9 is not found", None),
        ("422-detail-list", FaultKind::InvalidRequest, "Field required", None),
        ("422-message-object", FaultKind::InvalidRequest, "Extra inputs are not permitted", None),
        ("429-balance", FaultKind::QuotaExceeded, "Insufficient balance, please recharge.", Some("1113")),
        (
            "429-quota",
            FaultKind::QuotaExceeded,
            "You exceeded your current quota, please check your plan and billing details.",
            Some("insufficient_quota"),
        ),
        (
            "429-upstream",
            FaultKind::RateLimited,
            "Provider returned error: m is temporarily rate-limited upstream.",
            None,
        ),
        ("500-object", FaultKind::Internal, "CUDA error", None),
        ("500-errors", FaultKind::Internal, "Upstream is away", None),
        ("504-title", FaultKind::Timeout, "Gateway Timeout", None),
    ] {
        let (status, case) =
            cases::faults().into_iter().find(|(_, case)| case.name.ends_with(&format!("{name}.json"))).unwrap();
        let fault = cases::outbound(FORMAT).decode_fault(status, &case.body);
        let found = (fault.kind, fault.message.as_str(), fault.code.as_deref());
        assert_eq!(found, (kind, message, code), "{name}");
    }
}

fn asked(body: &str, model: &str) -> (Tree, Vec<String>) {
    let request = cases::inbound("anthropic").decode_request(body.as_bytes()).unwrap();
    let mut losses = Losses::default();
    let encoded = cases::outbound(FORMAT).encode_request(&request, model, &mut losses);
    (Tree::parse(&encoded), losses.dropped)
}

#[test]
fn schemas_are_enforced_where_they_can_be() {
    let closed =
        r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}"#;
    let open = r#"{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}"#;
    for (schema, strict, losses) in
        [(closed, ",\"strict\":true", &[][..]), (open, "", &["tools[0].strict", "output_config.format"])]
    {
        let body = format!(
            r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":"Q"}}],
                "tools":[{{"name":"f","input_schema":{schema},"strict":true}}],
                "output_config":{{"format":{{"type":"json_schema","schema":{schema}}}}}}}"#
        );
        let (encoded, dropped) = asked(&body, "target");
        let tool = format!(r#"{{"type":"function","function":{{"name":"f","parameters":{schema}{strict}}}}}"#);
        assert_eq!(encoded.get("tools").unwrap().items(), [Tree::parse(tool.as_bytes())]);
        let format =
            format!(r#"{{"type":"json_schema","json_schema":{{"name":"response","schema":{schema}{strict}}}}}"#);
        assert_eq!(encoded.get("response_format"), Some(&Tree::parse(format.as_bytes())));
        assert_eq!(dropped, losses);
    }
}

#[test]
fn results_of_tools_say_that_they_failed_and_show_their_images() {
    let (encoded, dropped) = asked(
        r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Q"},
            {"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}},
                {"type":"tool_use","id":"b","name":"f","input":{}}]},
            {"role":"user","content":[
                {"type":"tool_result","tool_use_id":"a","is_error":true,"content":"No such file"},
                {"type":"tool_result","tool_use_id":"b","content":[{"type":"text","text":"Here:"},
                    {"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBO"}}]},
                {"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBE"}},
                {"type":"document","source":{"type":"url","url":"https://e.org/a.pdf"}},
                {"type":"text","text":"And?"}]}]}"#,
        "target",
    );
    let expected = r#"[{"role":"tool","tool_call_id":"a","content":"Error:\n\nNo such file"},
        {"role":"tool","tool_call_id":"b","content":"Here:"},
        {"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBO"}},
            {"type":"file","file":{"filename":"document.pdf","file_data":"data:application/pdf;base64,JVBE"}},
            {"type":"text","text":"And?"}]}]"#;
    assert_eq!(encoded.get("messages").unwrap().items()[2..], *Tree::parse(expected.as_bytes()).items());
    assert_eq!(
        dropped,
        ["messages[2].content[0].is_error", "messages[2].content[1].content[1]", "messages[2].content[3]"]
    );
}

#[test]
fn an_answer_begun_by_the_client_is_not_gone_on_with() {
    let (_, dropped) = asked(
        r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"A is"}]}"#,
        "target",
    );
    assert_eq!(dropped, ["messages[1].content"]);
}
