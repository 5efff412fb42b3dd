//! Lists that hold: what a request names besides its model, what of a provider's answer comes back, and who may ask where
//! nobody needs a key.

use serde_json::{Value, json};
use tests::client::{Answer, Client, DIALECTS, Dialect};
use tests::mock::{Fault, HostSpec};
use tests::said::Said;

use crate::hostile::hostile_world;
use crate::world::{ANTHROPIC, OPENAI, World};

const ROUTER: &str = "router.example.test";

const LISTED: &str = r#"
providers:
  openai: {keys: [{name: k1, secret: "{{sk-openai}}", models: ["*"]}]}
  anthropic: {keys: [{name: k1, secret: "{{sk-ant}}", models: ["*"]}]}
  router:
    like: openrouter
    base_url: "http://router.example.test/api/v1"
    allow_insecure: true
    keys: [{name: k1, secret: "{{sk-router}}", models: ["*"]}]
virtual_keys:
- {name: narrow, secret: "{{vk-narrow}}", models: [router/cheap, router/fine, anthropic/cheap, anthropic/fine]}
- {name: wide, secret: "{{vk-wide}}", models: ["*"]}
"#;

async fn listed_world() -> World {
    let hosts = [HostSpec::tls(OPENAI), HostSpec::tls(ANTHROPIC), HostSpec::plain(ROUTER)];
    World::with(&hosts, LISTED, |options| options.workers = 1).await
}

/// The provider of the dialect's own format, and its host.
fn own(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        Dialect::OpenAi => ("router", ROUTER),
        Dialect::Anthropic => ("anthropic", ANTHROPIC),
    }
}

