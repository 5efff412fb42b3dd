use engine::govern::price::{Class, Service, cost, worst_cost};
use engine::govern::size::Size;
use serde_json::json;
use wire::ir::Usage;

use super::*;

fn prices(more: &serde_json::Value) -> Prices {
    let mut document = json!({
        "version": 1,
        "providers": {
            "openai": {"keys": [{"name": "main", "secret": "env:A", "models": ["*"]}]},
            "anthropic": {"keys": [{"name": "main", "secret": "env:B", "models": ["*"]}]},
            "claude-eu": {"like": "anthropic", "keys": [{"name": "main", "secret": "env:B", "models": ["*"]}]},
            "vllm": {"keys": [{"name": "main", "secret": "env:C", "models": ["*"]}]},
        },
        "models": {"chat": {"candidates": [{"provider": "openai", "model": "gpt-4o"}]}},
        "sidecar": {"address": "unix:attache.sock"},
    });
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Prices::of(&engine::config::load(document).unwrap())
}

fn plain() -> Prices {
    prices(&json!({}))
}

/// Dollars for a million tokens, as pages have them.
fn dollars(rate: u64) -> f64 {
    rate as f64 / 1e6
}

#[test]
fn the_table_is_whole_and_says_where_it_is_from() {
    let table = table();
    assert!(table.header.source.starts_with("PyPI litellm ") && table.header.sha256.len() == 64);
    assert!(table.header.read.as_str() >= "2026-11-21" && table.header.licence == "MIT");
    assert!(table.all().count() > 1000);
    for row in table.rows() {
        assert!(wire::provider::find(row).is_some(), "{row} is no provider of ours");
        for (model, rates) in table.of(row) {
            let lists = [&rates.standard, &rates.flex, &rates.priority, &rates.fast, &rates.batch];
            assert!(!rates.standard.is_empty(), "{row} {model}");
            for list in lists.into_iter().filter(|list| !list.is_empty()) {
                assert_eq!(list[0].from, 0, "{row} {model}");
                assert!(list.windows(2).all(|pair| pair[0].from < pair[1].from), "{row} {model}");
                let froms = |list: &[Tier]| list.iter().map(|tier| tier.from).collect::<Vec<_>>();
                assert!(froms(&rates.standard).iter().all(|from| froms(list).contains(from)), "{row} {model}");
            }
        }
    }
}

/// Rows whose vendors have prices; those left out are somebody's own server, or have none in the source.
#[test]
fn every_vendor_with_a_price_list_has_prices() {
    let without = ["huggingface", "lm-studio", "nvidia", "ollama", "openrouter", "parasail", "sglang", "vllm"];
    for row in wire::provider::names() {
        let known = table().of(row).len();
        assert_eq!(known == 0, without.contains(&row), "{row}: {known}");
    }
}

/// As the vendors' own pages have it, so that a fault in the script or its source shows: input, output, read from the
/// cache, written to it, written for an hour.
#[test]
fn prices_are_those_of_the_vendors_pages() {
    // https://platform.claude.com/docs/en/about-claude/pricing
    let anthropic: &[(&str, [f64; 5])] = &[
        ("claude-fable-5-1", [10.0, 50.0, 0.25, 12.5, 20.0]),
        ("claude-opus-5", [5.0, 25.0, 0.5, 6.25, 10.0]),
        ("claude-opus-4-6", [5.0, 25.0, 0.5, 6.25, 10.0]),
        ("claude-sonnet-5", [2.0, 10.0, 0.2, 2.5, 4.0]),
        ("claude-sonnet-4-6", [3.0, 15.0, 0.3, 3.75, 6.0]),
        ("claude-sonnet-4-5", [3.0, 15.0, 0.3, 3.75, 6.0]),
        ("claude-haiku-4-5", [1.0, 5.0, 0.1, 1.25, 2.0]),
    ];
    for (model, [input, output, read, written, long]) in anthropic {
        let tier = plain().rates("anthropic", model).unwrap().standard[0];
        let all = [tier.input, tier.output, tier.cache_read.unwrap(), tier.cache_write.unwrap()];
        assert_eq!(all.map(dollars), [*input, *output, *read, *written], "{model}");
        assert_eq!(dollars(tier.cache_write_long.unwrap()), *long, "{model}");
    }
    // https://developers.openai.com/api/docs/pricing, and https://openai.com/api-priority-processing
    let openai: &[(&str, [f64; 3], [f64; 3])] = &[
        ("gpt-4o", [2.5, 10.0, 1.25], [4.25, 17.0, 2.125]),
        ("gpt-4o-mini", [0.15, 0.6, 0.075], [0.25, 1.0, 0.125]),
        ("gpt-4.1", [2.0, 8.0, 0.5], [3.5, 14.0, 0.875]),
        ("gpt-5", [1.25, 10.0, 0.125], [2.5, 20.0, 0.25]),
        ("gpt-5.4", [2.5, 15.0, 0.25], [5.0, 30.0, 0.5]),
    ];
    for (model, standard, priority) in openai {
        let rates = plain().rates("openai", model).unwrap();
        for (list, page) in [(&rates.standard, standard), (&rates.priority, priority)] {
            let tier = list[0];
            assert_eq!([tier.input, tier.output, tier.cache_read.unwrap()].map(dollars), *page, "{model}");
        }
    }
    // https://docs.x.ai/developers/grok-4-7
    let grok = plain().rates("xai", "grok-4.7").unwrap();
    assert_eq!([grok.standard[0].input, grok.standard[0].output].map(dollars), [2.0, 6.0]);
    let resold = plain().quote("openrouter", "x-ai/grok-4").rates.preamble;
    assert!(grok.preamble > 680 && resold > 680, "what was recorded before every prompt");
    // https://console.groq.com/docs/models
    let groq = plain().rates("groq", "openai/gpt-oss-120b").unwrap();
    assert_eq!([groq.standard[0].input, groq.standard[0].output].map(dollars), [0.15, 0.6]);
}

