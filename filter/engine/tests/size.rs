//! The bound of a request's size against what vendors counted: every recorded chat that was answered.

#![expect(clippy::disallowed_methods, reason = "tests read their cases from files")]

use std::path::Path;

use engine::govern::price::Rates;
use engine::govern::size::Size;
use serde_json::Value;
use wire::format::Outbound;
use wire::ir::Usage;
use wire::scan::scan;

#[test]
fn no_recorded_request_used_more_than_its_bound() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/recordings");
    let folder = std::env::var_os("ATTACHE_RECORDINGS").map_or(root, Into::into);
    let (mut checked, mut unbounded, mut expected, mut counted) = (0, 0, 0, 0);
    for (format, vendor) in [("openai_chat", "openai"), ("anthropic", "anthropic")] {
        let format_of = wire::provider::find(vendor).unwrap().format;
        let Ok(files) = std::fs::read_dir(folder.join(format)) else {
            println!("no recordings at {}: nothing is checked", folder.display());
            return;
        };
        for file in files {
            let exchange: Value = serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
            let (Some(request), Some(answer)) =
                (exchange["request"]["text"].as_str(), exchange["response"]["text"].as_str())
            else {
                continue;
            };
            let chat = exchange["operation"] == "chat" && exchange["response"]["status"] == 200;
            let (true, Ok(scan)) = (chat, scan(request.as_bytes())) else { continue };
            let usage = usage_of(format_of, answer);
            let Some(input) = usage.input.filter(|input| *input > 0) else { continue };
            // Grok 4 has 680 tokens before every prompt, as the price table says.
            let grok = answer.contains("grok-4");
            let rates = Rates { preamble: if grok { 1024 } else { 0 }, ..Rates::default() };
            let size = Size::of(&scan, request.as_bytes(), Some(&rates));
            let name = format!("{}: {}", exchange["source"], scan.model.as_deref().unwrap_or_default());
            if let Some(bound) = size.output_worst {
                assert!(usage.output.unwrap_or(0) <= bound, "{name}: {usage:?} {size:?}");
            }
            let Some(bound) = size.input_worst else {
                unbounded += 1;
                continue;
            };
            assert!(input <= bound, "{name}: {usage:?} {size:?}");
            (checked, expected, counted) = (checked + 1, expected + size.input_expected, counted + input);
        }
    }
    println!("{checked} within their bound, {unbounded} without one; {expected} tokens expected, {counted} counted");
    assert!(checked > 100 && unbounded < 40, "{checked} {unbounded}");
}

fn usage_of(format: &dyn Outbound, answer: &str) -> Usage {
    if answer.trim_start().starts_with('{') {
        return format.glance(answer.as_bytes()).unwrap_or_default();
    }
    let mut watch = format.stream_watch(false);
    watch.push(answer.as_bytes(), &mut Vec::new());
    watch.finish(&mut Vec::new());
    watch.usage()
}
