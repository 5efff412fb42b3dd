//! What a provider says of usage, over all ways it may say it: a count is a whole number or nothing, on every path the
//! same; and a total that is called certain never changes in what follows.

use wire::ir::{Certain, Event, Usage};

use crate::cases;

/// What may stand for a count, and what is read of it.
const VALUES: [(&str, Option<u64>); 14] = [
    ("7", Some(7)),
    ("0", Some(0)),
    ("7.0", Some(7)),
    ("9223372036854775808", Some(1 << 63)),
    ("18446744073709551615", Some(u64::MAX)),
    ("18446744073709551616", None),
    ("-5", None),
    ("1e300", None),
    ("-1e300", None),
    ("1.5", None),
    ("\"5\"", None),
    ("null", None),
    ("[]", None),
    ("{}", None),
];

/// The members that count in a format's `usage`, and which part of the IR's each one is.
type Part = fn(&Usage) -> Option<u64>;
const OPENAI: [(&str, Part); 5] = [
    (r#"{"prompt_tokens":@}"#, |usage| usage.input),
    (r#"{"completion_tokens":@}"#, |usage| usage.output),
    (r#"{"prompt_tokens_details":{"cached_tokens":@}}"#, |usage| usage.cache_read),
    (r#"{"completion_tokens_details":{"reasoning_tokens":@}}"#, |usage| usage.reasoning),
    (r#"{"completion_tokens_details":{"audio_tokens":@}}"#, |usage| usage.audio_output),
];
const ANTHROPIC: [(&str, Part); 5] = [
    (r#"{"input_tokens":@}"#, |usage| usage.input),
    (r#"{"output_tokens":@}"#, |usage| usage.output),
    (r#"{"cache_read_input_tokens":@}"#, |usage| usage.cache_read),
    (r#"{"cache_creation_input_tokens":@}"#, |usage| usage.cache_write),
    (r#"{"output_tokens_details":{"thinking_tokens":@}}"#, |usage| usage.reasoning),
];

/// Bodies and streams of a format with this `usage`.
fn bodies(format: &str, usage: &str) -> (String, Vec<String>) {
    if format == "openai_chat" {
        let unary = format!(
            r#"{{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"hi"}},"finish_reason":"stop"}}],"usage":{usage}}}"#
        );
        let chunk = |choices: &str, usage: &str| {
            format!(
                "data: {{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{choices}]{usage}}}\n\n"
            )
        };
        let stop = r#"{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}"#;
        let usage = format!(",\"usage\":{usage}");
        let apart = chunk(stop, "") + &chunk("", &usage) + "data: [DONE]\n\n";
        let beside = chunk(stop, &usage) + "data: [DONE]\n\n";
        return (unary, vec![apart, beside]);
    }
    let message = |usage: &str| {
        format!(
            r#"{{"id":"m","type":"message","role":"assistant","model":"m","content":[{{"type":"text","text":"hi"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{usage}}}"#
        )
    };
    let event = |event: String| format!("data: {event}\n\n");
    let start = |usage: &str| event(format!(r#"{{"type":"message_start","message":{}}}"#, message(usage)));
    let delta = |usage: &str| event(format!(r#"{{"type":"message_delta","delta":{{}},"usage":{usage}}}"#));
    let stop = event(r#"{"type":"message_stop"}"#.to_owned());
    (message(usage), vec![start(usage) + &stop, start("{}") + &delta(usage) + &stop])
}

/// Usage as each path reads it.
fn paths(format: &str, usage: &str) -> Vec<(&'static str, Usage)> {
    let (unary, streams) = bodies(format, usage);
    let outbound = cases::outbound(format);
    let mut found = vec![
        ("glance", outbound.glance(unary.as_bytes()).unwrap()),
        ("decode", outbound.decode_response(unary.as_bytes()).unwrap().usage),
        ("end", outbound.usage_at_end(unary.as_bytes()).unwrap_or_default()),
    ];
    for stream in streams {
        let (mut decoder, mut events, mut usage) = (outbound.stream_decoder(), Vec::new(), Usage::default());
        decoder.push(stream.as_bytes(), &mut events);
        decoder.finish(&mut events);
        events.iter().for_each(|event| {
            if let Event::Usage(later) = event {
                usage.update(later);
            }
        });
        found.push(("events", usage));
        for hide in [true, false] {
            let (mut watch, mut out) = (outbound.stream_watch(hide), Vec::new());
            watch.push(stream.as_bytes(), &mut out);
            watch.finish(&mut out);
            found.push(("watch", watch.usage()));
        }
    }
    found
}

#[test]
fn a_count_is_a_whole_number_or_nothing_on_every_path() {
    for (format, members) in [("openai_chat", OPENAI), ("anthropic", ANTHROPIC)] {
        for (member, part) in members {
            for (value, expected) in VALUES {
                for (path, usage) in paths(format, &member.replace('@', value)) {
                    assert_eq!(part(&usage), expected, "{format} {path} {member} {value}");
                }
            }
        }
        for nothing in ["null", "[]", "5", "\"x\"", "{}"] {
            for (path, usage) in paths(format, nothing) {
                assert!(usage.is_empty(), "{format} {path} {nothing}: {usage:?}");
            }
        }
    }
}

/// What a total and its parts are; the parts of the other one do not matter.
fn totals(usage: &Usage) -> [[Option<u64>; 4]; 2] {
    [
        [usage.input, usage.cache_read, usage.cache_write, usage.audio_input],
        [usage.output, usage.reasoning, usage.audio_output, None],
    ]
}

#[test]
fn what_is_certain_never_changes_in_what_follows() {
    let (mut inputs, mut outputs) = (0, 0);
    // A vendor's own tools read their results as more prompt, and a compaction shortens it. Strict limits refuse both.
    let works = |case: &cases::Case| {
        let text = String::from_utf8_lossy(&case.body);
        ["\"server_tool_use\"", "\"compaction\""].iter().any(|word| text.contains(word))
    };
    for case in cases::streams().into_iter().filter(|case| !works(case)) {
        let end = if case.body.windows(4).any(|four| four == b"\r\n\r\n") { "\r\n\r\n" } else { "\n\n" };
        let text = String::from_utf8_lossy(&case.body).into_owned();
        let outbound = cases::outbound(case.format);
        let (mut watch, mut out) = (outbound.stream_watch(false), Vec::new());
        let (mut decoder, mut events, mut decoded) = (outbound.stream_decoder(), Vec::new(), Usage::default());
        let mut seen: Vec<(Certain, Usage)> = Vec::new();
        for event in text.split_inclusive(end) {
            watch.push(event.as_bytes(), &mut out);
            seen.push((watch.certain(), watch.usage()));
            decoder.push(event.as_bytes(), &mut events);
            events.drain(..).for_each(|event| {
                if let Event::Usage(later) = event {
                    decoded.update(&later);
                }
            });
            seen.push((decoder.certain(), decoded));
        }
        let last = totals(&watch.usage());
        for (certain, usage) in seen {
            let now = totals(&usage);
            if certain.input {
                inputs += 1;
                assert_eq!(now[0], last[0], "{}", case.name);
            }
            if certain.output {
                outputs += 1;
                assert_eq!(now[1], last[1], "{}", case.name);
            }
        }
    }
    assert!(inputs > 20 && outputs > 20, "{inputs} {outputs}");
}