#[test]
fn long_prompts_quick_answers_and_places_cost_what_they_do() {
    // Up to 100,000 tokens and above, cached ones counted: https://platform.claude.com/docs/en/about-claude/pricing
    let haiku = plain().rates("anthropic", "claude-haiku-5-5").unwrap();
    let tiers: Vec<_> = haiku.standard.iter().map(|t| (t.from, dollars(t.input), dollars(t.output))).collect();
    assert_eq!(tiers, [(0, 0.1, 0.5), (100_001, 0.5, 2.5)]);
    let opus = plain().rates("anthropic", "claude-opus-5").unwrap();
    assert_eq!((dollars(opus.fast[0].output), opus.resident), (50.0, Some(1100)));
    let gpt = plain().rates("openai", "gpt-5.4").unwrap();
    assert_eq!(gpt.standard.iter().map(|tier| tier.from).collect::<Vec<_>>(), [0, 272_001]);
    assert!(gpt.flex[0].input < gpt.standard[0].input && gpt.standard[1].input > gpt.standard[0].input);
    let sound = plain().rates("openai", "gpt-audio").unwrap().standard[0];
    assert!(sound.audio_in > Some(sound.input) && sound.audio_out > Some(sound.output));
}

/// More tokens never cost less, and a model with a price is never free.
#[test]
fn costs_grow_with_every_count_for_every_model() {
    let service = |class| Service { class, ..Service::default() };
    for rates in table().all() {
        for class in [Class::Standard, Class::Flex, Class::Priority, Class::Fast, Class::Batch, Class::Unknown] {
            let cost = |input: u64, read: u64, written: u64, output: u64| {
                let usage = Usage {
                    input: Some(input + read + written),
                    cache_read: Some(read),
                    cache_write: Some(written),
                    output: Some(output),
                    ..Usage::default()
                };
                cost(rates, &usage, service(class))
            };
            assert!(cost(1, 0, 0, 1) > 0 && cost(1_000_000, 0, 0, 0) + cost(0, 0, 0, 1_000_000) > 0, "{rates:?}");
            let lengths = [0, 1, 99_999, 100_001, 200_001, 272_001, 900_000];
            for pair in lengths.windows(2) {
                let [less, more] = [pair[0], pair[1]];
                assert!(cost(less, 10, 10, 10) <= cost(more, 10, 10, 10), "{rates:?}");
                assert!(cost(10, less, 10, 10) <= cost(10, more, 10, 10), "{rates:?}");
                assert!(cost(10, 10, less, 10) <= cost(10, 10, more, 10), "{rates:?}");
                assert!(cost(10, 10, 10, less) <= cost(10, 10, 10, more), "{rates:?}");
            }
        }
    }
}

/// Whatever part of its tokens is cached, kept, thought or spoken.
#[test]
fn no_cost_of_any_model_is_above_its_worst_case() {
    for rates in table().all() {
        for class in [Class::Standard, Class::Flex, Class::Priority, Class::Fast, Class::Batch] {
            for input in [1, 99_000, 199_000, 201_000, 273_000] {
                for part in 0..5 {
                    let some = |which: u64, of: u64| (part == which).then_some(of);
                    let usage = Usage {
                        input: Some(input),
                        output: Some(1_000),
                        cache_read: some(0, input),
                        cache_write: some(1, input).or(some(2, input)),
                        cache_write_long: some(2, input),
                        reasoning: some(3, 1_000),
                        audio_input: some(4, input),
                        audio_output: some(4, 1_000),
                    };
                    let service = Service { class, resident: true, kept: part == 1 };
                    let size = Size {
                        input_worst: Some(input + 500),
                        output_worst: Some(1_000),
                        long_cache: true,
                        media: true,
                        audio: true,
                        ..Size::default()
                    };
                    let worst = worst_cost(rates, &size, service).unwrap();
                    assert!(cost(rates, &usage, service) <= worst, "{usage:?} {rates:?}");
                }
            }
        }
    }
}

