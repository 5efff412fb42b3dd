//! Input nobody means well with, and callbacks in orders Envoy promises not to use: nothing traps, nothing leaks.

use prost::Message as _;
use sidecar_api::v1;

use crate::fixture::{CONFIG, Dialect, KEY, LANES, Sidecar, chat, healthy, leaked, start};
use crate::gateway::{Answer, Gateway, Message, Seen};
use crate::host::abi::{self, Headers};
use crate::host::world::{Call, Way};
use crate::host::{Vm, guest};

fn gateway() -> Gateway {
    start(guest(), None).unwrap().expect("the configuration is good")
}

/// SplitMix64: the same orders in every run.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 33) % sides
    }
}

/// Values that are no text, empty, long, or full of what must not be in a header.
pub fn values() -> Vec<Vec<u8>> {
    vec![
        vec![],
        vec![0xff, 0xfe, 0x80],
        "é→ü".as_bytes().to_vec(),
        b"Bearer ".to_vec(),
        b"Bearer \xc3\x28".to_vec(),
        b"a\r\nx-injected: 1".to_vec(),
        vec![0],
        b"99999999999999999999999999".to_vec(),
        vec![b'x'; 1 << 20],
    ]
}

#[test]
fn any_header_value_is_borne() {
    let names = [
        ":path",
        ":method",
        ":authority",
        ":scheme",
        "authorization",
        "x-api-key",
        "x-attache-key",
        "x-bf-vk",
        "content-type",
        "content-length",
        "content-encoding",
        "anthropic-version",
        "anthropic-beta",
        "openai-organization",
        "x-request-id",
        "x-envoy-max-retries",
        "cookie",
        "user-agent",
    ];
    for name in names {
        for value in values() {
            let mut gateway = gateway();
            for stream in [false, true] {
                let mut request = chat(Dialect::OpenAi, "both", stream);
                request.headers.retain(|(known, _)| known != name);
                request.headers.push((name.to_owned(), value.clone()));
                let outcome = gateway.exchange(&request).unwrap_or_else(|e| panic!("{name}: {value:02x?}: {e:?}"));
                for seen in &outcome.tries {
                    assert!(!leaked(seen, KEY), "{name}");
                    assert!(seen.message.headers.iter().all(|(_, value)| tame(value)), "{name}: {seen:?}");
                }
                let sane = outcome.client.headers.iter().all(|(_, value)| tame(value));
                assert!(sane && outcome.status() != "", "{name}: {outcome:?}");
            }
        }
    }
}

