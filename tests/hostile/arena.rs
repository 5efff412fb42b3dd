//! Where an attack takes place: the stack with two workers, the attacker's provider and the victim's, and the victim.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tests::client::{Answer, Call, Client, Dialect};
use tests::said::Said;
use tests::stack::{Stack, StackOptions};

use crate::sink::Sink;

/// The victim's connections: so many that both workers have some.
const CONNECTIONS: usize = 8;
/// Pause of each after an answer.
const PAUSE: Duration = Duration::from_millis(15);
/// How long the victim is watched in quiet, for how long that counts, and how long at least during an attack.
const QUIET: Duration = Duration::from_secs(1);
const FRESH: Duration = Duration::from_secs(10);
const LOUD: Duration = Duration::from_millis(250);
/// A quiet percentile below it counts as this.
const FLOOR: Duration = Duration::from_millis(50);

/// Everything an attack needs. The stack goes first, so that it never meets a dead provider.
pub(crate) struct Arena {
    pub(crate) stack: Stack,
    pub(crate) client: Client,
    /// Behind `oai`, `ant` and `router`.
    pub(crate) sink: Sink,
    _calm: Sink,
    /// The victim's percentile in quiet, and when that was.
    quiet: Mutex<Option<(Instant, Duration)>>,
}

/// Two providers of the attacker's, one of the victim's, and a key for each.
pub(crate) const KEYS: &str = r#"
virtual_keys:
- {name: attacker, secret: "{{vk-attacker}}", models: ["*"]}
- {name: listed, secret: "{{vk-listed}}", models: ["chat", "claude", "router/cheap"]}
- name: victim
  secret: "{{vk-victim}}"
  models: ["quiet", "shared"]
  limits: [{requests: 1000000000, per: 1M}, {concurrent: 10000}]
"#;

impl Arena {
    /// With virtual keys, and `more` members of the configuration.
    pub(crate) async fn start(more: &str) -> Self {
        Self::with(&format!("{KEYS}{more}"), 2).await
    }

    /// `yaml` beside the providers and models, and so many workers.
    pub(crate) async fn with(yaml: &str, workers: u32) -> Self {
        let (sink, calm) = (Sink::start().await, Sink::start().await);
        let (a, b) = (sink.addr(), calm.addr());
        let key = r#"keys: [{name: k1, secret: "{{sk-provider}}", models: ["*"]}]"#;
        let config = format!(
            "providers:\n  oai: {{like: openai, base_url: \"http://{a}/v1\", {key}}}\n  \
             ant: {{like: anthropic, base_url: \"http://{a}/v1\", {key}}}\n  \
             router: {{like: openrouter, base_url: \"http://{a}/v1\", {key}}}\n  \
             calm: {{like: openai, base_url: \"http://{b}/v1\", {key}}}\n\
             models:\n  chat: {{candidates: [{{provider: oai, model: m}}]}}\n  \
             claude: {{candidates: [{{provider: ant, model: claude-sonnet-4-5}}]}}\n  \
             shared: {{candidates: [{{provider: oai, model: shared-m}}]}}\n  \
             quiet: {{candidates: [{{provider: calm, model: m}}]}}\n\
             retry: {{rest: {{failures: 0}}}}\n{yaml}"
        );
        let options = StackOptions { workers, log: "warning", ..StackOptions::default() };
        let stack = Stack::start(&config, options).await.unwrap_or_else(|error| panic!("{error:#}"));
        let arena = Self { client: stack.client(), stack, sink, _calm: calm, quiet: Mutex::new(None) };
        // Both workers' pools and tables have their size.
        arena.watched(QUIET, async {}).await;
        arena
    }

    /// Plays `attack` beside the victim and judges what the victim saw. `paced`: its percentile counts, too.
    ///
    /// # Errors
    /// What harmed whom.
    pub(crate) async fn play<F: Future<Output = Vec<String>>>(
        &self,
        name: &str,
        paced: bool,
        attack: impl Fn() -> F,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        for round in 0..2 {
            let quiet = self.quiet(round > 0).await;
            let before = self.machines().await;
            let (loud, ends) = self.watched(LOUD, attack()).await;
            let after = self.machines().await;
            let mut quiet = quiet;
            if paced && loud.percentile() >= quiet * 5 {
                // Noise that is still there afterwards is not the attack's.
                quiet = quiet.max(self.quiet(true).await);
            }
            let slow = paced && loud.percentile() >= quiet * 5;
            println!("{name}: p99 {:?} beside, {quiet:?} in quiet, {} requests", loud.percentile(), loud.took.len());
            wrong = ends.into_iter().map(|end| format!("{name}: {end}")).collect();
            wrong.extend(loud.failed.first().map(|first| {
                format!("{name}: {} of {} requests of the victim failed: {first}", loud.failed.len(), loud.took.len())
            }));
            if before != after {
                wrong.push(format!("{name}: a VM was lost, {before:?} and then {after:?}"));
            }
            if slow && (round == 1 || !wrong.is_empty()) {
                wrong.push(format!("{name}: the victim's p99 was {:?}, in quiet {quiet:?}", loud.percentile()));
            }
            if !slow || !wrong.is_empty() {
                break;
            }
        }
        wrong
    }

