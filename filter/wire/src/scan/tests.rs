use super::*;

fn text(body: &str, edits: &[Edit]) -> String {
    String::from_utf8(splice(body.as_bytes(), edits)).unwrap()
}

fn fault(body: &[u8]) -> String {
    let Malformed { path, message } = scan(body).err().unwrap();
    format!("{path}: {message}")
}

#[test]
fn finds_what_routing_needs() {
    let body = r#" { "messages":[{"model":"no"}], "mod\u0065l" : "gpt-4o\u00e9" ,"stream":true,
        "stream_options":{"include_usage":true},"max_tokens":5,"max_completion_tokens":7,"fallbacks":["a/b","c"]} "#;
    let scan = scan(body.as_bytes()).unwrap();
    assert_eq!(scan.model.as_deref(), Some("gpt-4oé"));
    assert_eq!(body.get(scan.model_at.clone().unwrap().value).unwrap(), r#""gpt-4o\u00e9""#);
    assert_eq!(body.get(scan.model_at.unwrap().name).unwrap(), r#""mod\u0065l""#);
    assert!(scan.stream && scan.include_usage);
    assert_eq!((scan.max_tokens, scan.members, scan.len), (Some(7), 7, body.len()));
    assert_eq!(scan.fallbacks, ["a/b", "c"]);
    assert_eq!(body.get(scan.end..).unwrap(), "} ");
}

#[test]
fn order_does_not_decide_which_bound_counts() {
    for body in [r#"{"max_tokens":5,"max_completion_tokens":7}"#, r#"{"max_completion_tokens":7,"max_tokens":5}"#] {
        assert_eq!(scan(body.as_bytes()).unwrap().max_tokens, Some(7));
    }
}

#[test]
fn a_negative_bound_is_none_and_stays_as_it_is() {
    for bound in ["-1", "-2", "-1.0"] {
        for name in ["max_tokens", "max_completion_tokens"] {
            let scan = scan(format!(r#"{{"model":"m","{name}":{bound}}}"#).as_bytes()).unwrap();
            assert_eq!(scan.max_tokens, None, "{name} {bound}");
            assert!(scan.max_tokens_at.or(scan.max_completion_tokens_at).is_some());
        }
    }
    assert_eq!(fault(br#"{"max_tokens":-1.5}"#), "max_tokens: found number, expected whole number");
    assert_eq!(fault(br#"{"max_tokens":"-1"}"#), "max_tokens: found string, expected whole number");
}

#[test]
fn null_is_absent() {
    let body = br#"{"model":"m","stream":null,"max_tokens":null,"fallbacks":null,"stream_options":null}"#;
    let scan = scan(body).unwrap();
    assert!(!scan.stream && !scan.include_usage && scan.max_tokens.is_none() && scan.fallbacks.is_empty());
    assert!(scan.fallbacks_at.is_some());
}

#[test]
fn fallbacks_in_anthropics_spelling_are_ours_too() {
    let scan = scan(br#"{"model":"m","fallbacks":[{"model":"n"},"o"]}"#).unwrap();
    assert_eq!(scan.fallbacks, ["n", "o"]);
    assert!(scan.fallbacks_at.is_some());
    let more = br#"{"fallbacks":[{"model":"n","max_tokens":5}]}"#;
    assert_eq!(fault(more), "fallbacks[0]: found more than `model`, which is all that is known here");
}

#[test]
fn names_are_bounded_while_they_are_read() {
    let long = "é".repeat(LONGEST_NAME / 2);
    let fits = format!(r#"{{"model":"{long}","fallbacks":["{long}",{{"model":"{long}"}}]}}"#);
    assert_eq!(scan(fits.as_bytes()).unwrap().fallbacks, [long.clone(), long.clone()]);
    for (body, path) in [
        (format!(r#"{{"model":"{long}x"}}"#), "model"),
        (format!(r#"{{"fallbacks":["a","{long}x"]}}"#), "fallbacks[1]"),
        (format!(r#"{{"fallbacks":[{{"model":"{long}x"}}]}}"#), "fallbacks[0].model"),
    ] {
        assert_eq!(fault(body.as_bytes()), format!("{path}: found a name of 257 bytes, expected at most 256"));
    }
    let of = |count: usize| format!(r#"{{"fallbacks":[{}]}}"#, vec![r#""a""#; count].join(","));
    assert_eq!(scan(of(MOST_FALLBACKS).as_bytes()).unwrap().fallbacks.len(), MOST_FALLBACKS);
    for count in [MOST_FALLBACKS + 1, 100_000] {
        assert_eq!(fault(of(count).as_bytes()), "fallbacks: found more than 16 models, expected at most 16");
    }
}

#[test]
fn faults_name_the_member() {
    assert_eq!(fault(br#"{"model":7}"#), "model: found number, expected string");
    assert_eq!(fault(br#"{"model":null}"#), "model: found null, expected string");
    assert_eq!(fault(br#"{"stream":"true"}"#), "stream: found string, expected boolean");
    assert_eq!(fault(br#"{"stream_options":[]}"#), "stream_options: found array, expected object");
    assert_eq!(
        fault(br#"{"stream_options":{"include_usage":1}}"#),
        "stream_options.include_usage: found number, expected boolean"
    );
    assert_eq!(fault(br#"{"fallbacks":["a",1]}"#), "fallbacks[1]: found number, expected string");
    assert_eq!(fault(br#"{"max_tokens":"9"}"#), "max_tokens: found string, expected whole number");
    for name in ["model", "stream", "fallbacks", "stream_options", "max_tokens"] {
        let body = format!(r#"{{"{name}":null,"x":1,"{name}":null}}"#);
        assert_eq!(fault(body.as_bytes()), format!("{name}: appears twice, expected once"));
    }
    assert_eq!(fault(br#"{"model":"a","mod\u0065l":"b"}"#), "model: appears twice, expected once");
}

#[test]
fn only_one_whole_object_in_utf8_passes() {
    for body in [
        &b""[..],
        b" ",
        b"[]",
        b"null",
        b"1",
        b"\"x\"",
        b"{",
        b"{}}",
        b"{} x",
        b"{\"a\":1,}",
        b"{\"a\" 1}",
        b"{a:1}",
        b"{\"a\":01}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\n\"}",
        b"{\"a\":tru}",
        b"{\"a\":1,,\"b\":2}",
        b"\xef\xbb\xbf{}",
    ] {
        let wrong = scan(body);
        assert!(wrong.as_ref().is_err_and(|e| e.path.is_empty() && !e.message.is_empty()), "{body:?}: {wrong:?}");
    }
    assert_eq!(scan(b"\n{ }\t").unwrap().members, 0);
}

#[test]
fn depth_costs_neither_stack_nor_time() {
    let deep = 100_000;
    let body = format!(r#"{{"a":{}{},"model":"m"}}"#, "[".repeat(deep), "]".repeat(deep));
    assert_eq!(scan(body.as_bytes()).unwrap().model.as_deref(), Some("m"));
    let open = format!(r#"{{"a":{}"#, "{\"a\":".repeat(deep));
    assert!(scan(open.as_bytes()).is_err());
}

#[test]
fn a_member_is_removed_with_one_comma_wherever_it_stands() {
    for (body, expected) in [
        (r#"{"fallbacks":[]}"#, "{}"),
        (r#"{ "fallbacks" : [ ] , "b":2}"#, r#"{ "b":2}"#),
        (r#"{"a":1,"fallbacks":[],"b":2}"#, r#"{"a":1,"b":2}"#),
        (r#"{"a":1 , "fallbacks":[] }"#, r#"{"a":1 }"#),
    ] {
        let scan = scan(body.as_bytes()).unwrap();
        assert_eq!(text(body, &[scan.remove(scan.fallbacks_at.as_ref().unwrap())]), expected);
    }
}

#[test]
fn usage_is_asked_for_beside_what_is_there() {
    for (options, expected) in [
        ("{}", r#"{"include_usage":true}"#),
        ("null", r#"{"include_usage":true}"#),
        (r#"{"include_usage":false}"#, r#"{"include_usage":true}"#),
        (r#"{ "include_usage" : null, "x":1 }"#, r#"{ "include_usage" : true, "x":1 }"#),
        (r#"{"x":{"include_usage":true} }"#, r#"{"x":{"include_usage":true} ,"include_usage":true}"#),
    ] {
        let body = format!(r#"{{"stream_options":{options},"z":0}}"#);
        let scan = scan(body.as_bytes()).unwrap();
        let edit = scan.include_usage_edit.clone().unwrap();
        assert_eq!(text(&body, &[edit]), format!(r#"{{"stream_options":{expected},"z":0}}"#));
    }
    assert_eq!(scan(br#"{"stream_options":{"include_usage":true}}"#).unwrap().include_usage_edit, None);
}

#[test]
fn edits_that_make_no_sense_are_left_out() {
    let edit = |range, with: &str| Edit { range, with: with.as_bytes().to_vec() };
    let edits = [edit(4..5, "E"), edit(0..2, "AB"), edit(1..3, "overlaps"), edit(9..12, "outside"), edit(7..7, "!")];
    assert_eq!(text("0123456", &edits), "AB23E56!");
    #[expect(clippy::reversed_empty_ranges, reason = "that is the point")]
    let reversed = edit(3..2, "x");
    assert_eq!(text("0123456", &[reversed]), "0123456");
}
