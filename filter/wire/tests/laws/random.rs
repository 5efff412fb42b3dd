//! Requests of any shape the intermediate form allows, also shapes no decoder makes.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use wire::ir::{
    Citation, Extra, Json, Losses, Media, MediaSource, Output, Part, Reasoning, Request, Role, Sampling, ServiceTier,
    Tool, ToolChoice, Turn, WebSearch,
};

use crate::cases;
use crate::tree::Tree;

fn format() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "openai_chat", "anthropic", "unheard_of"])
}

/// Text with what JSON, SSE and Unicode make special.
fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", " ", "a", "ab\"c\\", "\u{0}\n\r\u{2028}", "é😀", "{\"a\":1}", "call.1"])
        .prop_map(str::to_owned)
}

fn json() -> impl Strategy<Value = Json> {
    let texts = vec!["null", "true", "-0.10e3", "123456789012345678901", "\"x\"", "[]", "{}", "[{\"a\":[null]}]"];
    prop::sample::select(texts).prop_map(|text| wire::json::raw(text.to_owned()).unwrap())
}

fn object() -> impl Strategy<Value = Json> {
    let texts = vec!["{}", "{\"type\":\"object\",\"properties\":{}}", "{\"properties\":{\"b\":{},\"a\":{}}}"];
    prop::sample::select(texts).prop_map(|text| wire::json::raw(text.to_owned()).unwrap())
}

/// Members of names that encoders also write, and of others. No decoder yields a name twice.
fn members() -> impl Strategy<Value = Vec<(String, Json)>> {
    let names = vec!["model", "messages", "content", "type", "name", "stop", "cache_control", "other"];
    prop::sample::subsequence(names, 0..4).prop_flat_map(|names| {
        let count = names.len();
        (Just(names), vec(json(), count))
            .prop_map(|(names, values)| names.into_iter().map(str::to_owned).zip(values).collect())
    })
}

fn extra() -> impl Strategy<Value = Extra> {
    let inner = (format(), members()).prop_map(|(format, members)| Extra { format, members, ..Extra::default() });
    let nested = option::of((prop::sample::select(vec!["function", "thinking", "image_url", "metadata"]), inner));
    prop_oneof![
        3 => Just(Extra::default()),
        1 => (format(), members(), nested).prop_map(|(format, members, nested)| Extra {
            format,
            members,
            spelling: Vec::new(),
            nested: nested.into_iter().collect(),
        }),
    ]
}

fn media() -> impl Strategy<Value = Media> {
    let source = prop_oneof![
        (text(), text()).prop_map(|(media_type, data)| MediaSource::Base64 { media_type, data }),
        text().prop_map(MediaSource::Url),
        text().prop_map(MediaSource::FileId),
    ];
    (source, option::of(text()), extra()).prop_map(|(source, name, extra)| Media { source, name, extra })
}

fn citation() -> impl Strategy<Value = Citation> {
    let own = option::of((format(), object()));
    (option::of(text()), option::of(text()), option::of((0..9usize, 0..9usize)), own)
        .prop_map(|(url, title, range, own)| Citation { cited_text: title.clone(), url, title, range, own })
}

fn part() -> impl Strategy<Value = Part> {
    let leaf = prop_oneof![
        (text(), vec(citation(), 0..2), extra()).prop_map(|(text, citations, extra)| Part::Text {
            text,
            citations,
            extra
        }),
        media().prop_map(Part::Image),
        media().prop_map(Part::Document),
        (text(), text(), text(), extra()).prop_map(|(id, name, arguments, extra)| Part::ToolCall {
            id,
            name,
            arguments,
            extra
        }),
        (text(), option::of(text()), any::<bool>()).prop_map(|(text, signature, redacted)| Part::Reasoning {
            text,
            signature,
            redacted
        }),
        text().prop_map(Part::Refusal),
        (format(), object()).prop_map(|(format, json)| Part::Opaque { format, json }),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        (text(), vec(inner, 0..3), any::<bool>(), extra()).prop_map(|(id, content, is_error, extra)| Part::ToolResult {
            id,
            content,
            is_error,
            extra,
        })
    })
}