fn body(dialect: Dialect, model: &str, more: &Value) -> Value {
    let mut body = dialect.chat(model, "list", false).json();
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_bounded_and_spelled_in_one_way() {
    let world = listed_world().await;
    let long = "a".repeat(257);
    let many = |count: usize| vec!["router/fine"; count];
    for dialect in DIALECTS {
        let model = format!("{}/cheap", own(dialect).0);
        for (more, at, told) in [
            (json!({"model": long}), "model", "at most 256"),
            (json!({"fallbacks": ["router/fine", long]}), "fallbacks[1]", "at most 256"),
            (json!({"fallbacks": [{"model": long}]}), "fallbacks[0].model", "at most 256"),
            (json!({"fallbacks": many(17)}), "fallbacks", "at most 16"),
            (json!({"fallbacks": many(200_000)}), "fallbacks", "at most 16"),
            (json!({"Model": "dear"}), "Model", "`model`"),
            (json!({"MAX_TOKENS": 100_000}), "MAX_TOKENS", "`max_tokens`"),
            (json!({"maxTokens": 100_000}), "maxTokens", "`max_tokens`"),
            (json!({"N": 9}), "N", "`n`"),
            (json!({"Models": ["dear"]}), "Models", "`models`"),
            (json!({"meſſages": []}), "meſſages", "`messages`"),
            (json!({"stream_options": {"Include_Usage": false}}), "stream_options.Include_Usage", "include_usage"),
        ] {
            world.mock.journal().clear();
            let answer = world.send(&dialect.call(&body(dialect, &model, &more)).key("vk-narrow")).await;
            let (_, message) = Said::error(dialect, &answer).unwrap();
            assert_eq!(answer.status, 400, "{at}: {message}");
            assert!(message.contains(at) && message.contains(told) && message.len() < 700, "{at}: {message}");
            assert!(world.mock.journal().records(None).is_empty(), "{at}: no provider hears of it");
        }
        let fits = json!({"fallbacks": vec![&model; 16]});
        let answer = world.send(&dialect.call(&body(dialect, &model, &fits)).key("vk-narrow")).await;
        Said::read(dialect, false, &answer).unwrap();
        let answer = world.send(&dialect.call(&body(dialect, &"é".repeat(128), &json!({}))).key("vk-narrow")).await;
        let (_, message) = Said::error(dialect, &answer).unwrap();
        assert!(answer.status == 403 && message.contains(&format!("{}...", "é".repeat(64))), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_a_list_reaches_no_other_model_by_any_member() {
    let world = listed_world().await;
    for dialect in DIALECTS {
        let (provider, host) = own(dialect);
        let model = format!("{provider}/cheap");
        let send = async |more: &Value, key: &str| {
            world.mock.journal().clear();
            let answer = world.send(&dialect.call(&body(dialect, &model, more)).key(key)).await;
            let records = world.mock.journal().records(Some(host));
            (answer, records.first().map(|record| record.json()))
        };
        let advisor = |model: &str| json!({"type": "advisor_20260301", "name": "advisor", "model": model});
        for (more, at) in [
            (json!({"models": ["fine", "dear"], "route": "fallback"}), "models[1]"),
            (json!({"models": "dear"}), "models"),
            (json!({"draft_model": "dear"}), "draft_model"),
            (json!({"tools": [advisor("fine"), advisor("dear")]}), "tools[1].model"),
            (json!({"tools": [{"type": "openrouter:advisor", "parameters": {"model": "dear"}}]}), "tools[0].model"),
            (json!({"tools": [{"type": "openrouter:fusion"}]}), "tools[0]"),
            (json!({"tools": [{"type": "openrouter:fusion", "parameters": {"model": "fine"}}]}), "tools[0]"),
            (
                json!({"tools": [{"type": "openrouter:fusion", "parameters": {"model": "fine", "analysis_models": ["dear"]}}]}),
                "tools[0].model",
            ),
            (
                json!({"tools": [{"type": "openrouter:subagent", "parameters": {"model": "fine", "worker_model": "dear"}}]}),
                "tools[0].model",
            ),
            (json!({"tools": [{"type": "openrouter:advisor", "model": "fine", "Model": "dear"}]}), "tools[0].model"),
            (json!({"tools": [{"type": "web_search", "MODEL": "dear"}]}), "tools[0].model"),
            (json!({"tools": [{"type": "openrouter:advisor", "model": "fine", "aModel": {"id": "dear"}}]}), "tools[0]"),
            (json!({"fallbacks": [format!("{provider}/dear")]}), "fallbacks[0]"),
        ] {
            let (answer, sent) = send(&more, "vk-narrow").await;
            let shown = answer.text();
            assert_eq!((answer.status, sent), (403, None), "{more}: {shown}");
            if dialect == Dialect::OpenAi {
                let told: Value = serde_json::from_str(&shown).unwrap();
                assert_eq!(told["error"]["param"], at, "{shown}");
            }
        }
        for (more, gone) in [
            (json!({"route": "fallback"}), "route"),
            (json!({"preset": "dear"}), "preset"),
            (json!({"plugins": [{"id": "web"}]}), "plugins"),
            (json!({"transforms": ["middle-out"]}), "transforms"),
            (json!({"providerOptions": {"gateway": {"models": ["dear"]}}}), "providerOptions"),
            (json!({"provider": {"order": ["dear"]}}), "provider"),
        ] {
            let (answer, sent) = send(&more, "vk-narrow").await;
            let (sent, member) = (sent.unwrap(), more.as_object().unwrap().keys().next().unwrap());
            assert_eq!((answer.status, sent.get(member)), (200, None), "{more}: {}", answer.text());
            assert!(answer.header("x-attache-dropped").starts_with(gone), "{more}: {:?}", answer.headers);
            // Whoever may ask for all keeps all; a vendor that does not know a member refuses it.
            let (answer, sent) = send(&more, "vk-wide").await;
            assert_eq!(&sent.unwrap()[member], &more[member], "{more}: {}", answer.text());
            assert_eq!(answer.header("x-attache-dropped"), "");
        }
        let fine = json!({"models": ["cheap", "fine"]});
        let (answer, sent) = send(&fine, "vk-narrow").await;
        assert_eq!(&sent.unwrap()["models"], &fine["models"], "{}", answer.text());
    }
}

const KEYS: [(&str, &str); 2] = [(OPENAI, "sk-planted-openai-Vy83kQp2"), (ANTHROPIC, "sk-planted-anthropic-Zt61mWd8")];

const QUOTED: &str = r#"
providers:
  openai: {keys: [{name: k1, secret: "{{sk-planted-openai-Vy83kQp2}}", models: ["*"]}]}
  anthropic: {keys: [{name: k1, secret: "{{sk-planted-anthropic-Zt61mWd8}}", models: ["*"]}]}
models:
  both: {candidates: [{provider: openai, model: gpt-4o}, {provider: anthropic, model: m, priority: 1}]}
retry: {rest: {failures: 0}}
"#;

/// A provider that says its key wherever it can.
fn quoting(status: u16, key: &str, of: usize) -> Fault {
    let names = [
        "authorization",
        "x-api-key",
        "api-key",
        "x-echo",
        "location",
        "refresh",
        "set-cookie",
        "www-authenticate",
        "alt-svc",
        "access-control-allow-origin",
        "x-request-id",
        "request-id",
        "openai-organization",
        "anthropic-organization-id",
        "x-ratelimit-limit-tokens",
        "retry-after",
    ];
    let headers = names.iter().map(|name| ((*name).to_owned(), format!("Bearer {key}"))).collect();
    let words = ["type", "code", "param", "message"].map(|name| {
        let value = if name == "type" && of == 0 { "invalid_request_error".to_owned() } else { format!("bad {key}!") };
        format!(r#""{name}":"{value}""#)
    });
    let body = match of {
        2 => format!(r#"{{"detail":"no such key: {key}","code":"{key}"}}"#),
        _ => format!(r#"{{"type":"error","request_id":"{key}","error":{{{}}}}}"#, words.join(",")),
    };
    Fault::Whole { status, headers, body: body.into_bytes() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_providers_key_comes_back_nowhere() {
    let world = World::with(&[OPENAI, ANTHROPIC].map(HostSpec::tls), QUOTED, |options| options.workers = 1).await;
    for status in [200, 400, 401, 402, 403, 404, 409, 413, 422, 429, 500, 502, 503, 529] {
        for of in 0..3 {
            for (host, key) in KEYS {
                world.mock.host(host).clear();
                world.mock.host(host).fault(quoting(status, key, of).always());
            }
            for dialect in DIALECTS {
                for model in ["openai/gpt-4o", "anthropic/m", "both"] {
                    let answer = world.send(&dialect.chat(model, "hi", false)).await;
                    let shown = format!("{status} {of} {dialect:?} {model}: {:?} {}", answer.headers, answer.text());
                    for (_, key) in KEYS {
                        assert!(!shown.contains(key), "{shown}");
                    }
                    for name in ["authorization", "x-api-key", "location", "set-cookie", "x-echo", "www-authenticate"] {
                        assert!(!answer.headers.contains_key(name), "{name}: {shown}");
                    }
                    assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control")), "{shown}");
                    assert!(answer.status >= 400, "{shown}");
                    if status >= 400 {
                        serde_json::from_slice::<Value>(&answer.body()).unwrap_or_else(|e| panic!("{e}: {shown}"));
                        assert!(answer.broken.is_none(), "{shown}");
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_status_is_a_failed_try() {
    let yaml = r#"
providers:
  router: {like: openrouter, base_url: "http://router.example.test/v1", allow_insecure: true, keys: [{name: k1, models: ["*"]}]}
  anthropic: {keys: [{name: k1, secret: "{{sk-ant}}", models: ["*"]}]}
models:
  both: {candidates: [{provider: router, model: m}, {provider: anthropic, model: m, priority: 1}]}
retry: {rest: {failures: 0}}
"#;
    let world = World::with(&[HostSpec::plain(ROUTER), HostSpec::tls(ANTHROPIC)], yaml, |o| o.workers = 1).await;
    let headers = vec![("location".to_owned(), "https://evil.example/".to_owned())];
    let whole = |status: u16| Fault::Whole { status, headers: headers.clone(), body: b"{}".to_vec() };
    let mut faults: Vec<_> = [202, 204, 206, 226, 300, 301, 302, 304, 307, 399, 600, 777, 999].map(whole).to_vec();
    faults.extend([*b"000", *b"001", *b"099", *b"199"].map(|code| Fault::StatusLine { code }));
    for fault in faults {
        world.mock.host(ROUTER).clear();
        world.mock.host(ROUTER).fault(fault.clone().always());
        for dialect in DIALECTS {
            let answer = world.send(&dialect.chat("both", "odd", false)).await;
            Said::read(dialect, false, &answer).unwrap_or_else(|e| panic!("{fault} {dialect:?}: {e:#}"));
            assert_eq!(answer.header("x-attache-provider"), "anthropic", "{fault}");
            let answer = world.send(&dialect.chat("router/m", "odd", false)).await;
            let told = Said::error(dialect, &answer).unwrap_or_else(|e| panic!("{fault} {dialect:?}: {e:#}"));
            assert!(matches!(answer.status, 502..=504 | 529), "{fault}: {} {told:?}", answer.status);
            assert_eq!(answer.header("location"), "", "{fault}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_of_another_origin_asks_where_nobody_needs_a_key() {
    let world = hostile_world().await;
    let here = format!("http://{}", world.stack.listen());
    let named = |answer: &Answer| answer.headers.keys().any(|name| name.as_str().starts_with("access-control"));
    let json = ("content-type", "application/json; charset=utf-8");
    let form = ("content-type", "application/x-www-form-urlencoded");
    for client in [Client::h1(world.stack.listen()), Client::h2c(world.stack.listen())] {
        for dialect in DIALECTS {
            for (headers, expected) in [
                (&[json][..], 200),
                // As `curl -d` sends it.
                (&[form], 200),
                (&[], 200),
                (&[json, ("origin", &here)], 200),
                (&[json, ("origin", "https://evil.example")], 403),
                (&[form, ("origin", "null")], 403),
                (&[json, ("sec-fetch-site", "cross-site")], 403),
                (&[json, ("sec-fetch-site", "same-site")], 403),
                (&[("content-type", "text/plain")], 415),
                (&[("content-type", "multipart/form-data")], 415),
                (&[form, ("sec-fetch-site", "none")], 415),
            ] {
                world.mock.journal().clear();
                let mut call = dialect.chat("openai/gpt-4o", "page", false);
                call.headers.retain(|(name, _)| name != "content-type");
                let call = headers.iter().fold(call, |call, (name, value)| call.header(name, value));
                let answer = client.send(&call).await.unwrap();
                assert_eq!(answer.status, expected, "{headers:?}: {}", answer.text());
                assert!(!named(&answer), "{:?}", answer.headers);
                if expected != 200 {
                    let (_, message) = Said::error(dialect, &answer).unwrap();
                    let about = if expected == 415 { "content-type" } else { "origin" };
                    assert!(message.contains(about), "{message}");
                    assert!(world.mock.journal().records(None).is_empty(), "no provider hears of it");
                }
            }
        }
    }
}
