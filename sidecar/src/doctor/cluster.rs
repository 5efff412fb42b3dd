//! The clusters that tries go to, and the sidecar's.

use engine::config::load_guest;
use serde_json::Value;

use super::dump::{Dump, Plan, is, list, protocol, upstream_filters, whole};
use super::filter::plugin;
use super::{Finding, Rule, Severity};

const MISSING: Rule = Rule {
    name: "cluster",
    severity: Severity::Breaks,
    harm: "A plan that names it fails there; requests get 503 instead of the next provider.",
    mend: "Render again: attache render envoy -c attache.yaml -o DIR",
};

const ATTEMPT: Rule = Rule {
    name: "attempt",
    severity: Severity::Breaks,
    harm: "Without the role attempt the client's own request, in the client's own format, goes to the provider.",
    mend: "HttpProtocolOptions:\n  http_filters: [wasm with role attempt, credential_injector, upstream_codec]",
};

const ORDER: Rule = Rule {
    name: "upstream-order",
    severity: Severity::Breaks,
    harm: "The attempt replaces the whole request head: a credential added before it is gone, a signature wrong.",
    mend: "http_filters:\n- name: envoy.filters.http.wasm\n- name: envoy.filters.http.credential_injector\n\
           - name: envoy.filters.http.upstream_codec",
};

const GUARD: Rule = Rule {
    name: "guard",
    severity: Severity::Weakens,
    harm: "Envoy does not retry where a cluster has no healthy host: clients get 503 though another provider is well.",
    mend: "cluster_type: envoy.clusters.composite of the provider's hosts and, last, the guard; see cds.yaml",
};

const BREAKERS: Rule = Rule {
    name: "breakers",
    severity: Severity::Breaks,
    harm: "Envoy's defaults (3 retries, 1024 requests at a time) turn an outage of one provider into 503 for clients.",
    mend: "circuit_breakers:\n  thresholds: [{max_connections: 4294967295, max_pending_requests: 4294967295, \
           max_requests: 4294967295, max_retries: 4294967295}]",
};

const BUDGET: Rule = Rule {
    name: "retry-budget",
    severity: Severity::Weakens,
    harm: "A retry budget refuses tries exactly when many are needed; the plan bounds them already.",
    mend: "circuit_breakers:\n  thresholds: [{}]    # without retry_budget",
};

const PLAINTEXT: Rule = Rule {
    name: "plaintext",
    severity: Severity::Breaks,
    harm: "Prompts, answers and the provider's key cross the network in the clear.",
    mend: "transport_socket:\n  name: envoy.transport_sockets.tls",
};

const NAMES: Rule = Rule {
    name: "tls-names",
    severity: Severity::Breaks,
    harm: "Whoever holds any certificate that is trusted here can take the provider's place.",
    mend: "UpstreamTlsContext:\n  auto_host_sni: true\n  auto_sni_san_validation: true\n  \
           common_tls_context: {validation_context: {trusted_ca: {filename: /etc/ssl/certs/ca-certificates.crt}}}",
};

const SIDECAR: Rule = Rule {
    name: "sidecar",
    severity: Severity::Breaks,
    harm: "Keys cannot be checked and nothing is counted: the filter calls this cluster over gRPC, which is HTTP/2.",
    mend: "clusters:\n- name: sidecar\n  HttpProtocolOptions: {explicit_http_config: {http2_protocol_options: {}}}",
};

/// Nobody has so many requests in flight in one Envoy.
const PLENTY: u64 = 1 << 20;

/// All clusters a plan can name, and those they stand on.
pub(super) fn examine(dump: &Dump<'_>, plan: &Plan<'_>, found: &mut Vec<Finding>) {
    // A configuration that cannot be read is told elsewhere.
    let Ok(snapshot) = load_guest(plan.plugin.told["config"].clone()) else { return };
    let module = plan.plugin.told["module"].as_str().unwrap_or_default();
    for lane in &snapshot.lanes {
        let cluster = format!("{}{module}", lane.cluster);
        match dump.cluster(&cluster) {
            Some(cluster) => examine_lane(dump, cluster, found),
            None => found.push(MISSING.at(format!("cluster {cluster}"), "it does not exist")),
        }
    }
    sidecar(dump, found);
}

fn place(cluster: &Value) -> String {
    format!("cluster {}", cluster["name"].as_str().unwrap_or("?"))
}

