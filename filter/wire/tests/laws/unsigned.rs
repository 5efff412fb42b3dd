//! Thinking that no vendor signed, on its way back to the one who checks signatures.

use proptest::prelude::*;
use wire::ir::Losses;
use wire::provider;
use wire::scan::scan;

use crate::cases;
use crate::mend::mended;
use crate::tree::Tree;

/// What Anthropic gets of a body of its own format, and what is noted.
fn sent(body: &str) -> (String, Vec<String>) {
    mended("anthropic", body)
}

const UNSIGNED: &str = r#"{"type":"thinking","thinking":"Hm.","signature":""}"#;
const TEXT: &str = r#"{"type":"text","text":"\"signature\":\"\", she said."}"#;

fn body(messages: &str) -> String {
    format!(r#"{{ "model":"m" , "messages":{messages}, "max_tokens":9}}"#)
}

#[test]
fn unsigned_thinking_is_taken_out_and_every_other_byte_stays() {
    let odd = "{ \"signature\"\n: \"\" ,\"thinking\" : \"x\", \"type\":\"thinking\"}";
    let signed = r#"{"type":"thinking","thinking":"Hm.","signature":"c2ln"}"#;
    let call = r#"{"type":"tool_use","id":"t","name":"f","input":{"type":"thinking","signature":""}}"#;
    for (content, left, lost) in [
        (format!("[{UNSIGNED},{TEXT}]"), format!("[{TEXT}]"), &[0][..]),
        (format!("[ {UNSIGNED} , {TEXT} ]"), format!("[ {TEXT} ]"), &[0]),
        (format!("[{TEXT} , {odd} ]"), format!("[{TEXT} ]"), &[1]),
        (format!("[{UNSIGNED},{odd},{signed},{UNSIGNED}, {TEXT}]"), format!("[{signed}, {TEXT}]"), &[0, 1, 3]),
        (format!("[{call},{UNSIGNED}]"), format!("[{call}]"), &[1]),
    ] {
        let around = |content: &str| {
            body(&format!(
                r#"[{{"role":"user","content":"q"}},{{"content" :{content},"role": "assistant"}} ,{{"role":"user","content":"r"}}]"#
            ))
        };
        let lost: Vec<String> = lost.iter().map(|j| format!("messages[1].content[{j}]")).collect();
        assert_eq!(sent(&around(&content)), (around(&left), lost), "{content}");
    }
}

#[test]
fn a_message_of_nothing_else_goes_as_a_whole() {
    let question = r#"{"role":"user","content":"q"}"#;
    let thought = format!(r#"{{"role":"assistant","content":[{UNSIGNED}]}}"#);
    for (messages, left, lost) in [
        (format!("[{question},{thought},{question}]"), format!("[{question},{question}]"), &[1][..]),
        (format!("[{question} , {thought}]"), format!("[{question}]"), &[1]),
        (format!("[{thought}, {thought}, {question}]"), format!("[{question}]"), &[0, 1]),
    ] {
        let lost: Vec<String> = lost.iter().map(|i| format!("messages[{i}].content[0]")).collect();
        assert_eq!(sent(&body(&messages)), (body(&left), lost), "{messages}");
    }
}

#[test]
fn what_is_not_such_thinking_is_not_touched() {
    for messages in [
        format!(r#"[{{"role":"user","content":[{TEXT},{UNSIGNED}]}}]"#),
        format!(r#"[{{"role":"assistant","content":{}}}]"#, wire::scan::quoted(UNSIGNED)),
        format!(r#"[{{"role":"assistant","content":[{TEXT},{{"type":"custom","signature":""}}]}}]"#),
        r#"[{"role":"assistant","content":[{"type":"thinking","thinking":"x"}]}]"#.to_owned(),
        r#"[{"role":"assistant","content":[{"type":"redacted_thinking","data":"","signature":""}]}]"#.to_owned(),
        format!(r#"[{{"role":"assistant","content":{UNSIGNED}}}]"#),
        format!("{{\"a\":[{UNSIGNED}]}}"),
        format!("[[{UNSIGNED}],{UNSIGNED},7]"),
        "null".to_owned(),
    ] {
        assert_eq!(sent(&body(&messages)), (body(&messages), vec![]));
    }
}

#[test]
fn only_a_body_that_may_hold_some_is_looked_into() {
    let format = provider::find("anthropic").unwrap().format;
    let particular = |messages: &str| format.particular(&scan(body(messages).as_bytes()).unwrap());
    assert!(particular(&format!("[{UNSIGNED}]")));
    assert!(!particular(&format!("[{TEXT},\"signature\",\"\"]")));
    // What stands elsewhere in the body is none of the assistant's.
    let elsewhere = format!(r#"{{"model":"m","x":{UNSIGNED},"messages":[]}}"#);
    assert!(!format.particular(&scan(elsewhere.as_bytes()).unwrap()));
}

#[test]
fn an_empty_signature_is_none_to_other_formats() {
    let body =
        body(&format!(r#"[{{"role":"user","content":"q"}},{{"role":"assistant","content":[{UNSIGNED},{TEXT}]}}]"#));
    let request = cases::inbound("anthropic").decode_request(body.as_bytes()).unwrap();
    for (row, member, value, lost) in [
        ("deepseek", "reasoning_content", r#""Hm.""#, &["messages[1].content"][..]),
        ("openrouter", "reasoning_details", r#"[{"type":"reasoning.text","text":"Hm."}]"#, &["messages[1].content"]),
    ] {
        let mut losses = Losses::default();
        let encoded = provider::find(row).unwrap().format.encode_request(&request, "m", &mut losses);
        let message = &Tree::parse(&encoded).get("messages").unwrap().items()[1].clone();
        assert_eq!(message.get(member), Some(&Tree::parse(value.as_bytes())), "{row}");
        assert_eq!(losses.dropped, lost, "{row}");
    }
}

#[test]
fn an_open_round_of_tools_without_signed_thinking_has_no_budget() {
    let call = r#"{"type":"tool_use","id":"t","name":"f","input":{}}"#;
    let result = r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"}]}"#;
    let clear = r#"{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]}"#;
    let signed = r#"{"type":"thinking","thinking":"Hm.","signature":"c2ln"}"#;
    let whole = |thinking: &str, context: &str, content: &str| {
        let messages =
            format!(r#"[{{"role":"user","content":"q"}},{{"role":"assistant","content":[{content}]}},{result}]"#);
        format!(r#"{{"thinking": {thinking},"model":"m","context_management":{context},"messages":{messages}}}"#)
    };
    let (budget, adaptive, off) =
        (r#"{"type":"enabled","budget_tokens":2000}"#, r#"{"type":"adaptive"}"#, r#"{"type":"disabled"}"#);
    let (open, answered, thought) =
        (format!("{UNSIGNED},{call}"), format!("{UNSIGNED},{TEXT}"), format!("{UNSIGNED},{signed},{call}"));
    // The round is over: the assistant has answered.
    let closed = |content: &str| {
        format!(r#"{content}]}},{result},{{"role":"assistant","content":"a"}},{{"role":"user","content":["#)
    };
    let block = "messages[1].content[0]";
    for (had, gets, lost) in [
        (whole(budget, clear, &open), whole(off, "null", call), &[block, "thinking", "context_management"][..]),
        (whole(budget, "{}", &open), whole(off, "{}", call), &[block, "thinking"]),
        (whole(adaptive, clear, &open), whole(adaptive, clear, call), &[block]),
        (whole(budget, clear, &answered), whole(budget, clear, TEXT), &[block]),
        (whole(budget, clear, &closed(&open)), whole(budget, clear, &closed(call)), &[block]),
        (whole(budget, clear, &thought), whole(budget, clear, &format!("{signed},{call}")), &[block]),
        // Whose fault that is the API may say.
        (whole(budget, clear, call), whole(budget, clear, call), &[]),
    ] {
        assert_eq!(sent(&had), (gets, lost.iter().map(|&path| path.to_owned()).collect()), "{had}");
    }
}

/// A message of any blocks, some of them unsigned thinking.
fn message() -> impl Strategy<Value = String> {
    let block = prop_oneof![
        Just(UNSIGNED.to_owned()),
        Just(r#"{ "thinking":"y" ,"signature" :"" , "type": "thinking" }"#.to_owned()),
        Just(r#"{"type":"thinking","thinking":"y","signature":"s"}"#.to_owned()),
        Just(TEXT.to_owned()),
        any::<String>().prop_map(|text| format!(r#"{{"type":"text","text":{}}}"#, wire::scan::quoted(&text))),
        Just(
            r#"{"type":"tool_use","id":"t","name":"f","input":{"a":[{"type":"thinking","signature":""}]}}"#.to_owned()
        ),
    ];
    let role = prop_oneof![Just("user"), Just("assistant")];
    (role, prop::collection::vec(block, 0..5), "[ \n]{0,2}").prop_map(|(role, blocks, space)| {
        format!(r#"{{"role":"{role}",{space}"content":[{space}{}{space}]}}"#, blocks.join(&format!("{space},{space}")))
    })
}

fn unsigned(block: &Tree) -> bool {
    let is = |name, value| block.get(name).and_then(Tree::text) == Some(value);
    is("type", "thinking") && is("signature", "")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn all_that_is_unsigned_goes_and_nothing_else(messages in prop::collection::vec(message(), 0..5), space in "[ \n]{0,2}") {
        let body = body(&format!("[{space}{}]", messages.join(&format!("{space},{space}"))));
        let (got, dropped) = sent(&body);
        let (mut lost, mut expected) = (Vec::new(), Vec::new());
        for (i, message) in Tree::parse(body.as_bytes()).get("messages").unwrap().items().iter().enumerate() {
            let blocks = message.get("content").unwrap().items();
            let assistant = message.get("role").and_then(Tree::text) == Some("assistant");
            let (gone, left): (Vec<_>, Vec<_>) = blocks.iter().enumerate().partition(|(_, b)| assistant && unsigned(b));
            lost.extend(gone.iter().map(|(j, _)| format!("messages[{i}].content[{j}]")));
            let mut message = message.clone();
            message.set("content", Tree::Array(left.iter().map(|(_, block)| (*block).clone()).collect()));
            if !left.is_empty() || gone.is_empty() {
                expected.push(message);
            }
        }
        let mut whole = Tree::parse(body.as_bytes());
        whole.set("messages", Tree::Array(expected));
        prop_assert_eq!(Tree::parse(got.as_bytes()), whole);
        prop_assert_eq!(dropped, lost);
    }
}
