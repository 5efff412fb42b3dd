//! Bodies that some server of their own format would refuse: what is taken out is noted, all else stays.

use proptest::prelude::*;
use wire::ir::Losses;
use wire::provider;
use wire::scan::{ASIDE, scan, splice};

use crate::tree::Tree;

/// The members each particular row refuses.
const REFUSED: &[(&str, &[&str])] = &[
    ("cerebras", &["frequency_penalty", "logit_bias", "presence_penalty"]),
    ("groq", &["logit_bias", "logprobs", "top_logprobs"]),
    (
        "mistral",
        &[
            "audio",
            "logit_bias",
            "logprobs",
            "modalities",
            "safety_identifier",
            "service_tier",
            "store",
            "top_logprobs",
            "user",
            "verbosity",
            "web_search_options",
        ],
    ),
];

/// What a provider gets of a body of its own format, and what is noted.
pub(crate) fn mended(name: &str, body: &str) -> (String, Vec<String>) {
    let format = provider::find(name).unwrap().format;
    let found = scan(body.as_bytes()).unwrap();
    let mut losses = Losses::default();
    let mut edits = format.edits(&found, "m");
    if format.particular(&found) {
        edits.extend(format.mend(&found, body.as_bytes(), &mut losses));
    }
    (String::from_utf8(splice(body.as_bytes(), &edits)).unwrap(), losses.dropped)
}

/// One message, its members in any order.
fn message() -> impl Strategy<Value = String> {
    let members = [
        r#""role" : "user""#,
        r#""role":"developer""#,
        r#""name": "n""#,
        r#""reasoning_content":"r""#,
        r#""reasoning_details" :[]"#,
        r#""content":"a \"developer\" named \"reasoning_content\"""#,
        r#""tool_calls":[{"name":"developer"}]"#,
    ];
    let chosen = prop::sample::subsequence(members.to_vec(), 0..=members.len()).prop_shuffle();
    (chosen, "[ \n]{0,2}").prop_filter_map("one role", |(members, space)| {
        let roles = members.iter().filter(|member| member.starts_with(r#""role""#)).count();
        (roles < 2).then(|| format!("{{{space}{}{space}}}", members.join(&format!("{space},"))))
    })
}

fn body() -> impl Strategy<Value = String> {
    let aside = prop::sample::subsequence(ASIDE.to_vec(), 0..=ASIDE.len());
    (aside, prop::collection::vec(message(), 0..4), any::<bool>()).prop_flat_map(|(aside, messages, newer)| {
        let mut members: Vec<String> = aside.into_iter().map(|name| format!(r#""{name}": 1"#)).collect();
        members.push(format!(r#""messages" : [{}]"#, messages.join(" , ")));
        members.extend([r#""model":"m""#.to_owned(), r#""x":{"user":1,"name":"developer"}"#.to_owned()]);
        members.extend(newer.then(|| r#""max_completion_tokens":1"#.to_owned()));
        Just(members).prop_shuffle().prop_map(|members| format!("{{{}}}", members.join(" ,")))
    })
}

fn members(tree: &Tree) -> Vec<(String, Tree)> {
    if let Tree::Object(members) = tree { members.clone() } else { panic!("{tree:?}") }
}

fn messages(tree: &Tree) -> Vec<Tree> {
    let Some(Tree::Array(messages)) = tree.get("messages") else { panic!("{tree:?}") };
    messages.clone()
}

/// Takes a path such as `messages[1].name` out.
fn without(tree: &mut Tree, path: &str) {
    let Tree::Object(all) = tree else { panic!("{tree:?}") };
    let (outer, rest) = path.split_once('.').unwrap_or((path, ""));
    if rest.is_empty() {
        all.retain(|(name, _)| name != outer);
    } else {
        let index: usize = outer.trim_start_matches("messages[").trim_end_matches(']').parse().unwrap();
        let (_, list) = all.iter_mut().find(|(name, _)| name == "messages").unwrap();
        let Tree::Array(list) = list else { panic!("{list:?}") };
        without(&mut list[index], rest);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_taken_out_is_noted_and_all_else_stays(body in body()) {
        for name in provider::names().filter(|name| provider::find(name).unwrap().format.name() == "openai_chat") {
            let (got, dropped) = mended(name, &body);
            let (mut left, got) = (Tree::parse(body.as_bytes()), Tree::parse(got.as_bytes()));
            dropped.iter().for_each(|path| without(&mut left, path));
            // Beside what was taken out, members have other names and the role another word: as many remain.
            prop_assert_eq!(members(&got).len(), members(&left).len(), "{}: {:?}", name, dropped);
            prop_assert_eq!(got.get("x"), left.get("x"));
            for (got, left) in messages(&got).iter().zip(messages(&left)) {
                prop_assert_eq!(members(got).len(), members(&left).len(), "{}: {:?}", name, dropped);
                for member in ["content", "tool_calls", "name", "reasoning_details"] {
                    prop_assert_eq!(got.get(member), left.get(member));
                }
                let thought = left.get("reasoning_content");
                let renamed = if name == "cerebras" { "reasoning" } else { "reasoning_content" };
                prop_assert_eq!(got.get(renamed), thought);
            }
            let refused = REFUSED.iter().find(|(row, _)| *row == name).map_or(&[][..], |(_, refused)| *refused);
            for member in ASIDE {
                let there = got.get(member).is_some() || (*member == "seed" && got.get("random_seed").is_some());
                let sent = left.get(member).is_some();
                prop_assert_eq!(there, sent, "{}: {}", name, member);
                prop_assert!(!(there && refused.contains(member)), "{}: {}", name, member);
                prop_assert!(!dropped.iter().any(|path| path == member) || refused.contains(member), "{}: {}", name, member);
            }
        }
    }
}

#[test]
fn the_words_alone_are_no_reason_to_touch_a_body() {
    let body =
        r#"{"model":"m","messages":[{"role":"user","content":"\"developer\", \"name\", \"reasoning_content\""}]}"#;
    for name in ["cerebras", "deepseek", "groq", "mistral", "zai"] {
        assert_eq!(mended(name, body), (body.to_owned(), vec![]), "{name}");
    }
}

#[test]
fn messages_that_are_none_are_left_to_the_server() {
    for messages in ["null", "{}", "7", r#""developer""#, r#"["developer",{"role":["developer"]},[{"name":1}]]"#] {
        let body = format!(r#"{{"model":"m","messages":{messages}}}"#);
        for name in ["cerebras", "deepseek", "groq", "mistral"] {
            assert_eq!(mended(name, &body).0, body, "{name}");
        }
    }
}
