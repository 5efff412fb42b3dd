//! Clusters: one composite and one set of hosts for each (provider, key), and the secret that goes with them.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use engine::config::Loaded;
use engine::config::schema::ClientKeys;
use engine::config::snapshot::{Lane, Provider};

use super::template::{fill, quote, stamped};
use super::{BREAKERS, Options, seconds, socket, watched};

const CDS: &str = include_str!("templates/cds.yaml");
const LANE: &str = include_str!("templates/cds_lane.yaml");
const HOSTS: &str = include_str!("templates/cds_hosts.yaml");
const CREDENTIAL: &str = include_str!("templates/cds_credential.yaml");
const TLS: &str = include_str!("templates/cds_tls.yaml");
const HTTP2: &str = include_str!("templates/cds_http2.yaml");
const SDS: &str = include_str!("templates/sds.yaml");

/// Where a lane names its module's file, by which [`wasm`] finds it again.
const CODE: &str = "code: {local: {filename: ";

/// Where a lane begins in `cds.yaml`, by which [`former`] finds it again.
const MARK: &str = "\n# ---- provider ";

/// What stands there before the name of the lane's module, if that has one.
const NAMED: &str = ", module ";

/// What stands there last, as long as no request is planned with the lane. One that Envoy refuses can go at once.
const FRESH: &str = ", nobody is sent here yet";

/// All provider clusters.
pub(super) fn cds<'a>(lanes: impl Iterator<Item = &'a str>) -> String {
    stamped(CDS, &[("clusters", &lanes.collect::<String>())])
}

/// A lane of an earlier rendering.
#[derive(Debug, Clone)]
pub(super) struct Former {
    /// Its text.
    pub(super) clusters: String,
    /// No request can have been planned with it.
    pub(super) fresh: bool,
}

/// The lanes of an earlier rendering and their names.
pub(super) fn former(cds: &str) -> Vec<(String, Former)> {
    let lane = |text: &str| {
        let (head, clusters) = text.split_once('\n')?;
        let known = head.strip_suffix(FRESH);
        let (fresh, head) = (known.is_some(), known.unwrap_or(head));
        let (provider, rest) = head.split_once(", key ")?;
        let (key, module) = rest.split_once(NAMED).map_or((rest, String::new()), |(key, of)| (key, format!("@{of}")));
        let clusters = format!("{MARK}{head}\n{clusters}");
        Some((format!("{provider}_{key}{module}"), Former { clusters, fresh }))
    };
    cds.split(MARK).skip(1).filter_map(lane).collect()
}

/// A lane that Envoy shall have before any request is planned with it.
pub(super) fn fresh(clusters: &str) -> String {
    let (head, rest) = clusters.trim_start_matches('\n').split_once('\n').unwrap_or((clusters, ""));
    format!("\n{head}{FRESH}\n{rest}")
}

/// The (provider, key) of a lane, whichever its module.
pub(super) fn owner(cluster: &str) -> &str {
    cluster.split_once('@').map_or(cluster, |(owner, _)| owner)
}

/// The file that holds a lane's secret: the same for all modules.
pub(super) fn sds_path(cluster: &str) -> String {
    format!("sds/{}.yaml", owner(cluster))
}

/// The module that a rendered lane runs in.
fn wasm(clusters: &str) -> Option<PathBuf> {
    let (_, rest) = clusters.split_once(CODE)?;
    serde_json::Deserializer::from_str(rest).into_iter().next()?.ok()
}

/// A lane's secret.
pub(super) fn sds(cluster: &str, secret: &str) -> String {
    fill(SDS, &[("cluster", cluster), ("secret", &quote(secret))])
}

/// The clusters of a lane.
pub(super) fn clusters(loaded: &Loaded, options: &Options, lane: &Lane, provider: &Provider) -> String {
    let snapshot = &loaded.snapshot;
    let cluster = format!("{}{}", lane.cluster, options.module);
    let address = address(options, provider);
    let named = matches!(address, Address::Name);
    let credential = match &lane.secret {
        Some(_) => credential(loaded, options, lane, provider),
        None => String::new(),
    };
    let protocol = match (provider.tls, provider.http2) {
        (true, true) => tls(options, provider) + HTTP2,
        (true, false) => tls(options, provider),
        (false, _) => String::new(),
    };
    let hosts = fill(
        HOSTS,
        &[
            ("cluster", &cluster),
            ("connect_timeout", &seconds(snapshot.timeouts.connect)),
            ("breakers", BREAKERS),
            ("discovery", if named { DNS } else { STATIC }),
            ("host", &quote(&provider.host)),
            ("address", &address.yaml(provider)),
            ("protocol", &protocol),
        ],
    );
    let tries = format!("{{name: {cluster}_hosts}}");
    composite(loaded, &options.wasm, &cluster, &tries, &credential, &hosts)
}

