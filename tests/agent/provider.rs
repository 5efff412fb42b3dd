//! The other side: a provider of OpenAI's protocol, what it is made to say, and what it must have received.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use tests::ledger::{Ledger, Outcome};
use tests::mock::script::{answered, offers};
use tests::mock::{HostSpec, Mock, Record, Reply, Script};
use tests::stack::{Stack, StackOptions};

use crate::claude::{Claude, KEY, block};

const HOST: &str = "api.openai.com";

/// What the file holds in the end.
pub(crate) const MENDED: &str = "Hello “world” – naïve \\ 日本 🙂.\n";

/// The model's last answer.
pub(crate) const LAST_WORDS: &str = "Mended: `wrold` was “world” – ✓.";

/// And its first.
const FIRST_WORDS: &str = "I have a look – at once.";

/// What it thinks and shows, as some servers do.
pub(crate) const THOUGHT: &str = "There may be more – let me see.";

/// What the second agent is told.
const ERRAND: &str = "Look behind the curtain.";

/// Members that only Anthropic's protocol has.
const FOREIGN: [&str; 9] = [
    "cache_control",
    "input_schema",
    "tool_use_id",
    "is_error",
    "thinking",
    "context_management",
    "output_config",
    "defer_loading",
    "stop_sequences",
];

/// The stack goes first, so that it never meets a dead provider.
pub(crate) struct World {
    pub(crate) stack: Stack,
    mock: Mock,
}

/// A request that arrived.
pub(crate) struct Asked {
    pub(crate) bytes: usize,
    pub(crate) body: Value,
}

impl Asked {
    /// How many it offers.
    pub(crate) fn tools(&self) -> usize {
        self.body["tools"].as_array().map_or(0, Vec::len)
    }

    /// Content of the tool message for this call, if it is there.
    fn result(&self, id: &str) -> Option<&str> {
        let messages = self.body["messages"].as_array().into_iter().flatten();
        messages.into_iter().find(|message| message["tool_call_id"] == id).map(|message| text(&message["content"]))
    }
}

impl World {
    /// The configuration of the page, in front of the mock.
    pub(crate) async fn start() -> Self {
        let mock = Mock::start(&[HostSpec::tls(HOST)]).unwrap();
        let yaml = block("yaml").replace("env:OPENAI_API_KEY", "{{sk-openai}}").replace("env:VK_AGENT", "{{vk-agent}}");
        let own = |line: &&str| !line.starts_with("version:") && !line.starts_with("sidecar:");
        let mut text = String::new();
        yaml.lines().filter(own).for_each(|line| writeln!(text, "{line}").unwrap());
        let stack = Stack::start(&text, StackOptions::new(&mock)).await.unwrap_or_else(|error| panic!("{error:#}"));
        Self { stack, mock }
    }

    /// What the provider says from now on.
    pub(crate) fn script(&self, script: Script) {
        self.mock.host(HOST).script(script);
    }

    /// Everything that arrived is what this provider takes.
    pub(crate) fn check_requests(&self) -> Vec<Asked> {
        let records = self.mock.journal().records(None);
        let asked: Vec<_> =
            records.iter().map(|record| Asked { bytes: record.body.len(), body: check(record) }).collect();
        assert!(asked.iter().filter(|request| request.tools() > 5).count() >= 3, "an agent offers its tools");
        asked
    }

    /// Every request is settled, with the key, the provider and its tokens.
    pub(crate) async fn check_ledger(&self, asked: usize) {
        let ledger = Ledger::open(&self.stack.store()).unwrap();
        let settled = ledger.wait_for(asked as u64).await.unwrap();
        let all = ledger.all().unwrap();
        // The list of models is settled as well, but no provider is asked for it.
        let tried: Vec<_> = all.iter().filter(|settled| !settled.tries.is_empty()).collect();
        assert_eq!((tried.len(), all.len() as u64), (asked, settled), "every request is settled once: {all:#?}");
        for settled in tried {
            assert_eq!((settled.key.as_str(), settled.dialect.as_str()), ("agent", "anthropic"), "{settled:?}");
            assert!(settled.status == 200 && !settled.client_gone && settled.tries.len() == 1, "{settled:?}");
            let tried = &settled.tries[0];
            assert!(tried.provider == "openai" && tried.outcome == Outcome::Ok && !tried.estimated, "{settled:?}");
        }
    }
}

/// The provider looks at two files at once, edits one, and says so. Whatever offers no such tools is a question on the
/// side.
pub(crate) fn edits(claude: &Claude) -> Script {
    let greeting = claude.path("greeting.txt");
    let look = Reply::text(FIRST_WORDS).call("call_look", "Read", json!({"file_path": greeting})).call(
        "call_style",
        "Read",
        json!({"file_path": claude.path("style.md")}),
    );
    let edit = json!({"file_path": greeting, "old_string": "Hello wrold\n", "new_string": MENDED});
    Script::default()
        .when(answered(&["call_edit"]), Reply::text(LAST_WORDS))
        .when(answered(&["call_look", "call_style"]), Reply::default().call("call_edit", "Edit", edit))
        .when(offers("Edit"), look)
        .when(|body| body["tools"].is_null(), Reply::text("Greetings"))
}

