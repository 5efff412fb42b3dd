//! Pushes: a changed `attache.yaml`, or a changed secret, while everything runs.
//!
//! Does not: half a push. A configuration with a fault, a secret that cannot be read, or a change to what is only read at
//! the start leaves everything as it is, and is told in full.
//!
//! Decision: a configuration has two subscribers that do not wait for each other. The sidecar takes keys and limits at
//! once; Envoy takes its files when it does (`envoy`). Rejected: Envoy first, since a record may name a provider that no
//! filter knows yet. Then a key that was revoked is served for as long as Envoy refuses a module. See `tellable`.

mod envoy;
pub mod source;
mod uptake;

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::config::Loaded;
use engine::config::snapshot::VirtualKey;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use wire::format::bounds::cut;

use self::envoy::Pusher;
use crate::render::push::Directory;
use crate::serve::Reloader;
use crate::serve::metrics::Metrics;
use source::{Config, Needs, Source};

/// Between two looks at the file.
const POLL: Duration = Duration::from_millis(500);
/// A file of many faults: the first ones say what is wrong.
const MOST_FAULTS: usize = 100;
/// A fault quotes what was found, which may be anything.
const LONGEST_FAULT: usize = 1024;

/// What became of a change, as the label `result` of `attache_config_reloads_total`.
const APPLIED: &str = "applied";
const REFUSED: &str = "refused";
const FAILED: &str = "failed";

/// What follows the file.
#[derive(Debug)]
pub struct Follower {
    source: Source,
    /// The latest that is without faults.
    running: Config,
    /// The sidecar, if this process is one.
    sidecar: Option<Reloader>,
    /// The Envoy that watches a directory, if there is one.
    envoy: Option<Pusher>,
    metrics: Arc<Metrics>,
    /// Asked for before the first rendering: without a listener this signal ends the process.
    hangup: Signal,
}

impl Follower {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// Every fault.
    pub fn read(path: PathBuf, needs: Needs) -> Result<(Source, Config), Vec<String>> {
        let mut source = Source::new(path, needs);
        let config = source.look(true).unwrap_or_else(|| Err(vec!["no configuration".to_owned()]))?;
        Ok((source, config))
    }

    /// Follows the file from this configuration on, and puts it into the directory.
    ///
    /// # Errors
    /// The directory cannot be written, or the system delivers no signals.
    pub async fn start(
        (source, config): (Source, Config),
        directory: Option<Directory>,
        sidecar: Option<Reloader>,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        metrics.running(config.hash);
        let hangup = signal(SignalKind::hangup())?;
        let envoy = match directory {
            None => None,
            Some(directory) => Some(Pusher::start(directory, &config, Arc::clone(&metrics)).await?),
        };
        Ok(Self { source, running: config, sidecar, envoy, metrics, hangup })
    }

    /// Takes changes as they come.
    pub async fn run(mut self) -> Infallible {
        let (wanted, wishes) = watch::channel(self.running.clone());
        let (done, served) = watch::channel(self.running.clone());
        match self.envoy.take() {
            None => self.follow(None, served).await,
            Some(envoy) => tokio::select! {
                never = envoy.run(wishes, done) => never,
                never = self.follow(Some(wanted), served) => never,
            },
        }
    }

    /// `wanted`: what Envoy should have, if there is one. `served`: what it has.
    async fn follow(
        mut self,
        wanted: Option<watch::Sender<Config>>,
        mut served: watch::Receiver<Config>,
    ) -> Infallible {
        // Keys were told in part, until Envoy has what they name.
        let mut partly = false;
        loop {
            let now = tokio::select! {
                () = tokio::time::sleep(POLL) => Some(false),
                _ = self.hangup.recv() => Some(true),
                Ok(()) = served.changed(), if partly => None,
            };
            if let Some(now) = now {
                let Some(config) = self.source.look(now).and_then(|found| self.check(found)) else { continue };
                self.running = config;
            }
            let by = served.borrow_and_update().loaded.clone();
            partly = self.tell(wanted.as_ref().map(|_| &by)).await;
            match &wanted {
                Some(wanted) if now.is_some() => drop(wanted.send_replace(self.running.clone())),
                Some(_) => {}
                None => applied(&self.metrics, &self.running),
            }
        }
    }

    /// What can be taken; every fault of what cannot is logged.
    fn check(&self, found: Result<Config, Vec<String>>) -> Option<Config> {
        let good = found.and_then(|config| {
            let mut faults = needs_restart(&self.running.loaded, &config.loaded, self.sidecar.is_some());
            if let Some(Err(error)) = self.sidecar.as_ref().map(|sidecar| sidecar.check(&config)) {
                faults.push(error.to_string());
            }
            if faults.is_empty() { Ok(config) } else { Err(faults) }
        });
        good.inspect_err(|faults| {
            for fault in faults.iter().take(MOST_FAULTS) {
                tracing::error!("{}", cut(fault, LONGEST_FAULT));
            }
            tracing::error!(faults = faults.len(), "configuration refused; the former one goes on");
            self.metrics.reload(REFUSED);
        })
        .ok()
    }

