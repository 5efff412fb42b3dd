//! The routes that tries are made by: which cluster is next, when there is a next, and how long all may take.

use engine::config::load_guest;
use serde_json::Value;

use super::dump::{Dump, Plan, is, list, seconds, whole};
use super::{Finding, Rule, Severity};

const ROUTE: Rule = Rule {
    name: "route",
    severity: Severity::Breaks,
    harm: "The plan's next hop stands in the filter state wasm.next; a route that does not ask for it ignores the plan.",
    mend: "route:\n  cluster_specifier_plugin: a matcher on FilterStateInput {key: wasm.next}, see rds.yaml",
};

const REFRESH: Rule = Rule {
    name: "refresh-cluster",
    severity: Severity::Breaks,
    harm: "A retry goes to the cluster that just failed, never to the next provider.",
    mend: "retry_policy:\n  refresh_cluster_on_retry: true",
};

const RETRY_ON: Rule = Rule {
    name: "retry-on",
    severity: Severity::Breaks,
    harm: "These failures of a provider reach the client although another could answer.",
    mend: "retry_policy:\n  retry_on: 5xx,reset,connect-failure,refused-stream,retriable-status-codes,reset-before-request\n  \
           retriable_status_codes: [401, 402, 403, 404, 408, 429, 529]",
};

const BACK_OFF: Rule = Rule {
    name: "rate-limited-back-off",
    severity: Severity::Weakens,
    harm: "A provider's Retry-After delays the try at the next provider, which is not limited at all.",
    mend: "retry_policy: {}    # without rate_limited_retry_back_off",
};

const TIMEOUT: Rule = Rule {
    name: "route-timeout",
    severity: Severity::Breaks,
    harm: "Answers that take longer are cut, streams included; Envoy's default is 15 s.",
    mend: "route:\n  timeout: 0s",
};

const BUFFER: Rule = Rule {
    name: "buffer-limit",
    severity: Severity::Breaks,
    harm: "Bodies above it are refused or, worse, not repeated at the next provider.",
    mend: "virtual_hosts:\n- request_body_buffer_limit: 33554432    # at least limits.body of attache.yaml",
};

const CONDITIONS: [&str; 4] = ["5xx", "reset", "connect-failure", "retriable-status-codes"];

/// All routes behind a plan.
pub(super) fn examine(dump: &Dump<'_>, plan: &Plan<'_>, found: &mut Vec<Finding>) {
    let routes = dump.routes(plan.manager);
    let limit = load_guest(plan.plugin.told["config"].clone()).map_or(0, |snapshot| snapshot.body_limit);
    let mut planned = 0;
    for host in list(&routes["virtual_hosts"]) {
        for route in list(&host["routes"]) {
            let action = &route["route"];
            if !by_plan(routes, action) {
                continue;
            }
            planned += 1;
            let place = format!("route {} of virtual host {}", route["match"], host["name"]);
            // That of the virtual host counts for routes without one.
            let own = &action["retry_policy"];
            retry(&place, if own.is_null() { &host["retry_policy"] } else { own }, found);
            match seconds(&action["timeout"]) {
                Some(0.0) => {}
                Some(limit) => found.push(TIMEOUT.at(&place, format!("timeout {limit} s"))),
                None => found.push(TIMEOUT.at(&place, "no timeout given, thus 15 s")),
            }
            let buffer = [route, host, routes].iter().find_map(|holder| whole(&holder["request_body_buffer_limit"]));
            if buffer.is_none_or(|buffer| buffer < limit) {
                let buffer = buffer.map_or("no request_body_buffer_limit".to_owned(), |bytes| format!("{bytes} bytes"));
                found.push(BUFFER.at(&place, format!("{buffer}, and bodies may have {limit}")));
            }
        }
    }
    if planned == 0 {
        found.push(ROUTE.at(&plan.plugin.place, "no route goes by wasm.next"));
    }
}

/// The cluster is chosen by what the plan wrote.
fn by_plan(routes: &Value, action: &Value) -> bool {
    let inline = &action["inline_cluster_specifier_plugin"]["extension"];
    let mut named = list(&routes["cluster_specifier_plugins"]).map(|plugin| &plugin["extension"]);
    let named = named.find(|it| !it["name"].is_null() && it["name"] == action["cluster_specifier_plugin"]);
    let specifier = &named.unwrap_or(inline)["typed_config"];
    let input = &specifier["cluster_matcher"]["matcher_tree"]["input"]["typed_config"];
    is(specifier, "MatcherClusterSpecifier") && is(input, "FilterStateInput") && input["key"] == "wasm.next"
}

fn retry(place: &str, policy: &Value, found: &mut Vec<Finding>) {
    if policy["refresh_cluster_on_retry"] != true {
        found.push(REFRESH.at(place, format!("refresh_cluster_on_retry: {}", policy["refresh_cluster_on_retry"])));
    }
    let retry_on = policy["retry_on"].as_str().unwrap_or_default();
    let has = |word: &str| retry_on.split(',').any(|have| have.trim() == word);
    let codes: Vec<u64> = list(&policy["retriable_status_codes"]).filter_map(whole).collect();
    let missing = CONDITIONS.iter().filter(|word| !has(word)).map(ToString::to_string);
    let uncaught = [429, 529].into_iter().filter(|code| !codes.contains(code)).map(|code| code.to_string());
    let missing: Vec<String> = missing.chain(uncaught).collect();
    if !missing.is_empty() {
        found.push(RETRY_ON.at(place, format!("retries are not made on {}", missing.join(", "))));
    }
    if !policy["rate_limited_retry_back_off"].is_null() {
        found.push(BACK_OFF.at(place, "rate_limited_retry_back_off is set"));
    }
}
