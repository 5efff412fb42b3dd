//! Requests told to the other format, written out.

use wire::ir::Losses;

use crate::cases;
use crate::tree::Tree;

fn translate(from: &str, body: &str, provider: &str) -> (Tree, Vec<String>) {
    let request = cases::inbound(from).decode_request(body.as_bytes()).unwrap();
    let mut losses = Losses::default();
    let format = wire::provider::find(provider).unwrap().format;
    let encoded = format.encode_request(&request, "target", &mut losses);
    (Tree::parse(&encoded), losses.dropped)
}

#[track_caller]
fn check(from: &str, body: &str, provider: &str, expected: &str, losses: &[&str]) {
    let (encoded, dropped) = translate(from, body, provider);
    assert_eq!(encoded, Tree::parse(expected.as_bytes()));
    assert_eq!(dropped, losses);
}

#[test]
fn a_tool_round_reaches_anthropic_as_one_user_turn() {
    check(
        "openai_chat",
        r#"{"model":"m","messages":[
            {"role":"system","content":"S"},
            {"role":"user","content":"Q"},
            {"role":"assistant","content":null,"tool_calls":[
                {"id":"call.1","type":"function","function":{"name":"f","arguments":"{\"a\":1.50}"}},
                {"id":"call.2","type":"function","function":{"name":"g","arguments":""}}]},
            {"role":"tool","tool_call_id":"call.1","content":"one"},
            {"role":"tool","tool_call_id":"call.2","content":[{"type":"text","text":"two"}]},
            {"role":"user","content":"and?"}],
          "tools":[{"type":"function","function":{"name":"f","description":"D","parameters":{"properties":{}}}}],
          "tool_choice":"required","parallel_tool_calls":false,"max_completion_tokens":9,"temperature":1.7,"stop":"x"}"#,
        "anthropic",
        r#"{"model":"target","max_tokens":9,"system":"S","messages":[
            {"role":"user","content":"Q"},
            {"role":"assistant","content":[
                {"type":"tool_use","id":"call_1","name":"f","input":{"a":1.50}},
                {"type":"tool_use","id":"call_2","name":"g","input":{}}]},
            {"role":"user","content":[
                {"type":"tool_result","tool_use_id":"call_1","content":"one"},
                {"type":"tool_result","tool_use_id":"call_2","content":[{"type":"text","text":"two"}]},
                {"type":"text","text":"and?"}]}],
          "tools":[{"name":"f","description":"D","input_schema":{"type":"object","properties":{}}}],
          "tool_choice":{"type":"any","disable_parallel_tool_use":true},"stop_sequences":["x"]}"#,
        &["temperature"],
    );
}

#[test]
fn a_tool_round_reaches_openai_as_messages_of_their_own() {
    check(
        "anthropic",
        r#"{"model":"m","max_tokens":9,"system":[{"type":"text","text":"A"},{"type":"text","text":"B"}],"messages":[
            {"role":"user","content":"Q"},
            {"role":"assistant","content":[
                {"type":"thinking","thinking":"T","signature":"s"},
                {"type":"text","text":"Let me "},{"type":"text","text":"look."},
                {"type":"tool_use","id":"toolu_1","name":"f","input":{"a":1}}]},
            {"role":"user","content":[
                {"type":"text","text":"and?"},
                {"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"text","text":"one"}]}]}],
          "tools":[{"name":"f","input_schema":{"type":"object"}}],
          "tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true},
          "stop_sequences":["x"],"metadata":{"user_id":"u"},"stream":true}"#,
        "openai",
        r#"{"model":"target","messages":[
            {"role":"system","content":"A\n\nB"},
            {"role":"user","content":"Q"},
            {"role":"assistant","content":"Let me look.","tool_calls":[
                {"id":"toolu_1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},
            {"role":"tool","tool_call_id":"toolu_1","content":"one"},
            {"role":"user","content":"and?"}],
          "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],
          "tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false,
          "max_completion_tokens":9,"stop":["x"],"user":"u","stream":true,"stream_options":{"include_usage":true}}"#,
        &["messages[1].content[0]"],
    );
}

#[test]
fn servers_get_the_names_they_know() {
    let body = r#"{"model":"m","max_tokens":9,"metadata":{"user_id":"u"},"stream":true,"messages":[{"role":"user","content":"Q"}]}"#;
    for (provider, expected, losses) in [
        ("openai", r#""max_completion_tokens":9,"user":"u","stream_options":{"include_usage":true}"#, &[][..]),
        ("deepseek", r#""max_tokens":9,"user":"u","stream_options":{"include_usage":true}"#, &[][..]),
        ("mistral", r#""max_tokens":9"#, &["metadata.user_id"]),
    ] {
        let messages = r#""messages":[{"role":"user","content":"Q"}]"#;
        let expected = format!(r#"{{"model":"target",{messages},"stream":true,{expected}}}"#);
        check("anthropic", body, provider, &expected, losses);
    }
}

#[test]
fn turns_of_one_role_are_merged_and_empty_ones_left_out() {
    check(
        "openai_chat",
        r#"{"model":"m","max_tokens":9,"messages":[
            {"role":"user","content":"A"},{"role":"user","content":"B"},
            {"role":"assistant","content":""},
            {"role":"system","content":"late"},{"role":"user","content":"C"}]}"#,
        "anthropic",
        r#"{"model":"target","max_tokens":9,"system":"late","messages":[
            {"role":"user","content":[{"type":"text","text":"A"},{"type":"text","text":"B"}]},
            {"role":"user","content":"C"}]}"#,
        &["messages[3].role"],
    );
}

#[test]
fn a_conversation_of_instructions_alone_is_the_users() {
    check(
        "openai_chat",
        r#"{"model":"m","messages":[{"role":"system","content":"Say hi"}]}"#,
        "anthropic",
        r#"{"model":"target","max_tokens":32000,"messages":[{"role":"user","content":"Say hi"}]}"#,
        &["messages[0].role"],
    );
}

#[test]
fn an_agents_instructions_stay_in_their_place_and_its_long_name_at_home() {
    let name = "n".repeat(65);
    check(
        "anthropic",
        &format!(
            r#"{{"model":"m","max_tokens":9,"messages":[
                {{"role":"user","content":"Q"}},
                {{"role":"system","content":[{{"type":"text","text":"S"}}]}},
                {{"role":"assistant","content":"A"}},
                {{"role":"user","content":"R"}},
                {{"role":"system","content":[],"output_config":{{"effort":"high"}}}}],
              "metadata":{{"user_id":"{name}"}}}}"#
        ),
        "openai",
        r#"{"model":"target","messages":[
            {"role":"user","content":"Q"},{"role":"system","content":"S"},
            {"role":"assistant","content":"A"},{"role":"user","content":"R"}],
          "max_completion_tokens":9}"#,
        &["messages[4].output_config", "metadata.user_id"],
    );
}

