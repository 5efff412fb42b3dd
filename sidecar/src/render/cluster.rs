//! Clusters: one composite and one set of hosts for each (provider, key), and the secret that goes with them.

use std::net::IpAddr;

use engine::config::Loaded;
use engine::config::schema::ClientKeys;
use engine::config::snapshot::{Lane, Provider};

use super::template::{fill, quote};
use super::{BREAKERS, Options, seconds, socket, watched};

const CDS: &str = include_str!("templates/cds.yaml");
const LANE: &str = include_str!("templates/cds_lane.yaml");
const CREDENTIAL: &str = include_str!("templates/cds_credential.yaml");
const TLS: &str = include_str!("templates/cds_tls.yaml");
const HTTP2: &str = include_str!("templates/cds_http2.yaml");
const SDS: &str = include_str!("templates/sds.yaml");

/// All provider clusters.
pub(super) fn cds(loaded: &Loaded, options: &Options) -> String {
    let snapshot = &loaded.snapshot;
    let clusters: String = snapshot
        .lanes
        .iter()
        .filter_map(|lane| Some(clusters(loaded, options, lane, snapshot.providers.get(lane.provider)?)))
        .collect();
    fill(CDS, &[("clusters", &clusters)])
}

/// The file that holds a lane's secret.
pub(super) fn sds_path(lane: &Lane) -> String {
    format!("sds/{}.yaml", lane.cluster)
}

/// A lane's secret.
pub(super) fn sds(lane: &Lane, secret: &str) -> String {
    fill(SDS, &[("cluster", &lane.cluster), ("secret", &quote(secret))])
}

fn clusters(loaded: &Loaded, options: &Options, lane: &Lane, provider: &Provider) -> String {
    let snapshot = &loaded.snapshot;
    let tries = usize::try_from(snapshot.retry.max).unwrap_or(usize::MAX);
    let hosts = format!("{{name: {}_hosts}}", lane.cluster);
    let composite: Vec<&str> = std::iter::repeat_n(hosts.as_str(), tries).chain(["{name: guard}"]).collect();
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
    fill(
        LANE,
        &[
            ("provider", &provider.name),
            ("key", &lane.key),
            ("cluster", &lane.cluster),
            ("connect_timeout", &seconds(snapshot.timeouts.connect)),
            ("breakers", BREAKERS),
            ("composite", &composite.join(", ")),
            ("wasm", &quote(&options.wasm.to_string_lossy())),
            ("credential", &credential),
            ("discovery", if named { DNS } else { STATIC }),
            ("host", &quote(&provider.host)),
            ("address", &address.yaml(provider)),
            ("protocol", &protocol),
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
            ("cluster", &lane.cluster),
            ("sds", &watched(options, &sds_path(lane))),
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
