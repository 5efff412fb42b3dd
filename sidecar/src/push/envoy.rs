//! The Envoy that watches a directory: it gets each configuration in steps, and takes its time.
//!
//! Does not: hold up anybody else. Who wants a later configuration meanwhile gets that one next.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::source::Config;
use super::{FAILED, POLL, REFUSED, applied, uptake};
use crate::render::push::Directory;
use crate::serve::logs::Seldom;
use crate::serve::metrics::Metrics;
use uptake::Outstanding;

/// A disk that is full fails with every look.
static FAILURES: Seldom = Seldom::new();

/// Brings configurations to Envoy.
#[derive(Debug)]
pub(super) struct Pusher {
    directory: Directory,
    metrics: Arc<Metrics>,
    hangup: Signal,
    /// A good configuration that could not be put into place, e.g. on a full disk.
    again: Option<Config>,
}

impl Pusher {
    /// Writes the first configuration.
    ///
    /// # Errors
    /// The directory cannot be written, or the system delivers no signals.
    pub(super) async fn start(directory: Directory, config: &Config, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let mut pusher = Self { directory, metrics, hangup: signal(SignalKind::hangup())?, again: None };
        pusher.module(true);
        match pusher.render(config).await {
            Err(error) if error.is::<Outstanding>() => {
                tracing::error!("{error:#}; will be tried again");
                pusher.again = Some(config.clone());
            }
            ended => ended?,
        }
        Ok(pusher)
    }

    /// Brings what is wanted, and says when it is served.
    pub(super) async fn run(
        mut self,
        mut wanted: watch::Receiver<Config>,
        served: watch::Sender<Config>,
    ) -> Infallible {
        loop {
            let now = tokio::select! {
                () = tokio::time::sleep(POLL) => false,
                Ok(()) = wanted.changed() => {
                    self.again = Some(wanted.borrow_and_update().clone());
                    false
                }
                _ = self.hangup.recv() => true,
            };
            if let Err(error) = self.directory.tidy(Instant::now()) {
                told(&error, "removed provider keys are still rendered");
            }
            if self.module(now) && self.again.is_none() {
                self.again = Some(wanted.borrow().clone());
            }
            let Some(config) = self.again.take() else { continue };
            match self.render(&config).await {
                Ok(()) => {
                    applied(&self.metrics, &config);
                    served.send_replace(config);
                }
                Err(error) => {
                    told(&error, "configuration not applied, will be tried again");
                    self.metrics.reload(FAILED);
                    self.again = Some(config);
                }
            }
        }
    }

    /// Has the module changed?
    fn module(&mut self, now: bool) -> bool {
        self.directory.module(now).unwrap_or_else(|error| {
            tracing::error!("module refused; the former one goes on: {error:#}");
            self.metrics.reload(REFUSED);
            false
        })
    }

    async fn render(&mut self, config: &Config) -> anyhow::Result<()> {
        let directory = &mut self.directory;
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

fn told(error: &anyhow::Error, what: &str) {
    let error = format!("{error:#}");
    if let Some(left_out) = FAILURES.due(&error) {
        tracing::error!(left_out, "{what}: {error}");
    }
}
