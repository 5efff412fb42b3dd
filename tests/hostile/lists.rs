//! Ways around a list of models, and ways into an open gateway.

use tests::client::{DIALECTS, Dialect};

use crate::arena::{Arena, Ends};
use crate::sink::{Play, right_body};

/// A body that its provider reads otherwise than the gateway is refused, or what it hides does not arrive.
#[tokio::test(flavor = "multi_thread")]
async fn no_model_is_asked_that_the_list_of_a_key_does_not_name() {
    let arena = Arena::start("").await;
    let mut wrong = Vec::new();
    let openai = [
        ("router/cheap", r#""models":["forbidden/dear"],"route":"fallback""#),
        ("router/cheap", r#""models":["forbidden/dear"]"#),
        ("router/cheap", r#""preset":"forbidden""#),
        ("router/cheap", r#""Models":["forbidden/dear"]"#),
        ("chat", r#""Model":"forbidden""#),
        ("chat", r#""MODEL":"forbidden""#),
        ("chat", r#""mod\u0065l":"forbidden""#),
        ("chat", r#""fallbacks":["oai/forbidden"]"#),
        ("chat", r#""Fallbacks":["oai/forbidden"]"#),
        ("chat", r#""MAX_TOKENS":100000,"x":"forbidden""#),
        ("chat", r#""Stream":true,"x":"forbidden""#),
    ];
    let anthropic = [
        ("claude", r#""Model":"forbidden""#),
        ("claude", r#""fallbacks":["ant/forbidden"]"#),
        ("claude", r#""FALLBACKS":["ant/forbidden"]"#),
        ("claude", r#""Max_Tokens":100000,"x":"forbidden""#),
    ];
    let rows = openai.into_iter().map(|row| (Dialect::OpenAi, row));
    for (dialect, (model, more)) in rows.chain(anthropic.into_iter().map(|row| (Dialect::Anthropic, row))) {
        arena.sink.forget();
        let body =
            format!(r#"{{"model":"{model}","max_tokens":5,{more},"messages":[{{"role":"user","content":"hi"}}]}}"#);
        let call = dialect.raw(body.into_bytes()).key("vk-listed");
        let name = format!("{dialect:?} {model} with {more}");
        wrong.extend(arena.play(&name, true, || arena.send(&call, 2, &Ends::Status(&[200, 400, 403]))).await);
        if let Some(body) = arena.sink.seen("forbidden").first() {
            wrong.push(format!("{name}: the provider got {body}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Names of models that nobody can have: refused, and kept nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_no_model_can_have_is_refused() {
    let arena = Arena::start("").await;
    let mut wrong = Vec::new();
    for dialect in DIALECTS {
        for size in [257, 4_096, 1 << 20] {
            let body = format!(
                r#"{{"model":"oai/{}","max_tokens":5,"messages":[{{"role":"user","content":"hi"}}]}}"#,
                "a".repeat(size)
            );
            let call = dialect.raw(body.into_bytes()).key("vk-attacker");
            let may = Ends::Refused(&[400, 404], &["model"]);
            wrong.extend(
                arena.play(&format!("{dialect:?} a model of {size} bytes"), true, || arena.send(&call, 10, &may)).await,
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where nobody needs a key, a web page of somebody else's must not spend: a browser sends text without asking first.
#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_cannot_spend_where_no_key_is_needed() {
    let arena = Arena::with("", 2).await;
    let crossing = "access-control-allow-origin: *\r\naccess-control-allow-credentials: true\r\n";
    for (dialect, model) in [(Dialect::OpenAi, "chat"), (Dialect::Anthropic, "claude")] {
        arena.sink.on("evil", Play::status("200", crossing, &right_body(dialect)));
        let mut call = dialect.chat(model, "evil", false);
        let evil = call.clone().header("origin", "https://evil.example");
        call.headers.retain(|(name, _)| name != "content-type");
        let text = call.clone().header("content-type", "text/plain");
        for (name, call) in [
            ("an origin", evil),
            ("text", text.clone()),
            ("both", text.header("origin", "https://evil.example")),
            ("no type", call.header("sec-fetch-site", "cross-site")),
        ] {
            let answer = arena.client.send(&call).await.unwrap();
            assert!(
                [400, 403, 415].contains(&answer.status),
                "{dialect:?} {name}: {} {}",
                answer.status,
                answer.text()
            );
        }
        let mine = dialect.chat(model, "evil", false);
        let answer = arena.client.send(&mine).await.unwrap();
        assert_eq!(answer.status, 200, "{dialect:?}: {}", answer.text());
        let passed: Vec<_> = answer.headers.keys().filter(|name| name.as_str().starts_with("access-control")).collect();
        assert!(passed.is_empty(), "{dialect:?}: {passed:?}");
    }
}
