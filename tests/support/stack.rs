//! The whole product as it runs: a rendered configuration, the real sidecar and the real Envoy with the built guest.
//!
//! Does not: build anything; `make build` does. A part that is absent fails the story with the command to type.

mod beside;
mod configure;
mod parts;

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

pub use beside::Beside;
use configure::{render, secrets, wait_for_file};
pub use parts::{attache, envoy_binary, wasm, wasm_with_trap};

use crate::client::{Answer, Call, Client};
use crate::mock::Mock;
use crate::process::{Process, tail};

/// A part that is not up by then never will be. The first start compiles the guest; a million keys take their time, too.
const START: Duration = Duration::from_secs(300);
/// Lines of each log that a failed story shows.
const SHOWN: usize = 60;

/// The module of a stack with pushes, below its folder.
const MODULE: &str = "attache.wasm";

/// A line of Envoy's log that no story may cause: the module panicked, or met what it holds for impossible.
const COMPLAINTS: [&str; 2] = ["[critical][wasm]", "[error][wasm]"];

/// What a story may choose.
#[derive(Debug, Clone, Default)]
pub struct StackOptions {
    /// Envoy's worker threads.
    pub workers: u32,
    /// More members of the `sidecar` section, e.g. `on_failure: allow`.
    pub sidecar: &'static str,
    /// Where the vendors' names lead.
    pub resolve: Vec<(String, SocketAddr)>,
    /// PEM of the root that signed their certificates.
    pub ca: String,
    /// The guest, if not the built one.
    pub wasm: Option<PathBuf>,
    /// Start without a sidecar.
    pub no_sidecar: bool,
    /// Changes to rendered files: which, what is there, and what comes in its place.
    pub rendered: Vec<(&'static str, &'static str, &'static str)>,
    /// Envoy's log level.
    pub log: &'static str,
    /// The module is meant to die.
    pub dies: bool,
    /// The sidecar pushes changes of the configuration to Envoy, with a grace of so many seconds.
    pub push: Option<u64>,
}

impl StackOptions {
    /// Providers are this mock; two workers.
    pub fn new(mock: &Mock) -> Self {
        let (resolve, ca) = (mock.addresses(), mock.ca().to_owned());
        Self { workers: 2, resolve, ca, log: "warning", ..Self::default() }
    }
}

/// Envoy, filter and sidecar, running. Stops when dropped; after a panic it first shows what they wrote.
#[derive(Debug)]
pub struct Stack {
    dir: PathBuf,
    config: PathBuf,
    /// The lines of the configuration that name addresses.
    head: String,
    /// Arguments of `attache serve`.
    serve: Vec<String>,
    listen: SocketAddr,
    admin: SocketAddr,
    sidecar_admin: SocketAddr,
    envoy: Mutex<Process>,
    sidecar: Mutex<Option<Process>>,
    dies: bool,
}

impl Stack {
    /// Starts everything and waits until it serves. `yaml` is `attache.yaml` without `version`, `listen` and `sidecar`;
    /// `{{VALUE}}` in it becomes a reference to a file that holds VALUE.
    ///
    /// # Errors
    /// A part is absent, rejected its configuration or did not come up.
    pub async fn start(yaml: &str, options: StackOptions) -> Result<Self> {
        let (envoy, wasm) = (envoy_binary()?, options.wasm.clone().map_or_else(wasm, Ok)?);
        let dir = fresh_dir()?;
        let [listen, admin, sidecar_admin] = free_addresses()?;
        let config = dir.join("attache.yaml");
        let mut text = format!("version: 1\nlisten: {listen}\n");
        let (at, more) = (dir.display(), options.sidecar);
        let comma = if more.is_empty() { "" } else { ", " };
        writeln!(
            text,
            "sidecar: {{address: \"unix:{at}/s.sock\", store: {at}/s.db, admin: \"{sidecar_admin}\"{comma}{more}}}"
        )?;
        let head = text.clone();
        text.push_str(&secrets(yaml, &dir)?);
        std::fs::write(&config, text)?;
        std::fs::write(dir.join("ca.pem"), &options.ca)?;
        let rendered = dir.join("envoy");
        let mut serve = vec!["serve".to_owned(), "-c".to_owned(), config.display().to_string()];
        if let Some(grace) = options.push {
            let (ca, module) = (dir.join("ca.pem"), dir.join(MODULE));
            std::fs::copy(&wasm, &module)?;
            let files = [("--render", &rendered), ("--wasm", &module), ("--ca", &ca)];
            serve.extend(files.iter().flat_map(|(name, path)| [(*name).to_owned(), path.display().to_string()]));
            serve.extend([format!("--admin={admin}"), format!("--grace={grace}")]);
            serve.extend(options.resolve.iter().map(|(host, address)| format!("--resolve={host}={address}")));
        } else {
            render(&config, &rendered, &wasm, &options, admin)?;
        }
        let workers = options.workers.to_string();
        for (file, old, new) in &options.rendered {
            let text = std::fs::read_to_string(rendered.join(file))?;
            ensure!(text.contains(old), "{file} has no {old}");
            std::fs::write(rendered.join(file), text.replace(old, new))?;
        }
        let bootstrap = rendered.join("envoy.yaml").display().to_string();
        let arguments = [
            "-c",
            &bootstrap,
            "--concurrency",
            &workers,
            "--use-dynamic-base-id",
            "--disable-hot-restart",
            "-l",
            options.log,
        ];
        // Before Envoy: its first hello should find somebody.
        let mut sidecar = None;
        if !options.no_sidecar {
            sidecar = Some(start_sidecar(&dir, &serve, sidecar_admin).await?);
            wait_for_file(&rendered.join("envoy.yaml")).await?;
        }
        let process = Process::start(&envoy, &arguments, &[], &dir.join("envoy.log"))?;
        let (envoy, sidecar) = (Mutex::new(process), Mutex::new(sidecar));
        let dies = options.dies;
        let stack = Self { dir, config, head, serve, listen, admin, sidecar_admin, envoy, sidecar, dies };
        stack.wait_for_envoy().await?;
        Ok(stack)
    }