fn examine_lane(dump: &Dump<'_>, lane: &Value, found: &mut Vec<Finding>) {
    match Dump::attempt(lane) {
        Some(attempt) => plugin(&attempt, found),
        None => found.push(ATTEMPT.at(place(lane), "no wasm filter with the role attempt")),
    }
    let mut changers = upstream_filters(lane).map(|filter| &filter["typed_config"]);
    let early = changers.by_ref().take_while(|config| !is(config, "filters.http.wasm.v3.Wasm"));
    let early: Vec<&str> = early.filter_map(|config| config["@type"].as_str()).collect();
    if !early.is_empty() && Dump::attempt(lane).is_some() {
        found.push(ORDER.at(place(lane), format!("{} before the attempt", early.join(", "))));
    }
    breakers(lane, found);
    let members: Vec<&Value> = list(&lane["cluster_type"]["typed_config"]["clusters"])
        .filter_map(|member| dump.cluster(member["name"].as_str()?))
        .collect();
    let composite = is(&lane["cluster_type"]["typed_config"], "composite.v3.ClusterConfig");
    // The guard answers where all others have nobody left: an address inside this process.
    let guarded = members.last().is_some_and(|last| endpoints(last).any(|e| !e["envoy_internal_address"].is_null()));
    if !(composite && guarded) {
        found.push(GUARD.at(place(lane), "no composite that ends in an internal listener"));
    }
    let hosts = if composite { members } else { vec![lane] };
    let mut seen = Vec::new();
    for host in hosts {
        if !seen.contains(&&host["name"]) {
            seen.push(&host["name"]);
            breakers(host, found);
            transport(host, found);
        }
    }
}

/// Addresses of a cluster's endpoints.
fn endpoints(cluster: &Value) -> impl Iterator<Item = &Value> {
    let localities = list(&cluster["load_assignment"]["endpoints"]);
    localities.flat_map(|locality| list(&locality["lb_endpoints"])).map(|entry| &entry["endpoint"]["address"])
}

fn breakers(cluster: &Value, found: &mut Vec<Finding>) {
    // No priority is DEFAULT, which is the one that counts: nothing of ours asks for HIGH.
    let default = |threshold: &&Value| threshold["priority"].is_null() || threshold["priority"] == "DEFAULT";
    let threshold = list(&cluster["circuit_breakers"]["thresholds"]).find(default).unwrap_or(&Value::Null);
    let names = ["max_connections", "max_pending_requests", "max_requests", "max_retries"];
    let low = names.iter().filter(|name| whole(&threshold[**name]).is_none_or(|n| n < PLENTY));
    let low: Vec<String> = low
        .map(|name| match whole(&threshold[*name]) {
            Some(n) => format!("{name} {n}"),
            None => format!("{name} as by default"),
        })
        .collect();
    if !low.is_empty() {
        found.push(BREAKERS.at(place(cluster), low.join(", ")));
    }
    if !threshold["retry_budget"].is_null() {
        found.push(BUDGET.at(place(cluster), "retry_budget is set"));
    }
}

fn transport(cluster: &Value, found: &mut Vec<Finding>) {
    let leaves = |address: &Value| {
        let host = address["socket_address"]["address"].as_str();
        host.is_some_and(|host| host.parse::<std::net::IpAddr>().map_or(host != "localhost", |ip| !ip.is_loopback()))
    };
    let socket = &cluster["transport_socket"]["typed_config"];
    if is(socket, "UpstreamTlsContext") {
        let checked = !socket["common_tls_context"]["validation_context"]["trusted_ca"].is_null();
        let named = socket["auto_sni_san_validation"] == true
            || list(&socket["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"]).count() > 0;
        if !(checked && named) {
            found.push(NAMES.at(place(cluster), "the server's name or certificate is not checked"));
        }
    } else if endpoints(cluster).any(leaves) {
        found.push(PLAINTEXT.at(place(cluster), "no TLS, and its hosts are not on this machine"));
    }
}

fn sidecar(dump: &Dump<'_>, found: &mut Vec<Finding>) {
    const NAME: &str = "sidecar";
    let Some(cluster) = dump.cluster(NAME) else {
        return found.push(SIDECAR.at("clusters", format!("no cluster {NAME}")));
    };
    if protocol(cluster)["explicit_http_config"]["http2_protocol_options"].is_null() {
        found.push(SIDECAR.at(place(cluster), "no HTTP/2"));
    }
    breakers(cluster, found);
}
