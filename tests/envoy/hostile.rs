//! What a client that means no good can put into a request: each is refused in its own dialect or passed on safely, and
//! no VM of any worker notices.

use serde_json::value::RawValue;
use tests::client::{Answer, Call, Client, DIALECTS, Dialect};
use tests::mock::HostSpec;
use tests::raw::Raw;
use tests::said::Said;

use crate::world::{ANTHROPIC, CASES, OPENAI, World};

/// A server whose path holds the model's name.
pub(crate) const DEPLOYED: &str = "deployed.example.test";

const PROVIDERS: &str = r#"
providers:
  openai: {keys: [{name: k1, secret: "{{sk-openai}}", models: ["*"]}]}
  anthropic: {keys: [{name: k1, secret: "{{sk-ant}}", models: ["*"]}]}
  deployed:
    base_url: "http://deployed.example.test/base"
    allow_insecure: true
    path: "/deployments/{model}/chat/completions?api-version=1"
    format: openai_chat
    auth_header: {name: api-key}
    keys: [{name: k1, secret: "{{sk-deployed}}", models: ["*"]}]
"#;

pub(crate) async fn hostile_world() -> World {
    let hosts = [HostSpec::tls(OPENAI), HostSpec::tls(ANTHROPIC), HostSpec::plain(DEPLOYED)];
    World::with(&hosts, PROVIDERS, |options| options.workers = 1).await
}

/// What Envoy counts of its VMs.
pub(crate) struct Calm(Vec<(String, u64)>);

impl Calm {
    pub(crate) async fn of(world: &World) -> Self {
        let counted = |name: &str| name.starts_with("wasm.") || name.contains(".wasm.");
        let stats = world.stack.stats("wasm.").await.unwrap();
        let found: Vec<_> = stats.into_iter().filter(|(name, _)| counted(name)).collect();
        for part in [".created", ".active", "vm_reload"] {
            assert!(found.iter().any(|(name, _)| name.contains(part)), "Envoy counts no {part}: {found:?}");
        }
        Self(found)
    }

    /// No VM was made, lost or reloaded since, and all of it still serves.
    pub(crate) async fn still(&self, world: &World) {
        for case in CASES {
            let answer = world.send(&case.call("openai/gpt-4o", "and now a good one")).await;
            Said::read(case.dialect, case.stream, &answer).unwrap_or_else(|e| panic!("{case:?}: {e:#}"));
        }
        assert_eq!(Self::of(world).await.0, self.0);
    }
}

/// One client for each protocol.
fn clients(world: &World) -> [Client; 2] {
    [Client::h1(world.stack.listen()), Client::h2c(world.stack.listen())]
}

