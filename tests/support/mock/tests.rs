//! The mock proves itself before it proves anything else. TLS and HTTP/2 are proven by Envoy's stories.

use serde_json::{Value, json};

use super::script::{answered, offers};
use super::vendor::{Vendor, text};
use super::{Exchange, Fault, HostSpec, Mock, Reply, Script, replay};
use crate::client::{Answer, Call, Client, DIALECTS, Dialect};
use crate::said::{Said, events};

const HOST: &str = "mock.test";

fn mock() -> (Mock, Client) {
    let mock = Mock::start(&[HostSpec::plain(HOST)]).unwrap();
    let client = Client::h1(mock.host(HOST).addr());
    (mock, client)
}

fn weather(dialect: Dialect, stream: bool) -> Value {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let mut body: Value = serde_json::from_slice(&dialect.chat("m", "weather?", stream).body).unwrap();
    body["tools"] = match dialect {
        Dialect::OpenAi => json!([{"type": "function", "function": {"name": "weather", "parameters": schema}}]),
        Dialect::Anthropic => json!([{"name": "weather", "input_schema": schema}]),
    };
    body
}

async fn send(client: &Client, call: Call) -> Answer {
    client.send(&call.key("sk-test")).await.unwrap()
}

#[tokio::test]
async fn every_dialect_answers_unary_and_streamed_with_text_and_tools() {
    let (mock, client) = mock();
    for (dialect, stream) in DIALECTS.into_iter().flat_map(|d| [(d, false), (d, true)]) {
        let answer = send(&client, dialect.chat("m", "grüß dich", stream)).await;
        let said = Said::read(dialect, stream, &answer).unwrap();
        assert_eq!((said.text, said.model), (text(HOST, "m", "grüß dich"), "m".to_owned()));
        // OpenAI streams usage on demand only.
        assert_eq!(said.usage.is_some(), dialect == Dialect::Anthropic || !stream);
        let said = Said::read(dialect, stream, &send(&client, dialect.call(&weather(dialect, stream))).await).unwrap();
        let (name, arguments) = &said.tools[0];
        assert!(name == "weather" && arguments["city"].is_string(), "{name} {arguments}");
    }
    assert!(mock.journal().records(None).iter().all(|record| record.outcome == "ok" && record.protocol == "h1"));
}

#[tokio::test]
async fn usage_is_streamed_when_asked_for_and_chunks_respect_no_boundary() {
    let (_mock, client) = mock();
    let mut body = weather(Dialect::OpenAi, true);
    body["tool_choice"] = json!("none");
    body["stream_options"] = json!({"include_usage": true});
    let answer = send(&client, Dialect::OpenAi.call(&body)).await;
    assert!(Said::read(Dialect::OpenAi, true, &answer).unwrap().usage.is_some());
    assert!(events(&answer.body()).unwrap().len() > 10);
    let halves = answer.chunks.iter().filter(|(_, chunk)| std::str::from_utf8(chunk).is_err()).count();
    assert!(halves > 0, "no chunk was cut inside a character");
}

#[tokio::test]
async fn a_vendor_refuses_in_its_own_shape() {
    let (mock, client) = mock();
    for dialect in DIALECTS {
        let mut call = dialect.chat("m", "hi", false);
        call.body = b"{\"model\":\"m\",\"messages\":[]}".to_vec();
        let answer = send(&client, call).await;
        assert_eq!(answer.status, 400);
        assert_eq!(Said::error(dialect, &answer).unwrap().0, "invalid_request_error");
    }
    let bare = client.send(&Dialect::Anthropic.chat("m", "hi", false)).await.unwrap();
    assert_eq!(bare.status, 401);
    assert_eq!(mock.journal().records(Some(HOST)).len(), 3);
}

#[tokio::test]
async fn a_case_is_answered_whole_streamed_and_as_a_failure() {
    let (_mock, client) = mock();
    for dialect in DIALECTS {
        for stream in [false, true] {
            let said = send(&client, dialect.chat("any-case-text", "hi", stream)).await;
            let said = Said::read(dialect, stream, &said).unwrap();
            assert!(said.text.starts_with("Hello! 👋"), "{said:?}");
        }
        let limited = send(&client, dialect.chat("fault-429-rate-limit@7", "hi", true)).await;
        assert_eq!((limited.status, limited.header("retry-after")), (429, "7"));
        let unknown = send(&client, dialect.chat("case-nowhere", "hi", false)).await;
        assert_eq!(unknown.status, 404);
    }
}

