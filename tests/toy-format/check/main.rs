//! What a new format must be able to do once it is in the table, with no word about it anywhere else.

use wire::format::toy::Toy;
use wire::format::{INBOUND, Inbound, Outbound, StreamContext};
use wire::ir::{FaultKind, Losses, Operation};
use wire::{json, provider, scan};

fn inbound(name: &str) -> &'static dyn Inbound {
    *INBOUND.iter().find(|format| format.name() == name).expect("a row of INBOUND")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text")
}

fn main() {
    let body = include_str!("../corpus/request.json").trim();
    let toy = inbound("toy");
    assert_eq!(INBOUND.iter().find_map(|format| format.claims("/toy")), Some(Operation::Chat));

    // Its own: nothing is lost, and a splice changes the model alone. Every format so far calls it `model`.
    let request = toy.decode_request(body.as_bytes()).expect("the corpus decodes");
    let mut losses = Losses::default();
    let again = text(Toy.encode_request(&request, "m", &mut losses));
    assert_eq!(again, r#"{"of":"m","ask":"Why?","stream":true,"politely":[1.0, null]}"#);
    assert!(losses.dropped.is_empty());
    assert!(scan::scan(body.as_bytes()).expect("a body").stream);

    // To every provider there is.
    for name in provider::names() {
        let format = provider::find(name).expect("a row").format;
        let mut losses = Losses::default();
        let encoded = format.encode_request(&request, "target", &mut losses);
        assert!(json::Object::parse(&encoded).is_ok(), "{name}");
        let encoded = text(encoded);
        assert!(encoded.contains("\"Why?\"") && encoded.contains("\"target\""), "{name}: {encoded}");
        assert_eq!(losses.dropped, ["politely"], "{name}: told in the client's spelling");
    }

    // From every format there is, losses named as their clients know them.
    for (name, ask, lost) in [
        ("openai_chat", r#"{"model":"m","stop":"x","messages":[{"role":"user","content":"Why?"}]}"#, "stop"),
        (
            "anthropic",
            r#"{"model":"m","max_tokens":9,"stop_sequences":["x"],"messages":[{"role":"user","content":"Why?"}]}"#,
            "stop_sequences",
        ),
    ] {
        let request = inbound(name).decode_request(ask.as_bytes()).expect("a request");
        let mut losses = Losses::default();
        assert_eq!(text(Toy.encode_request(&request, "m", &mut losses)), r#"{"of":"m","ask":"Why?"}"#);
        assert!(losses.dropped.iter().any(|path| path == lost), "{name}: {:?}", losses.dropped);
    }

    // Answers, both ways.
    let context = StreamContext { model: "m".to_owned(), usage: true, now: 0 };
    let openai = provider::find("openai").expect("a row").format;
    let answer =
        br#"{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"So."},"finish_reason":"stop"}]}"#;
    let answer = openai.decode_response(answer).expect("an answer");
    assert_eq!(text(toy.encode_response(&answer, &context)), r#"{"answer":"So."}"#);
    let answer = Toy.decode_response(br#"{"answer":"So."}"#).expect("an answer");
    for format in INBOUND {
        assert!(text(format.encode_response(&answer, &context)).contains("\"So.\""), "{}", format.name());
    }
    let fault = Toy.decode_fault(429, br#"{"wrong":"Too much."}"#);
    assert_eq!(fault.kind, FaultKind::RateLimited);
    for format in INBOUND {
        assert!(text(format.encode_fault(&fault)).contains("Too much."), "{}", format.name());
    }

    // Streams, both ways, a byte at a time.
    let sse = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"So.\"}}]}\n\n\
               data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let own = "data: {\"piece\":\"So.\"}\n\ndata: {\"end\":true}\n\n";
    assert_eq!(told(openai, sse, toy, &context), own);
    for format in INBOUND {
        assert!(told(&Toy, own, *format, &context).contains("So."), "{}", format.name());
    }
    println!("a format of one folder and two lines: {} providers", provider::names().count());
}

fn told(from: &dyn Outbound, stream: &str, to: &dyn Inbound, context: &StreamContext) -> String {
    let (mut decoder, mut encoder) = (from.stream_decoder(), to.stream_encoder(context.clone()));
    let (mut events, mut out) = (Vec::new(), Vec::new());
    stream.as_bytes().chunks(1).for_each(|byte| decoder.push(byte, &mut events));
    decoder.finish(&mut events);
    events.iter().for_each(|event| encoder.event(event, &mut out));
    encoder.finish(&mut out);
    text(out)
}