    async fn wait_for_envoy(&self) -> Result<()> {
        let deadline = Instant::now() + START;
        loop {
            if let Some(status) = self.envoy.lock().unwrap().ended() {
                bail!("Envoy ended ({status}):\n{}", self.envoy.lock().unwrap().tail(SHOWN));
            }
            let ready = self.get(self.admin, "/ready").await.is_ok_and(|answer| answer.status == 200);
            if ready && tokio::net::TcpStream::connect(self.listen).await.is_ok() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "Envoy does not come up:\n{}", self.envoy.lock().unwrap().tail(SHOWN));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where clients call.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// A client over HTTP/1.1 with keep-alive.
    pub fn client(&self) -> Client {
        Client::h1(self.listen)
    }

    /// Envoy's admin interface.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// A folder that lives as long as the stack.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The sidecar's database.
    pub fn store(&self) -> PathBuf {
        self.dir.join("s.db")
    }

    /// Kills the sidecar with SIGKILL.
    pub fn kill_sidecar(&self) {
        *self.sidecar.lock().unwrap() = None;
    }

    /// Freezes the sidecar (it accepts and never answers), or lets it go on.
    pub fn freeze_sidecar(&self, yes: bool) {
        if let Some(sidecar) = self.sidecar.lock().unwrap().as_ref() {
            if yes { sidecar.freeze() } else { sidecar.go_on() }
        }
    }

    /// Starts it again and waits until it serves.
    ///
    /// # Errors
    /// It did not come up.
    pub async fn start_sidecar(&self) -> Result<()> {
        let process = start_sidecar(&self.dir, &self.serve, self.sidecar_admin).await?;
        *self.sidecar.lock().unwrap() = Some(process);
        Ok(())
    }

    /// Envoy's statistics whose names contain `filter`, as `name: value`; histograms are left out.
    ///
    /// # Errors
    /// Envoy is gone.
    pub async fn stats(&self, filter: &str) -> Result<Vec<(String, u64)>> {
        let text = self.get(self.admin, "/stats").await?.text();
        let pairs = text.lines().filter_map(|line| line.split_once(": "));
        let numbers = pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        Ok(numbers.filter(|(name, _)| name.contains(filter)).collect())
    }

    /// The sum of all statistics whose names contain `filter`.
    ///
    /// # Errors
    /// Envoy is gone, or has no statistic of this name: a mistyped one would be 0 for ever.
    pub async fn stat(&self, filter: &str) -> Result<u64> {
        let found = self.stats(filter).await?;
        ensure!(!found.is_empty(), "Envoy has no statistic {filter}");
        Ok(found.iter().map(|(_, value)| value).sum())
    }

    /// Envoy's `/stats/prometheus`.
    ///
    /// # Errors
    /// Envoy is gone.
    pub async fn prometheus(&self) -> Result<String> {
        Ok(self.get(self.admin, "/stats/prometheus").await?.text())
    }

    /// Envoy's running configuration.
    ///
    /// # Errors
    /// Envoy is gone.
    pub async fn config_dump(&self) -> Result<String> {
        Ok(self.get(self.admin, "/config_dump").await?.text())
    }

    /// Any page of Envoy's admin interface.
    ///
    /// # Errors
    /// Envoy is gone.
    pub async fn admin_page(&self, path: &str) -> Result<String> {
        Ok(self.get(self.admin, path).await?.text())
    }

    /// The sidecar's `/metrics`.
    ///
    /// # Errors
    /// The sidecar is gone.
    pub async fn metrics(&self) -> Result<String> {
        Ok(self.get(self.sidecar_admin, "/metrics").await?.text())
    }

    /// One sample of `/metrics`: all series of this name whose labels contain each of `labels`, summed.
    ///
    /// # Errors
    /// The sidecar is gone.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> Result<f64> {
        let text = self.metrics().await?;
        let mine = text.lines().filter(|line| {
            let series = line.split([' ', '{']).next().unwrap_or_default();
            series == name && labels.iter().all(|label| line.contains(label))
        });
        Ok(mine.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum())
    }

