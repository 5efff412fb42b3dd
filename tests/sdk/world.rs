//! A stack for one script, the script's run, and what it must have said.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tests::mock::{HostSpec, Mock, control};
use tests::stack::{Stack, StackOptions};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::features::Feature;

/// A script that is not through by then hangs.
const LONGEST: Duration = Duration::from_secs(180);

/// Providers under their vendors' names. A key that was told to wait rests, so those that will be have their own.
const CONFIG: &str = r#"
auth: required
providers:
  openai: {keys: [{name: k1, secret: "{{sk-openai}}", models: ["*"]}]}
  anthropic: {keys: [{name: k1, secret: "{{sk-ant}}", models: ["*"]}]}
  deepseek: {keys: [{name: k1, secret: "{{sk-deepseek}}", models: ["*"]}]}
  openrouter: {keys: [{name: k1, secret: "{{sk-openrouter}}", models: ["*"]}]}
  limited-whole: {like: anthropic, keys: [{name: k1, secret: "{{sk-ant}}", models: ["*"]}]}
  limited-streamed: {like: anthropic, keys: [{name: k1, secret: "{{sk-ant}}", models: ["*"]}]}
  limited-openai-whole: {like: openai, keys: [{name: k1, secret: "{{sk-openai}}", models: ["*"]}]}
  limited-openai-streamed: {like: openai, keys: [{name: k1, secret: "{{sk-openai}}", models: ["*"]}]}
models:
  chat: {candidates: [{provider: openai, model: gpt-4o-mini}]}
virtual_keys: [{name: sdk, secret: "{{vk-sdk}}", models: ["*"]}]
limits: {body: 1MiB}
retry: {max: 1}
"#;

/// Mock and stack; the stack goes first, so that it never meets a dead provider.
pub(crate) struct World {
    stack: Stack,
    _mock: Arc<Mock>,
    control: String,
}

/// A program with the script it runs.
pub(crate) struct Script {
    program: PathBuf,
    script: PathBuf,
}

impl Script {
    /// In the folder `python`, by the interpreter that has the SDKs.
    pub(crate) fn python(name: &str) -> Self {
        let program = root().join(".venv/bin/python3");
        installed(&root().join(".venv/requirements-sdk.txt"));
        Self { program, script: here().join("python").join(name) }
    }

    /// In the folder `node`, beside the SDKs.
    pub(crate) fn node(name: &str) -> Self {
        installed(&here().join("node/node_modules/installed.json"));
        // Where the machine has none, it is in .venv.
        let own = root().join(".venv/bin/node");
        let program = if own.is_file() { own } else { "node".into() };
        Self { program, script: here().join("node").join(name) }
    }
}

fn installed(mark: &Path) {
    assert!(mark.is_file(), "the SDKs are not installed ({} is absent): run `make setup`", mark.display());
}

impl World {
    pub(crate) async fn start() -> Self {
        let hosts = ["api.openai.com", "api.anthropic.com", "api.deepseek.com", "openrouter.ai"].map(HostSpec::tls);
        let mock = Arc::new(Mock::start(&hosts).unwrap());
        let stack = Stack::start(CONFIG, StackOptions::new(&mock)).await.unwrap_or_else(|error| panic!("{error:#}"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let control = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(control::serve(Arc::clone(&mock), listener));
        Self { stack, _mock: mock, control }
    }

    /// Runs the script and compares what it says with `features`.
    pub(crate) async fn run(&self, script: &Script, features: &[Feature]) {
        let name = script.script.file_name().unwrap().to_string_lossy().into_owned();
        let mut command = Command::new(&script.program);
        command.arg(&script.script).stdin(Stdio::null()).kill_on_drop(true);
        command.env("ATTACHE_BASE", format!("http://{}", self.stack.listen())).env("ATTACHE_KEY", "vk-sdk");
        command.env("MOCK_CONTROL", &self.control).env("CORPUS", here().parent().unwrap().join("corpus"));
        command.env("SCRATCH", self.stack.dir()).env("PYTHONDONTWRITEBYTECODE", "1");
        let output = tokio::time::timeout(LONGEST, command.output()).await.unwrap_or_else(|_| panic!("{name} hangs"));
        let output = output.unwrap_or_else(|e| panic!("{}: {e}: run `make setup`", script.program.display()));
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        println!("{said}{complained}");
        assert!(output.status.success(), "{name} ended with {}", output.status);
        judge(&name, &said, features);
    }
}

/// Exactly the features that must run ran, and none failed.
fn judge(name: &str, said: &str, features: &[Feature]) {
    let expected: Vec<String> = features.iter().flat_map(Feature::names).collect();
    let named = |mark: &str| -> BTreeSet<String> {
        said.lines().filter_map(|line| line.strip_prefix(mark)).map(str::to_owned).collect()
    };
    let (passed, failed) = (named("ok "), named("not ok "));
    let ran: BTreeSet<String> = passed.union(&failed).cloned().collect();
    assert_eq!(ran, expected.into_iter().collect(), "{name}: not the features that should run");
    assert!(failed.is_empty(), "{name}: {failed:#?}");
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
