//! `attache doctor` on the real Envoy: silent where all is well, and each rule has an Envoy that breaks it.

use std::process::{Command, Output};

use serde_json::Value;
use sidecar::doctor::examine;
use tests::stack::{Stack, attache};

use crate::world::World;

const CONFIG: &str = "
providers:
  openai: {keys: [{name: a, secret: \"{{sk-openai-a}}\", models: [\"*\"]}]}
  anthropic: {keys: [{name: main, secret: \"{{sk-ant-main}}\", models: [\"*\"]}]}
";

fn doctor(stack: &Stack) -> Output {
    let admin = format!("http://{}", stack.admin());
    Command::new(attache().unwrap()).args(["doctor", &admin]).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rendered_envoy_has_nothing_and_a_changed_one_is_told() {
    let world = World::start(CONFIG).await;
    let healthy = doctor(&world.stack);
    assert!(healthy.status.success(), "{}", String::from_utf8_lossy(&healthy.stdout));

    // Envoy watches the file and takes it when it is renamed into place.
    let routes = world.stack.dir().join("envoy/rds.yaml");
    let text = std::fs::read_to_string(&routes).unwrap();
    let changed = text.replace("refresh_cluster_on_retry: true", "refresh_cluster_on_retry: false");
    assert_ne!(changed, text);
    let next = routes.with_extension("next");
    std::fs::write(&next, changed).unwrap();
    std::fs::rename(&next, &routes).unwrap();
    for _ in 0..200 {
        if world.stack.config_dump().await.unwrap().contains("\"refresh_cluster_on_retry\": true") {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    let told = doctor(&world.stack);
    let out = String::from_utf8_lossy(&told.stdout);
    assert_eq!(told.status.code(), Some(1), "{out}");
    assert!(out.contains("breaks: route") && out.contains("    refresh_cluster_on_retry: true"), "{out}");
}

/// Each rule, and a change to what a healthy Envoy dumps that breaks it: text in it, and what takes its place.
const BROKEN: &[(&str, &[(&str, &str)])] = &[
    ("module", &[(r#"\"role\": \"plan\""#, r#"\"role\": \"noop\""#)]),
    (
        "admin",
        &[(
            r#""admin":{"address":{"socket_address":{"address":"127.0.0.1""#,
            r#""admin":{"address":{"socket_address":{"address":"0.0.0.0""#,
        )],
    ),
    ("stop-iteration", &[(r#","allow_on_headers_stop_iteration":true"#, "")]),
    ("failure-policy", &[(r#""failure_policy":"FAIL_RELOAD""#, r#""failure_policy":"FAIL_OPEN""#)]),
    (
        "vm-id",
        &[(
            r#""name":"plan","root_id":"attache","vm_config":{"vm_id":"attache""#,
            r#""name":"plan","root_id":"attache","vm_config":{"vm_id":"other""#,
        )],
    ),
    ("configuration", &[(r#"\"version\": 1"#, r#"\"version\": 2"#)]),
    ("remote-address", &[(r#""use_remote_address":true,"#, "")]),
    (
        "filter-order",
        &[(
            r#"{"name":"envoy.filters.http.router","typed_config""#,
            r#"{"name":"zip","typed_config":{"@type":"type.googleapis.com/envoy.extensions.filters.http.compressor.v3.Compressor"}},{"name":"envoy.filters.http.router","typed_config""#,
        )],
    ),
    ("stream-idle-timeout", &[(r#""stream_idle_timeout":"1260s","#, "")]),
    ("local-reply", &[("wasm_fail_stream", "other")]),
    ("route", &[(r#""key":"wasm.next""#, r#""key":"wasm.other""#)]),
    ("retry-on", &[("429,", "")]),
    ("retry-on", &[("5xx,reset,connect-failure", "5xx,reset")]),
    (
        "rate-limited-back-off",
        &[(
            r#""refresh_cluster_on_retry":true"#,
            r#""refresh_cluster_on_retry":true,"rate_limited_retry_back_off":{}"#,
        )],
    ),
    ("route-timeout", &[(r#""timeout":"0s","#, "")]),
    ("buffer-limit", &[(r#""request_body_buffer_limit":"33554432""#, r#""request_body_buffer_limit":"1048576""#)]),
    ("cluster", &[(r#""name":"openai_a","connect_timeout""#, r#""name":"gone","connect_timeout""#)]),
    ("attempt", &[(r#"{\"role\":\"attempt\",\"lane\":\"openai_a\"}"#, r#"{\"role\":\"noop\"}"#)]),
    (
        "upstream-order",
        &[(
            r#""http_filters":[{"name":"envoy.filters.http.wasm""#,
            r#""http_filters":[{"name":"c","typed_config":{"@type":"type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector"}},{"name":"envoy.filters.http.wasm""#,
        )],
    ),
    (
        "guard",
        &[(
            r#","load_assignment":{"cluster_name":"guard","endpoints":[{"lb_endpoints":[{"endpoint":{"address":{"envoy_internal_address":{"server_listener_name":"guard"}}}}]}]}"#,
            "",
        )],
    ),
    ("breakers", &[(r#","max_retries":4294967295"#, "")]),
    ("retry-budget", &[(r#""max_retries":4294967295"#, r#""max_retries":4294967295,"retry_budget":{}"#)]),
    ("tls-names", &[(r#","auto_sni_san_validation":true"#, "")]),
    (
        "plaintext",
        &[
            ("tls.v3.UpstreamTlsContext", "raw_buffer.v3.RawBuffer"),
            (
                r#""address":{"socket_address":{"address":"127.0.0.1""#,
                r#""address":{"socket_address":{"address":"api.openai.com""#,
            ),
        ],
    ),
    ("heap", &[("fixed_heap.v3.FixedHeapConfig", "fixed_heap.v3.OtherConfig")]),
    ("heap-bodies", &[(r#""max_heap_size_bytes":"8589934592""#, r#""max_heap_size_bytes":"1073741824""#)]),
    ("heap-actions", &[(r#""envoy.overload_actions.stop_accepting_requests""#, r#""other""#)]),
    ("heap-actions", &[("minimum_account_to_track_power_of_two", "other")]),
    ("connections", &[("DownstreamConnectionsConfig", "OtherConfig")]),
    ("slow-requests", &[(r#""request_timeout":"300s""#, r#""request_timeout":"0s""#)]),
    ("sidecar", &[(r#""name":"sidecar","type""#, r#""name":"elsewhere","type""#)]),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_rule_has_an_envoy_that_breaks_it() {
    let world = World::start(CONFIG).await;
    let dump: Value = serde_json::from_str(&world.stack.config_dump().await.unwrap()).unwrap();
    let server = serde_json::json!({"version": "0/1.40.0/Clean/RELEASE/BoringSSL"});
    assert_eq!(examine(&server, &dump), []);
    let text = dump.to_string();
    for (rule, changes) in BROKEN {
        let mut broken = text.clone();
        for (from, to) in *changes {
            assert!(broken.contains(from), "{rule}: {from} is not in\n{text}");
            broken = broken.replace(from, to);
        }
        let found = examine(&server, &serde_json::from_str(&broken).unwrap());
        let told: Vec<&str> = found.iter().map(|finding| finding.rule).collect();
        assert!(told.contains(rule), "{rule}: told {told:?}");
        let finding = found.iter().find(|finding| finding.rule == *rule).unwrap();
        assert!(!finding.place.is_empty() && !finding.found.is_empty() && !finding.mend.is_empty(), "{finding}");
    }
    for (version, told) in [("0/1.38.2/x", true), ("0/1.39.0/x", false), ("0/2.0.0/x", false), ("", true)] {
        let server = serde_json::json!({ "version": version });
        assert_eq!(examine(&server, &dump).iter().any(|finding| finding.rule == "version"), told, "{version}");
    }
}