/// A refusal in the client's dialect, or a good answer.
fn sane(dialect: Dialect, answer: &Answer) -> bool {
    match answer.status {
        200 => Said::read(dialect, false, answer).is_ok(),
        400..500 => Said::error(dialect, answer).is_ok(),
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_in_any_header_end_in_an_answer() {
    let world = hostile_world().await;
    let calm = Calm::of(&world).await;
    let values: [&[u8]; 4] = [b"\xff\xfe\x80", b"Bearer \xc3\x28", b"\xe9", b"a\x80\xbf\tb"];
    let names = [
        "authorization",
        "x-api-key",
        "x-attache-key",
        "x-request-id",
        "anthropic-version",
        "anthropic-beta",
        "openai-organization",
        "accept",
        "user-agent",
        "cookie",
        "x-envoy-max-retries",
        "content-type",
    ];
    for client in clients(&world) {
        for dialect in DIALECTS {
            for name in names {
                for value in values {
                    let mut call = dialect.chat("openai/gpt-4o", "odd", false);
                    call.headers.retain(|(known, _)| known != name);
                    call.odd.push((name.to_owned(), value.to_vec()));
                    let answer = client.send(&call).await.unwrap_or_else(|e| panic!("{name} {value:02x?}: {e:#}"));
                    assert!(sane(dialect, &answer), "{name} {value:02x?}: {} {}", answer.status, answer.text());
                }
            }
        }
    }
    for record in world.mock.journal().records(None) {
        let text = record.headers.iter().all(|(_, value)| value.iter().all(|byte| (b' '..=b'~').contains(byte)));
        assert!(text, "a provider got {record:?}");
    }
    calm.still(&world).await;
}

/// What stands in an allowed header reaches a provider of that format, so it must not be able to end its line there.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_passed_on_brings_no_second_line() {
    let world = hostile_world().await;
    let calm = Calm::of(&world).await;
    let body = br#"{"model":"anthropic/m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
    let odd = ["a\rx-injected: 1", "a\x0bb", "a\x7f", "\u{e9}"];
    for value in odd {
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nanthropic-version: 2023-06-01\r\nanthropic-beta: {value}\r\n\r\n",
            body.len()
        );
        let mut raw = Raw::connect(world.stack.listen()).await.unwrap();
        raw.write(&[head.as_bytes(), body].concat()).await;
        let answer = raw.answer().await.unwrap().unwrap();
        assert!([200, 400].contains(&answer.status), "{value:?}: {answer:?}");
    }
    let good = Dialect::Anthropic.chat("anthropic/m", "hi", false).header("anthropic-beta", "output-128k-2025-02-19");
    assert_eq!(world.send(&good).await.status, 200);
    for record in world.mock.journal().records(None) {
        // Envoy's own parser leaves the carriage return out; what it lets through we do not pass on.
        let betas = record.header("anthropic-beta");
        assert!(
            betas.iter().all(|beta| ["ax-injected: 1", "output-128k-2025-02-19"].contains(&beta.as_str())),
            "{betas:?}"
        );
        assert!(record.header("x-injected").is_empty(), "{record:?}");
    }
    calm.still(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_a_hundred_kilobytes_are_431_and_smaller_ones_pass() {
    let world = hostile_world().await;
    let calm = Calm::of(&world).await;
    for (client, h2) in clients(&world).into_iter().zip([false, true]) {
        for dialect in DIALECTS {
            for (name, size) in
                [("x-big", 100_000), ("authorization", 100_000), ("x-big", 40_000), ("authorization", 40_000)]
            {
                let call = dialect.chat("openai/gpt-4o", "big", false).header(name, &"k".repeat(size));
                let sent = client.send(&call).await;
                let status = sent.as_ref().map_or(0, |answer| answer.status);
                match size {
                    40_000 => assert_eq!(status, 200, "{dialect:?} {name}"),
                    // Envoy's codec refuses it before any filter; over HTTP/2 it resets the stream.
                    _ => assert!(status == 431 || h2 && status == 0, "{dialect:?} {name}: {sent:?}"),
                }
            }
            // A hundred are as many as Envoy takes.
            let many = (0..150)
                .fold(dialect.chat("openai/gpt-4o", "many", false), |call, n| call.header(&format!("x-{n}"), "v"));
            let sent = client.send(&many).await;
            assert!(sent.as_ref().map_or(h2, |answer| answer.status == 431), "{dialect:?}: {sent:?}");
        }
    }
    calm.still(&world).await;
}

/// Bodies made to break a parser, and the statuses they may end in.
fn bodies() -> Vec<(&'static str, Vec<u8>, &'static [u16])> {
    let chat = |member: &str| {
        format!(r#"{{"model":"openai/gpt-4o","max_tokens":9,{member}"messages":[{{"role":"user","content":"hi"}}]}}"#)
    };
    let deep = |n: usize| chat(&format!(r#""metadata":{}{},"#, "[".repeat(n), "]".repeat(n)));
    let nested = format!(
        r#"{{"model":"openai/gpt-4o","max_tokens":9,"messages":{}{}}}"#,
        r#"[{"a":"#.repeat(10_000),
        "}]".repeat(10_000)
    );
    vec![
        ("arrays ten thousand deep", deep(10_000).into_bytes(), &[200, 400]),
        ("messages ten thousand deep", nested.into_bytes(), &[400]),
        ("a hundred thousand open brackets", vec![b'['; 100_000], &[400]),
        ("the model twice", chat(r#""model":"openai/other","#).into_bytes(), &[200, 400]),
        ("the messages twice", chat(r#""messages":[],"#).into_bytes(), &[200, 400]),
        ("NaN", chat(r#""temperature":NaN,"#).into_bytes(), &[400]),
        ("Infinity", chat(r#""temperature":-Infinity,"#).into_bytes(), &[400]),
        ("a number without end", chat(&format!(r#""temperature":1{},"#, "0".repeat(10_000))).into_bytes(), &[200, 400]),
        ("a huge exponent", chat(r#""temperature":1e999999,"#).into_bytes(), &[200, 400]),
        ("a lone surrogate", chat(r#""user":"\ud800","#).into_bytes(), &[200, 400]),
        (
            "a lone surrogate for a model",
            br#"{"model":"openai/\ud800","max_tokens":9,"messages":[]}"#.to_vec(),
            &[200, 400, 404],
        ),
        ("bytes that are no text", [b"{\"model\":\"openai/\xff\xfe\",\"messages\":[]}".as_slice()].concat(), &[400]),
        ("a byte order mark", [b"\xef\xbb\xbf".as_slice(), chat("").as_bytes()].concat(), &[400]),
        ("UTF-16", chat("").encode_utf16().flat_map(u16::to_le_bytes).collect(), &[400]),
        ("gzip without saying so", vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0x56], &[400]),
        ("two documents", [chat(""), chat("")].concat().into_bytes(), &[400]),
        ("half of one", chat("").into_bytes()[..40].to_vec(), &[400]),
        ("nothing", Vec::new(), &[400]),
        ("a name for all", br#"{"model":{"a":1},"messages":[]}"#.to_vec(), &[400]),
        (
            "ten thousand fallbacks",
            chat(&format!(r#""fallbacks":[{}"openai/m"],"#, r#""openai/m","#.repeat(10_000))).into_bytes(),
            &[200, 400],
        ),
        ("zero bytes", vec![0; 4096], &[400]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_made_to_break_a_parser_are_refused_in_the_dialect_or_reach_a_provider_as_json() {
    let world = hostile_world().await;
    let calm = Calm::of(&world).await;
    let (bodies, mut wrong) = (bodies(), Vec::new());
    for client in clients(&world) {
        for dialect in DIALECTS {
            for (name, body, statuses) in &bodies {
                // To the client's own format, and to the other: one splices, the other parses all of it.
                for provider in ["openai/", "anthropic/"] {
                    let body =
                        if provider == "openai/" { body.clone() } else { replaced(body, b"openai/", b"anthropic/") };
                    world.mock.journal().clear();
                    let answer = client.send(&dialect.raw(body)).await.unwrap_or_else(|e| panic!("{name}: {e:#}"));
                    let shown = || format!("{name}, {dialect:?} to {provider}: {} {}", answer.status, answer.text());
                    if !statuses.contains(&answer.status) {
                        wrong.push(shown());
                    }
                    assert!(sane(dialect, &answer), "{}", shown());
                    for record in world.mock.journal().records(None) {
                        // Depth and range are the provider's affair, where the body goes on as it is: they are not judged.
                        let parsed = serde_json::from_slice::<&RawValue>(&record.body);
                        assert!(parsed.is_ok(), "{}: {parsed:?}", shown());
                        assert_eq!(record.header("content-length"), [record.body.len().to_string()], "{}", shown());
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    calm.still(&world).await;
}

fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(old.len()).position(|window| window == old) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(new);
        rest = &rest[at + old.len()..];
    }
    [out.as_slice(), rest].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_bodies_are_refused_by_name() {
    let world = hostile_world().await;
    let calm = Calm::of(&world).await;
    for client in clients(&world) {
        for dialect in DIALECTS {
            for coding in ["gzip", "br", "deflate", "zstd", "gzip, gzip", "GZIP"] {
                let call = dialect.chat("openai/gpt-4o", "packed", false).header("content-encoding", coding);
                let answer = client.send(&call).await.unwrap();
                let (_, message) = Said::error(dialect, &answer).unwrap();
                assert!(answer.status == 400 && message.contains("ompressed"), "{coding}: {} {message}", answer.status);
            }
            let call: Call = dialect.chat("openai/gpt-4o", "plain", false).header("content-encoding", "identity");
            assert_eq!(client.send(&call).await.unwrap().status, 200);
        }
    }
    assert_eq!(world.mock.journal().records(None).len(), 4, "only those that said identity");
    calm.still(&world).await;
}
