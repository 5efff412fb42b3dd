//! Pushes: a changed `attache.yaml`, or a changed secret, while everything runs.
//!
//! Does not: half a push. A configuration with a fault, a secret that cannot be read, or a change to what is only read at
//! the start leaves everything as it is, and is told in full.

pub mod source;
mod uptake;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::config::Loaded;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::render::push::Directory;
use crate::serve::Reloader;
use crate::serve::metrics::Metrics;
use source::{Config, Needs, Source};
pub use uptake::Outstanding;

/// Between two looks at the file.
const POLL: Duration = Duration::from_millis(500);

/// What became of a change, as the label `result` of `attache_config_reloads_total`.
const APPLIED: &str = "applied";
const REFUSED: &str = "refused";
const FAILED: &str = "failed";

/// What follows the file.
#[derive(Debug)]
pub struct Follower {
    source: Source,
    running: Config,
    /// A directory that Envoy watches, if there is one.
    directory: Option<Directory>,
    /// The sidecar, if this process is one.
    sidecar: Option<Reloader>,
    metrics: Arc<Metrics>,
    /// Asked for before the first rendering: without a listener this signal ends the process.
    hangup: Signal,
    /// A good configuration that could not be put into place, e.g. on a full disk.
    again: Option<Config>,
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
        let running = config.clone();
        let hangup = signal(SignalKind::hangup())?;
        let mut follower = Self { source, running, directory, sidecar, metrics, hangup, again: None };
        follower.module(true);
        match follower.render(&config).await {
            Err(error) if error.is::<Outstanding>() => {
                tracing::error!("{error:#}; will be tried again");
                follower.again = Some(config);
            }
            ended => ended?,
        }
        Ok(follower)
    }

    /// Follows until dropped. SIGHUP makes it look at once.
    pub async fn run(mut self) -> Infallible {
        loop {
            let now = tokio::select! {
                () = tokio::time::sleep(POLL) => false,
                _ = self.hangup.recv() => true,
            };
            if let Some(Err(error)) = self.directory.as_mut().map(|directory| directory.tidy(Instant::now())) {
                tracing::error!("removed provider keys are still rendered: {error:#}");
            }
            if self.module(now) {
                self.again.get_or_insert_with(|| self.running.clone());
            }
            match self.source.look(now) {
                Some(Ok(config)) => {
                    self.again = None;
                    self.take(Ok(config)).await;
                }
                Some(faults) => self.take(faults).await,
                None => {
                    if let Some(config) = self.again.take() {
                        self.take(Ok(config)).await;
                    }
                }
            }
        }
    }

    /// Has the module changed?
    fn module(&mut self, now: bool) -> bool {
        let looked = self.directory.as_mut().map_or(Ok(false), |directory| directory.module(now));
        looked.unwrap_or_else(|error| {
            tracing::error!("module refused; the former one goes on: {error:#}");
            self.metrics.reload(REFUSED);
            false
        })
    }

    async fn take(&mut self, found: Result<Config, Vec<String>>) {
        let good = found.and_then(|config| {
            let mut faults = needs_restart(&self.running.loaded, &config.loaded, self.sidecar.is_some());
            if let Some(Err(error)) = self.sidecar.as_ref().map(|sidecar| sidecar.check(&config)) {
                faults.push(error.to_string());
            }
            if faults.is_empty() { Ok(config) } else { Err(faults) }
        });
        match good {
            Err(faults) => {
                for fault in &faults {
                    tracing::error!("{fault}");
                }
                tracing::error!(faults = faults.len(), "configuration refused; the former one goes on");
                self.metrics.reload(REFUSED);
            }
            Ok(config) => match self.apply(&config).await {
                Ok(()) => {
                    self.metrics.reload(APPLIED);
                    self.metrics.running(config.hash);
                    tracing::info!(hash = config.hash, "configuration applied");
                    self.running = config;
                }
                Err(error) => {
                    tracing::error!("configuration not applied, will be tried again: {error:#}");
                    self.metrics.reload(FAILED);
                    self.again = Some(config);
                }
            },
        }
    }

    /// The filter first, then the keys: a key's record may name what only the new configuration knows.
    async fn apply(&mut self, config: &Config) -> anyhow::Result<()> {
        self.render(config).await?;
        if let Some(sidecar) = &self.sidecar {
            sidecar.reload(config).await?;
        }
        Ok(())
    }

    async fn render(&mut self, config: &Config) -> anyhow::Result<()> {
        let Some(directory) = &mut self.directory else { return Ok(()) };
        // An Envoy that is about to start from these files has nothing to take up.
        let watched = directory.watched();
        let told = directory.begin(&config.loaded, |reference| config.secret(reference))?;
        if watched {
            uptake::wait(directory.admin(), &directory.versions(), told).await?;
            let told = directory.part()?;
            uptake::wait(directory.admin(), &directory.versions(), told).await?;
        }
        let told = directory.finish()?;
        if watched {
            uptake::wait(directory.admin(), &directory.versions(), told).await?;
        }
        directory.planned(Instant::now());
        Ok(())
    }
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
