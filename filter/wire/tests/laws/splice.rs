//! Scanner and splicer over random bodies.

use proptest::prelude::*;
use wire::json::Object;
use wire::provider;
use wire::scan::{Edit, scan, splice};

use crate::tree::Tree;

/// Any JSON, as text with odd spacing.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<String>().prop_map(|s| wire::scan::quoted(&s)),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[ {}]", items.join(" ,"))),
            prop::collection::vec(("[a-z]{1,6}", inner), 0..4).prop_map(|members| {
                let numbered = members.iter().enumerate().map(|(i, (name, value))| format!("\"{name}{i}\" :{value}"));
                format!("{{{} }}", numbered.collect::<Vec<_>>().join(", "))
            }),
        ]
    })
}

/// A body with members routing knows among others, in any order.
fn body() -> impl Strategy<Value = String> {
    let known = (
        prop::option::of(prop_oneof![Just(r#""gpt-4o""#), Just(r#""a\u00e9\"b""#)]),
        prop::option::of(prop_oneof![Just("true"), Just("false")]),
        prop::option::of(prop_oneof![Just("{}"), Just(r#"{"include_usage":true}"#), Just(r#"{"x" :1}"#), Just("null")]),
        prop::option::of(prop_oneof![Just("[]"), Just(r#"["a/b"]"#)]),
        prop::option::of(prop_oneof![Just("7"), Just("9.0"), Just("null")]),
        prop::option::of(prop_oneof![Just("8"), Just("null")]),
    );
    let others = prop::collection::vec(("[x-z]{1,4}", value()), 0..5);
    (known, others, any::<prop::sample::Index>(), "[ \n\t]{0,2}").prop_flat_map(|(known, others, _, space)| {
        let mut members: Vec<String> = Vec::new();
        let mut add = |name: &str, value: Option<String>| members.extend(value.map(|v| format!("\"{name}\":{v}")));
        add("model", known.0.map(str::to_owned));
        add("stream", known.1.map(str::to_owned));
        add("stream_options", known.2.map(str::to_owned));
        add("fallbacks", known.3.map(str::to_owned));
        add("max_tokens", known.4.map(str::to_owned));
        add("max_completion_tokens", known.5.map(str::to_owned));
        for (i, (name, value)) in others.iter().enumerate() {
            add(&format!("{name}{i}"), Some(value.clone()));
        }
        Just(members).prop_shuffle().prop_map(move |members| {
            format!("{space}{{{space}{}{space}}}{space}", members.join(&format!("{space},{space}")))
        })
    })
}

fn members(tree: &Tree) -> Vec<(String, Tree)> {
    if let Tree::Object(members) = tree { members.clone() } else { panic!("{tree:?}") }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_edits_change_nothing(body in any::<Vec<u8>>()) {
        prop_assert_eq!(splice(&body, &[]), body);
    }

    #[test]
    fn no_edit_can_break_the_splicer(body in any::<Vec<u8>>(), edits in prop::collection::vec((0_usize..80, 0_usize..80, any::<Vec<u8>>()), 0..6)) {
        let edits: Vec<Edit> = edits.into_iter().map(|(a, b, with)| Edit { range: a..b, with }).collect();
        let most = body.len() + edits.iter().map(|edit| edit.with.len()).sum::<usize>();
        prop_assert!(splice(&body, &edits).len() <= most);
    }

    #[test]
    fn the_scanner_takes_what_the_parser_takes(bytes in any::<Vec<u8>>()) {
        prop_assert_eq!(scan(&bytes).is_ok(), Object::parse(&bytes).is_ok());
    }

    #[test]
    fn any_members_can_be_removed_together(body in body(), which in any::<u8>()) {
        let found = scan(body.as_bytes()).unwrap();
        let tracked = [
            ("model", &found.model_at),
            ("stream_options", &found.stream_options_at),
            ("fallbacks", &found.fallbacks_at),
            ("max_tokens", &found.max_tokens_at),
            ("max_completion_tokens", &found.max_completion_tokens_at),
        ];
        let chosen = tracked.iter().enumerate().filter(|(bit, _)| which & (1 << bit) != 0);
        let chosen: Vec<_> = chosen.filter_map(|(_, (name, at))| Some((*name, at.as_ref()?))).collect();
        let edits = found.remove_all(&chosen.iter().map(|(_, at)| *at).collect::<Vec<_>>());
        let mut expected = members(&Tree::parse(body.as_bytes()));
        expected.retain(|(name, _)| !chosen.iter().any(|(chosen, _)| chosen == name));
        let left = splice(body.as_bytes(), &edits);
        prop_assert_eq!(members(&Tree::parse(&left)), expected.clone(), "{} -> {}", body, String::from_utf8_lossy(&left));
        if let [(_, at)] = chosen.as_slice() {
            prop_assert_eq!(Tree::parse(&splice(body.as_bytes(), &[found.remove(at)])), Tree::parse(&left));
        }
        let at_end = scan(&left).unwrap();
        let more = splice(&left, &[at_end.insert("new\"", "[1]")]);
        prop_assert_eq!(members(&Tree::parse(&more)).len(), expected.len() + 1);
    }

    #[test]
    fn every_provider_gets_what_it_takes_and_all_else_unchanged(body in body()) {
        let found = scan(body.as_bytes()).unwrap();
        let sent = Tree::parse(body.as_bytes());
        for name in provider::names() {
            let format = provider::find(name).unwrap().format;
            let spliced = splice(body.as_bytes(), &format.edits(&found, "its/model"));
            let got = Tree::parse(&spliced);
            prop_assert_eq!(got.get("model").and_then(Tree::text), Some("its/model"));
            prop_assert_eq!(got.get("fallbacks"), None);
            if format.name() == "openai_chat" && found.stream && name != "mistral" {
                prop_assert!(scan(&spliced).unwrap().include_usage, "{}", name);
            }
            if name == "mistral" {
                prop_assert_eq!(got.get("stream_options"), None);
                prop_assert_eq!(got.get("max_completion_tokens"), None);
                let newer = sent.get("max_completion_tokens").or(sent.get("max_tokens"));
                prop_assert_eq!(got.get("max_tokens"), newer);
            }
            let ours = ["model", "fallbacks", "stream_options", "max_tokens", "max_completion_tokens"];
            let others = |tree: &Tree| members(tree).into_iter().filter(|(name, _)| !ours.contains(&name.as_str())).collect::<Vec<_>>();
            prop_assert_eq!(others(&got), others(&sent));
        }
    }

    #[test]
    fn nothing_a_client_or_provider_sends_can_panic(bytes in any::<Vec<u8>>(), text in body()) {
        for body in [bytes.as_slice(), text.as_bytes()] {
            for format in wire::format::INBOUND {
                let _ = format.decode_request(body);
            }
            for name in provider::names() {
                let format = provider::find(name).unwrap().format;
                let _ = format.decode_response(body);
                let _ = format.decode_fault(500, body);
                let _ = format.glance(body);
                let mut events = Vec::new();
                let mut decoder = format.stream_decoder();
                decoder.push(b"data: ", &mut events);
                decoder.push(body, &mut events);
                decoder.finish(&mut events);
            }
        }
    }
}

#[test]
fn a_body_that_already_fits_is_not_touched() {
    let body = br#"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#;
    let found = scan(body).unwrap();
    for name in ["openai", "anthropic", "groq"] {
        assert_eq!(provider::find(name).unwrap().format.edits(&found, "m"), []);
    }
}