#[tokio::test]
async fn several_choices_and_counted_tokens() {
    let (_mock, client) = mock();
    let two = json!({"model": "m", "n": 2, "messages": [{"role": "user", "content": "hi"}]});
    let answer = send(&client, Dialect::OpenAi.call(&two)).await;
    assert_eq!(answer.json()["choices"][1]["index"], 1);
    let mut call = Dialect::Anthropic.call(&json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]}));
    call.path = "/v1/messages/count_tokens".into();
    assert!(send(&client, call).await.json()["input_tokens"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn faults_come_as_ordered_and_then_stop() {
    let (mock, client) = mock();
    let host = mock.host(HOST);
    let call = Dialect::OpenAi.chat("m", "hi", true).key("sk-test");
    host.fault(Fault::rate_limited(7).next(1));
    let limited = client.send(&call).await.unwrap();
    assert_eq!((limited.status, limited.header("retry-after")), (429, "7"));
    for fault in [Fault::RstBeforeHeaders, Fault::Abort] {
        host.fault(fault.next(1));
        assert!(client.send(&call).await.is_err());
    }
    for fault in [Fault::RstAfterHeaders, Fault::RstMidStream { after: 3 }] {
        host.fault(fault.next(1));
        let answer = client.send(&call).await.unwrap();
        assert!(answer.status == 200 && answer.broken.is_some());
    }
    host.fault(Fault::CutShort { after: 3 }.next(1));
    let cut = client.send(&call).await.unwrap();
    assert!(cut.broken.is_none() && events(&cut.body()).unwrap().len() == 3);
    host.refuse();
    assert!(client.send(&call).await.is_err());
    host.accept().unwrap();
    assert!(Said::read(Dialect::OpenAi, true, &client.send(&call).await.unwrap()).is_ok());
}

#[tokio::test]
async fn odd_answers_are_as_odd_as_ordered() {
    let (mock, client) = mock();
    let host = mock.host(HOST);
    let call = Dialect::OpenAi.chat("m", "grüß dich", true).key("sk-test");
    host.fault(Fault::RstInHeaders.next(1));
    assert!(client.send(&call).await.is_err(), "half a head is none");
    host.fault(Fault::SplitCharacters.next(1));
    let split = client.send(&call).await.unwrap();
    assert_eq!(Said::read(Dialect::OpenAi, true, &split).unwrap().text, text(HOST, "m", "grüß dich"));
    assert!(split.chunks.iter().any(|(_, chunk)| std::str::from_utf8(chunk).is_err()), "no character was cut");
    let headers = vec![("content-type".to_owned(), "text/html".to_owned())];
    host.fault(Fault::Instead { headers, body: b"<p>".to_vec() }.next(1));
    let page = client.send(&call).await.unwrap();
    assert_eq!((page.status, page.header("content-type"), page.text().as_str()), (200, "text/html", "<p>"));
}

#[tokio::test]
async fn what_a_vendor_says_by_hand_reads_like_its_own() {
    let (mock, client) = mock();
    for dialect in DIALECTS {
        let vendor = if dialect == Dialect::OpenAi { Vendor::OpenAi } else { Vendor::Anthropic };
        let events = vendor.said(&["Hel", "lo"], (3, 4));
        mock.host(HOST).fault(Fault::Says { events, ms: 0, hang: false }.next(1));
        let said = Said::read(dialect, true, &send(&client, dialect.chat("m", "hi", true)).await).unwrap();
        assert_eq!((said.text.as_str(), said.usage), ("Hello", Some((3, 4))));
        let status = Fault::Status { status: 200, body: Some(vendor.whole("Hello", (3, 4))), retry_after: None };
        mock.host(HOST).fault(status.next(1));
        let said = Said::read(dialect, false, &send(&client, dialect.chat("m", "hi", false)).await).unwrap();
        assert_eq!((said.text.as_str(), said.usage), ("Hello", Some((3, 4))));
        mock.host(HOST).fault(Fault::Status { status: 503, body: Some(vendor.too_busy()), retry_after: None }.next(1));
        let busy = send(&client, dialect.chat("m", "hi", false)).await;
        assert_eq!(Said::error(dialect, &busy).unwrap().1, "too busy");
    }
}

#[tokio::test]
async fn a_gate_holds_each_event_until_it_is_released() {
    let (mock, client) = mock();
    let host = mock.host(HOST);
    host.fault(Fault::Gate.always());
    let mut live = client.open(&Dialect::OpenAi.chat("m", "hi", true).key("sk-test")).await.unwrap();
    for _ in 0..5 {
        host.release(1);
        let (_, chunk) = live.next().await.unwrap().unwrap();
        assert_eq!(events(&chunk).unwrap().len(), 1);
    }
    host.release(1000);
    assert!(live.finish().await.text().ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn records_are_exact_and_can_be_reduced_to_counts() {
    let (mock, client) = mock();
    let call = Dialect::OpenAi.chat("m", "hi", false).key("sk-test").header("x-twice", "a").header("x-twice", "b");
    send(&client, call.clone()).await;
    let record = mock.journal().records(None).remove(0);
    assert_eq!((record.method.as_str(), record.path.as_str()), ("POST", "/v1/chat/completions"));
    assert_eq!(record.body, call.body);
    assert_eq!(record.header("x-twice"), ["a", "b"]);
    assert_eq!(record.authority, mock.host(HOST).addr().to_string());
    mock.journal().clear();
    mock.journal().counts_only(true);
    send(&client, call).await;
    assert!(mock.journal().records(None).is_empty() && mock.journal().count(HOST, "sk-test") == 1);
}

#[tokio::test]
async fn a_script_goes_by_what_is_asked_and_refuses_what_it_does_not_know() {
    let (mock, client) = mock();
    let calls = Reply::text("Both – at once.").call("call_a", "weather", json!({"city": "Zürich"})).call(
        "call_b",
        "weather",
        json!({"city": "Rome"}),
    );
    let script = Script::default()
        .when(answered(&["call_a", "call_b"]), Reply::text("Take one."))
        .when(offers("weather"), calls);
    mock.host(HOST).script(script);
    for stream in [false, true] {
        let mut body = weather(Dialect::OpenAi, stream);
        let said = Said::read(Dialect::OpenAi, stream, &send(&client, Dialect::OpenAi.call(&body)).await).unwrap();
        let tools = [("weather", json!({"city": "Zürich"})), ("weather", json!({"city": "Rome"}))];
        assert_eq!((said.text.as_str(), said.stop.as_str()), ("Both – at once.", "tool_calls"));
        assert_eq!(said.tools, tools.map(|(name, arguments)| (name.to_owned(), arguments)));
        let call = |id| json!({"id": id, "type": "function", "function": {"name": "weather", "arguments": "{}"}});
        let result = |id| json!({"role": "tool", "tool_call_id": id, "content": "rain"});
        let more = [
            json!({"role": "assistant", "tool_calls": [call("call_a"), call("call_b")]}),
            result("call_b"),
            result("call_a"),
        ];
        body["messages"].as_array_mut().unwrap().extend(more);
        let said = Said::read(Dialect::OpenAi, stream, &send(&client, Dialect::OpenAi.call(&body)).await).unwrap();
        assert_eq!((said.text.as_str(), said.stop.as_str()), ("Take one.", "stop"));
    }
    let lost = send(&client, Dialect::OpenAi.chat("m", "hi", false)).await;
    assert!(lost.status == 400 && lost.text().contains("no rule"), "{}", lost.text());
    mock.reset().unwrap();
    assert_eq!(send(&client, Dialect::OpenAi.chat("m", "hi", false)).await.status, 200);
}

#[tokio::test]
async fn a_recorded_exchange_is_played_as_it_was() {
    let Some(root) = replay::recordings() else {
        println!("no recordings on this machine: nothing replayed");
        return;
    };
    let (mock, client) = mock();
    let mut played = 0;
    for entry in std::fs::read_dir(root.join("openai_chat")).unwrap() {
        let exchange = Exchange::read(&entry.unwrap().path()).unwrap();
        let (status, body) = (exchange.status, exchange.response.clone());
        mock.host(HOST).replay(exchange);
        let answer = send(&client, Dialect::OpenAi.chat("m", "hi", false)).await;
        assert_eq!((answer.status, answer.body()), (status, body));
        played += 1;
    }
    assert!(played > 0);
}
