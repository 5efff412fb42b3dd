use wire::scan::scan;

use super::*;

fn size(body: &str, rates: Option<&Rates>) -> Size {
    Size::of(&scan(body.as_bytes()).unwrap(), body.as_bytes(), rates)
}

fn known() -> Rates {
    Rates { context: Some(200_000), max_output: Some(8_192), ..Rates::default() }
}

#[test]
fn the_body_bounds_a_prompt_of_text() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hello"}],"max_tokens":50}"#;
    let bytes = body.len() as u64;
    let found = size(body, None);
    assert_eq!(found.input_worst, Some(bytes + TEMPLATE));
    assert_eq!((found.output_worst, found.output_expected), (Some(50), 50));
    assert_eq!(found.input_expected, (bytes * 10).div_ceil(35));
    assert!(!found.media && !found.audio && !found.long_cache);
    let preamble = Rates { preamble: 1024, ..known() };
    assert_eq!(size(body, Some(&preamble)).input_worst, Some(bytes + TEMPLATE + 1024));
}

#[test]
fn a_window_bounds_what_bytes_do_not() {
    let image = r#"{"messages":[{"content":[{"type":"image_url","image_url":{"url":"https://a/b"}}]}]}"#;
    assert_eq!(size(image, Some(&known())).input_worst, Some(200_000));
    assert_eq!(size(image, None).input_worst, None);
    assert!(size(image, None).media);
    let long = format!(r#"{{"messages":[{{"content":"{}"}}]}}"#, "x".repeat(300_000));
    assert_eq!(size(&long, Some(&known())).input_worst, Some(200_000));
}

#[test]
fn an_image_is_expected_to_have_as_many_tokens_as_images_have() {
    let data = "A".repeat(1_000_000);
    let image = format!(r#"{{"messages":[{{"content":[{{"type":"image","source":{{"data":"{data}"}}}}]}}]}}"#);
    assert!((IMAGE..IMAGE + 50).contains(&size(&image, None).input_expected));
}

#[test]
fn searches_have_no_bound() {
    for body in [
        r#"{"tools":[{"type":"web_search_20250305","name":"web_search"}],"messages":[]}"#,
        r#"{"web_search_options":{},"messages":[]}"#,
        r#"{"models":["a/b"],"messages":[]}"#,
    ] {
        assert_eq!(size(body, Some(&known())).input_worst, None, "{body}");
    }
}

/// A body of a coding agent with this member.
fn agent(member: &str) -> String {
    format!(
        r#"{{"model":"m","max_tokens":9,"thinking":{{"type":"adaptive"}},"messages":[{{"role":"user","content":"hi"}}],
        "tools":[{{"name":"Bash","input_schema":{{"type":"object"}}}}]{member}}}"#
    )
}

