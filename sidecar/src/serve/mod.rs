//! `attache serve`: the gRPC server, its ledger, health and metrics.
//!
//! Does not: decide about requests; it says what a key may do and keeps what was used.
//!
//! Decision: [`Server`] starts and stops inside any process, so tests need no child and no port of their own.

pub mod accounts;
pub mod admin;
pub mod admit;
pub mod calibrate;
pub mod clock;
pub mod count;
pub mod identity;
pub mod keys;
pub mod ledger;
pub mod logs;
pub mod metrics;
pub mod observe;
pub mod server;
pub mod settle;
pub mod socket;
pub mod tokenizer;
pub mod window;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use engine::config::Loaded;
use engine::config::schema::Tokenizer;
use engine::config::snapshot::{Address, Names};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use self::accounts::{Accounts, Heard};
use self::admit::{Admission, Records};
use self::clock::Clock;
use self::count::Counting;
use self::keys::{InvalidKeys, Keys};
use self::ledger::Ledger;
use self::ledger::sqlite::Sqlite;
use self::ledger::tally::{self, Labels};
use self::ledger::writer::{Handle, Writer};
use self::metrics::Metrics;
use self::observe::{Lessons, Observer};
use self::server::{Listener, Service};
use crate::push::Follower;
use crate::push::source::{Config, Source};
use crate::read;
use crate::render::push::Directory;

/// How long calls in flight may take to finish after shutdown was asked for.
const DRAIN: Duration = Duration::from_secs(10);

/// Between two looks at the clocks.
const LOOK: Duration = Duration::from_secs(1);

/// Serves until `shutdown`, then finishes what is in flight. Meanwhile it follows the file, and with a `directory` brings
/// each change to the Envoy that watches it.
///
/// # Errors
/// It cannot start, or a part of it ended on its own.
pub async fn run(
    (source, config): (Source, Config),
    directory: Option<Directory>,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    logs::init();
    let mut server = Server::start(&config.loaded).await?;
    let (sidecar, metrics) = (server.reloader(), Arc::clone(&server.metrics));
    let follow = async {
        match Follower::start((source, config), directory, Some(sidecar), metrics).await {
            Ok(follower) => match follower.run().await {},
            Err(error) => Err(error),
        }
    };
    // On a thread of its own: files are synced there, and a slow disk would hold up a worker and the connections on it.
    let (stop, stopped) = oneshot::channel::<()>();
    let handle = tokio::runtime::Handle::current();
    let mut following = tokio::task::spawn_blocking(move || {
        handle.block_on(async {
            tokio::select! {
                ended = follow => ended,
                _ = stopped => Ok(()),
            }
        })
    });
    let ended = tokio::select! {
        () = shutdown => Ok(()),
        ended = server.ended() => ended,
        ended = &mut following => {
            server.stop().await;
            return ended?;
        }
    };
    drop(stop);
    let followed = following.await?;
    server.stop().await;
    ended.and(followed)
}

/// Way to give a running sidecar other keys.
#[derive(Debug)]
pub struct Reloader {
    admission: Arc<Admission>,
    ledger: Handle,
    heard: Arc<Heard>,
}

impl Reloader {
    /// Can its keys be taken?
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self, config: &Config) -> Result<(), InvalidKeys> {
        keys(config).map(|_| ())
    }

    /// Takes its keys, limits and prices, and tells the filters by the generation.
    ///
    /// # Errors
    /// What is wrong with the keys, or the store gives no generation.
    pub async fn reload(&self, config: &Config) -> anyhow::Result<()> {
        let keys = keys(config)?;
        prepare(&config.loaded);
        let accounts = Arc::new(Accounts::of(&config.loaded, Arc::clone(&self.heard)));
        let former = self.admission.generation();
        let generation = self.ledger.reload(names(&config.loaded), Arc::clone(&accounts) as _, former).await?;
        let lessons = Arc::clone(&self.admission.records().lessons);
        self.admission.replace(Records::of(&config.loaded, keys, accounts, lessons, generation));
        Ok(())
    }
}

/// Whoever is counted first has a deadline, and unpacking takes longer.
fn prepare(loaded: &Loaded) {
    if loaded.snapshot.govern.tokenizer == Tokenizer::Exact {
        tokio::task::spawn_blocking(tokenizer::warm);
    }
}

fn keys(config: &Config) -> Result<Keys, InvalidKeys> {
    resolve(&config.loaded, |reference| config.secret(reference))
}

fn resolve(loaded: &Loaded, secret: impl Fn(&str) -> anyhow::Result<String>) -> Result<Keys, InvalidKeys> {
    Keys::resolve(loaded.virtual_keys.iter(), loaded.snapshot.sidecar.key_secret.as_deref(), secret)
}

/// A running sidecar.
#[derive(Debug)]
pub struct Server {
    grpc: Address,
    admin: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: JoinSet<anyhow::Result<()>>,
    writer: Writer,
    admission: Arc<Admission>,
    metrics: Arc<Metrics>,
    heard: Arc<Heard>,
}

impl Server {
    /// Opens the store, binds, serves.
    ///
    /// # Errors
    /// A key has no usable secret, the store cannot be opened, or an address is taken.
    pub async fn start(loaded: &Loaded) -> anyhow::Result<Self> {
        Self::start_by(loaded, clock::machine()).await
    }

    /// The same by other clocks than this machine's.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_by(loaded: &Loaded, clocks: clock::Source) -> anyhow::Result<Self> {
        let settings = &loaded.snapshot.sidecar;
        let keys = resolve(loaded, read::secret)?;
        let known = keys.len();
        // A second sidecar started by mistake fails at this port and touches neither socket nor store.
        let pages =
            TcpListener::bind(&settings.admin).await.with_context(|| format!("sidecar.admin {}", settings.admin))?;
        let listener = Listener::bind(&settings.address).await.context("sidecar.address")?;
        let (grpc, admin, socket) = (listener.address()?, pages.local_addr()?, listener.file());

