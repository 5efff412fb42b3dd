//! Translation as a provider sees it: system, turns, sampling, stop, and a whole tool round trip, both ways.

use serde_json::{Value, json};
use tests::client::{Answer, DIALECTS, Dialect};
use tests::said::Said;

use crate::world::{ANTHROPIC, ANTHROPIC_LANE, CASES, Case, Lane, OPENAI, OPENAI_LANE, TWO_VENDORS, World};

const LANES: [(Lane, &str); 2] = [(OPENAI_LANE, "gpt-4o-mini"), (ANTHROPIC_LANE, "claude-3-5-haiku")];

/// Key order is part of the prompt: this is not alphabetical.
const SCHEMA: &str = r#"{"type":"object","required":["city","unit"],"properties":{"unit":{"enum":["celsius","kelvin"]},"city":{"type":"string","minLength":3}}}"#;

fn tools(dialect: Dialect) -> Value {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    match dialect {
        Dialect::OpenAi => json!([
            {"type": "function", "function": {"name": "other", "parameters": {"type": "object", "properties": {}}}},
            {"type": "function", "function": {"name": "weather", "description": "of a city", "parameters": schema}}]),
        Dialect::Anthropic => json!([
            {"name": "other", "input_schema": {"type": "object", "properties": {}}},
            {"name": "weather", "description": "of a city", "input_schema": schema}]),
    }
}

fn first_turn(case: Case, model: &str) -> Value {
    let mut body = case.call(model, "weather in Zürich?").json();
    body["tools"] = tools(case.dialect);
    body["tool_choice"] = match case.dialect {
        Dialect::OpenAi => json!({"type": "function", "function": {"name": "weather"}}),
        Dialect::Anthropic => json!({"type": "tool", "name": "weather"}),
    };
    body
}