    /// Tells the sidecar keys and limits. True: in part, since filters plan by a configuration that does not know all of it.
    async fn tell(&self, served: Option<&Loaded>) -> bool {
        let part = served.and_then(|served| tellable(&self.running, served));
        if let Some(sidecar) = &self.sidecar
            && let Err(error) = sidecar.reload(part.as_ref().unwrap_or(&self.running)).await
        {
            tracing::error!("keys and limits not taken; the former ones go on: {error:#}");
            self.metrics.reload(FAILED);
        }
        part.is_some()
    }
}

fn applied(metrics: &Metrics, config: &Config) {
    metrics.reload(APPLIED);
    metrics.running(config.hash);
    tracing::info!(hash = config.hash, "configuration applied");
}

/// What filters that plan by `served` can do with a configuration, if not all of it. A key that swaps all its candidates
/// for providers that they do not know yet would be refused; until they do, it keeps those that it had. All else counts
/// at once: that it is disabled or ends, its models, its limits.
fn tellable(config: &Config, served: &Loaded) -> Option<Config> {
    let providers = &served.snapshot.providers;
    let is_known = |name: &str| providers.iter().any(|provider| provider.name == name);
    let is_swapped =
        |key: &VirtualKey| !key.candidates.is_empty() && !key.candidates.iter().any(|it| is_known(&it.provider));
    if !config.loaded.virtual_keys.iter().any(is_swapped) {
        return None;
    }
    let former: HashMap<_, _> = served.virtual_keys.iter().map(|key| (key.name.as_str(), &key.candidates)).collect();
    let keys = config.loaded.virtual_keys.iter().map(|key| match former.get(key.name.as_str()) {
        Some(candidates) if is_swapped(key) => VirtualKey { candidates: (*candidates).clone(), ..key.clone() },
        Some(_) | None => key.clone(),
    });
    let mut part = config.clone();
    part.loaded.virtual_keys = Arc::new(keys.collect());
    Some(part)
}

/// Settings that are only read at the start and differ, each a sentence.
fn needs_restart(running: &Loaded, new: &Loaded, sidecar: bool) -> Vec<String> {
    let (from, to) = (&running.snapshot, &new.snapshot);
    let mut faults = Vec::new();
    let mut differs = |name: &str, what: &str, differ: bool| {
        if differ {
            faults.push(format!("{name}: changed, which needs a restart of {what}; nothing of this change is applied"));
        }
    };
    differs("listen", "Envoy", from.listen != to.listen);
    differs("sidecar.address", "Envoy and the sidecar", from.sidecar.address != to.sidecar.address);
    differs("sidecar.admin", "the sidecar", sidecar && from.sidecar.admin != to.sidecar.admin);
    differs("sidecar.store", "the sidecar", sidecar && from.sidecar.store != to.sidecar.store);
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = r#"
version: 1
providers:
  a: {base_url: "http://127.0.0.1:1/v1", format: openai_chat, keys: [{name: k, models: ["*"]}]}
  b: {base_url: "http://127.0.0.1:1/v1", format: openai_chat, keys: [{name: k, models: ["*"]}]}
virtual_keys:
- {name: one, secret: "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", candidates: [{provider: a, models: [m]}]}
"#;

    fn config(yaml: &str) -> Config {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("attache.yaml");
        std::fs::write(&file, yaml).unwrap();
        Follower::read(file, Needs { providers: false, virtual_keys: true }).unwrap().1
    }

    #[test]
    fn only_candidates_that_no_filter_knows_wait_for_envoy() {
        let served = config(YAML).loaded;
        let swapped =
            YAML.replace("  b:", "  new:").replace("{provider: a, models: [m]}", "{provider: new, models: [m]}");
        let disabled = swapped.replace("{name: one,", "{name: one, disabled: true, limits: [{requests: 1, per: 1d}],");
        let part = tellable(&config(&disabled), &served).unwrap();
        let key = &part.loaded.virtual_keys[0];
        assert_eq!((key.candidates[0].provider.as_str(), key.disabled, key.limits.len()), ("a", true, 1));
        let renamed = swapped.replace("{name: one,", "{name: two,");
        assert_eq!(tellable(&config(&renamed), &served).unwrap().loaded.virtual_keys[0].candidates[0].provider, "new");
        for whole in [YAML.to_owned(), YAML.replace("{provider: a, models: [m]}", "{provider: b, models: [m]}")] {
            assert!(tellable(&config(&whole), &served).is_none(), "{whole}");
        }
        let known = config(&swapped);
        assert!(tellable(&known, &known.loaded).is_none());
    }
}
