//! Envoy's `/config_dump`, as far as the rules look into it.
//!
//! Does not: judge. Members that are absent read as null, which is Envoy's default for them.

use serde_json::Value;

/// The whole dump.
pub(super) struct Dump<'a> {
    configs: Vec<&'a Value>,
}

/// A wasm filter of ours.
pub(super) struct Plugin<'a> {
    /// Where it stands.
    pub(super) place: String,
    /// Its `PluginConfig`.
    pub(super) config: &'a Value,
    /// What it was told: role and, for a plan, configuration.
    pub(super) told: Value,
}

/// A connection manager with a plan in it.
pub(super) struct Plan<'a> {
    pub(super) plugin: Plugin<'a>,
    /// The connection manager.
    pub(super) manager: &'a Value,
    /// Type URLs of its HTTP filters, in order.
    pub(super) filters: Vec<&'a str>,
    /// Number of the plan among them.
    pub(super) at: usize,
}

const MANAGER: &str = "HttpConnectionManager";
const WASM: &str = "filters.http.wasm.v3.Wasm";

impl<'a> Dump<'a> {
    pub(super) fn new(dump: &'a Value) -> Self {
        Self { configs: list(&dump["configs"]).collect() }
    }

    fn part(&self, kind: &str) -> &'a Value {
        static NOTHING: Value = Value::Null;
        self.configs.iter().find(|config| is(config, kind)).map_or(&NOTHING, |config| *config)
    }

    pub(super) fn bootstrap(&self) -> &'a Value {
        &self.part("BootstrapConfigDump")["bootstrap"]
    }

    /// All connection managers with a plan.
    pub(super) fn plans(&self) -> Vec<Plan<'a>> {
        let part = self.part("ListenersConfigDump");
        let fixed = list(&part["static_listeners"]).map(|entry| &entry["listener"]);
        let pushed = list(&part["dynamic_listeners"]).map(|entry| &entry["active_state"]["listener"]);
        let mut plans = Vec::new();
        for listener in fixed.chain(pushed) {
            let name = listener["name"].as_str().unwrap_or("?");
            let fallback = std::iter::once(&listener["default_filter_chain"]);
            for filter in list(&listener["filter_chains"]).chain(fallback).flat_map(|chain| list(&chain["filters"])) {
                let manager = &filter["typed_config"];
                if is(manager, MANAGER) {
                    plans.extend(self.plan(name, manager));
                }
            }
        }
        plans
    }

    fn plan(&self, listener: &str, manager: &'a Value) -> Option<Plan<'a>> {
        let configs: Vec<&Value> = list(&manager["http_filters"]).map(|filter| self.http_filter(filter)).collect();
        let place = format!("listener {listener}");
        let (at, plugin) = configs.iter().enumerate().find_map(|(at, config)| {
            let plugin = plugin(&place, config)?;
            (plugin.told["role"] == "plan").then_some((at, plugin))
        })?;
        let filters = configs.iter().map(|config| config["@type"].as_str().unwrap_or_default()).collect();
        Some(Plan { plugin, manager, filters, at })
    }

    /// A filter's configuration, also where it is discovered.
    fn http_filter(&self, filter: &'a Value) -> &'a Value {
        if filter["config_discovery"].is_null() {
            return &filter["typed_config"];
        }
        let known = list(&self.part("EcdsConfigDump")["ecds_filters"]).map(|entry| &entry["ecds_filter"]);
        let found = known.into_iter().find(|known| known["name"] == filter["name"]);
        found.map_or(&filter["typed_config"], |known| &known["typed_config"])
    }

    /// Clusters that are in use, fixed or pushed.
    pub(super) fn clusters(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        let part = self.part("ClustersConfigDump");
        list(&part["static_clusters"]).chain(list(&part["dynamic_active_clusters"])).map(|entry| &entry["cluster"])
    }

    pub(super) fn cluster(&self, name: &str) -> Option<&'a Value> {
        self.clusters().find(|cluster| cluster["name"] == name)
    }

    /// The wasm filter with the role attempt of a cluster.
    pub(super) fn attempt(cluster: &'a Value) -> Option<Plugin<'a>> {
        let place = format!("cluster {}", cluster["name"].as_str().unwrap_or("?"));
        let found = upstream_filters(cluster).find_map(|filter| plugin(&place, &filter["typed_config"]))?;
        (found.told["role"] == "attempt").then_some(found)
    }

    /// The routes of a connection manager, inline or discovered.
    pub(super) fn routes(&self, manager: &'a Value) -> &'a Value {
        let Some(name) = manager["rds"]["route_config_name"].as_str() else { return &manager["route_config"] };
        let part = self.part("RoutesConfigDump");
        let known = list(&part["dynamic_route_configs"]).chain(list(&part["static_route_configs"]));
        let mut routes = known.map(|entry| &entry["route_config"]);
        routes.find(|routes| routes["name"] == name).unwrap_or(&manager["route_config"])
    }
}

/// The HTTP filters of a cluster.
pub(super) fn upstream_filters(cluster: &Value) -> impl Iterator<Item = &Value> {
    list(&protocol(cluster)["http_filters"])
}

/// The `HttpProtocolOptions` of a cluster.
pub(super) fn protocol(cluster: &Value) -> &Value {
    &cluster["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]
}

/// Is this message of the type whose URL ends so, after a dot?
pub(super) fn is(message: &Value, kind: &str) -> bool {
    message["@type"].as_str().and_then(|url| url.strip_suffix(kind)).is_some_and(|before| before.ends_with('.'))
}

/// The elements; none if it is no list.
pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Seconds of a duration as proto3 JSON has it: `1260s`, `0.050s`.
pub(super) fn seconds(value: &Value) -> Option<f64> {
    value.as_str()?.strip_suffix('s')?.parse().ok()
}

/// A whole number; proto3 JSON writes 64-bit ones as text.
pub(super) fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn plugin<'a>(place: &str, filter: &'a Value) -> Option<Plugin<'a>> {
    if !is(filter, WASM) {
        return None;
    }
    let config = &filter["config"];
    let told = serde_json::from_str(config["configuration"]["value"].as_str()?).ok()?;
    Some(Plugin { place: format!("{place}, wasm filter {}", config["name"]), config, told })
}
