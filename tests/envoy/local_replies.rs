//! What Envoy answers by itself comes in the client's dialect too.

use serde_json::json;
use tests::client::{Call, DIALECTS, Dialect};
use tests::mock::Fault;
use tests::said::Said;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::{ANTHROPIC, CASES, OPENAI, TWO_VENDORS, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_413_and_one_just_under_it_is_served_with_all_retries() {
    let yaml = format!(
        "{TWO_VENDORS}limits: {{body: 256KiB}}\nmodels:\n  both: {{candidates: [{{provider: openai, model: gpt-4o}}, \
         {{provider: anthropic, model: claude-3-5-haiku, priority: 1}}]}}\n"
    );
    let world = World::start(&yaml).await;
    for case in CASES {
        let answer = world.send(&case.call("both", &"x".repeat(300 << 10))).await;
        assert_eq!(answer.status, 413, "{case:?}");
        Said::error(case.dialect, &answer).unwrap_or_else(|e| panic!("{case:?}: {e:#}"));
    }
    assert!(world.mock.journal().records(None).is_empty());
    world.mock.host(OPENAI).fault(Fault::status(503).always());
    for case in CASES {
        let answer = world.send(&case.call("both", &"y".repeat(250 << 10))).await;
        Said::read(case.dialect, case.stream, &answer).unwrap_or_else(|e| panic!("{case:?}: {e:#}"));
        assert_eq!(answer.header("x-attache-provider"), "anthropic");
    }
    assert_eq!(world.stack.stat("retry_or_shadow_abandoned").await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_fail_over_whole() {
    let yaml = format!(
        "{TWO_VENDORS}models:\n  both: {{candidates: [{{provider: openai, model: gpt-4o}}, \
         {{provider: anthropic, model: claude-3-5-haiku, priority: 1}}]}}\n"
    );
    let world = World::start(&yaml).await;
    world.mock.host(OPENAI).fault(Fault::status(503).always());
    let big = "ü".repeat(5 << 20);
    for case in CASES {
        let answer = world.send(&case.call("both", &big)).await;
        crate::world::ANTHROPIC_LANE.check_answer(case, &answer, "claude-3-5-haiku", &big);
        world.mock.journal().clear();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_ten_megabytes_fails_over_whole_and_in_the_other_protocol() {
    let yaml = format!(
        "{TWO_VENDORS}models:\n  both: {{candidates: [{{provider: openai, model: gpt-4o}}, \
         {{provider: anthropic, model: claude-3-5-haiku, priority: 1}}]}}\n"
    );
    let world = World::start(&yaml).await;
    world.mock.host(OPENAI).fault(Fault::status(503).always());
    let image = "iVBORw0KGgo".repeat((10 << 20) / 11);
    let image = &image[..image.len() / 4 * 4];
    let content = json!([
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{image}")}},
    ]);
    let body = json!({"model": "both", "max_tokens": 9, "messages": [{"role": "user", "content": content}]});
    let answer = world.send(&Dialect::OpenAi.call(&body)).await;
    Said::read(Dialect::OpenAi, false, &answer).unwrap();
    assert_eq!(answer.header("x-attache-attempts"), "2");
    let records = world.mock.journal().records(None);
    let got = |at: usize, path: &str| records[at].json().pointer(path).and_then(|v| v.as_str().map(str::to_owned));
    let first = got(0, "/messages/0/content/1/image_url/url").unwrap();
    assert!(first.strip_prefix("data:image/png;base64,") == Some(image), "the first provider got another image");
    let second = got(1, "/messages/0/content/1/source/data").unwrap();
    assert!(second == image, "the second provider got another image");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_answering_in_time_is_504() {
    let world = World::start(&format!("{TWO_VENDORS}timeouts: {{first_content: 300ms, complete: 300ms}}\n")).await;
    for host in [OPENAI, ANTHROPIC] {
        world.mock.host(host).fault(Fault::Hang.always());
    }
    for case in CASES {
        for model in ["openai/gpt-4o", "anthropic/claude-3-5-haiku"] {
            let answer = world.send(&case.call(model, "hello?")).await;
            assert_eq!(answer.status, 504, "{case:?} {model}");
            Said::error(case.dialect, &answer).unwrap_or_else(|e| panic!("{case:?} {model}: {e:#}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_methods_nobody_serves_are_refused_in_the_dialect_they_suggest() {
    let world = World::start(TWO_VENDORS).await;
    for dialect in DIALECTS {
        let mut call = dialect.chat("openai/gpt-4o", "hi", false);
        call.path = "/v1/nothing/here".into();
        let nowhere = world.send(&call).await;
        assert_eq!(nowhere.status, 404);
        let (_, message) = Said::error(dialect, &nowhere).unwrap();
        assert!(message.contains("Invalid URL (POST /v1/nothing/here)"), "{message}");
        // Clients that read it would leave a model that is there.
        assert!(!nowhere.text().contains("model_not_found"), "{}", nowhere.text());
    }
    let wrong_method = world.send(&Call::get(Dialect::OpenAi.path())).await;
    assert_eq!(wrong_method.status, 405);
    Said::error(Dialect::OpenAi, &wrong_method).unwrap();
    // Bytes that are no UTF-8 in a path or header are somebody's mistake, not the end of a worker.
    for header in ["x-odd", "authorization", "x-api-key", "anthropic-version"] {
        let odd = Dialect::OpenAi.chat("openai/gpt-4o", "hi", false).header(header, "\u{e9}\u{fffd}");
        assert!(world.send(&odd).await.status < 500, "{header}");
    }
    assert_eq!(world.stack.stat(".vm_reload").await.unwrap(), 0);
}

/// As an nginx in front asks that was not told otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http_1_0_is_served() {
    let world = World::start(TWO_VENDORS).await;
    let body = r#"{"model":"openai/gpt-4o","messages":[{"role":"user","content":"old"}]}"#;
    let head = "POST /v1/chat/completions HTTP/1.0\r\nhost: gateway\r\ncontent-type: application/json\r\n";
    let mut stream = TcpStream::connect(world.stack.listen()).await.unwrap();
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.split(' ').nth(1) == Some("200") && answer.contains("chat.completion"), "{answer}");
}