    /// The victim's percentile in quiet, measured just before, or `again`.
    async fn quiet(&self, again: bool) -> Duration {
        let known = *self.quiet.lock().unwrap();
        match known {
            Some((at, quiet)) if !again && at.elapsed() < FRESH => quiet,
            _ => {
                let quiet = self.watched(QUIET, async {}).await.0.percentile().max(FLOOR);
                *self.quiet.lock().unwrap() = Some((Instant::now(), quiet));
                quiet
            }
        }
    }

    /// What the victim sees while `during` runs, and for `least` at least.
    async fn watched<T>(&self, least: Duration, during: impl Future<Output = T>) -> (Seen, T) {
        let stop = Arc::new(AtomicBool::new(false));
        let victims: Vec<_> = (0..CONNECTIONS)
            .map(|_| tokio::spawn(victim(Client::h1(self.stack.listen()), Arc::clone(&stop))))
            .collect();
        let (out, ()) = tokio::join!(during, tokio::time::sleep(least));
        stop.store(true, Ordering::Relaxed);
        let mut seen = Seen::default();
        for victim in victims {
            let one = victim.await.unwrap();
            seen.took.extend(one.took);
            seen.failed.extend(one.failed);
        }
        (seen, out)
    }

    /// What Envoy counts of its VMs: none may be made, lost or reloaded.
    async fn machines(&self) -> Vec<(String, u64)> {
        let of_machines = |name: &str| {
            (name.starts_with("wasm.") || name.contains(".wasm."))
                && [".created", ".active", "vm_reload"].iter().any(|part| name.contains(part))
        };
        let stats = self.stack.stats("wasm.").await.unwrap();
        let found: Vec<_> = stats.into_iter().filter(|(name, _)| of_machines(name)).collect();
        assert!(found.len() >= 3, "Envoy counts no VMs: {found:?}");
        found
    }

    /// An attack that is the same call `n` times, two at a time; each answer must end as it may.
    pub(crate) async fn send(&self, call: &Call, n: usize, may: &Ends) -> Vec<String> {
        let two = [self.client.clone(), Client::h1(self.stack.listen())].map(|client| {
            let (call, may) = (call.clone(), may.clone());
            tokio::spawn(async move {
                let mut wrong = Vec::new();
                for _ in 0..n.div_ceil(2) {
                    wrong.extend(ended(&client, &call, &may).await.err());
                }
                wrong
            })
        });
        let mut wrong = Vec::new();
        for task in two {
            wrong.extend(task.await.unwrap());
        }
        wrong.dedup();
        wrong
    }
}

/// How an attack may end.
#[derive(Debug, Clone)]
pub(crate) enum Ends {
    /// With a good answer.
    Served,
    /// With a good answer, or refused for what it is: 400 or 413 whose words hold one of these.
    ServedOr(&'static [&'static str]),
    /// With one of these statuses, and words that hold one of these.
    Refused(&'static [u16], &'static [&'static str]),
    /// With one of these statuses: a good answer where it is 200, else an error.
    Status(&'static [u16]),
}

/// One call, and whether its end may be.
pub(crate) async fn ended(client: &Client, call: &Call, may: &Ends) -> Result<(), String> {
    let answer = client.send(call).await.map_err(|error| format!("no answer: {error:#}"))?;
    judge(call.dialect, &answer, may)
}

/// Is this an end that may be, in the client's dialect?
pub(crate) fn judge(dialect: Dialect, answer: &Answer, may: &Ends) -> Result<(), String> {
    let text: String = answer.text().chars().take(200).collect();
    let shown = |what: &str| format!("{what}: status {}, {text:?}, may {may:?}", answer.status);
    if answer.status == 200 {
        let stream = answer.header("content-type").starts_with("text/event-stream");
        if matches!(may, Ends::Refused(..)) || matches!(may, Ends::Status(of) if !of.contains(&200)) {
            return Err(shown("served"));
        }
        return Said::read(dialect, stream, answer).map(drop).map_err(|error| shown(&format!("{error:#}")));
    }
    let (_, message) = Said::error(dialect, answer).map_err(|error| shown(&format!("no dialect ({error:#})")))?;
    let words = format!("{message} {}", answer.text());
    let named = |names: &[&str]| names.iter().any(|name| words.contains(name));
    let fine = match may {
        Ends::Served => false,
        Ends::ServedOr(names) => [400, 413].contains(&answer.status) && named(names),
        Ends::Refused(statuses, names) => statuses.contains(&answer.status) && named(names),
        Ends::Status(statuses) => statuses.contains(&answer.status),
    };
    if fine { Ok(()) } else { Err(shown("refused otherwise")) }
}

/// What the victim saw.
#[derive(Default)]
struct Seen {
    took: Vec<Duration>,
    failed: Vec<String>,
}

impl Seen {
    /// The 99th percentile, corrected for what a waiting client did not send meanwhile: each wait counts for every
    /// request that would have been sent during it.
    fn percentile(&self) -> Duration {
        let mut all = Vec::new();
        for took in &self.took {
            let mut left = *took;
            loop {
                all.push(left);
                match left.checked_sub(PAUSE) {
                    Some(less) if !less.is_zero() => left = less,
                    _ => break,
                }
            }
        }
        all.sort();
        all.get(all.len() * 99 / 100).copied().unwrap_or_default()
    }
}

async fn victim(client: Client, stop: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    let call = Dialect::OpenAi.chat("quiet", "hi", false).key("vk-victim");
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let sent = ended(&client, &call, &Ends::Served).await;
        seen.took.push(begun.elapsed());
        seen.failed.extend(sent.err());
        tokio::time::sleep(PAUSE).await;
    }
    seen
}