/// A picture, a document and a mistake at once; then tools that were kept back; then an agent of its own.
pub(crate) fn looks_around(claude: &Claude) -> Script {
    let edit = json!({"file_path": claude.path("nowhere.txt"), "old_string": "a", "new_string": "b"});
    let look = Reply::default()
        .thinking(THOUGHT)
        .call("call_png", "Read", json!({"file_path": claude.path("dot.png")}))
        .call("call_pdf", "Read", json!({"file_path": claude.path("page.pdf")}))
        .call("call_nowhere", "Edit", edit);
    let search = json!({"query": "select:WebFetch", "max_results": 5});
    let search = Reply::text(FIRST_WORDS).thinking(THOUGHT).call("call_search", "ToolSearch", search);
    let agent = json!({"description": "look", "prompt": ERRAND, "run_in_background": false});
    Script::default()
        .when(answered(&["call_agent"]), Reply::text(LAST_WORDS))
        .when(answered(&["call_search"]), Reply::default().call("call_agent", "Agent", agent))
        .when(answered(&["call_png", "call_pdf", "call_nowhere"]), search)
        .when(|body| body["messages"].to_string().contains(ERRAND), Reply::text(FIRST_WORDS))
        .when(offers("Edit"), look)
        .when(|body| body["tools"].is_null(), Reply::text("Looking around"))
}

/// One request at the provider. What a strict vendor refuses, the mock has refused; the rest is looked for here.
fn check(record: &Record) -> Value {
    let body = record.json();
    let context = || format!("{:#}", body);
    assert_eq!(record.outcome, "ok", "{}", context());
    assert_eq!((record.method.as_str(), record.path.as_str()), ("POST", "/v1/chat/completions"));
    let credential = ("authorization".to_owned(), "Bearer sk-openai".to_owned());
    assert_eq!(record.credentials(), [credential], "the provider's key and no other");
    assert!(!String::from_utf8_lossy(&record.body).contains(KEY), "the virtual key went on");
    assert!(["gpt-5", "gpt-5-mini"].map(Value::from).contains(&body["model"]), "{}", context());
    foreign(&body, &mut |path| panic!("Anthropic's {path} at OpenAI: {}", context()));
    let first = &body["messages"][0];
    assert!(first["role"] == "system" && first["content"].as_str().is_some_and(|text| text.len() > 200));
    body
}

/// The last request of the task carries it whole: question, calls, results.
pub(crate) fn check_edit(body: &Value, claude: &Claude) {
    let messages = body["messages"].as_array().unwrap();
    let of = |role: &str| messages.iter().filter(|m| m["role"] == role).collect::<Vec<_>>();
    assert!(of("user")[0].to_string().contains("Mend greeting.txt"), "the task is missing: {body:#}");
    let said = of("assistant");
    assert!(said.len() == 2 && said[0]["content"] == FIRST_WORDS, "{said:#?}");
    let calls = said.iter().flat_map(|message| message["tool_calls"].as_array().unwrap());
    let calls: Vec<_> = calls.map(|call| (text(&call["id"]), text(&call["function"]["name"]))).collect();
    assert_eq!(calls, [("call_look", "Read"), ("call_style", "Read"), ("call_edit", "Edit")]);
    let edit: Value = serde_json::from_str(text(&said[1]["tool_calls"][0]["function"]["arguments"])).unwrap();
    assert_eq!(edit["file_path"], claude.path("greeting.txt").to_str().unwrap());
    assert_eq!(edit["new_string"], MENDED);
    // Of calls made at once, either may be answered first.
    let results: BTreeMap<_, _> = of("tool").iter().map(|m| (text(&m["tool_call_id"]), text(&m["content"]))).collect();
    assert_eq!(results.keys().copied().collect::<Vec<_>>(), ["call_edit", "call_look", "call_style"]);
    assert!(results["call_look"].contains("Hello wrold") && results["call_style"].contains("full stop"), "{results:?}");
}

/// Each kind of result reached the model, in the form this protocol has for it.
pub(crate) fn check_results(asked: &[Asked]) {
    let last = asked.last().unwrap();
    let files: Vec<_> = last.body["messages"].as_array().unwrap().iter().filter(|m| m["role"] == "user").collect();
    let parts: Vec<&Value> = files.iter().flat_map(|m| m["content"].as_array().into_iter().flatten()).collect();
    let picture = parts.iter().find_map(|part| part["image_url"]["url"].as_str()).expect("the picture");
    assert!(picture.starts_with("data:image/"), "{picture}");
    let document = parts.iter().find_map(|part| part["file"]["file_data"].as_str()).expect("the document");
    assert!(document.starts_with("data:application/pdf;base64,JVBER"), "{document}");
    assert!(last.result("call_nowhere").unwrap().contains("does not exist"), "{:?}", last.result("call_nowhere"));
    assert!(last.result("call_agent").unwrap().contains(FIRST_WORDS), "{:?}", last.result("call_agent"));
    // A tool that was kept back is on offer once it was asked for.
    let fetches = |request: &Asked| offers("WebFetch")(&request.body);
    assert!(!fetches(&asked[0]) && fetches(last), "the tool that was found is not on offer");
    let errands = asked.iter().filter(|request| request.result("call_png").is_none()).count();
    assert!(errands >= 2, "no agent was sent on an errand");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a text was expected, not {value}"))
}

/// Calls `found` for each member of Anthropic's anywhere but in the tools' own schemas.
fn foreign(value: &Value, found: &mut impl FnMut(&str)) {
    match value {
        Value::Object(members) => {
            for (name, inner) in members.iter().filter(|(name, _)| *name != "parameters") {
                if FOREIGN.contains(&name.as_str()) {
                    found(name);
                }
                foreign(inner, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| foreign(item, found)),
        _ => {}
    }
}