fn turn() -> impl Strategy<Value = Turn> {
    let role = prop::sample::select(vec![Role::System, Role::User, Role::Assistant, Role::Tool]);
    (role, vec(part(), 0..4), extra()).prop_map(|(role, parts, extra)| Turn { role, parts, extra })
}

fn tool() -> impl Strategy<Value = Tool> {
    let search = (option::of(0..9u64), vec(text(), 0..2), option::of(text())).prop_map(|(max_uses, domains, size)| {
        WebSearch { max_uses, allowed_domains: domains, context_size: size, ..WebSearch::default() }
    });
    (
        text(),
        option::of(text()),
        option::of(object()),
        option::of(any::<bool>()),
        option::weighted(0.2, search),
        extra(),
    )
        .prop_map(|(name, description, schema, strict, web_search, extra)| match web_search {
            Some(_) => Tool { web_search, extra, ..Tool::default() },
            None => Tool { name, description, schema, strict, web_search, extra },
        })
}

fn number() -> impl Strategy<Value = Option<serde_json::Number>> {
    option::of(prop::sample::select(vec!["0", "1", "0.50", "1.5", "-3"]).prop_map(|text| text.parse().unwrap()))
}

fn sampling() -> impl Strategy<Value = Sampling> {
    (number(), number(), number(), number(), number()).prop_map(|(temperature, top_p, top_k, penalty, seed)| Sampling {
        temperature,
        top_p,
        top_k,
        frequency_penalty: penalty.clone(),
        presence_penalty: penalty,
        seed,
    })
}

fn request() -> impl Strategy<Value = Request> {
    let choice = prop_oneof![
        Just(ToolChoice::Auto),
        Just(ToolChoice::None),
        Just(ToolChoice::Required),
        text().prop_map(ToolChoice::Named)
    ];
    let output = prop_oneof![
        Just(Output::JsonObject),
        (option::of(text()), object(), option::of(any::<bool>()))
            .prop_map(|(name, schema, strict)| Output::JsonSchema { name, schema, strict }),
    ];
    let words = vec!["minimal", "low", "high", "xhigh", "max", "odd"];
    let reasoning = prop_oneof![
        Just(Reasoning::Off),
        Just(Reasoning::Auto),
        prop::sample::select(words).prop_map(|word| Reasoning::Effort(word.to_owned())),
        prop::sample::select(vec![0, 1024, u64::MAX]).prop_map(Reasoning::Budget),
    ];
    let bound = prop::sample::select(vec![0, 1, 1024, u64::MAX]);
    let tier = prop::sample::select(vec![ServiceTier::Auto, ServiceTier::Standard]);
    let first = (vec(turn(), 0..5), vec(tool(), 0..3), option::of(choice), option::of(any::<bool>()), sampling());
    let second = (option::of(bound), vec(text(), 0..6), option::of(output), option::of(reasoning), option::of(text()));
    let third = (option::of(tier), option::of(0..3u64), any::<bool>(), any::<bool>(), extra());
    (first, second, third).prop_map(|(first, second, third)| {
        let (turns, tools, tool_choice, parallel_tools, sampling) = first;
        let (max_tokens, stop, output, reasoning, user) = second;
        let (service_tier, n, stream, stream_usage, extra) = third;
        let model = "asked".to_owned();
        Request {
            model,
            stream,
            stream_usage,
            turns,
            tools,
            tool_choice,
            parallel_tools,
            sampling,
            max_tokens,
            stop,
            output,
            reasoning,
            user,
            service_tier,
            n,
            extra,
        }
    })
}

proptest! {
    #[test]
    fn any_request_is_valid_json_in_every_format(request in request()) {
        for format in cases::formats() {
            let mut losses = Losses::default();
            let body = format.encode_request(&request, "target", &mut losses);
            // The tree refuses a member that stands twice.
            let tree = Tree::parse(&body);
            prop_assert_eq!(tree.get("model").and_then(Tree::text), Some("target"));
            prop_assert!(matches!(tree.get("messages"), Some(Tree::Array(_))));
            prop_assert!(losses.dropped.len() <= Losses::MAX);
        }
    }
}
