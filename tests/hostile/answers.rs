//! Providers that mean harm, each beside a victim of another provider.

use std::time::Duration;

use tests::client::{Call, DIALECTS, Dialect};

use crate::arena::{Arena, Ends};
use crate::sink::{Play, chunk, framed, stream_head};

const MIB: usize = 1 << 20;

/// A stream of these bytes as one chunk each, ended in good order.
fn stream(pieces: impl IntoIterator<Item = Vec<u8>>) -> Play {
    let mut out = stream_head();
    for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
        out.extend(chunk(&piece));
    }
    out.extend_from_slice(b"0\r\n\r\n");
    Play::raw(out)
}

/// A good stream of the provider's with these events in its midst.
fn amid(provider: Dialect, events: impl IntoIterator<Item = Vec<u8>>) -> Play {
    let (begin, end) = framed(provider);
    let text = |events: Vec<String>| events.into_iter().map(String::into_bytes).collect::<Vec<_>>();
    stream([text(begin), events.into_iter().collect(), text(end)].concat())
}

fn unary(body: String) -> Play {
    Play::status("200", "", &body)
}

fn delta(delta: &str) -> Vec<u8> {
    format!(r#"data: {{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#)
        .into_bytes()
        .into_iter()
        .chain(*b"\n\n")
        .collect()
}

fn block(index: usize, block: &str) -> Vec<u8> {
    format!(
        "event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"index\":{index},\"content_block\":{block}}}\n\n\
         event: content_block_stop\ndata: {{\"type\":\"content_block_stop\",\"index\":{index}}}\n\n"
    )
    .into_bytes()
}

fn usage(usage: &str) -> String {
    format!(
        r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"hi"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":{usage},"completion_tokens":{usage},"total_tokens":{usage}}}}}"#
    )
}

fn anthropic_usage(usage: &str) -> String {
    format!(
        r#"{{"id":"m","type":"message","role":"assistant","model":"m","content":[{{"type":"text","text":"hi"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":{usage},"output_tokens":{usage}}}}}"#
    )
}

fn openai_message(message: &str) -> String {
    format!(
        r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant",{message}}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}}}"#
    )
}

fn anthropic_message(content: &str) -> String {
    format!(
        r#"{{"id":"m","type":"message","role":"assistant","model":"m","content":[{content}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":1,"output_tokens":1}}}}"#
    )
}

/// Streams: what they are called, the provider they come from, and what it sends.
fn streams() -> Vec<(String, Dialect, Play)> {
    let mut rows = Vec::new();
    for provider in DIALECTS {
        let mut row = |name: &str, play: Play| rows.push((format!("{name} from {provider:?}"), provider, play));
        let giant = |mib: usize| {
            let mut event = b"data: {\"a\":\"".to_vec();
            event.resize(event.len() + mib * MIB, b'x');
            event.extend_from_slice(b"\"}\n\n");
            event.chunks(64 << 10).map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        row("an event of 4 MiB", amid(provider, giant(4)));
        row("an event of 1 MiB, unfinished", amid(provider, giant(1).into_iter().take(15)));
        row("a line without end", stream(vec![[b":".to_vec(), vec![b'x'; 65_000]].concat(); 64]));
        row("twenty thousand comments", amid(provider, vec![b": ping\n\n".to_vec(); 20_000]));
        row("forty thousand empty lines", amid(provider, vec![b"\n".to_vec(); 40_000]));
        row("numbers for events", amid(provider, vec![b"data: 1\n\n".to_vec(); 10_000]));
        row("deep events", amid(provider, [[b"data: ".to_vec(), vec![b'['; 200_000], b"\n\n".to_vec()].concat()]));
        let (begin, end) = framed(provider);
        let bytewise = [begin, end].concat().concat().into_bytes();
        row("a stream in pieces of one byte", stream(bytewise.into_iter().map(|byte| vec![byte])));
        let bodies = |one: fn(usize) -> Vec<u8>, n: usize| (0..n).map(one).collect::<Vec<_>>();
        match provider {
            Dialect::OpenAi => {
                row("ten thousand events", amid(provider, bodies(|_| delta(r#"{"content":"a"}"#), 10_000)));
                let call = |n: usize| {
                    delta(&format!(
                        r#"{{"tool_calls":[{{"index":{n},"id":"t{n}","type":"function","function":{{"name":"n","arguments":"{{}}"}}}}]}}"#
                    ))
                };
                row("five thousand calls of tools", amid(provider, bodies(call, 5_000)));
                for index in ["9223372036854775807", "-1", "1e300", "\"0\"", "null"] {
                    let call = format!(
                        r#"{{"tool_calls":[{{"index":{index},"id":"t","type":"function","function":{{"name":"n","arguments":"{{}}"}}}}]}}"#
                    );
                    row(&format!("the index {index}"), amid(provider, [delta(&call)]));
                }
                let notes = r#"{"content":"a","annotations":[{"type":"url_citation","url_citation":{"url":"u","title":"t","start_index":0,"end_index":1}}]}"#;
                row("five thousand annotations", amid(provider, vec![delta(notes); 5_000]));
                let turns = |n: usize| {
                    delta(if n.is_multiple_of(2) { r#"{"content":"a"}"# } else { r#"{"reasoning_content":"b"}"# })
                };
                row("text and thought in turn", amid(provider, bodies(turns, 10_000)));
            }
            Dialect::Anthropic => {
                row(
                    "five thousand texts",
                    amid(provider, bodies(|n| block(n + 1, r#"{"type":"text","text":"a"}"#), 5_000)),
                );
                let call =
                    |n: usize| block(n + 1, &format!(r#"{{"type":"tool_use","id":"t{n}","name":"n","input":{{}}}}"#));
                row("five thousand calls of tools", amid(provider, bodies(call, 5_000)));
                let thought = |n: usize| block(n + 1, r#"{"type":"thinking","thinking":"a","signature":"s"}"#);
                row("five thousand thoughts", amid(provider, bodies(thought, 5_000)));
                row(
                    "indices that jump",
                    amid(provider, bodies(|n| block(n * 1_000_003, r#"{"type":"text","text":"a"}"#), 2_000)),
                );
            }
        }
    }
    rows
}

/// Whole answers likewise.
fn unaries() -> Vec<(String, Dialect, Play)> {
    let mut rows = Vec::new();
    for provider in DIALECTS {
        let mut row = |name: &str, play: Play| rows.push((format!("{name} from {provider:?}"), provider, play));
        for figure in ["-5", "1e300", "9223372036854775807", "\"5\"", "1.5", "[]", "null"] {
            let body = if provider == Dialect::OpenAi { usage(figure) } else { anthropic_usage(figure) };
            row(&format!("the usage {figure}"), unary(body));
        }
        row("40 MiB", unary(format!(r#"{{"a":"{}"}}"#, "y".repeat(40 * MIB))));
        row("a million brackets", unary("[".repeat(1_000_000)));
        row("no JSON", unary("<html>".repeat(1_000)));
        row("nothing", unary(String::new()));
        let many = |item: &str, n: usize| vec![item; n].join(",");
        match provider {
            Dialect::OpenAi => {
                let call = r#"{"id":"t","type":"function","function":{"name":"n","arguments":"{}"}}"#;
                row(
                    "calls of tools",
                    unary(openai_message(&format!(r#""content":null,"tool_calls":[{}]"#, many(call, 20_000)))),
                );
                let note =
                    r#"{"type":"url_citation","url_citation":{"url":"u","title":"t","start_index":0,"end_index":1}}"#;
                row(
                    "annotations",
                    unary(openai_message(&format!(r#""content":"a","annotations":[{}]"#, many(note, 20_000)))),
                );
                let detail = r#"{"type":"reasoning.text","text":"a"}"#;
                row(
                    "details",
                    unary(openai_message(&format!(r#""content":"a","reasoning_details":[{}]"#, many(detail, 20_000)))),
                );
            }
            Dialect::Anthropic => {
                row("texts", unary(anthropic_message(&many(r#"{"type":"text","text":"a"}"#, 40_000))));
                row(
                    "calls of tools",
                    unary(anthropic_message(&many(r#"{"type":"tool_use","id":"t","name":"n","input":{}}"#, 20_000))),
                );
                let note = r#"{"type":"char_location","cited_text":"a","document_index":0,"document_title":"t","start_char_index":0,"end_char_index":1}"#;
                let text = format!(r#"{{"type":"text","text":"a","citations":[{}]}}"#, many(note, 10_000));
                row("citations", unary(anthropic_message(&text)));
            }
        }
    }
    rows
}

fn ask(dialect: Dialect, provider: Dialect, stream: bool) -> Call {
    let model = if provider == Dialect::OpenAi { "chat" } else { "claude" };
    dialect.chat(model, "attack", stream).key("vk-attacker")
}

/// What comes to the client of a hostile provider may be anything but silence: whole, or cut with a reason, or an error.
async fn ask_twice(arena: &Arena, call: &Call) -> Vec<String> {
    let mut wrong = Vec::new();
    for _ in 0..2 {
        match arena.client.send(call).await {
            Err(error) => wrong.push(format!("no answer: {error:#}")),
            Ok(answer) if answer.status != 200 => {
                wrong.extend(
                    crate::arena::judge(call.dialect, &answer, &Ends::Status(&[502, 503, 504, 500, 529])).err(),
                );
            }
            Ok(answer) if answer.body().is_empty() => wrong.push("200 and nothing".to_owned()),
            Ok(_) => {}
        }
    }
    wrong
}

async fn play(rows: Vec<(String, Dialect, Play)>, stream: bool) {
    let arena = Arena::start("hold: {max: 1s}\ntimeouts: {first_content: 5s, idle: 3s, complete: 20s}\n").await;
    let mut wrong = Vec::new();
    for (name, provider, play) in rows {
        arena.sink.on("attack", play);
        // In the provider's own dialect the answer passes, in the other it is translated.
        for dialect in DIALECTS {
            let call = ask(dialect, provider, stream);
            let name = format!("{name} for {dialect:?}");
            wrong.extend(arena.play(&name, true, || ask_twice(&arena, &call)).await);
        }
    }
    assert!(wrong.is_empty(), "{} attacks did harm:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_stream_of_a_provider_harms_another_tenant() {
    play(streams(), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_whole_answer_of_a_provider_harms_another_tenant() {
    play(unaries(), false).await;
}

/// A status that is none, or none for an answer, is a failed try: the client hears 502, or Envoy's own 503.
#[tokio::test(flavor = "multi_thread")]
async fn odd_statuses_are_failed_tries() {
    let arena = Arena::start("").await;
    let mut wrong = Vec::new();
    for status in ["000", "001", "099", "101", "204", "300", "302", "304", "399", "600", "777", "999"] {
        arena.sink.on("attack", Play::status(status, "location: http://evil.example/\r\n", ""));
        for dialect in DIALECTS {
            for provider in DIALECTS {
                let call = ask(dialect, provider, false);
                let name = format!("status {status} of {provider:?} for {dialect:?}");
                let may = Ends::Status(&[502, 503, 529]);
                wrong.extend(arena.play(&name, true, || arena.send(&call, 4, &may)).await);
                let answer = arena.client.send(&call).await;
                if answer.is_ok_and(|answer| !answer.header("location").is_empty()) {
                    wrong.push(format!("{name}: location passes"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} statuses did harm:\n{}", wrong.len(), wrong.join("\n"));
}

/// A limit of one model rests the key for this model, and for nobody who asks another.
#[tokio::test(flavor = "multi_thread")]
async fn a_limited_model_rests_no_other() {
    let arena = Arena::start("").await;
    let limited = r#"{"error":{"message":"slow down","type":"rate_limit_error","code":"rate_limit_exceeded"}}"#;
    arena.sink.on("oai-limited", Play::status("429", "retry-after: 31536000\r\n", limited));
    let call = Dialect::OpenAi.chat("oai/oai-limited", "attack", false).key("vk-attacker");
    arena.sink.on("attack", Play::status("429", "retry-after: 31536000\r\n", limited));
    let first = arena.send(&call, 4, &Ends::Status(&[429])).await;
    // The same provider and key, another model.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let shared = Dialect::OpenAi.chat("shared", "hi", false).key("vk-victim");
    let second = arena.send(&shared, 20, &Ends::Served).await;
    assert!(first.is_empty() && second.is_empty(), "{first:?}\n{second:?}");
}
