//! The Envoys that take turns.
//!
//! - `bare`: a listener, a route and a cluster; what any Envoy does.
//! - `no-op`: the whole rendered wiring, but both roles of the module do nothing.
//! - `whole`: as rendered, with its sidecar.
//! - `other`: the same with another build of the module, if one is named.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::client::{Call, Client};
use tests::ledger::Ledger;
use tests::mock::Mock;
use tests::process::Process;
use tests::stack::{Stack, StackOptions, envoy_binary};

/// Plays the first provider.
pub(crate) const OPENAI: &str = "openai.test";
/// Plays the one that speaks another format.
pub(crate) const ANTHROPIC: &str = "anthropic.test";

const BARE: &str = include_str!("bare.yaml");
/// Two providers, and a model of each.
pub(crate) const CONFIG: &str = r#"
providers:
  first: {like: openai, base_url: "http://openai.test/v1", allow_insecure: true, keys: [{name: k, secret: "{{sk-bench-1}}", models: ["*"]}]}
  second: {like: anthropic, base_url: "http://anthropic.test/v1", allow_insecure: true, keys: [{name: k, secret: "{{sk-bench-2}}", models: ["*"]}]}
models:
  same: {candidates: [{provider: first, model: gpt-4o-mini}]}
  other: {candidates: [{provider: second, model: claude-3-5-haiku-latest}]}
"#;

/// An Envoy to send requests to.
#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    pub(crate) listen: SocketAddr,
    /// Its process.
    pub(crate) envoy: u32,
    /// It chooses a provider by model; the others know one.
    pub(crate) plans: bool,
}

/// A whole gateway.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) variant: Variant,
    pub(crate) stack: Stack,
}

/// All of them, running: the baselines once for each provider.
#[derive(Debug)]
pub(crate) struct Variants {
    /// The built one, and the other build's.
    whole: Vec<Whole>,
    first: [Variant; 2],
    second: [Variant; 2],
    _others: Vec<Process>,
}

impl Variants {
    pub(crate) async fn start(mock: &Mock, against: Option<PathBuf>) -> Result<Self> {
        let options = |wasm| StackOptions { wasm, ..StackOptions::new(mock) };
        let mut whole = vec![Whole::start("whole", CONFIG, options(None)).await?];
        if against.is_some() {
            whole.push(Whole::start("other", CONFIG, options(against)).await?);
        }
        let stack = &whole.first().context("no stack")?.stack;
        let mut others = Vec::new();
        let first = baselines(stack, "first_k", mock.host(OPENAI).addr(), &mut others).await?;
        let second = baselines(stack, "second_k", mock.host(ANTHROPIC).addr(), &mut others).await?;
        Ok(Self { whole, first, second, _others: others })
    }

    /// Those that take turns when requests go to the first provider, or are translated for the second.
    pub(crate) fn of(&self, translated: bool) -> impl Iterator<Item = &Variant> {
        let idle = if translated { &self.second } else { &self.first };
        idle.iter().chain(self.whole.iter().map(|whole| &whole.variant))
    }

    /// How many requests `whole` has settled, once they should be `expected`.
    pub(crate) async fn settled(&self, expected: u64) -> Result<u64> {
        self.whole.first().context("no stack")?.settled(expected).await
    }
}

impl Whole {
    /// On one worker.
    pub(crate) async fn start(name: &'static str, config: &str, options: StackOptions) -> Result<Self> {
        let stack = Stack::start(config, StackOptions { workers: 1, ..options }).await?;
        let variant = Variant { name, listen: stack.listen(), envoy: stack.envoy_id(), plans: true };
        Ok(Self { variant, stack })
    }

    /// How many requests it has settled, once they should be `expected`.
    pub(crate) async fn settled(&self, expected: u64) -> Result<u64> {
        Ledger::open(&self.stack.store())?.wait_for(expected).await
    }
}

