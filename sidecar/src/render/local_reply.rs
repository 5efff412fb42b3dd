//! What Envoy says in the place of a module that has died.
//!
//! Does not: touch replies of the module itself, or those that the module puts into words: they have other details.
//!
//! For example: the module traps while an Anthropic client waits. Envoy's own 503 has no body; by this it is a 529 with an
//! `overloaded_error`.

use engine::exchange::abandoned;
use serde_json::{Value, json};
use wire::format::{INBOUND, Inbound};
use wire::ir::Operation;
use wire::provider::PROVIDERS;

/// Envoy's details of a reply that it makes up because a filter's VM has failed.
const DETAILS: &str = "wasm_fail_stream";

/// A mapper for each dialect. That of the first one takes whatever no other claims.
pub(super) fn mappers() -> String {
    let (first, others) = INBOUND.split_first().map_or((None, INBOUND), |(first, others)| (Some(first), others));
    others.iter().chain(first).map(|inbound| format!("            - {}\n", mapper(*inbound))).collect()
}

fn mapper(inbound: &dyn Inbound) -> Value {
    let fault = abandoned();
    let retry = fault.retry_after.unwrap_or(1).to_string();
    let body = String::from_utf8_lossy(&inbound.encode_fault(&fault)).replace('%', "%%");
    json!({
        "filter": {"extension_filter": {
            "name": "envoy.access_loggers.extension_filters.cel",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                "expression": expression(inbound),
            },
        }},
        "status_code": inbound.status(&fault),
        "headers_to_add": [{"header": {"key": "retry-after", "value": retry}}],
        "body_format_override": {
            "content_type": "application/json",
            "text_format_source": {"inline_string": body},
        },
    })
}

/// Whose client it is: as the plan has noted, or by the marks of a request that has no plan yet.
fn expression(inbound: &dyn Inbound) -> String {
    let died = format!("response.code_details == '{DETAILS}'");
    if INBOUND.first().is_some_and(|first| first.name() == inbound.name()) {
        return died;
    }
    let mut formats = PROVIDERS.iter().copied().flatten().map(|provider| provider.format);
    let chat = formats.find(|format| format.name() == inbound.name()).and_then(|it| it.path(Operation::Chat));
    let path = chat.map(|path| format!("request.path.contains('{path}')"));
    let marker = inbound.marker().map(|header| format!("'{header}' in request.headers"));
    let marks: Vec<_> = path.into_iter().chain(marker).collect();
    let marks = if marks.is_empty() { "false".to_owned() } else { marks.join(" || ") };
    // `NAME NUMBER`: what begins so lies between. Envoy's CEL has no functions for bytes, but compares them.
    let (noted, name) = ("filter_state['wasm.exchange']", inbound.name());
    format!("{died} && ('wasm.exchange' in filter_state ? {noted} > b'{name} ' && {noted} < b'{name}!' : ({marks}))")
}
