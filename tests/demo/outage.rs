//! `make demo STORY=outage`: live streams, and the plug is pulled on everything around them, one after another.
//!
//! Does not: excuse anything. What is promised is counted at the clients and in the ledger, and a broken promise ends the
//! command with an error.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tests::ledger::{Ledger, Outcome};
use tests::mock::{Fault, HostSpec, Mock};
use tests::stack::{Stack, StackOptions};

use crate::load::{End, Tally, streams};
use crate::screen::{self, Screen};

const OPENAI: &str = "api.openai.com";
const ANTHROPIC: &str = "api.anthropic.com";
const MISTRAL: &str = "api.mistral.ai";
const HOSTS: [(&str, &str); 3] = [("openai", OPENAI), ("anthropic", ANTHROPIC), ("mistral", MISTRAL)];
const VMS: &str = "wasm.envoy.wasm.runtime.v8.created";
/// Nothing that is waited for takes so long.
const HANG: Duration = Duration::from_secs(60);

/// How large the story is told.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Scale {
    /// Streams at any time.
    #[arg(long, default_value_t = 200)]
    pub(crate) streams: usize,
    /// Seconds between two blows.
    #[arg(long, default_value_t = 6)]
    pub(crate) pace: u64,
    /// Milliseconds between two events of a stream.
    #[arg(long, default_value_t = 350)]
    pub(crate) drip: u64,
}

impl Scale {
    /// The clients begin one by one, in about the time of one stream.
    fn delay(&self, nth: usize) -> Duration {
        let all = Duration::from_millis(20 * self.drip);
        all.mul_f64(nth as f64 / self.streams as f64)
    }
}

/// The configuration before and after the push.
fn yaml(pushed: bool) -> String {
    let other = if pushed {
        "mistral: {keys: [{name: k, secret: \"{{sk-mistral}}\", models: [\"*\"]}]}"
    } else {
        "anthropic: {keys: [{name: k, secret: \"{{sk-ant-1}}\", models: [\"*\"]}]}"
    };
    let (name, model) = if pushed { ("mistral", "mistral-small") } else { ("anthropic", "claude-3-5-haiku-latest") };
    format!(
        "providers:\n  openai: {{keys: [{{name: k, secret: \"{{{{sk-openai}}}}\", models: [\"*\"]}}]}}\n  {other}\n\
         models: {{chat: {{candidates: [{{provider: openai, model: gpt-4o-mini}}, {{provider: {name}, model: {model}}}]}}}}\n\
         virtual_keys: [{{name: demo, secret: \"{{{{vk-demo}}}}\"}}]\n"
    )
}

/// Everything, and what it has come to.
struct Show {
    mock: Mock,
    stack: Stack,
    ledger: Ledger,
    tally: Arc<Tally>,
    screen: Screen,
    pace: Duration,
    /// Streams begun when the provider was killed.
    killed: u64,
    /// Requests with the key that was rotated, long after that.
    former: u64,
}

impl Show {
    fn settled(&self) -> u64 {
        // It may be away, and so may its file for a moment.
        self.ledger.count().unwrap_or(0)
    }

    fn news(&mut self, news: &str) {
        let settled = self.settled();
        self.screen.say(&self.tally, settled, news);
    }

    /// Waits, and shows the seconds.
    async fn until(&mut self, what: &str, mut done: impl AsyncFnMut(&Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + HANG;
        while !done(self).await {
            ensure!(Instant::now() < deadline, "waited in vain for {what}");
            tokio::time::sleep(Duration::from_millis(100)).await;
            let settled = self.settled();
            self.screen.tick(&self.tally, settled);
        }
        Ok(())
    }

    async fn pause(&mut self) -> Result<()> {
        let end = Instant::now() + self.pace;
        self.until("the clock", async |_| Instant::now() >= end).await
    }

    async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        self.stack.metric(name, labels).await.unwrap_or_default()
    }