/// The call as the dialect carries it back, and its result.
fn second_turn(case: Case, mut body: Value, id: &str, arguments: &Value) -> Value {
    let turns = match case.dialect {
        Dialect::OpenAi => json!([
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": id, "type": "function", "function": {"name": "weather", "arguments": arguments.to_string()}}]},
            {"role": "tool", "tool_call_id": id, "content": "21 °C"}]),
        Dialect::Anthropic => json!([
            {"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "weather", "input": arguments}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "21 °C"}]}]),
    };
    body["messages"].as_array_mut().unwrap().extend(turns.as_array().unwrap().clone());
    body["tool_choice"] = match case.dialect {
        Dialect::OpenAi => json!("auto"),
        Dialect::Anthropic => json!({"type": "auto"}),
    };
    body
}

/// The id of the call, wherever the dialect and framing put it.
fn call_id(answer: &Answer) -> String {
    let text = answer.text();
    let at = text.find("call_").or_else(|| text.find("toolu_")).unwrap_or_else(|| panic!("no id in {text}"));
    text[at..].split('"').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_is_called_and_answered_whoever_speaks_what() {
    let world = World::start(TWO_VENDORS).await;
    for (lane, model) in LANES {
        for case in CASES {
            let about = format!("{case:?} {}", lane.provider);
            let asked = format!("{}/{model}", lane.provider);
            let body = first_turn(case, &asked);
            let answer = world.send(&case.dialect.call(&body)).await;
            let said = Said::read(case.dialect, case.stream, &answer).unwrap_or_else(|e| panic!("{about}: {e:#}"));
            let arguments = json!({"city": "Zürich 🙂", "unit": "celsius"});
            assert_eq!(said.tools, [("weather".to_owned(), arguments.clone())], "{about}");
            let stop = if case.dialect == Dialect::OpenAi { "tool_calls" } else { "tool_use" };
            assert_eq!(said.stop, stop, "{about}");
            lane.check(&world.received(lane.host, "weather in")[0], model);
            let sent =
                String::from_utf8_lossy(&world.received(lane.host, "weather in")[0].body).replace([' ', '\n'], "");
            assert!(sent.contains(SCHEMA), "{about}: the schema's key order is lost: {sent}");

            let body = second_turn(case, body, &call_id(&answer), &arguments);
            let answer = world.send(&case.dialect.call(&body)).await;
            lane.check_answer(case, &answer, model, "21 °C");
            world.mock.journal().clear();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn system_turns_sampling_and_stop_are_said_in_the_providers_words() {
    let world = World::start(TWO_VENDORS).await;
    let openai = json!({"model": "anthropic/claude-3-5-haiku", "max_tokens": 77, "temperature": 0.25,
        "stop": ["END"], "messages": [
            {"role": "system", "content": "be brief"}, {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"}, {"role": "user", "content": [{"type": "text", "text": "three"}]}]});
    let answer = world.send(&Dialect::OpenAi.call(&openai)).await;
    ANTHROPIC_LANE.check_answer(CASES[0], &answer, "claude-3-5-haiku", "three");
    let sent = world.mock.journal().records(Some(ANTHROPIC))[0].json();
    assert_eq!((&sent["max_tokens"], &sent["temperature"]), (&json!(77), &json!(0.25)));
    assert_eq!(sent["stop_sequences"], json!(["END"]));
    assert!(sent["system"].to_string().contains("be brief"), "{sent}");
    assert_eq!(roles(&sent), ["user", "assistant", "user"]);

    let anthropic = json!({"model": "openai/gpt-4o-mini", "max_tokens": 77, "temperature": 0.25, "top_p": 0.5,
        "stop_sequences": ["END"], "system": [{"type": "text", "text": "be brief"}], "messages": [
            {"role": "user", "content": "one"}, {"role": "assistant", "content": [{"type": "text", "text": "two"}]},
            {"role": "user", "content": "three"}]});
    let answer = world.send(&Dialect::Anthropic.call(&anthropic)).await;
    OPENAI_LANE.check_answer(CASES[2], &answer, "gpt-4o-mini", "three");
    let sent = world.mock.journal().records(Some(OPENAI))[0].json();
    let bound = sent.get("max_completion_tokens").or(sent.get("max_tokens"));
    assert_eq!((bound, &sent["temperature"], &sent["top_p"]), (Some(&json!(77)), &json!(0.25), &json!(0.5)));
    assert!([json!(["END"]), json!("END")].contains(&sent["stop"]), "{sent}");
    assert_eq!(roles(&sent), ["system", "user", "assistant", "user"]);
}

fn roles(body: &Value) -> Vec<&str> {
    body["messages"].as_array().unwrap().iter().filter_map(|turn| turn["role"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_other_format_cannot_carry_is_said_and_not_sent() {
    let world = World::start(TWO_VENDORS).await;
    let mut body = CASES[0].call("anthropic/claude-3-5-haiku", "lost").json();
    body["logit_bias"] = json!({"50256": -100});
    body["presence_penalty"] = json!(0.5);
    let answer = world.send(&Dialect::OpenAi.call(&body)).await;
    ANTHROPIC_LANE.check_answer(CASES[0], &answer, "claude-3-5-haiku", "lost");
    let dropped = answer.header("x-attache-dropped");
    assert!(dropped.contains("logit_bias") && dropped.contains("presence_penalty"), "{dropped}");
    let kept = world.send(&CASES[0].call("openai/gpt-4o-mini", "kept")).await;
    assert!(kept.headers.get("x-attache-dropped").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_understood_is_refused_before_any_provider_sees_it() {
    let world = World::start(TWO_VENDORS).await;
    for dialect in DIALECTS {
        for body in [
            "",
            "{",
            "[]",
            "nonsense",
            "{\"messages\":[]}",
            "{\"model\":7,\"messages\":[]}",
            "{\"model\":\"x\"} trailing",
        ] {
            let answer = world.send(&dialect.raw(body.into())).await;
            assert!((400..=404).contains(&answer.status), "{dialect:?} {body:?}: {}", answer.status);
            Said::error(dialect, &answer).unwrap_or_else(|e| panic!("{dialect:?} {body:?}: {e:#}"));
        }
    }
    assert!(world.mock.journal().records(None).is_empty());
}
