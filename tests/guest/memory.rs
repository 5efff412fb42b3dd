//! The account of bytes: what a body may take, who goes when there is no room, and that all of it comes back.
//!
//! Example: 1,100 providers each send a megabyte of an event that never ends; the largest of those streams are ended, a
//! new request and the small streams go on.

use engine::exchange::{WORK, weight};

use crate::fixture::{Dialect, Sidecar, chat, healthy, start, with_key};
use crate::gateway::{Answer, Gateway, Message, Seen};
use crate::host::abi;
use crate::host::guest;
use crate::host::side::Piece;
use crate::host::world::Way;

const LIVE: &str = "attache_filter_memory_live_bytes";
const REQUESTS: &str = "attache_filter_memory_requests_bytes";
const LINEAR: &str = "attache_filter_memory_linear_bytes";
const REFUSED: &str = "attache_filter_memory_refused_total";
const ENDED: &str = "attache_filter_memory_ended_total";

/// What a worker holds of its own beside requests, and what may come to it: records, rates, tables that have grown.
const SLACK: i64 = 1 << 20;

/// Bytes of tables that stay for each request that was once there at the same time.
const TABLES: i64 = 512;

fn warm() -> Gateway {
    let mut gateway = start(guest(), None).unwrap().expect("the configuration is good");
    for model in ["gpt", "claude"] {
        gateway.exchange(&chat(Dialect::OpenAi, model, false)).unwrap();
        settle(&mut gateway);
    }
    gateway
}

fn settle(gateway: &mut Gateway) {
    for _ in 0..3 {
        gateway.vm.world().now += 1_000_000_000;
        gateway.tick().unwrap();
    }
}

