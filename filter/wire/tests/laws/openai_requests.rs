//! What a Chat Completions request means, where its spelling does not show it.

use wire::ir::{Part, Reasoning, Request, Role, ServiceTier, ToolChoice, WebSearch};

use crate::cases;

fn case(name: &str) -> Request {
    let name = format!("openai_chat/request/{name}.json");
    let case = cases::corpus("request").into_iter().find(|case| case.name == name).unwrap();
    cases::inbound("openai_chat").decode_request(&case.body).unwrap()
}

/// Members that other formats hear of as lost.
fn left(request: &Request) -> Vec<&str> {
    request.extra.members.iter().map(|(name, _)| name.as_str()).collect()
}

fn reasoning(request: &Request, turn: usize) -> Vec<(&str, Option<&str>, bool)> {
    let thoughts = request.turns[turn].parts.iter().filter_map(|part| {
        let Part::Reasoning { text, signature, redacted } = part else { return None };
        Some((text.as_str(), signature.as_deref(), *redacted))
    });
    thoughts.collect()
}

#[test]
fn thinking_comes_back_signed_and_redacted() {
    let whole = case("reasoning-details");
    let expected = [("They want the weather.", Some("c2lnbmF0dXJl"), false), ("", Some("ZW5jcnlwdGVk"), true)];
    assert_eq!(reasoning(&whole, 1), expected);
    assert!(whole.turns[1].extra.members.is_empty());
    let pieces = case("reasoning-pieces");
    assert_eq!(reasoning(&pieces, 1), [("A greeting.", Some("c2ln"), false), ("Greeting.", None, false)]);
    assert_eq!(reasoning(&case("reasoning-content"), 1), [("A greeting.", None, false)]);
    let unknown = case("reasoning-unknown");
    assert_eq!(reasoning(&unknown, 1), []);
    assert_eq!(unknown.turns[1].extra.members[0].0, "reasoning_details");
}

#[test]
fn thinking_is_asked_for_in_several_ways() {
    for (name, expected, lost) in [
        ("effort-minimal", Some(Reasoning::Effort("minimal".to_owned())), &["verbosity"][..]),
        ("effort-xhigh", Some(Reasoning::Effort("xhigh".to_owned())), &["verbosity"]),
        ("reasoning-details", Some(Reasoning::Budget(2000)), &[]),
        ("reasoning-pieces", Some(Reasoning::Effort("high".to_owned())), &[]),
        ("reasoning-content", Some(Reasoning::Auto), &[]),
        ("reasoning-off", Some(Reasoning::Off), &["do_sample"]),
        ("unknown", Some(Reasoning::Off), &["future", "tool_choice", "response_format"]),
        // Part of it is not understood.
        ("reasoning-unknown", None, &["reasoning"]),
        ("text", None, &[]),
    ] {
        let request = case(name);
        assert_eq!((request.reasoning.clone(), left(&request).as_slice()), (expected, lost), "{name}");
    }
}

#[test]
fn deprecated_calls_are_tool_calls() {
    let request = case("legacy-functions");
    assert_eq!(request.tools[0].name, "get_weather");
    assert_eq!(request.tool_choice, Some(ToolChoice::Named("get_weather".to_owned())));
    assert_eq!(left(&request), ["functions"], "answers call differently");
    let Part::ToolCall { id, name, .. } = &request.turns[1].parts[0] else { panic!("{:?}", request.turns[1]) };
    let Part::ToolResult { id: answered, .. } = &request.turns[2].parts[0] else { panic!("{:?}", request.turns[2]) };
    assert_eq!((id, name.as_str(), request.turns[2].role), (answered, "get_weather", Role::Tool));
    assert_eq!(case("legacy-functions-auto").tool_choice, Some(ToolChoice::Auto));
}

#[test]
fn every_tool_choice_is_understood_as_far_as_it_goes() {
    let named = || Some(ToolChoice::Named("get_weather".to_owned()));
    for (name, expected, lost) in [
        ("tools-parallel", Some(ToolChoice::Auto), &[][..]),
        ("tool-choice-named", named(), &[]),
        ("tool-choice-required", Some(ToolChoice::Required), &[]),
        ("tool-choice-any", Some(ToolChoice::Required), &["safe_prompt", "random_seed"]),
        ("tool-choice-allowed", Some(ToolChoice::Required), &["tool_choice"]),
        ("tool-choice-custom", None, &["tool_choice"]),
    ] {
        let request = case(name);
        assert_eq!((request.tool_choice.clone(), left(&request).as_slice()), (expected, lost), "{name}");
    }
}

#[test]
fn the_web_search_is_a_tool() {
    let place = |text: &str| Some(text.to_owned());
    let search = WebSearch {
        context_size: place("low"),
        location: [place("Oslo"), place("Oslo"), place("NO"), place("Europe/Oslo")],
        ..WebSearch::default()
    };
    assert_eq!(case("web-search").tools[0].web_search, Some(search));
    let beside = case("web-search-tools");
    assert_eq!(beside.tools.iter().map(|tool| tool.web_search.is_some()).collect::<Vec<_>>(), [false, true]);
    let unknown = case("web-search-unknown");
    assert_eq!((unknown.tools.len(), left(&unknown).as_slice()), (0, &["web_search_options"][..]));
}

#[test]
fn what_is_so_anyway_is_no_loss() {
    let request = case("defaults");
    assert_eq!(left(&request), [""; 0]);
    assert_eq!((request.service_tier, request.n), (Some(ServiceTier::Auto), Some(1)));
    let request = case("images");
    let Part::Image(second) = &request.turns[0].parts[2] else { panic!("{:?}", request.turns[0]) };
    assert!(second.extra.inner("image_url").unwrap().members.is_empty());
    assert!(case("tools-parallel").turns[1].extra.members.is_empty());
}

#[test]
fn what_has_no_word_elsewhere_is_left_to_be_told() {
    for (name, lost) in [
        ("audio", &["modalities", "audio"][..]),
        ("caching", &["prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"]),
        ("identity", &["metadata", "store"]),
        ("identity-both", &["safety_identifier"]),
        ("legacy-functions", &["functions"]),
        ("logprobs", &["logprobs", "top_logprobs", "logit_bias"]),
        ("moderation", &["moderation"]),
        ("prediction", &["prediction"]),
        ("service-tier-default", &[]),
        ("service-tier-fast", &["service_tier"]),
        ("service-tier-flex", &["service_tier"]),
    ] {
        assert_eq!(left(&case(name)), lost, "{name}");
    }
    let request = case("identity");
    assert_eq!(request.user.as_deref(), Some("user-8f3a"));
    assert_eq!(case("identity-both").user.as_deref(), Some("u"));
    assert_eq!(case("citations").turns[1].extra.members[0].0, "annotations");
}

#[test]
fn refusals_are_read_from_both_places() {
    let request = case("refusal");
    let refusals: Vec<_> = request.turns.iter().flat_map(|turn| &turn.parts).collect();
    let refusals =
        refusals.into_iter().filter_map(|part| if let Part::Refusal(text) = part { Some(text) } else { None });
    assert_eq!(refusals.collect::<Vec<_>>(), ["I can't do that.", "No."]);
}

#[test]
fn a_negative_bound_on_the_answer_is_none() {
    for name in ["max_tokens", "max_completion_tokens"] {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],"{name}":-1}}"#);
        let request = cases::inbound("openai_chat").decode_request(body.as_bytes()).unwrap();
        assert_eq!(request.max_tokens, None, "{name}");
    }
}
