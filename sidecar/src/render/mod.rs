//! `attache.yaml` to the files an Envoy starts from.
//!
//! Does not: start Envoy, copy the module, or decide anything: which wiring is right is explained where it stands, in
//! `templates/`.
//!
//! Decision: the parts that change at run time (clusters, route, the module's configuration, secrets) are files of
//! their own that Envoy watches, each replaced by rename, so a push drains no connection. Rejected: one static file,
//! which needs a restart for a rotated key, and an xDS server, which is one more thing to run.

mod cluster;
mod files;
mod local_reply;
pub mod push;
mod template;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use engine::config::snapshot::{Address, Snapshot, Source};
use engine::config::{Loaded, guest};
use serde_json::json;

use crate::read;
pub use files::{File, Rendered};
use template::{fill, quote, stamped};

const ENVOY: &str = include_str!("templates/envoy.yaml");
const RDS: &str = include_str!("templates/rds.yaml");
const RDS_CLUSTER: &str = include_str!("templates/rds_cluster.yaml");
const PLAN: &str = include_str!("templates/plan.yaml");

/// As open as they get; `cds.yaml` says why.
const BREAKERS: &str = "{thresholds: [{max_connections: 4294967295, max_pending_requests: 4294967295, \
                        max_requests: 4294967295, max_retries: 4294967295}]}";

/// What the configuration does not say.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory in which Envoy will find the files.
    pub at: PathBuf,
    /// The module, as Envoy will find it.
    pub wasm: PathBuf,
    /// What the names of clusters end with that are this module's own; empty where it is never replaced.
    pub module: String,
    /// Certificates of those whom providers' certificates are trusted from.
    pub ca: PathBuf,
    /// Envoy's admin address.
    pub admin: SocketAddr,
    /// Hosts of providers and the address to use in place of DNS. The name stays what TLS checks.
    pub resolve: Vec<(String, SocketAddr)>,
}

/// All files. Secrets are read now, and stand in `sds/` alone.
///
/// # Errors
/// A secret that cannot be read, or an address for a host that no provider has.
pub fn envoy(loaded: &Loaded, options: &Options) -> anyhow::Result<Rendered> {
    let snapshot = &loaded.snapshot;
    for (host, _) in &options.resolve {
        let used = snapshot.providers.iter().any(|provider| provider.host == *host);
        anyhow::ensure!(used, "no provider is at {host}");
    }
    let parts = Parts::new(loaded, options, read::secret)?;
    // What is referred to comes before what refers to it: Envoy may read each file as soon as it is there.
    let mut files: Vec<File> = parts.lanes.iter().filter_map(|lane| lane.secret.clone()).collect();
    files.push(File::open("cds.yaml", cluster::cds(parts.lanes.iter().map(|lane| lane.clusters.as_str()))));
    files.push(File::open("rds.yaml", rds(snapshot, parts.lanes.iter().map(|lane| lane.cluster.as_str()))));
    files.extend([parts.plan, parts.bootstrap]);
    Ok(Rendered { files })
}

/// A rendering before it is decided what of it stands in which file.
#[derive(Debug)]
struct Parts {
    lanes: Vec<Lane>,
    plan: File,
    bootstrap: File,
}

/// What belongs to one (provider, key).
#[derive(Debug)]
struct Lane {
    /// Its name: `PROVIDER_KEY`, and the module's.
    cluster: String,
    /// Its text in `cds.yaml`.
    clusters: String,
    secret: Option<File>,
}

impl Parts {
    /// `secret` follows a reference.
    fn new(
        loaded: &Loaded,
        options: &Options,
        secret: impl Fn(&str) -> anyhow::Result<String>,
    ) -> anyhow::Result<Self> {
        let snapshot = &loaded.snapshot;
        let mut lanes = Vec::new();
        for lane in &snapshot.lanes {
            let Some(provider) = snapshot.providers.get(lane.provider) else { continue };
            let cluster = format!("{}{}", lane.cluster, options.module);
            let secret = match &lane.secret {
                None => None,
                Some(reference) => {
                    let value = secret(reference).with_context(|| format!("the secret of provider key {cluster}"))?;
                    Some(File::secret(cluster::sds_path(&cluster), cluster::sds(&lane.cluster, &value)))
                }
            };
            let clusters = cluster::clusters(loaded, options, lane, provider);
            lanes.push(Lane { cluster, clusters, secret });
        }
        Ok(Self {
            lanes,
            plan: File::open("ecds/plan.yaml", plan(loaded, options)),
            bootstrap: File::open("envoy.yaml", bootstrap(snapshot, options)?),
        })
    }
}

/// Longer than all tries of a request together.
fn all_tries(snapshot: &Snapshot) -> Duration {
    let longest = snapshot.timeouts.complete.max(snapshot.timeouts.first_content);
    longest.saturating_mul(snapshot.retry.max).saturating_add(Duration::from_secs(60))
}