    async fn play(&mut self) -> Result<()> {
        self.pause().await?;
        self.news("openai killed: refuses, resets all");
        self.mock.host(OPENAI).refuse();
        self.killed = Tally::count(&self.tally.begun);
        self.pause().await?;
        self.news("openai is back");
        self.mock.host(OPENAI).accept()?;
        self.pause().await?;

        self.news("anthropic's key rotated");
        std::fs::write(self.stack.secret("sk-ant-1"), "sk-ant-2")?;
        let used = async |show: &Self| show.mock.journal().count(ANTHROPIC, "sk-ant-2") > 0;
        self.until("the new key", used).await?;
        self.news("  the new key is in use");
        self.pause().await?;

        self.news("sidecar killed with -9");
        self.stack.kill_sidecar();
        self.pause().await?;
        let settled = self.settled();
        self.news("sidecar started again");
        self.stack.start_sidecar().await?;
        self.until("settlements", async |show| show.settled() > settled).await?;
        self.news("  it hears what it has missed");
        self.pause().await?;
        self.former = self.mock.journal().count(ANTHROPIC, "sk-ant-1");

        self.news("pushed: mistral in, anthropic out");
        let hash = self.stack.configure(&yaml(true))? as f64;
        self.until("the push", async |show| show.metric("attache_config_hash", &[]).await == hash).await?;
        self.news("  new requests are planned with it");
        self.pause().await?;
        ensure!(self.mock.journal().count(MISTRAL, "Bearer sk-mistral") > 0, "nobody asks the new provider");

        self.news("attache.wasm replaced");
        let applied = self.metric("attache_config_reloads_total", &["applied"]).await;
        let vms = self.stack.stat(VMS).await?;
        self.stack.upgrade()?;
        let done = async |show: &Self| show.metric("attache_config_reloads_total", &["applied"]).await > applied;
        self.until("the upgrade", done).await?;
        ensure!(self.stack.stat(VMS).await? > vms, "no new module was loaded");
        self.news("  new requests are planned by it");
        self.pause().await
    }

    /// What must hold whatever has happened.
    fn promises(&self) -> Result<()> {
        let (begun, settled) = (Tally::count(&self.tally.begun), self.settled());
        let cut = self.ledger.all()?;
        let cut = cut.iter().filter(|one| one.tries.last().is_some_and(|last| last.outcome == Outcome::Cut)).count();
        screen::totals(&self.tally, settled, cut);
        for bad in self.tally.bad.lock().unwrap().iter() {
            let hidden = !matches!(bad.end, End::ErrorEvent | End::BrokenOff);
            ensure!(!hidden, "a promise is broken: {bad}");
            let killed = bad.provider == "openai" && bad.number < self.killed;
            ensure!(killed, "a stream ended although its provider was well: {bad}");
        }
        ensure!(self.mock.journal().count(ANTHROPIC, "sk-ant-1") == self.former, "a key was used after its rotation");
        ensure!(settled == begun, "{begun} streams were begun, {settled} are settled");
        Ok(())
    }
}

pub(crate) async fn run(scale: Scale) -> Result<()> {
    let mock = Mock::start(&HOSTS.map(|(_, host)| HostSpec::tls(host)))?;
    mock.journal().counts_only(true);
    for (_, host) in HOSTS {
        mock.host(host).fault(Fault::Drip { ms: scale.drip }.always());
    }
    let options =
        StackOptions { push: Some(scale.pace), sidecar: "key_ttl: 5m, deadline: 30s", ..StackOptions::new(&mock) };
    let stack = Stack::start(&yaml(false), options).await?;
    println!("Envoy with attache.wasm, the sidecar and three mock vendors are up. {} clients", scale.streams);
    println!("read one stream after the other, and the plug is pulled on all the rest.\n");
    let tally = Arc::new(Tally::default());
    let start = |nth| tokio::spawn(streams(stack.client(), tally.clone(), &HOSTS, scale.delay(nth)));
    let clients: Vec<_> = (0..scale.streams).map(start).collect();
    let (ledger, pace) = (Ledger::open(&stack.store())?, Duration::from_secs(scale.pace));
    let mut show = Show { mock, stack, ledger, tally, screen: Screen::start(), pace, killed: 0, former: 0 };
    let most = u64::try_from(scale.streams / 2)?;
    show.until("live streams", async |show| Tally::count(&show.tally.live) > most).await?;
    show.news("all is well");
    show.play().await?;

    show.news("no more new streams");
    show.tally.over.store(true, Ordering::SeqCst);
    show.until("the last streams", async |_| clients.iter().all(|client| client.is_finished())).await?;
    for client in clients {
        client.await?;
    }
    let begun = Tally::count(&show.tally.begun);
    // What is missing is told with all the rest.
    let _late = show.until("settlements", async |show| show.settled() >= begun).await;
    show.news("all is settled");
    show.promises()?;
    let failovers = show.metric("attache_failovers_total", &[]).await;
    println!("demo: ok story=outage streams={begun} failovers={failovers}");
    Ok(())
}