/// Starts both baselines for one provider.
async fn baselines(
    stack: &Stack,
    cluster: &str,
    provider: SocketAddr,
    running: &mut Vec<Process>,
) -> Result<[Variant; 2]> {
    let bare = stack.dir().join(format!("bare-{cluster}"));
    std::fs::create_dir_all(&bare)?;
    let bare_at = free_address()?;
    let text = BARE.replace("{{listen}}", &bare_at.port().to_string());
    std::fs::write(bare.join("envoy.yaml"), text.replace("{{provider}}", &provider.port().to_string()))?;
    let process = start(&bare, bare_at).await?;
    let bare = Variant { name: "bare", listen: bare_at, envoy: process.id(), plans: false };
    running.push(process);

    let idle = stack.dir().join(format!("no-op-{cluster}"));
    let idle_at = free_address()?;
    silence(&stack.dir().join("envoy"), &idle, cluster, stack.listen(), idle_at)?;
    let process = start(&idle, idle_at).await?;
    let idle = Variant { name: "no-op", listen: idle_at, envoy: process.id(), plans: false };
    running.push(process);
    Ok([bare, idle])
}

/// Copies a rendering to `to` with both roles doing nothing: no hop is ever named, so the route names `cluster`.
fn silence(from: &Path, to: &Path, cluster: &str, listen: SocketAddr, at: SocketAddr) -> Result<()> {
    let moved = |file: &str| -> Result<String> {
        let text = std::fs::read_to_string(from.join(file)).with_context(|| file.to_owned())?;
        Ok(text.replace(&from.display().to_string(), &to.display().to_string()))
    };
    let changed = |text: String, old: &str, new: &str| -> Result<String> {
        ensure!(text.contains(old), "the rendering has no `{old}`");
        Ok(text.replace(old, new))
    };
    std::fs::create_dir_all(to.join("ecds"))?;
    std::fs::create_dir_all(to.join("sds"))?;
    for secret in ["sds/first_k.yaml", "sds/second_k.yaml"] {
        std::fs::write(to.join(secret), moved(secret)?)?;
    }
    let plan = moved("ecds/plan.yaml")?;
    let (plan, _configuration) = plan.split_once("value: |").context("ecds/plan.yaml has no block")?;
    std::fs::write(to.join("ecds/plan.yaml"), format!("{plan}value: '{{\"role\":\"noop\"}}'\n"))?;
    let mut clusters = moved("cds.yaml")?;
    for lane in ["first_k", "second_k"] {
        clusters = changed(clusters, &format!(r#"{{"role":"attempt","lane":"{lane}"}}"#), r#"{"role":"noop"}"#)?;
    }
    std::fs::write(to.join("cds.yaml"), clusters)?;
    let action = "type.googleapis.com/envoy.extensions.router.cluster_specifiers.matcher.v3.ClusterAction";
    let always = format!(
        "                on_no_match: {{action: {{name: c, typed_config: {{\"@type\": {action}, cluster: {cluster}}}}}}}\n"
    );
    std::fs::write(to.join("rds.yaml"), moved("rds.yaml")? + &always)?;
    let port = |at: SocketAddr| format!("port_value: {}}}", at.port());
    let bootstrap = changed(moved("envoy.yaml")?, &port(listen), &port(at))?;
    // Its admin port is taken by the original; nobody asks this one.
    let start = bootstrap.find("admin:\n").context("envoy.yaml has no admin")?;
    let end = bootstrap.find("bootstrap_extensions:").context("envoy.yaml has no extensions")?;
    let without = bootstrap.get(..start).zip(bootstrap.get(end..)).context("envoy.yaml is cut")?;
    std::fs::write(to.join("envoy.yaml"), format!("{}{}", without.0, without.1))?;
    Ok(())
}

async fn start(dir: &Path, at: SocketAddr) -> Result<Process> {
    let bootstrap = dir.join("envoy.yaml").display().to_string();
    let arguments =
        ["-c", &bootstrap, "--concurrency", "1", "--use-dynamic-base-id", "--disable-hot-restart", "-l", "warning"];
    let mut process = Process::start(&envoy_binary()?, &arguments, &[], &dir.join("envoy.log"))?;
    let call = Call::get("/");
    for _ in 0..1500 {
        ensure!(process.ended().is_none(), "Envoy ended:\n{}", process.tail(20));
        if Client::h1(at).send(&call).await.is_ok() {
            return Ok(process);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("Envoy does not come up:\n{}", process.tail(20))
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
