//! Keys unlike any other are planted, used, refused, quoted and rotated; then everything the product says or keeps is
//! searched for them.
//!
//! Does not: search the memory of Envoy's process or of the sidecar's. Envoy holds providers' keys in order to send
//! them. `tests/guest/secrets.rs` searches that of the module.

use std::path::{Path, PathBuf};

use tests::client::{Answer, Call, DIALECTS, Dialect};
use tests::mock::{Fault, HostSpec};

use crate::world::{ANTHROPIC, CASES, OPENAI, World};

const OPENAI_KEY: &str = "sk-planted-openai-Qx72mLw9";
const ANTHROPIC_KEY: &str = "sk-planted-anthropic-Rb51nKe4";
const VIRTUAL_KEY: &str = "vk-planted-virtual-Hd83pTz6";
const STRANGE_KEY: &str = "vk-planted-strange-Wm27cUy1";
const COOKIE: &str = "session-planted-Jf46gXa5";
const SECRETS: [&str; 5] = [OPENAI_KEY, ANTHROPIC_KEY, VIRTUAL_KEY, STRANGE_KEY, COOKIE];

const YAML: &str = r#"
providers:
  openai: {keys: [{name: k1, secret: "{{sk-planted-openai-Qx72mLw9}}", models: ["*"]}]}
  anthropic: {keys: [{name: k1, secret: "{{sk-planted-anthropic-Rb51nKe4}}", models: ["*"]}]}
models:
  both: {candidates: [{provider: openai, model: gpt-4o}, {provider: anthropic, model: m, priority: 1}]}
virtual_keys: [{name: team, secret: "{{vk-planted-virtual-Hd83pTz6}}"}]
"#;

/// Pages of Envoy's admin interface that tell configuration, statistics or state.
const PAGES: [&str; 9] = [
    "/config_dump?include_eds",
    "/stats",
    "/stats/prometheus",
    "/clusters?format=json",
    "/certs",
    "/listeners",
    "/server_info",
    "/runtime",
    "/init_dump",
];

/// The access log that names what a client sent, as people write it.
const ACCESS_LOG: &str = r#"stat_prefix: attache
          access_log:
          - name: envoy.access_loggers.stdout
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
              log_format: {text_format_source: {inline_string: "accessed %PROTOCOL% %RESPONSE_CODE% %REQ(X-ATTACHE-KEY)% %REQ(X-BF-VK)% %REQ(COOKIE)% %REQ(USER-AGENT)% %REQ(:PATH)% %RESPONSE_CODE_DETAILS% %UPSTREAM_CLUSTER%\n"}}"#;

