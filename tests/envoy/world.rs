//! The world of a story: mock providers, the stack before them, and what a request at a provider must look like.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tests::client::{Answer, Call, Client, Dialect};
use tests::ledger::Ledger;
use tests::mock::vendor::{Vendor, text, tokens};
use tests::mock::{HostSpec, Mock, Record};
use tests::said::Said;
use tests::stack::{Stack, StackOptions};

pub(crate) const OPENAI: &str = "api.openai.com";
pub(crate) const ANTHROPIC: &str = "api.anthropic.com";

/// OpenAI and Anthropic, one key each, as `sk-openai` and `sk-ant`.
pub(crate) const TWO_VENDORS: &str = r#"
providers:
  openai: {keys: [{name: k1, secret: "{{sk-openai}}", models: ["gpt-4o-mini", "gpt-4o"]}]}
  anthropic: {keys: [{name: k1, secret: "{{sk-ant}}", models: ["claude-3-5-haiku", "claude-sonnet-4"]}]}
"#;

/// For stories in which a provider fails again and again, and is to be asked all the same.
pub(crate) const NO_RESTS: &str = "retry: {rest: {failures: 0}}\n";

/// Everything a story needs. The stack goes first, so that it never meets a dead provider.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) stack: Stack,
    pub(crate) mock: Mock,
}

impl World {
    /// The two vendors over TLS, and `yaml`.
    pub(crate) async fn start(yaml: &str) -> Self {
        Self::with(&[HostSpec::tls(OPENAI), HostSpec::tls(ANTHROPIC)], yaml, |_| {}).await
    }

    /// These hosts, and a change to the options.
    pub(crate) async fn with(hosts: &[HostSpec], yaml: &str, change: impl FnOnce(&mut StackOptions)) -> Self {
        let mock = Mock::start(hosts).unwrap();
        let mut options = StackOptions::new(&mock);
        change(&mut options);
        let stack = Stack::start(yaml, options).await.unwrap_or_else(|error| panic!("{error:#}"));
        Self { client: stack.client(), stack, mock }
    }

    pub(crate) async fn send(&self, call: &Call) -> Answer {
        self.client.send(call).await.unwrap()
    }

    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::open(&self.stack.store()).unwrap()
    }

    /// The requests at `host` whose body holds `mark`.
    pub(crate) fn received(&self, host: &str, mark: &str) -> Vec<Arc<Record>> {
        let holds = |record: &Record| String::from_utf8_lossy(&record.body).contains(mark);
        self.mock.journal().records(Some(host)).into_iter().filter(|record| holds(record)).collect()
    }
}

/// Waits for what a push brings about.
pub(crate) async fn until(world: &World, what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done().await {
        let log = || world.stack.sidecar_log().unwrap_or_default();
        assert!(Instant::now() < deadline, "waited in vain for {what}\n{}", log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A lane as its provider must see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lane {
    pub(crate) provider: &'static str,
    pub(crate) host: &'static str,
    pub(crate) path: &'static str,
    /// Header that carries the key, and its whole value.
    pub(crate) credential: (&'static str, &'static str),
    pub(crate) vendor: Vendor,
}

pub(crate) const OPENAI_LANE: Lane = Lane {
    provider: "openai",
    host: OPENAI,
    path: "/v1/chat/completions",
    credential: ("authorization", "Bearer sk-openai"),
    vendor: Vendor::OpenAi,
};

pub(crate) const ANTHROPIC_LANE: Lane = Lane {
    provider: "anthropic",
    host: ANTHROPIC,
    path: "/v1/messages",
    credential: ("x-api-key", "sk-ant"),
    vendor: Vendor::Anthropic,
};

impl Lane {
    /// What arrived is what this provider should get, and nothing else.
    pub(crate) fn check(&self, record: &Record, model: &str) {
        let context = || format!("{record:#?}");
        assert_eq!((record.method.as_str(), record.path.as_str()), ("POST", self.path), "{}", context());
        assert_eq!(record.authority, self.host, "{}", context());
        assert_eq!((record.protocol, record.sni.as_deref()), ("h2", Some(self.host)), "{}", context());
        let (name, value) = self.credential;
        assert_eq!(record.credentials(), [(name.to_owned(), value.to_owned())], "{}", context());
        let names: BTreeSet<&str> = record.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.len(), record.headers.len(), "a header came twice: {}", context());
        let allowed = |header: &str| self.allows(header);
        let stray: Vec<_> = names.into_iter().filter(|header| *header != name && !allowed(header)).collect();
        assert!(stray.is_empty(), "headers not on the list: {stray:?} {}", context());
        assert_eq!(record.header("content-length"), [record.body.len().to_string()], "{}", context());
        assert_eq!(record.json()["model"], model, "{}", context());
        assert!(!record.outcome.starts_with("refused"), "the provider refuses the request: {}", context());
    }

    /// Headers any request may carry, and those of the provider's own format.
    fn allows(&self, header: &str) -> bool {
        let format = match self.vendor {
            Vendor::OpenAi => "openai_chat",
            Vendor::Anthropic => "anthropic",
        };
        let inbound = wire::format::INBOUND.iter().find(|inbound| inbound.name() == format).unwrap();
        let common = ["content-type", "content-length", "accept", "user-agent", "host"];
        let own: &[&str] = if self.vendor == Vendor::Anthropic { &["anthropic-version"] } else { &[] };
        common.contains(&header) || own.contains(&header) || inbound.forwarded_headers().contains(&header)
    }

    /// The answer is this provider's, whole, and in the client's dialect.
    pub(crate) fn check_answer(&self, case: Case, answer: &Answer, model: &str, last: &str) {
        let said = Said::read(case.dialect, case.stream, answer).unwrap_or_else(|e| panic!("{case:?} {last}: {e:#}"));
        let expected = text(self.host, model, last);
        assert_eq!(said.text, expected, "{case:?} {last}");
        assert_eq!(said.stop, if case.dialect == Dialect::OpenAi { "stop" } else { "end_turn" }, "{case:?} {last}");
        // OpenAI streams usage to those who ask for it only.
        let usage = (case.dialect == Dialect::Anthropic || !case.stream).then(|| tokens(last, &expected));
        assert_eq!(said.usage, usage, "{case:?} {last}");
        assert_eq!(answer.header("x-attache-provider"), self.provider, "{case:?} {last}");
        assert_eq!(answer.header("x-attache-model"), model, "{case:?} {last}");
        let leaked: Vec<_> = answer.headers.keys().filter(|name| name.as_str().starts_with("x-envoy")).collect();
        assert!(leaked.is_empty(), "{leaked:?}");
    }
}

/// How a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) dialect: Dialect,
    pub(crate) stream: bool,
}

/// All four ways.
pub(crate) const CASES: [Case; 4] = [
    Case { dialect: Dialect::OpenAi, stream: false },
    Case { dialect: Dialect::OpenAi, stream: true },
    Case { dialect: Dialect::Anthropic, stream: false },
    Case { dialect: Dialect::Anthropic, stream: true },
];

impl Case {
    pub(crate) fn call(self, model: &str, text: &str) -> Call {
        self.dialect.chat(model, text, self.stream)
    }
}
