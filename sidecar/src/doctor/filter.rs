//! The module where it runs: its plugin configuration, its place among the filters, the connection manager around it.

use engine::config::load_guest;

use super::dump::{Dump, Plan, Plugin, seconds};
use super::{Finding, Rule, Severity};

const STOP_ITERATION: Rule = Rule {
    name: "stop-iteration",
    severity: Severity::Breaks,
    harm: "A filter that waits in the request headers never sees the body: every request hangs.",
    mend: "config:\n  allow_on_headers_stop_iteration: true",
};

const FAILURE_POLICY: Rule = Rule {
    name: "failure-policy",
    severity: Severity::Weakens,
    harm: "After a crash of the module the worker answers 503 for good (FAIL_CLOSED) or passes unchecked (FAIL_OPEN).",
    mend: "config:\n  failure_policy: FAIL_RELOAD",
};

const VM: Rule = Rule {
    name: "vm-id",
    severity: Severity::Breaks,
    harm: "Plan and tries of a request share memory, which they do only under one vm_id, one module and one root_id.",
    mend: "config:\n  root_id: attache\n  vm_config: {vm_id: attache}    # the same in every filter",
};

const CONFIGURATION: Rule = Rule {
    name: "configuration",
    severity: Severity::Breaks,
    harm: "The module refuses what it was told and goes on with what it had, or with nothing.",
    mend: "Render again: attache render envoy -c attache.yaml -o DIR",
};

const REMOTE_ADDRESS: Rule = Rule {
    name: "remote-address",
    severity: Severity::Breaks,
    harm: "Headers with which clients steer Envoy (x-envoy-max-retries and more) are believed.",
    mend: "use_remote_address: true\ninternal_address_config: {cidr_ranges: [{address_prefix: 255.255.255.255, prefix_len: 32}]}",
};

const ORDER: Rule = Rule {
    name: "filter-order",
    severity: Severity::Breaks,
    harm: "Between plan and router the answer would be compressed before plan can read it.",
    mend: "http_filters:\n- name: compressor\n- name: plan\n- name: envoy.filters.http.router",
};

const IDLE: Rule = Rule {
    name: "stream-idle-timeout",
    severity: Severity::Breaks,
    harm: "While tries run nothing moves on the client's stream; this timer then ends the request before they have.",
    mend: "stream_idle_timeout: 0s    # or longer than all tries together",
};

const LOCAL_REPLY: Rule = Rule {
    name: "local-reply",
    severity: Severity::Weakens,
    harm: "Clients of a worker whose module has died get a 503 with an empty body, which no SDK can read.",
    mend: "local_reply_config: {mappers: [...]}    # for response.code_details == 'wasm_fail_stream', see envoy.yaml",
};

/// The plan and what is around it.
pub(super) fn plan(plan: &Plan<'_>, found: &mut Vec<Finding>) {
    let place = &plan.plugin.place;
    plugin(&plan.plugin, found);
    if plan.manager["use_remote_address"] != true {
        found.push(REMOTE_ADDRESS.at(place, format!("use_remote_address: {}", plan.manager["use_remote_address"])));
    }
    if !plan.manager["local_reply_config"].to_string().contains("wasm_fail_stream") {
        found.push(LOCAL_REPLY.at(place, "no mapper for wasm_fail_stream"));
    }
    let behind = plan.filters.iter().skip(plan.at + 1);
    found.extend(
        behind.filter(|url| url.ends_with(".Compressor")).map(|url| ORDER.at(place, format!("{url} behind it"))),
    );
    match load_guest(plan.plugin.told["config"].clone()) {
        Err(faults) => found.extend(faults.iter().map(|fault| CONFIGURATION.at(place, fault.to_string()))),
        Ok(snapshot) => {
            let longest = snapshot.timeouts.first_content.max(snapshot.timeouts.complete);
            let all = longest.as_secs_f64() * f64::from(snapshot.retry.max);
            // Envoy's default is five minutes, and 0 is none.
            let idle = seconds(&plan.manager["stream_idle_timeout"]).unwrap_or(300.0);
            if idle > 0.0 && idle < all {
                found.push(IDLE.at(place, format!("{idle} s, and all tries may take {all} s")));
            }
        }
    }
}

/// What every filter of the module needs.
pub(super) fn plugin(plugin: &Plugin<'_>, found: &mut Vec<Finding>) {
    let allowed = &plugin.config["allow_on_headers_stop_iteration"];
    if *allowed != true {
        found.push(STOP_ITERATION.at(&plugin.place, format!("allow_on_headers_stop_iteration: {allowed}")));
    }
    let policy = &plugin.config["failure_policy"];
    if policy != "FAIL_RELOAD" {
        found.push(FAILURE_POLICY.at(&plugin.place, format!("failure_policy: {policy}")));
    }
}

/// All filters of the module in one virtual machine, but for those of a module that was replaced: requests that it
/// planned may still be under way.
pub(super) fn virtual_machine(dump: &Dump<'_>, plans: &[Plan<'_>], found: &mut Vec<Finding>) {
    let mut attempts: Vec<Plugin<'_>> = dump.clusters().filter_map(Dump::attempt).collect();
    let running = |module: &str| plans.iter().any(|plan| plan.plugin.told["module"] == *module);
    attempts.retain(|attempt| {
        let lane = attempt.told["lane"].as_str().unwrap_or_default();
        lane.find('@').and_then(|at| lane.get(at..)).is_none_or(running)
    });
    let identity = |plugin: &Plugin<'_>| {
        let vm = &plugin.config["vm_config"];
        format!("root_id {}, vm_id {}, code {}", plugin.config["root_id"], vm["vm_id"], vm["code"])
    };
    let mut all = plans.iter().map(|plan| &plan.plugin).chain(&attempts);
    let Some(first) = all.next().map(identity) else { return };
    found.extend(all.filter(|other| identity(other) != first).map(|other| {
        let have = identity(other);
        VM.at(&other.place, format!("{have}; elsewhere {first}"))
    }));
}