        let mut store = Sqlite::open(Path::new(&settings.store), Labels::new(names(loaded)))
            .with_context(|| format!("sidecar.store {}", settings.store))?;
        let clock = Arc::new(Clock::start(clocks, &store.kept()?));
        let metrics = Arc::new(Metrics::new(Arc::clone(&clock))?);
        metrics.add(&store.totals()?);
        let heard = Arc::new(Heard::default());
        let accounts = Arc::new(Accounts::of(loaded, Arc::clone(&heard)));
        let limits = accounts.len();
        let lessons = Arc::new(Lessons::of(store.lessons()?));
        let generation = store.next_generation()?;
        let records = Records::of(loaded, keys, Arc::clone(&accounts), Arc::clone(&lessons), generation);
        let admission = Arc::new(Admission::new(records, Arc::clone(&clock)));
        let writer = Writer::start(store, accounts, Observer::new(Arc::clone(&metrics), lessons), Arc::clone(&clock))?;

        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let (ledger, answers) = (writer.handle(), Arc::clone(&admission));
        let service = Service {
            admission: answers,
            ledger,
            metrics: Arc::clone(&metrics),
            heard: Arc::clone(&heard),
            counting: Counting::default(),
        };
        prepare(loaded);
        tasks.spawn(listener.serve(service, until(stopped.clone())));
        tasks.spawn(look(Arc::clone(&clock), until(stopped.clone())));
        let router =
            admin::router(admin::Admin { metrics: Arc::clone(&metrics), ledger: writer.handle(), clock, socket });
        tasks.spawn(admin::serve(pages, router, stopped));
        tracing::info!(address = ?grpc, %admin, store = settings.store, keys = known, limits, "serving");
        Ok(Self { grpc, admin, stop, tasks, writer, admission, metrics, heard })
    }

    /// Where Admit and Settle are.
    #[must_use]
    pub fn grpc(&self) -> &Address {
        &self.grpc
    }

    /// Where health, readiness and metrics are.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// A way to give it other keys. It stops once this is gone.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        Reloader {
            admission: Arc::clone(&self.admission),
            ledger: self.writer.handle(),
            heard: Arc::clone(&self.heard),
        }
    }

    /// Waits for a part that ends on its own, which none should.
    ///
    /// # Errors
    /// Why it ended.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        match self.tasks.join_next().await {
            Some(ended) => ended?.and_then(|()| Err(anyhow::anyhow!("a listener ended on its own"))),
            None => Err(anyhow::anyhow!("nothing is served")),
        }
    }

    /// Takes no more calls, finishes those in flight, writes what is queued, closes the store.
    pub async fn stop(self) {
        let Self { stop, mut tasks, writer, .. } = self;
        tracing::info!("draining");
        stop.send_replace(true);
        let drain = async {
            while let Some(ended) = tasks.join_next().await {
                if !matches!(ended, Ok(Ok(()))) {
                    tracing::warn!(?ended, "ended badly");
                }
            }
            writer.close().await;
        };
        match tokio::time::timeout(DRAIN, drain).await {
            Ok(()) => tracing::info!("stopped"),
            Err(_) => tracing::warn!("calls still in flight end with the process; their callers will send again"),
        }
    }
}

/// A jump is noticed, and believed in time, also while nobody asks for anything.
async fn look(clock: Arc<Clock>, stopped: impl Future<Output = ()>) -> anyhow::Result<()> {
    let looking = async {
        loop {
            tokio::time::sleep(LOOK).await;
            clock.now();
        }
    };
    tokio::select! {
        () = stopped => Ok(()),
        never = looking => never,
    }
}

pub(crate) async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the server is gone, which is a reason to stop as well.
    let _gone = stopped.wait_for(|stopped| *stopped).await;
}

/// Keys of more than this have no label by right: a page of a million series helps nobody. Those that are used first have
/// one.
const LABELLED_KEYS: usize = 10_000;

/// Every name of the configuration is a label; a pattern is none.
fn names(loaded: &Loaded) -> tally::Names {
    let snapshot = &loaded.snapshot;
    let served = snapshot.models.iter().flat_map(|model| {
        std::iter::once(model.name.clone()).chain(model.candidates.iter().map(|candidate| candidate.model.clone()))
    });
    let of_keys = loaded.virtual_keys.iter().flat_map(|key| {
        let asked = match &key.models {
            Some(Names::These(list)) => list.clone(),
            Some(Names::Any) | None => Vec::new(),
        };
        asked.into_iter().chain(key.candidates.iter().flat_map(|candidate| candidate.models.clone()))
    });
    let keys = if loaded.virtual_keys.len() > LABELLED_KEYS { &[] } else { loaded.virtual_keys.as_slice() };
    tally::Names {
        keys: keys.iter().map(|key| key.name.clone()).collect(),
        teams: loaded
            .virtual_keys
            .iter()
            .filter_map(|key| key.team.clone())
            .chain(loaded.governance.teams.iter().map(|team| team.name.clone()))
            .collect(),
        models: served.chain(of_keys).filter(|name| !name.ends_with('*')).collect(),
        providers: snapshot.providers.iter().map(|provider| provider.name.clone()).collect(),
        customers: loaded
            .virtual_keys
            .iter()
            .filter_map(|key| key.customer.clone())
            .chain(loaded.governance.customers.iter().map(|customer| customer.name.clone()))
            .collect(),
        dialects: wire::format::INBOUND.iter().map(|dialect| dialect.name().to_owned()).collect(),
    }
}