/// By which Envoy is slower than the module.
const MARGIN: Duration = Duration::from_secs(30);

/// Longer than a streamed answer is silent while the module lives.
fn silence(snapshot: &Snapshot) -> Duration {
    let tries = snapshot.timeouts.first_content.saturating_mul(snapshot.retry.max);
    tries.max(snapshot.timeouts.idle).saturating_add(MARGIN)
}

/// Longer than a request waits for the sidecar.
fn waiting(snapshot: &Snapshot) -> Duration {
    snapshot.sidecar.patience.saturating_add(MARGIN)
}

fn bootstrap(snapshot: &Snapshot, options: &Options) -> anyhow::Result<String> {
    let listen: SocketAddr = snapshot.listen.parse().context("listen")?;
    let (sidecar_type, sidecar_address) = match &snapshot.sidecar.address {
        Address::Unix(path) => ("STATIC", format!("{{pipe: {{path: {}}}}}", quote(path))),
        Address::Tcp(host, port) => {
            let kind = if engine::config::is_address(host) { "STATIC" } else { "STRICT_DNS" };
            (kind, socket(host, *port))
        }
    };
    Ok(fill(
        ENVOY,
        &[
            ("admin", &socket(&options.admin.ip().to_string(), options.admin.port())),
            ("listen", &socket(&listen.ip().to_string(), listen.port())),
            ("cds", &watched(options, "cds.yaml")),
            ("rds", &watched(options, "rds.yaml")),
            ("ecds", &watched(options, "ecds/plan.yaml")),
            ("client_cert", client_cert(snapshot)),
            ("connections", &snapshot.bounds.connections.to_string()),
            ("heap", &snapshot.bounds.heap.to_string()),
            ("stream_idle_timeout", &seconds(all_tries(snapshot))),
            ("local_replies", &local_reply::mappers()),
            ("breakers", BREAKERS),
            ("sidecar_type", sidecar_type),
            ("sidecar_address", &sidecar_address),
        ],
    ))
}

/// Where certificates say who asks, the listener itself says whose they are, also once it has TLS.
fn client_cert(snapshot: &Snapshot) -> &'static str {
    let certified = |source: &Source| matches!(source, Source::Peer | Source::Xfcc);
    if !snapshot.govern.sources.iter().any(certified) {
        return "";
    }
    concat!(
        "          # What a client sends as x-forwarded-client-cert is replaced by what its certificate says.\n",
        "          forward_client_cert_details: SANITIZE_SET\n",
        "          set_current_client_cert_details: {uri: true}\n",
    )
}

fn rds<'a>(snapshot: &Snapshot, lanes: impl Iterator<Item = &'a str>) -> String {
    let clusters: String = lanes.map(|lane| fill(RDS_CLUSTER, &[("cluster", lane)])).collect();
    let backoff = snapshot.retry.backoff;
    stamped(
        RDS,
        &[
            ("body_limit", &snapshot.body_limit.to_string()),
            ("num_retries", &snapshot.retry.max.saturating_sub(1).to_string()),
            ("backoff", &seconds(backoff)),
            ("backoff_max", &seconds(backoff.saturating_mul(4))),
            ("idle_timeout", &seconds(all_tries(snapshot))),
            ("stream_idle_timeout", &seconds(silence(snapshot))),
            ("wait_idle_timeout", &seconds(waiting(snapshot))),
            ("per_try_timeout", &seconds(snapshot.timeouts.complete)),
            ("clusters", &clusters),
        ],
    )
}

fn plan(loaded: &Loaded, options: &Options) -> String {
    let config = guest(loaded);
    let configuration = if options.module.is_empty() {
        json!({"role": "plan", "config": config})
    } else {
        json!({"role": "plan", "module": options.module, "config": config})
    };
    let configuration = format!("{configuration:#}");
    let indented: String = configuration.lines().map(|line| format!("          {line}\n")).collect();
    stamped(PLAN, &[("wasm", &quote(&options.wasm.to_string_lossy())), ("configuration", &indented)])
}

/// A subscription to a file. Envoy looks for renames in the directory, which is also how a mounted secret changes.
fn watched(options: &Options, file: &str) -> String {
    let path = options.at.join(file);
    let directory = path.parent().unwrap_or(&options.at).to_string_lossy();
    format!(
        "{{resource_api_version: V3, path_config_source: {{path: {}, watched_directory: {{path: {}}}}}}}",
        quote(&path.to_string_lossy()),
        quote(&directory)
    )
}

fn socket(host: &str, port: u16) -> String {
    format!("{{socket_address: {{address: {}, port_value: {port}}}}}", quote(host))
}

/// A duration as protobuf's JSON has it.
fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}