#[test]
fn edits_that_only_clear_are_harmless() {
    let plain = size(&agent(""), None).input_worst.unwrap();
    for management in [
        "null",
        "{}",
        r#"{"edits":[]}"#,
        r#"{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]}"#,
        r#"{"edits":[{"type":"clear_thinking_20251015","keep":{"type":"thinking_turns","value":2}},
            {"type":"clear_tool_uses_20250919","trigger":{"type":"input_tokens","value":9},
            "keep":{"type":"tool_uses","value":3},"exclude_tools":["web_search"]}]}"#,
    ] {
        let body = agent(&format!(r#","context_management":{management}"#));
        let added = (body.len() - agent("").len()) as u64;
        assert_eq!(size(&body, None).input_worst, Some(plain + added), "{management}");
    }
    for management in [
        r#"{"edits":[{"type":"compact_20260112"}]}"#,
        r#"{"edits":[{"type":"clear_thinking_20251015"},{"type":"compact_20260112"}]}"#,
        r#"{"edits":[{"type":"heard_of_never"}]}"#,
        r#"{"edits":[{}]}"#,
        r#"{"edits":{"type":"clear_thinking_20251015"}}"#,
        r#"{"edits":[],"edits":[{"type":"compact_20260112"}]}"#,
        r#"{"edits":[],"more":1}"#,
        r#"{"edits":[],"Edits":[{"type":"compact_20260112"}]}"#,
        r#"{"edits":[{"type":"clear_thinking_20251015","Type":"compact_20260112"}]}"#,
        r#"{"edits":[{"type":"clear_thinking_20251015","type":"compact_20260112"}]}"#,
        r#"{"edits":[{"type":["clear_thinking_20251015"]}]}"#,
        r#""clear_thinking_20251015""#,
    ] {
        let found = size(&agent(&format!(r#","context_management":{management}"#)), Some(&known()));
        assert_eq!((found.input_worst, found.way), (None, "context_management"), "{management}");
    }
    let tool = r#"{"messages":[],"tools":[{"type":"clear_anything_20251015"}]}"#;
    assert_eq!(size(tool, Some(&known())).input_worst, None, "elsewhere it is a tool nobody knows");
}

#[test]
fn the_member_in_the_way_is_named_and_counts_where_it_is_told() {
    for (member, way, abroad) in [
        (r#","context_management":{"edits":[{"type":"compact_20260112"}]}"#, "context_management", true),
        (r#","container":{"skills":[{"type":"anthropic"}]}"#, "container", true),
        (r#","mcp_servers":[{"type":"url","url":"https://a/b"}]"#, "mcp_servers", true),
        (r#","prediction":{"type":"content","content":"x"}"#, "prediction", true),
        (r#","search_parameters":{"mode":"on"}"#, "search_parameters", true),
        (r#","plugins":[{"id":"web"}]"#, "plugins", true),
        (r#","web_search_options":{}"#, "web_search_options", false),
        (r#","user":"\u0074"}"#.trim_end_matches('}'), "", false),
    ] {
        let body = agent(member);
        let shape = Shape::of(&scan(body.as_bytes()).unwrap(), body.as_bytes());
        let at = |same| shape.towards(same).at(Some(&known()));
        assert_eq!((at(true).input_worst, at(true).way), (None, way), "{member}");
        assert_eq!(at(false).input_worst.is_some(), abroad, "{member}");
        assert_eq!(at(false).media, !abroad, "{member}");
        assert!(!shape.is_countable(), "{member}");
    }
    let image = r#"{"messages":[{"content":[{"type":"image"}]}],"context_management":{"edits":[]}}"#;
    assert_eq!((size(image, None).input_worst, size(image, None).way), (None, "messages"));
    let tool = r#"{"messages":[],"tools":[{"type":"web_search_20250305"}]}"#;
    assert_eq!(size(tool, None).way, "tools");
}

#[test]
fn tools_have_an_allowance() {
    let body = r#"{"messages":[],"tools":[{"type":"function","function":{"name":"f"}}]}"#;
    assert_eq!(size(body, None).input_worst, Some(body.len() as u64 + TEMPLATE + INSTRUCTIONS));
    let own = r#"{"messages":[],"tools":[{"type":"bash_20250124","name":"bash"}]}"#;
    assert_eq!(size(own, None).input_worst, Some(own.len() as u64 + TEMPLATE + INSTRUCTIONS + TOOL));
}

#[test]
fn the_answer_is_bounded_by_the_request_then_by_the_model() {
    let of = |body: &str, rates: Option<&Rates>| size(body, rates).output_worst;
    assert_eq!(of("{}", None), None);
    assert_eq!(of("{}", Some(&known())), Some(8_192));
    assert_eq!(of(r#"{"max_tokens":100}"#, Some(&known())), Some(100));
    assert_eq!(of(r#"{"max_tokens":100,"max_completion_tokens":7}"#, None), Some(100), "some heed the older alone");
    assert_eq!(of(r#"{"max_tokens":null,"max_completion_tokens":7}"#, None), Some(7));
    for none in ["0", "-1", "-2", "-1.0"] {
        let body = format!(r#"{{"max_tokens":{none}}}"#);
        assert_eq!((of(&body, None), of(&body, Some(&known()))), (None, Some(8_192)), "{none} may mean no bound");
        for other in ["max_completion_tokens", "max_tokens"] {
            let (one, two) = if other == "max_tokens" { ("7", none) } else { (none, "7") };
            let body = format!(r#"{{"max_tokens":{two},"max_completion_tokens":{one}}}"#);
            assert_eq!(of(&body, None), None, "some heed the one, some the other: {body}");
        }
    }
    assert_eq!(of(r#"{"max_tokens":100,"n":3}"#, None), Some(300));
    assert_eq!(of(r#"{"max_tokens":100,"n":null}"#, None), Some(100));
    assert_eq!(of(r#"{"max_tokens":100,"n":1,"best_of":4.0}"#, None), Some(400));
    assert_eq!(of(r#"{"max_tokens":100,"n":"3"}"#, None), None);
    assert_eq!(of(r#"{"max_tokens":18446744073709551615,"n":3}"#, None), Some(u64::MAX));
}

#[test]
fn what_was_learned_tells_what_is_usual() {
    let learned = Rates {
        calibration: crate::govern::price::Calibration { milli_bytes_per_token: 5_000, p95_output: Some(300) },
        ..known()
    };
    let body = r#"{"messages":[{"role":"user","content":"0123456789"}],"max_tokens":4000}"#;
    let found = size(body, Some(&learned));
    assert_eq!(found.input_expected, (body.len() as u64).div_ceil(5));
    assert_eq!((found.output_expected, found.output_worst), (300, Some(4_000)));
    assert_eq!(size(r#"{"n":2,"max_tokens":4000}"#, Some(&learned)).output_expected, 600);
    let zero = Rates { calibration: Default::default(), ..known() };
    assert_eq!(size(body, Some(&zero)).output_expected, ANSWER);
}

#[test]
fn sound_and_long_caches_are_noted() {
    assert!(size(r#"{"modalities":["text","audio"],"audio":{"voice":"a"}}"#, None).audio);
    assert!(size(r#"{"prompt_cache_options":{"ttl":"12h"}}"#, None).long_cache);
    assert!(size(r#"{"cache_control":{"type":"ephemeral","ttl":"1h"}}"#, None).long_cache);
}

#[test]
fn what_was_counted_bounds_a_prompt_where_it_is_less() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hello"}],"max_tokens":50}"#;
    let shape = Shape::of(&scan(body.as_bytes()).unwrap(), body.as_bytes());
    assert!(shape.is_countable());
    let worst = |exact| shape.with_exact(exact).at(None).input_worst;
    let bytes = body.len() as u64 + TEMPLATE;
    assert_eq!([worst(None), worst(Some(9)), worst(Some(10_000))], [Some(bytes), Some(9), Some(bytes)]);
    let counted = shape.with_exact(Some(9)).at(Some(&Rates { preamble: 1024, ..known() }));
    assert_eq!((counted.input_worst, counted.output_worst), (Some(9 + 1024), Some(50)));
    assert_eq!(shape.with_exact(Some(9)).at(None).input_expected, 9, "no more than is possible");
}

#[test]
fn only_short_text_is_counted() {
    let countable = |body: &str| Shape::of(&scan(body.as_bytes()).unwrap(), body.as_bytes()).is_countable();
    assert!(countable(r#"{"messages":[],"tools":[{"type":"function","function":{"name":"f"}}]}"#));
    assert!(!countable(r#"{"messages":[],"tools":[{"type":"bash_20250124","name":"bash"}]}"#));
    assert!(!countable(r#"{"messages":[{"content":[{"type":"image_url","image_url":{"url":"https://a/b"}}]}]}"#));
    assert!(!countable(r#"{"web_search_options":{},"messages":[]}"#));
    assert!(!countable(&format!(r#"{{"messages":[{{"content":"{}"}}]}}"#, "x".repeat(300_000))));
}