/// Nothing that would end a header line.
fn tame(value: &[u8]) -> bool {
    !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

#[test]
fn odd_heads_are_borne() {
    let many: Headers = (0..2000).map(|n| (format!("x-{n}"), vec![b'v'; 64])).collect();
    let no_path = abi::headers(&[(":method", "POST")]);
    let twice = [chat(Dialect::OpenAi, "gpt", false).headers, chat(Dialect::Anthropic, "gpt", false).headers].concat();
    for headers in [Headers::new(), many, no_path, twice] {
        let request = Message { headers, ..chat(Dialect::OpenAi, "gpt", false) };
        let outcome = gateway().exchange(&request).unwrap();
        assert!(outcome.tries.iter().all(|seen| !leaked(seen, KEY)));
    }
}

/// Bodies made to break a parser: deep, cut, not text, with numbers and names out of all proportion.
pub fn bodies() -> Vec<Vec<u8>> {
    let good = chat(Dialect::OpenAi, "both", false).body();
    let deep = |open: &str, close: &str| {
        let nest = [open.repeat(100_000), close.repeat(100_000)].concat();
        format!(r#"{{"model": "both", "messages": {nest}}}"#).into_bytes()
    };
    let mut bodies = vec![
        vec![],
        b"null".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        vec![0xff; 4096],
        vec![b'['; 200_000],
        vec![b'"'; 999],
        deep("[", "]"),
        deep(r#"{"a":"#, "1}"),
        br#"{"model": "\ud800\udc00\ud800", "messages": []}"#.to_vec(),
        br#"{"model": 1e999, "messages": -0.0e-999, "stream": "yes"}"#.to_vec(),
        br#"{"model": "both", "model": "gpt", "messages": [], "messages": null}"#.to_vec(),
        format!(r#"{{"model": "{}", "messages": []}}"#, "m".repeat(1 << 20)).into_bytes(),
        format!(r#"{{"model": "x\r\ny: z", "fallbacks": [{}1]}}"#, r#""both","#.repeat(10_000)).into_bytes(),
    ];
    bodies.extend((0..good.len()).step_by(3).map(|cut| good[..cut].to_vec()));
    bodies
}

#[test]
fn any_request_body_is_borne() {
    let mut gateway = gateway();
    for body in bodies() {
        for (dialect, model) in [(Dialect::OpenAi, "gpt"), (Dialect::Anthropic, "gpt")] {
            let request = Message { chunks: vec![body.clone()], ..chat(dialect, model, false) };
            let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
            let outcome = gateway.exchange(&request).unwrap_or_else(|trap| panic!("{shown}: {trap:?}"));
            assert_ne!(outcome.status(), "", "{shown}: no answer");
        }
    }
}

#[test]
fn any_answer_of_a_provider_is_borne() {
    let statuses = ["", "0", "abc", "-1", "99999", "204", "304", "200", "400", "429", "503"];
    let types = ["application/json", "text/event-stream", "text/html", ""];
    let mut gateway = gateway();
    let mut dice = Dice(1);
    for body in bodies() {
        for kind in types {
            let status = statuses[dice.roll(statuses.len() as u64) as usize];
            let retry_after = values().swap_remove(dice.roll(8) as usize);
            let mut headers = abi::headers(&[("content-type", kind), ("set-cookie", "a=b"), ("content-length", "7")]);
            headers.push(("retry-after".to_owned(), retry_after));
            headers.extend((!status.is_empty()).then(|| (":status".to_owned(), status.as_bytes().to_vec())));
            let events = [b"data: ", body.as_slice(), b"\n\nevent: ping\ndata: {}\n\n"].concat();
            let chunks: Vec<Vec<u8>> = events.chunks(1 + dice.roll(60_000) as usize).map(<[u8]>::to_vec).collect();
            let trailers = (dice.roll(4) == 0).then(|| values().into_iter().map(|v| ("x-t".to_owned(), v)).collect());
            let message = Message { headers, chunks, trailers };
            let whole = dice.roll(4) != 0;
            gateway.provider =
                Box::new(
                    move |_: &Seen| {
                        if whole { Answer::Whole(message.clone()) } else { Answer::Cut(message.clone()) }
                    },
                );
            for (model, stream) in [("gpt", false), ("gpt", true), ("claude", false), ("claude", true)] {
                gateway.vm.world().now += 700_000_000_000;
                let outcome = gateway.exchange(&chat(Dialect::OpenAi, model, stream));
                let outcome = outcome.unwrap_or_else(|trap| panic!("{status} {kind} {model} {stream}: {trap:?}"));
                assert_eq!(outcome.client.header("set-cookie"), "");
            }
        }
    }
}

/// Callbacks Envoy would not make, or not so: sizes that are not the buffer's, ends that end nothing, all orders.
#[test]
fn any_order_of_callbacks_is_borne() {
    let mut dice = Dice(2);
    for round in 0..600 {
        let mut gateway = gateway();
        gateway.sidecar = Box::new(|_| None);
        let stream = gateway.vm.stream();
        let roots = [gateway.plan, gateway.lanes["openai_k1"], gateway.lanes["anthropic_k1"]];
        let mut open: Vec<u32> = roots.iter().map(|root| gateway.vm.open(*root, stream).unwrap()).collect();
        let mut history = Vec::new();
        for _ in 0..24 {
            if open.is_empty() {
                break;
            }
            let at = dice.roll(open.len() as u64) as usize;
            let (id, choice) = (open[at], dice.roll(12));
            history.push((id, choice));
            let done = odd_callback(&mut gateway, id, choice, &mut dice);
            done.unwrap_or_else(|trap| panic!("round {round}: {history:?}: {trap:?}"));
            if choice == 0 {
                open.remove(at);
            }
        }
    }
}

pub fn odd_callback(gateway: &mut Gateway, id: u32, choice: u64, dice: &mut Dice) -> wasmtime::Result<()> {
    let size = [0, 1, 7, 100_000, u32::MAX >> 1, u32::MAX][dice.roll(6) as usize];
    let end = dice.roll(2) as u32;
    let request = chat(Dialect::OpenAi, "both", dice.roll(2) == 0);
    let vm = &mut gateway.vm;
    // What the guest finds there, if it looks.
    if dice.roll(2) == 0 {
        let context = vm.context(id);
        context.request.head(request.headers.clone(), false);
        context.request.chunk(&request.body(), false);
        context.response.head(abi::headers(&[(":status", "200"), ("content-type", "text/event-stream")]), false);
        context.response.chunk(b"data: {}\n\n", false);
    }
    match choice {
        0 => return vm.close(id, dice.roll(2) == 0),
        1 | 2 => vm.call::<_, u32>(id, "proxy_on_request_headers", (id, size, end))?,
        3 | 4 => vm.call::<_, u32>(id, "proxy_on_request_body", (id, size, end))?,
        5 => vm.call::<_, u32>(id, "proxy_on_request_trailers", (id, size))?,
        6 | 7 => vm.call::<_, u32>(id, "proxy_on_response_headers", (id, size, end))?,
        8 => vm.call::<_, u32>(id, "proxy_on_response_body", (id, size, end))?,
        9 => vm.call::<_, u32>(id, "proxy_on_response_trailers", (id, size))?,
        10 => vm.call::<_, u32>(id, "proxy_on_done", id)?,
        _ => {
            vm.world().now += 100_000_000;
            gateway.sidecar = Box::new(|call| if call.token % 3 == 0 { None } else { Some(Err(call.token % 17)) });
            return gateway.tick();
        }
    };
    Ok(())
}

#[test]
fn any_answer_of_the_sidecar_is_borne() {
    let record = v1::KeyRecord {
        candidates: vec![v1::KeyCandidate { weight: f64::NAN, ..Default::default() }],
        ..Default::default()
    };
    let answers = [
        vec![],
        vec![0xff; 64],
        vec![0x0a; 4096],
        v1::AdmitResponse { verdict: 99, ..Default::default() }.encode_to_vec(),
        v1::AdmitResponse { verdict: 1, key: None, ttl_ms: u32::MAX, ..Default::default() }.encode_to_vec(),
        v1::AdmitResponse { verdict: 1, key: Some(record), generation: u64::MAX, ..Default::default() }.encode_to_vec(),
        v1::AdmitResponse { verdict: 2, vm_nonce: vec![1; 1 << 20], ..Default::default() }.encode_to_vec(),
        vec![7; 1 << 22],
    ];
    for answer in answers {
        let mut gateway = gateway();
        let reply = answer.clone();
        gateway.sidecar = Box::new(move |_: &Call| Some(Ok(reply.clone())));
        for _ in 0..2 {
            let outcome = gateway.exchange(&chat(Dialect::OpenAi, "gpt", false)).unwrap();
            assert!(outcome.tries.is_empty(), "not admitted by {answer:02x?}");
            gateway.vm.world().now += 3_100_000_000;
            gateway.tick().unwrap();
        }
    }
}

#[test]
fn replies_that_nobody_waits_for_are_borne() {
    let mut gateway = gateway();
    let plan = gateway.begin(&chat(Dialect::OpenAi, "gpt", false)).unwrap();
    let call = gateway.vm.world().calls.remove(0);
    let unknown = Call { token: call.token + 40, ..call.clone() };
    gateway.vm.reply(&unknown, Ok(vec![1, 2, 3])).unwrap();
    gateway.vm.reply(&unknown, Err(14)).unwrap();
    gateway.leave(plan).unwrap();
    for reply in [Ok(vec![]), Err(0), Err(14), Err(u32::MAX)] {
        gateway.vm.reply(&call, reply).unwrap();
    }
    gateway.provider = Box::new(healthy);
    gateway.sidecar = Box::new(Sidecar::default().script());
    assert_eq!(gateway.exchange(&chat(Dialect::OpenAi, "gpt", false)).unwrap().status(), "200", "all is well again");
}

#[test]
fn a_bad_configuration_is_refused_and_the_former_one_serves_on() {
    let deep = format!(r#"{{"role": "plan", "config": {}"#, "[".repeat(100_000));
    let bad: Vec<&[u8]> = vec![
        b"",
        b"\xff\xfe",
        b"null",
        b"{",
        b"{}",
        br#"{"role": 1}"#,
        br#"{"role": "driver"}"#,
        br#"{"role": "plan"}"#,
        br#"{"role": "plan", "config": 7}"#,
        br#"{"role": "plan", "config": {"version": 1, "models": {"x": {"candidates": [{"provider": "nobody"}]}}}}"#,
        br#"{"role": "attempt"}"#,
        br#"{"role": "attempt", "lane": 7}"#,
        deep.as_bytes(),
    ];
    let mut gateway = gateway();
    let request = chat(Dialect::OpenAi, "gpt", false);
    for configuration in bad {
        let shown = String::from_utf8_lossy(&configuration[..configuration.len().min(60)]).into_owned();
        for root in [gateway.plan, gateway.lanes["openai_k1"]] {
            assert!(!gateway.vm.configure(root, configuration).unwrap(), "{shown}: accepted");
        }
        let (_, accepted) = gateway.vm.plugin("plan", configuration).unwrap();
        assert!(!accepted, "{shown}: accepted in a new root");
        let outcome = gateway.exchange(&request).unwrap();
        assert_eq!((outcome.status(), outcome.tries.len()), ("200", 1), "{shown}");
        gateway.tick().unwrap();
    }
}

#[test]
fn a_module_told_to_do_nothing_passes_all_untouched() {
    let noop = r#"{"role": "noop"}"#;
    let mut vm = Vm::new(guest(), None).unwrap();
    let (root, accepted) = vm.plugin("noop", noop.as_bytes()).unwrap();
    assert!(accepted);
    let stream = vm.stream();
    let id = vm.open(root, stream).unwrap();
    let message = chat(Dialect::OpenAi, "gpt", true);
    vm.world().counts.clear();
    for way in [Way::Request, Way::Response] {
        let mut passed = Message::default();
        for piece in message.pieces() {
            vm.deliver(id, way, piece).unwrap();
            vm.context(id).side(way).take().into_iter().for_each(|piece| passed.push(piece));
        }
        assert_eq!(passed, message);
        let seen = Seen { lane: "noop".to_owned(), message: passed };
        assert!(leaked(&seen, KEY), "so the check for leaks sees one");
    }
    vm.close(id, true).unwrap();
    assert!(vm.world().counts.is_empty(), "and asks the host for nothing: {:?}", vm.world().counts);
}

#[test]
fn a_request_before_any_configuration_is_answered() {
    let mut gateway = Gateway::start(guest(), CONFIG, LANES, None).unwrap().expect("the configuration is good");
    let mut vm = Vm::new(guest(), None).unwrap();
    let (attempt, _) = vm.plugin("attempt", LANES[0].1.as_bytes()).unwrap();
    gateway.plan = vm.plugin("plan", b"{}").unwrap().0;
    gateway.lanes = [("openai_k1".to_owned(), attempt)].into();
    gateway.vm = vm;
    let outcome = gateway.exchange(&chat(Dialect::OpenAi, "gpt", false)).unwrap();
    assert!(outcome.tries.is_empty(), "{outcome:?}");
}