/// In place of a lane that is no longer configured: a request that was planned with it goes on to its next candidate. It
/// stays with its module, as such a request does.
pub(super) fn gone(loaded: &Loaded, options: &Options, cluster: &str, clusters: &str) -> String {
    let wasm = wasm(clusters).unwrap_or_else(|| options.wasm.clone());
    composite(loaded, &wasm, cluster, "{name: guard}", "", "")
}

fn composite(loaded: &Loaded, wasm: &Path, cluster: &str, each_try: &str, credential: &str, hosts: &str) -> String {
    let snapshot = &loaded.snapshot;
    let (provider, key) = owner(cluster).split_once('_').unwrap_or((cluster, ""));
    let module = cluster.split_once('@').map(|(_, module)| format!("{NAMED}{module}")).unwrap_or_default();
    let tries = usize::try_from(snapshot.retry.max).unwrap_or(usize::MAX);
    let clusters: Vec<&str> = std::iter::repeat_n(each_try, tries).chain(["{name: guard}"]).collect();
    fill(
        LANE,
        &[
            ("provider", provider),
            ("key", key),
            ("module", &module),
            ("cluster", cluster),
            ("connect_timeout", &seconds(snapshot.timeouts.connect)),
            ("breakers", BREAKERS),
            ("composite", &clusters.join(", ")),
            ("wasm", &quote(&wasm.to_string_lossy())),
            ("credential", credential),
            ("hosts", hosts),
        ],
    )
}

const STATIC: &str = "  type: STATIC";
const DNS: &str = "  type: STRICT_DNS
  dns_lookup_family: V4_PREFERRED   # a host without IPv6 would try addresses it cannot reach";

/// Where the hosts of a provider are.
enum Address {
    Socket(std::net::SocketAddr),
    Name,
}

fn address(options: &Options, provider: &Provider) -> Address {
    if let Some((_, address)) = options.resolve.iter().find(|(host, _)| *host == provider.host) {
        return Address::Socket(*address);
    }
    provider.host.parse::<IpAddr>().map_or(Address::Name, |ip| Address::Socket((ip, provider.port).into()))
}

impl Address {
    fn yaml(&self, provider: &Provider) -> String {
        match self {
            Self::Socket(address) => socket(&address.ip().to_string(), address.port()),
            Self::Name => socket(&provider.host, provider.port),
        }
    }
}

fn credential(loaded: &Loaded, options: &Options, lane: &Lane, provider: &Provider) -> String {
    // The module replaces the whole head for every try, so a credential that stands there is the client's own.
    let overwrite = if loaded.snapshot.client_keys == ClientKeys::Pass { "false" } else { "true" };
    fill(
        CREDENTIAL,
        &[
            ("header", &quote(&provider.auth_header)),
            ("prefix", &quote(&provider.auth_prefix)),
            ("overwrite", overwrite),
            ("secret", &lane.cluster),
            ("sds", &watched(options, &sds_path(&lane.cluster))),
        ],
    )
}

/// A certificate is checked against the name of the vendor, or against the address where there is no name.
fn tls(options: &Options, provider: &Provider) -> String {
    let is_address = provider.host.parse::<IpAddr>().is_ok();
    let name_check = "      # The endpoint's hostname is asked for, and no other in the certificate will do.\n      \
                      auto_host_sni: true\n      auto_sni_san_validation: true";
    let san = format!(
        "          match_typed_subject_alt_names: [{{san_type: IP_ADDRESS, matcher: {{exact: {}}}}}]",
        quote(&provider.host)
    );
    fill(
        TLS,
        &[
            ("name_check", if is_address { "" } else { name_check }),
            ("ca", &quote(&options.ca.to_string_lossy())),
            ("san", if is_address { &san } else { "" }),
        ],
    )
}
