//! Bounds of Envoy itself: memory, connections, and clients that never finish what they send.

use engine::config::load_guest;
use serde_json::Value;

use super::dump::{Dump, Plan, is, list, seconds, whole};
use super::{Finding, Rule, Severity};

const HEAP: Rule = Rule {
    name: "heap",
    severity: Severity::Weakens,
    harm: "Envoy's memory has no bound: clients that send much, or read slowly, end the process and with it everybody's \
           streams.",
    mend: "overload_manager:\n  resource_monitors: [envoy.resource_monitors.fixed_heap with max_heap_size_bytes]\n  \
           actions: see the overload_manager that `attache render envoy` writes to envoy.yaml",
};

const BODIES: Rule = Rule {
    name: "heap-bodies",
    severity: Severity::Weakens,
    harm: "The module lets request bodies take half of limits.heap; Envoy refuses everybody long before.",
    mend: "Set limits.heap of attache.yaml to max_heap_size_bytes of fixed_heap.",
};

const ACTIONS: Rule = Rule {
    name: "heap-actions",
    severity: Severity::Weakens,
    harm: "Envoy measures its memory and does nothing when it runs out.",
    mend: "overload_manager:\n  buffer_factory_config: {minimum_account_to_track_power_of_two: 20}\n  actions:\n  \
           - name: envoy.overload_actions.reset_high_memory_stream\n  - name: envoy.overload_actions.shrink_heap\n  \
           - name: envoy.overload_actions.stop_accepting_requests",
};

const CONNECTIONS: Rule = Rule {
    name: "connections",
    severity: Severity::Weakens,
    harm: "Clients can take all sockets of the process, also those to providers.",
    mend: "overload_manager:\n  resource_monitors:\n  - name: envoy.resource_monitors.global_downstream_max_connections",
};

const SLOW: Rule = Rule {
    name: "slow-requests",
    severity: Severity::Weakens,
    harm: "A client that never finishes its headers or its body holds a stream for ever.",
    mend: "request_headers_timeout: 10s\nrequest_timeout: 300s",
};

const NEEDED: [&str; 3] = ["reset_high_memory_stream", "shrink_heap", "stop_accepting_requests"];

/// The overload manager and the patience of the connection managers with a plan.
pub(super) fn examine(dump: &Dump<'_>, plans: &[Plan<'_>], found: &mut Vec<Finding>) {
    const PLACE: &str = "overload_manager";
    let manager = &dump.bootstrap()["overload_manager"];
    let monitor = |kind: &str| {
        let configs = list(&manager["resource_monitors"]).map(|monitor| &monitor["typed_config"]);
        configs.into_iter().find(|config| is(config, kind))
    };
    if monitor("DownstreamConnectionsConfig").is_none() {
        found.push(CONNECTIONS.at(PLACE, "connections are not counted"));
    }
    // Whoever runs in a container may measure that.
    let heap = monitor("FixedHeapConfig");
    if heap.is_none() && monitor("CgroupMemoryConfig").is_none() {
        found.push(HEAP.at(PLACE, "no monitor of memory"));
    } else {
        actions(manager, PLACE, found);
    }
    for plan in plans {
        let place = &plan.plugin.place;
        for member in ["request_headers_timeout", "request_timeout"] {
            if seconds(&plan.manager[member]).unwrap_or(0.0) == 0.0 {
                found.push(SLOW.at(place, format!("no {member}")));
            }
        }
        let most = heap.and_then(|heap| whole(&heap["max_heap_size_bytes"]));
        if let (Some(most), Ok(snapshot)) = (most, load_guest(plan.plugin.told["config"].clone()))
            && snapshot.bounds.heap > most
        {
            let told = format!("max_heap_size_bytes {most}, and limits.heap is {}", snapshot.bounds.heap);
            found.push(BODIES.at(PLACE, told));
        }
    }
}

fn actions(manager: &Value, place: &str, found: &mut Vec<Finding>) {
    let has = |action: &&str| {
        list(&manager["actions"]).any(|have| have["name"].as_str().is_some_and(|name| name.ends_with(*action)))
    };
    let mut missing: Vec<&str> = NEEDED.into_iter().filter(|action| !has(action)).collect();
    if manager["buffer_factory_config"]["minimum_account_to_track_power_of_two"].is_null() {
        missing.push("buffer_factory_config");
    }
    if !missing.is_empty() {
        found.push(ACTIONS.at(place, format!("without {}", missing.join(", "))));
    }
}