#[test]
fn names_are_taken_as_they_are_but_for_what_vendors_say_is_the_same() {
    let rates = |model: &str| plain().rates("openai", model);
    assert_ne!(rates("gpt-4o-2024-05-13"), rates("gpt-4o"), "its own price wins");
    assert_eq!(rates("gpt-4o-2031-01-02"), rates("gpt-4o"));
    assert_eq!(rates("openai/gpt-4o"), rates("gpt-4o"));
    assert_eq!(rates("ft:gpt-4o-2024-08-06:acme::abc"), rates("ft:gpt-4o-2024-08-06"));
    assert!(rates("ft:gpt-4o-2024-08-06").is_some());
    let anthropic = |model: &str| plain().rates("anthropic", model);
    assert_eq!(anthropic("claude-sonnet-4-6-20310102"), anthropic("claude-sonnet-4-6"));
    for model in [
        "gpt-4o-realtime",
        "gpt-4",
        "GPT-4o",
        "gpt-4o-",
        "gpt-4o-2024",
        "anthropic/gpt-4o",
        "",
        "ft:gpt-4o",
        "é-2024-01-01",
    ] {
        assert_ne!(rates(model), rates("gpt-4o"), "{model}");
    }
    assert!(anthropic("claude-nobody-9").is_none());
    assert_eq!(plain().rates("claude-eu", "claude-sonnet-4-6"), anthropic("claude-sonnet-4-6"), "like its row");
    assert!(plain().rates("claude-eu", "gpt-4o").is_none() && plain().rates("nobody", "gpt-4o").is_none());
}

#[test]
fn users_prices_win_and_what_they_leave_out_is_the_tables() {
    let own = prices(&json!({"prices": [
        {"provider": "openai", "model": "gpt-5.4", "input": 1, "cached_input": 0.1, "max_output": 77},
        {"provider": "vllm", "model": "llama", "input": 0, "output": 0.5, "context": 4096},
        {"provider": "vllm", "model": "half", "input": 1},
    ]}));
    let (rates, listed) = (own.rates("openai", "gpt-5.4").unwrap(), plain().rates("openai", "gpt-5.4").unwrap());
    for (own, listed) in rates.standard.iter().chain(&rates.flex).zip(listed.standard.iter().chain(&listed.flex)) {
        assert_eq!((own.input, own.cache_read, own.output), (1_000_000, Some(100_000), listed.output));
    }
    assert_eq!((rates.context, rates.max_output), (listed.context, Some(77)));
    let llama = own.rates("vllm", "llama").unwrap();
    assert_eq!((llama.standard.len(), llama.standard[0].output, llama.context), (1, 500_000, Some(4096)));
    assert!(own.rates("vllm", "half").is_none(), "half a price is none");
}

#[test]
fn a_model_without_a_price_is_refused_or_estimated_or_free_as_configured() {
    let of = |rule: &str| prices(&json!({"governance": {"unknown_price": rule}}));
    for rule in ["deny", "free"] {
        let quote = of(rule).quote("openai", "gpt-nobody");
        assert!(!quote.known && quote.rates.standard.is_empty(), "{rule}");
        assert!(of(rule).quote("openai", "gpt-4o").known);
    }
    let quote = of("estimate").quote("openai", "gpt-nobody");
    assert!(!quote.known && quote.rates.context.is_none());
    let dearest = |row: &str| table().of(row).values().flat_map(|r| &r.standard).map(|t| t.output).max().unwrap();
    assert_eq!(quote.rates.standard[0].output, dearest("openai"));
    assert_eq!(of("estimate").quote("anthropic", "x").rates.standard[0].output, dearest("anthropic"));
    let all = table().rows().map(dearest).max().unwrap();
    assert_eq!(of("estimate").quote("vllm", "x").rates.standard[0].output, all, "no prices of its own");
    let own = prices(&json!({
        "governance": {"unknown_price": "estimate"},
        "prices": [{"provider": "vllm", "model": "llama", "input": 1, "output": 2}],
    }));
    assert_eq!(own.quote("vllm", "x").rates.standard[0].output, 2_000_000);
    assert!(of("estimate").rates("openai", "gpt-nobody").is_none(), "an estimate is no price");
}
