//! What the module is to Envoy: its imports, its exports, its size.

use std::collections::{BTreeMap, BTreeSet};

use crate::host::guest;

/// What the module calls. A line more is a decision.
pub const CALLED: &[&str] = &[
    "proxy_close_stream",
    "proxy_continue_stream",
    "proxy_define_metric",
    "proxy_done",
    "proxy_get_buffer_bytes",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_get_property",
    "proxy_get_shared_data",
    "proxy_grpc_call",
    "proxy_increment_metric",
    "proxy_log",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_send_local_response",
    "proxy_set_buffer_bytes",
    "proxy_set_effective_context",
    "proxy_set_header_map_pairs",
    "proxy_set_property",
    "proxy_set_shared_data",
    "proxy_set_tick_period_milliseconds",
];

/// What it imports and never calls: the SDK's traits have methods that do, and their vtables keep them.
pub const NEVER_CALLED: &[&str] = &[
    "proxy_add_header_map_value",
    "proxy_call_foreign_function",
    "proxy_dequeue_shared_queue",
    "proxy_enqueue_shared_queue",
    "proxy_get_header_map_value",
    "proxy_get_status",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_grpc_send",
    "proxy_grpc_stream",
    "proxy_http_call",
    "proxy_register_shared_queue",
    "proxy_resolve_shared_queue",
];

/// What Envoy calls.
const EXPORTS: &[&str] = &[
    "_initialize",
    "malloc",
    "memory",
    "proxy_abi_version_0_2_1",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_done",
    "proxy_on_grpc_close",
    "proxy_on_grpc_receive",
    "proxy_on_log",
    "proxy_on_request_body",
    "proxy_on_request_headers",
    "proxy_on_request_trailers",
    "proxy_on_response_body",
    "proxy_on_response_headers",
    "proxy_on_response_trailers",
    "proxy_on_tick",
    "proxy_on_vm_start",
];

/// Kibibytes the module may have: Envoy compiles all of it before it serves. A sixteenth of it is limits: prices, sizes,
/// purses, and what is said of them.
const BUDGET: usize = 2100;

#[test]
fn the_module_imports_exactly_the_listed() {
    let listed: BTreeSet<_> = CALLED.iter().chain(NEVER_CALLED).map(|name| ("env", *name)).collect();
    let imported: BTreeSet<_> = guest().module.imports().map(|import| (import.module(), import.name())).collect();
    assert_eq!(imported, listed);
    assert!(CALLED.is_sorted() && NEVER_CALLED.is_sorted());
}

#[test]
fn the_module_exports_what_envoy_calls() {
    let exports: BTreeMap<_, _> = guest().module.exports().map(|export| (export.name(), export.ty())).collect();
    let missing: Vec<_> = EXPORTS.iter().filter(|name| !exports.contains_key(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(!exports.contains_key("_start"), "Envoy would take it for a command");
}

#[test]
fn the_module_stays_within_its_size() {
    let size = guest().bytes.len() / 1024;
    println!("{size} KiB of {BUDGET}");
    assert!(size <= BUDGET, "{size} KiB; the budget is {BUDGET}");
    assert!(size > BUDGET / 2, "{size} KiB: the budget of {BUDGET} no longer binds");
}