/// A body for this model that repeats an item in a list `open` … `close` up to so many bytes.
fn body(model: &str, open: &str, item: &str, close: &str, bytes: usize) -> Vec<u8> {
    let head = format!(r#"{{"model":"{model}","max_tokens":9,{open}"#);
    let times = bytes.saturating_sub(head.len() + close.len()) / (item.len() + 1);
    let mut items = vec![item; times].join(",");
    items.insert_str(0, &head);
    items.push_str(close);
    items.push('}');
    items.into_bytes()
}

fn with_body(dialect: Dialect, body: Vec<u8>) -> Message {
    let mut request = chat(dialect, "gpt", false);
    for (name, value) in &mut request.headers {
        if name == "content-length" {
            *value = body.len().to_string().into_bytes();
        }
    }
    Message { chunks: vec![body], ..request }
}

const HELLO: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

/// Members that may repeat, of both dialects: what opens the list, an item, what closes it.
const REPEATED: &[(Dialect, &str, &str, &str)] = &[
    (Dialect::OpenAi, r#""messages":["#, r#"{"role":"user","content":"a"}"#, "]"),
    (Dialect::OpenAi, r#""messages":["#, r#"{"role":"assistant","content":""}"#, "]"),
    (Dialect::OpenAi, r#""messages":["#, r#"{"role":"system","content":"a"}"#, r#",{"role":"user","content":"a"}]"#),
    (Dialect::OpenAi, r#""messages":[{"role":"user","content":["#, r#"{"type":"text","text":"a"}"#, "]}]"),
    (Dialect::OpenAi, r#""messages":[{"role":"user","content":"a"}],"functions":["#, r#"{"name":""}"#, "]"),
    (
        Dialect::OpenAi,
        r#""messages":[{"role":"user","content":"a"}],"tools":["#,
        r#"{"type":"function","function":{"name":"a"}}"#,
        "]",
    ),
    (Dialect::OpenAi, r#""messages":[{"role":"user","content":"a"}],"stop":["#, r#""a""#, "]"),
    (Dialect::OpenAi, r#""messages":[{"role":"user","content":"a"}],"x":["#, "0", "]"),
    (
        Dialect::OpenAi,
        r#""messages":[{"role":"assistant","tool_calls":["#,
        r#"{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}"#,
        r#"]},{"role":"user","content":"a"}]"#,
    ),
    (Dialect::Anthropic, r#""messages":["#, r#"{"role":"user","content":"a"}"#, "]"),
    (Dialect::Anthropic, r#""messages":[{"role":"user","content":["#, r#"{"type":"text","text":"a"}"#, "]}]"),
    (
        Dialect::Anthropic,
        r#""messages":[{"role":"user","content":"a"}],"system":["#,
        r#"{"type":"text","text":"a"}"#,
        "]",
    ),
    (
        Dialect::Anthropic,
        r#""messages":[{"role":"user","content":"a"}],"tools":["#,
        r#"{"name":"a","input_schema":{}}"#,
        "]",
    ),
    (Dialect::Anthropic, r#""messages":[{"role":"user","content":"a"}],"stop_sequences":["#, r#""a""#, "]"),
    (
        Dialect::Anthropic,
        r#""messages":[{"role":"assistant","content":["#,
        r#"{"type":"tool_use","id":"t","name":"f","input":{}}"#,
        r#"]},{"role":"user","content":"a"}]"#,
    ),
];

fn foreign(dialect: Dialect) -> &'static str {
    if dialect == Dialect::OpenAi { "claude" } else { "gpt" }
}

#[test]
fn what_a_translation_takes_is_no_more_than_was_weighed() {
    let grown = |dialect, body: Vec<u8>, what: &str| {
        let mut gateway = warm();
        let before = gateway.vm.pages();
        let weighed = weight(&body);
        let size = body.len();
        let outcome = gateway.exchange(&with_body(dialect, body)).unwrap_or_else(|trap| panic!("{what}: {trap:?}"));
        let grown = (gateway.vm.pages() - before) << 16;
        println!(
            "{:>5.1} x, {:>5.1} weighed, {}: {what}",
            grown as f64 / size as f64,
            weighed as f64 / size as f64,
            outcome.status()
        );
        assert!(grown <= weighed as u64, "{what}: {grown} bytes, {weighed} were weighed");
    };
    for (dialect, open, item, close) in REPEATED {
        grown(*dialect, body(foreign(*dialect), open, item, close, 1 << 20), item);
    }
    for text in ["x", r"\n", r"\u00e9", "é", "\u{7f}"] {
        for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
            let close = format!(r#"{}"}}]"#, text.repeat((3 << 20) / text.len()));
            let open = r#""messages":[{"role":"user","content":""#;
            grown(dialect, body(foreign(dialect), open, "", &close, 0), text);
        }
    }
}

#[test]
fn a_body_of_too_many_values_is_refused_by_the_name_of_its_member_and_harms_nobody() {
    let mut gateway = warm();
    for (dialect, member) in [(Dialect::OpenAi, "functions"), (Dialect::Anthropic, "tools")] {
        let open = format!(r#"{HELLO},"{member}":["#);
        let heavy = body(foreign(dialect), &open, r#"{"name":""}"#, "]", 12 << 20);
        assert!(weight(&heavy) > WORK);
        let outcome = gateway.exchange(&with_body(dialect, heavy)).unwrap();
        let told = String::from_utf8(outcome.client.body()).unwrap();
        assert_eq!((outcome.status(), outcome.tries.len()), ("413", 0), "{told}");
        assert!(told.contains(member) && told.contains("values"), "{told}");
        assert_eq!(gateway.exchange(&chat(dialect, "gpt", false)).unwrap().status(), "200");
    }
}

/// A stream of an answer that does not end, with what its contexts are.
struct Open {
    plan: u32,
    attempt: u32,
}

/// Begins a stream of this model; nothing has come of the answer but its head.
fn begin(gateway: &mut Gateway, model: &str) -> Open {
    let request = chat(Dialect::OpenAi, model, true);
    let plan = gateway.begin(&request).unwrap();
    let head = gateway.vm.context(plan).request.take();
    assert!(!head.is_empty(), "it waits for nothing");
    let stream = gateway.vm.context(plan).stream;
    let next = gateway.vm.world().streams[&stream].state[&b"next"[..]].clone();
    let root = gateway.lanes[&String::from_utf8(next).unwrap()];
    let attempt = gateway.vm.open(root, stream).unwrap();
    gateway.send(attempt, &request).unwrap();
    gateway.vm.context(attempt).request.take();
    let head = abi::headers(&[(":status", "200"), ("content-type", "text/event-stream")]);
    gateway.vm.deliver(attempt, Way::Response, Piece::Head(head, false)).unwrap();
    Open { plan, attempt }
}

impl Open {
    fn answer(&self, gateway: &mut Gateway, bytes: &[u8]) {
        gateway.vm.deliver(self.attempt, Way::Response, Piece::Body(bytes.to_vec(), false)).unwrap();
    }

    /// What has come out of the attempt since the last look.
    fn shown(&self, gateway: &mut Gateway) -> String {
        let pieces = gateway.vm.context(self.attempt).response.take();
        let bytes = pieces.into_iter().filter_map(|piece| match piece {
            Piece::Body(bytes, _) => Some(bytes),
            Piece::Head(..) | Piece::Trailers(_) => None,
        });
        String::from_utf8(bytes.collect::<Vec<_>>().concat()).unwrap()
    }

    fn end(self, gateway: &mut Gateway) {
        gateway.vm.close(self.attempt, false).unwrap();
        gateway.leave(self.plan).unwrap();
    }
}

const CONTENT: &[u8] = b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"c\"}}\n\n\
    event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
    event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hel\"}}\n\n";
const MORE: &[u8] = b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
    \"delta\":{\"type\":\"text_delta\",\"text\":\"lo\"}}\n\n";

/// The beginning of an event of so many bytes.
fn unfinished(bytes: usize) -> Vec<u8> {
    [b"event: content_block_delta\ndata: ".as_slice(), &vec![b'x'; bytes]].concat()
}

#[test]
fn of_a_thousand_unfinished_events_the_largest_are_ended_and_small_streams_go_on() {
    // Beyond `hold.max_bytes` a stream is shown without content.
    for (shown, size, hogs, fewest) in [(true, (1 << 20) - 4_000, 1_100, 700), (false, 60_000, 5_500, 1_000)] {
        let mut gateway = warm();
        let before = gateway.vm.gauge(LIVE);
        let small: Vec<_> = (0..20).map(|_| begin(&mut gateway, "claude")).collect();
        small.iter().for_each(|open| open.answer(&mut gateway, CONTENT));
        small.iter().for_each(|open| assert!(open.shown(&mut gateway).contains("hel")));
        let mut open_hogs = Vec::new();
        for n in 0..hogs {
            let open = begin(&mut gateway, "claude");
            if shown {
                open.answer(&mut gateway, CONTENT);
            }
            open.answer(&mut gateway, &unfinished(size - n));
            open_hogs.push(open);
            if n % 20 == 0 {
                gateway.vm.world().now += 1_000_000;
                gateway.tick().unwrap();
                assert!(gateway.vm.pages() << 16 < 600 << 20, "{n}: {} pages", gateway.vm.pages());
            }
        }
        gateway.tick().unwrap();
        let ended = gateway.vm.counter(ENDED);
        println!("shown: {shown}, {ended} ended, {} pages", gateway.vm.pages());
        assert!((fewest..hogs as u64 * 4 / 5).contains(&ended), "{ended} were ended");
        settle(&mut gateway);
        let [live, linear] = [LIVE, LINEAR].map(|name| gateway.vm.gauge(name));
        assert!(live <= 257 << 20 && linear as u64 == gateway.vm.pages() << 16, "{live} bytes of {linear}");
        // Nobody else is the worse for it.
        small.iter().for_each(|open| open.answer(&mut gateway, MORE));
        small.iter().for_each(|open| assert!(open.shown(&mut gateway).contains("lo")));
        assert_eq!(gateway.exchange(&chat(Dialect::OpenAi, "both", true)).unwrap().status(), "200");
        // Whoever was ended is told so, or cut, and gives nothing more to keep.
        for _ in 0..120 {
            gateway.vm.world().now += 20_000_000;
            gateway.tick().unwrap();
        }
        let cut = open_hogs.iter().filter(|open| gateway.vm.context(open.attempt).closed).count() as u64;
        let failed = open_hogs.iter().filter(|open| failed(&mut gateway, open)).count() as u64;
        assert_eq!(if shown { cut } else { failed }, ended);
        let all = small.into_iter().chain(open_hogs);
        all.for_each(|open| open.end(&mut gateway));
        // A tick sends 512 settlements.
        (0..6).for_each(|_| settle(&mut gateway));
        balanced(&mut gateway, before + TABLES * hogs as i64).unwrap();
    }
}

/// Its head has become one that Envoy asks the next candidate for.
fn failed(gateway: &mut Gateway, open: &Open) -> bool {
    let pieces = gateway.vm.context(open.attempt).response.take();
    pieces.iter().any(|piece| matches!(piece, Piece::Head(head, _) if abi::value(head, ":status") == Some(b"503")))
}

#[test]
fn who_is_given_up_gets_an_error_event_if_more_comes_before_the_tick() {
    let mut gateway = warm();
    let mut hogs = Vec::new();
    // The first is the largest, and there is room for 268 of them.
    for size in [1_000_000].into_iter().chain([990_000; 299]) {
        let open = begin(&mut gateway, "claude");
        open.answer(&mut gateway, CONTENT);
        open.answer(&mut gateway, &unfinished(size));
        open.shown(&mut gateway);
        hogs.push(open);
    }
    hogs[0].answer(&mut gateway, b"xxxx");
    let told = hogs[0].shown(&mut gateway);
    assert!(told.contains("error") && !told.contains("[DONE]"), "{told}");
    hogs[0].answer(&mut gateway, MORE);
    assert_eq!(hogs[0].shown(&mut gateway), "", "nothing follows an error");
}

#[test]
fn where_no_answer_is_to_blame_the_newest_are_refused_and_the_others_served() {
    let mut gateway = warm();
    let before = gateway.vm.gauge(LIVE);
    let small: Vec<_> = (0..20).map(|_| begin(&mut gateway, "claude")).collect();
    small.iter().for_each(|open| open.answer(&mut gateway, CONTENT));
    small.iter().for_each(|open| assert!(open.shown(&mut gateway).contains("hel")));
    // Requests with the largest head that Envoy takes wait for a sidecar that does not answer.
    gateway.sidecar = Box::new(|_| None);
    let mut waiting = Vec::new();
    let refused = loop {
        let mut request = with_key(Dialect::Anthropic, "claude", true, &format!("vk-{}", waiting.len()));
        request.headers.push(("anthropic-beta".to_owned(), vec![b'x'; 60_000]));
        let plan = gateway.begin(&request).unwrap();
        if gateway.vm.context(plan).local.is_some() {
            break gateway.complete(plan).unwrap();
        }
        waiting.push(plan);
        assert!(waiting.len() < 10_000, "nobody was refused");
    };
    println!("{} wait, {} pages", waiting.len(), gateway.vm.pages());
    assert!(waiting.len() > 4_000, "{} wait", waiting.len());
    // What 503 is to others is 529 to clients of this dialect.
    assert_eq!((refused.status(), refused.client.header("retry-after")), ("529", "1"));
    assert!(String::from_utf8(refused.client.body()).unwrap().contains("memory"));
    small.iter().for_each(|open| open.answer(&mut gateway, MORE));
    small.iter().for_each(|open| assert!(open.shown(&mut gateway).contains("lo")));
    gateway.tick().unwrap();
    assert_eq!((gateway.vm.counter(ENDED), gateway.vm.counter(REFUSED)), (0, 1));
    let tables = TABLES * waiting.len() as i64;
    waiting.into_iter().for_each(|plan| gateway.leave(plan).unwrap());
    // There is room again.
    gateway.sidecar = Box::new(Sidecar::default().script());
    settle(&mut gateway);
    assert_eq!(gateway.exchange(&chat(Dialect::OpenAi, "both", true)).unwrap().status(), "200");
    small.into_iter().for_each(|open| open.end(&mut gateway));
    (0..6).for_each(|_| settle(&mut gateway));
    balanced(&mut gateway, before + tables).unwrap();
}

/// All that requests kept has come back, and the worker has what it had; or what is wrong.
pub fn balanced(gateway: &mut Gateway, before: i64) -> Result<(), String> {
    let [live, requests] = [LIVE, REQUESTS].map(|name| gateway.vm.gauge(name));
    let good = requests == 0 && live - before <= SLACK;
    good.then_some(()).ok_or_else(|| format!("{live} bytes, {before} before, {requests} of requests that are over"))
}

#[test]
fn every_byte_that_a_request_keeps_is_charged_to_it() {
    let mut gateway = warm();
    let others = |gateway: &mut Gateway| {
        settle(gateway);
        gateway.vm.gauge(LIVE) - gateway.vm.gauge(REQUESTS)
    };
    let (before, live) = (others(&mut gateway), gateway.vm.gauge(LIVE));
    gateway.sidecar = Box::new(|_| None);
    // Some wait for a record, some for the rest of an answer.
    let waiting: Vec<_> =
        (0..200).map(|n| gateway.begin(&with_key(Dialect::OpenAi, "gpt", true, &format!("vk-{n}"))).unwrap()).collect();
    let open: Vec<_> = (0..200).map(|n| begin(&mut gateway, ["gpt", "claude"][n % 2])).collect();
    open.iter().for_each(|stream| stream.answer(&mut gateway, &unfinished(20_000)));
    let (during, kept) = (others(&mut gateway), gateway.vm.gauge(REQUESTS));
    println!("{kept} bytes of 400 requests, {} of others more than before", during - before);
    assert!(kept > 200 * 20_000);
    // Tables grow with the number of requests; bodies, heads and events are nobody's but theirs.
    assert!(during - before < 400 * 600, "{} bytes are nobody's", during - before);
    waiting.into_iter().for_each(|plan| gateway.leave(plan).unwrap());
    open.into_iter().for_each(|stream| stream.end(&mut gateway));
    gateway.vm.world().now += 20_000_000_000;
    gateway.sidecar = Box::new(Sidecar::default().script());
    settle(&mut gateway);
    balanced(&mut gateway, live).unwrap();
}

#[test]
fn a_provider_whose_whole_answers_are_large_takes_no_more_than_the_work_of_one() {
    let mut gateway = warm();
    gateway.provider = Box::new(|seen: &Seen| match healthy(seen) {
        Answer::Whole(message) => {
            let block = r#"{"type":"text","text":"a"}"#;
            let body = format!(
                r#"{{"id":"m","type":"message","role":"assistant","model":"c","content":[{}],"stop_reason":"end_turn"}}"#,
                vec![block; (18 << 20) / block.len()].join(",")
            );
            Answer::Whole(Message {
                chunks: body.into_bytes().chunks(1 << 20).map(<[u8]>::to_vec).collect(),
                ..message
            })
        }
        other => other,
    });
    let outcome = gateway.exchange(&chat(Dialect::OpenAi, "claude", false)).unwrap();
    println!("{}, {} pages", outcome.status(), gateway.vm.pages());
    assert!((gateway.vm.pages() as usize) << 16 <= WORK * 2);
    gateway.provider = Box::new(healthy);
    assert_eq!(gateway.exchange(&chat(Dialect::OpenAi, "claude", false)).unwrap().status(), "200");
}