    /// Envoy's process.
    pub fn envoy_id(&self) -> u32 {
        self.envoy.lock().unwrap().id()
    }

    /// Envoy's resident memory in bytes.
    pub fn envoy_memory(&self) -> u64 {
        self.envoy.lock().unwrap().resident_bytes()
    }

    /// The sidecar's likewise; 0 if it does not run.
    pub fn sidecar_memory(&self) -> u64 {
        self.sidecar.lock().unwrap().as_ref().map_or(0, Process::resident_bytes)
    }

    async fn get(&self, addr: SocketAddr, path: &str) -> Result<Answer> {
        Client::h1(addr).send(&Call::get(path)).await
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // Both must be gone before their files are.
        let envoy = self.envoy.get_mut().unwrap_or_else(PoisonError::into_inner);
        envoy.kill();
        let sidecar = self.sidecar.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        drop(sidecar);
        let log = std::fs::read_to_string(self.dir.join("envoy.log")).unwrap_or_default();
        let mut lines = log.lines().filter(|_| !self.dies);
        let complaint = lines.find(|line| COMPLAINTS.iter().any(|mark| line.contains(mark)));
        if std::thread::panicking() || complaint.is_some() {
            for log in ["envoy.log", "attache.log"] {
                eprintln!("--- {log}\n{}", tail(&self.dir.join(log), SHOWN));
            }
            eprintln!("--- kept: {}", self.dir.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
        if let Some(complaint) = complaint
            && !std::thread::panicking()
        {
            panic!("the module complained: {complaint}");
        }
    }
}

async fn start_sidecar(dir: &Path, serve: &[String], admin: SocketAddr) -> Result<Process> {
    let arguments: Vec<&str> = serve.iter().map(String::as_str).collect();
    let mut process = Process::start(&attache()?, &arguments, &[], &dir.join("attache.log"))?;
    let deadline = Instant::now() + START;
    loop {
        if let Some(status) = process.ended() {
            bail!("attache serve ended ({status}):\n{}", process.tail(SHOWN));
        }
        // A socket file alone may be left over from one that was killed.
        let socket = tokio::net::UnixStream::connect(dir.join("s.sock")).await.is_ok();
        if socket && tokio::net::TcpStream::connect(admin).await.is_ok() {
            return Ok(process);
        }
        ensure!(Instant::now() < deadline, "attache serve does not come up:\n{}", process.tail(SHOWN));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn fresh_dir() -> Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("attache-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let dir = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// Free when asked; another process may be quicker, and then the start fails and says so.
fn free_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    let listeners = (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<Vec<_>>>()?;
    let found = listeners.iter().map(TcpListener::local_addr).collect::<std::io::Result<Vec<_>>>()?;
    found.try_into().ok().context("no free port")
}