fn quoting(key: &str, status: u16) -> Fault {
    let body =
        format!(r#"{{"type":"error","error":{{"type":"authentication_error","message":"no such key: {key}"}}}}"#);
    Fault::Status { status, body: Some(body), retry_after: None }
}

/// Every way a request can end, with the virtual key in every header it may come in.
async fn traffic(world: &World) -> Vec<Answer> {
    let mut calls: Vec<Call> = Vec::new();
    for case in CASES {
        for model in ["openai/gpt-4o", "anthropic/m", "both", "nobody/nothing", VIRTUAL_KEY] {
            calls.push(case.call(model, "hello").key(VIRTUAL_KEY).header("cookie", COOKIE));
        }
        for header in ["x-attache-key", "x-bf-vk"] {
            calls.push(case.call("both", "hello").key(STRANGE_KEY).header(header, VIRTUAL_KEY));
        }
        calls.push(case.call("both", "hello").key(STRANGE_KEY));
        calls.push(case.dialect.raw(b"{".to_vec()).key(VIRTUAL_KEY));
    }
    let mut answers = Vec::new();
    for call in &calls {
        // A model named like a key is the client's own telling; the answer may quote it, nobody may keep it.
        let answer = world.send(call).await;
        if !String::from_utf8_lossy(&call.body).contains(VIRTUAL_KEY) {
            answers.push(answer);
        }
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_keys_are_found_nowhere_afterwards() {
    let hosts = [OPENAI, ANTHROPIC].map(HostSpec::tls);
    let world = World::with(&hosts, YAML, |options| {
        options.rendered = vec![("envoy.yaml", "stat_prefix: attache", ACCESS_LOG)];
        options.log = "info";
    })
    .await;
    let mut answers = traffic(&world).await;
    for fault in [Fault::status(503), quoting(OPENAI_KEY, 401), quoting(ANTHROPIC_KEY, 401), Fault::RstBeforeHeaders] {
        for host in [OPENAI, ANTHROPIC] {
            world.mock.host(host).fault(fault.clone().always());
        }
        answers.extend(traffic(&world).await);
        world.mock.host(OPENAI).clear();
        answers.extend(traffic(&world).await);
        world.mock.host(ANTHROPIC).clear();
    }
    world.stack.freeze_sidecar(true);
    answers.push(world.send(&Dialect::OpenAi.chat("both", "away", false).key(STRANGE_KEY)).await);
    world.stack.freeze_sidecar(false);
    world.stack.kill_sidecar();
    answers.extend(traffic(&world).await);
    world.stack.start_sidecar().await.unwrap();
    answers.extend(traffic(&world).await);
    assert!(world.mock.journal().count(OPENAI, OPENAI_KEY) > 0, "the key is what the provider gets");
    assert!(world.mock.journal().count(ANTHROPIC, ANTHROPIC_KEY) > 0);
    for record in world.mock.journal().records(None) {
        let theirs = if record.host == OPENAI { OPENAI_KEY } else { ANTHROPIC_KEY };
        for secret in SECRETS.iter().filter(|secret| **secret != theirs) {
            assert!(!record.headers.iter().any(|(_, value)| holds(value, secret)), "{secret} came to {}", record.host);
        }
    }

    let mut told = 0;
    for answer in &answers {
        let head: Vec<u8> = answer.headers.values().flat_map(|value| [value.as_bytes(), b" "].concat()).collect();
        clean("an answer's head", &head);
        clean("an answer", &answer.body());
        told += usize::from(answer.status == 401);
    }
    assert!(told > 0, "some were refused by the provider, which quoted the key");
    for page in PAGES {
        let page_text = world.stack.admin_page(page).await.unwrap();
        assert!(!page_text.is_empty(), "{page} is empty");
        clean(page, page_text.as_bytes());
    }
    clean("/metrics", world.stack.metrics().await.unwrap().as_bytes());
    world.ledger().wait_for(1).await.unwrap();
    let kept = kept(world.stack.dir());
    for name in ["envoy.log", "attache.log", "s.db", "attache.yaml", "envoy.yaml", "plan.yaml", "cds.yaml"] {
        assert!(kept.iter().any(|path| path.ends_with(name)), "{name} was not searched: {kept:?}");
    }
    for path in &kept {
        clean(&path.display().to_string(), &std::fs::read(path).unwrap());
    }
    let log = std::fs::read_to_string(world.stack.dir().join("envoy.log")).unwrap();
    assert!(log.contains("accessed HTTP/1.1 200"), "there was an access log");
}

/// That it was refused is told, in both dialects: without the provider's words within a format, without what looks like a
/// key across.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_quotes_our_key_is_not_quoted() {
    let world = World::with(&[OPENAI, ANTHROPIC].map(HostSpec::tls), YAML, |_| {}).await;
    world.mock.host(OPENAI).fault(quoting(OPENAI_KEY, 401).always());
    world.mock.host(ANTHROPIC).fault(quoting(ANTHROPIC_KEY, 401).always());
    for dialect in DIALECTS {
        for model in ["openai/gpt-4o", "anthropic/m", "both"] {
            let answer = world.send(&dialect.chat(model, "hi", false).key(VIRTUAL_KEY)).await;
            tests::said::Said::error(dialect, &answer).unwrap();
            assert_eq!(answer.status, 401, "{model}");
            clean("the answer", &answer.body());
        }
    }
}

/// Everything below a folder, but the files that are there to hold a secret.
fn kept(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "sds" {
                all.extend(kept(&path));
            }
        } else if path.is_file() && !name.starts_with("secret-") {
            all.push(path);
        }
    }
    all
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

fn clean(what: &str, bytes: &[u8]) {
    for secret in SECRETS {
        assert!(!holds(bytes, secret), "{what} holds {secret}: {}", String::from_utf8_lossy(bytes));
    }
}