#[test]
fn fallbacks_are_routings_and_no_loss() {
    for (from, to) in [("openai_chat", "anthropic"), ("anthropic", "openai")] {
        let body = |fallbacks: &str| {
            format!(
                r#"{{"model":"m","max_tokens":1,"messages":[{{"role":"user","content":"Q"}}],"fallbacks":{fallbacks}}}"#
            )
        };
        for fallbacks in [r#"["a/b"]"#, r#"[{"model":"n"}]"#] {
            assert_eq!(translate(from, &body(fallbacks), to).1, Vec::<String>::new());
        }
    }
}

#[test]
fn losses_are_bounded() {
    let part = r#"{"type":"hologram"},"#.repeat(10_000);
    let body =
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{part}{{"type":"text","text":"x"}}]}}]}}"#);
    let (_, dropped) = translate("openai_chat", &body, "anthropic");
    assert_eq!(dropped.len(), 64);
    assert_eq!(dropped.last().unwrap(), "...");
}

#[test]
fn a_wrong_request_is_told_where_it_is_wrong() {
    for (format, body, expected) in [
        ("openai_chat", r#"{"messages":[]}"#, "model: missing"),
        ("openai_chat", r#"{"model":"m"}"#, "messages: missing"),
        (
            "openai_chat",
            r#"{"model":"m","messages":[{"role":"user","content":[{"type":7}]}]}"#,
            "messages[0].content[0].type: found number, expected string",
        ),
        (
            "openai_chat",
            r#"{"model":"m","messages":[{"role":"tool","content":"x"}]}"#,
            "messages[0].tool_call_id: missing",
        ),
        (
            "openai_chat",
            r#"{"model":"m","messages":[{"role":"king","content":"x"}]}"#,
            "messages[0].role: found \"king\", expected system, developer, user, assistant or tool",
        ),
        (
            "openai_chat",
            r#"{"model":"m","messages":[],"tools":[{"type":"function","function":{}}]}"#,
            "tools[0].function.name: missing",
        ),
        (
            "anthropic",
            r#"{"model":"m","messages":[{"role":"user","content":[{"type":"tool_result"}]}]}"#,
            "messages[0].content[0].tool_use_id: missing",
        ),
        ("anthropic", r#"{"model":"m","messages":[{"role":"user"}]}"#, "messages[0].content: missing"),
        (
            "anthropic",
            r#"{"model":"m","messages":[],"thinking":{"type":"enabled"}}"#,
            "thinking.budget_tokens: missing",
        ),
    ] {
        let wrong = cases::inbound(format).decode_request(body.as_bytes()).err().unwrap();
        assert_eq!(format!("{}: {}", wrong.path, wrong.message), expected);
    }
}
