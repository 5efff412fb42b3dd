//! Bodies that are made to cost more than they weigh: one row a kind, for each dialect.
//!
//! Does not: send them. Sizes are in bytes, and a body has about so many.

use tests::client::Dialect;

/// A kind of body: what it is called, its dialect, the member that a refusal names, and the body for a model.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) dialect: Dialect,
    /// What a refusal may name; empty: it must be served.
    pub(crate) names: &'static [&'static str],
    make: fn(usize) -> (String, String),
}

impl Kind {
    /// The body for this model; `size` bytes of it are the bomb.
    pub(crate) fn body(&self, model: &str, size: usize) -> Vec<u8> {
        let (messages, more) = (self.make)(size);
        format!(r#"{{"model":"{model}","max_tokens":5,{messages}{more}}}"#).into_bytes()
    }
}

/// `item` again and again.
fn list(item: &str, size: usize) -> String {
    vec![item; (size / (item.len() + 1)).max(1)].join(",")
}

/// What `item` makes of 0, 1, 2 …
fn numbered(size: usize, item: fn(usize) -> String) -> String {
    let (mut out, mut n) = (String::with_capacity(size + 256), 0);
    while out.len() < size {
        if n > 0 {
            out.push(',');
        }
        out.push_str(&item(n));
        n += 1;
    }
    out
}

const HI: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

/// A good conversation, and a member beside it.
fn beside(member: String) -> (String, String) {
    (HI.to_owned(), format!(",{member}"))
}

/// These messages, and a last one of the user's.
fn talk(messages: String) -> (String, String) {
    (format!(r#""messages":[{messages},{{"role":"user","content":"hi"}}]"#), String::new())
}

/// One message of the user's with this content.
fn content(content: String) -> (String, String) {
    (format!(r#""messages":[{{"role":"user","content":{content}}}]"#), String::new())
}

fn deep(open: &str, middle: &str, close: &str, size: usize) -> String {
    let depth = size / (open.len() + close.len());
    [open.repeat(depth), middle.to_owned(), close.repeat(depth)].concat()
}

macro_rules! kinds {
    ($dialect:expr; $($name:literal $names:expr => $make:expr;)*) => {
        &[$(Kind { name: $name, dialect: $dialect, names: $names, make: $make }),*]
    };
}

const MESSAGES: &[&str] = &["messages"];
/// Members, and `values`: what a body has too many of where no member is to blame.
const ANY: &[&str] = &["messages", "content", "tool", "schema", "response_format", "members", "metadata", "values"];

/// What clients of OpenAI can send.
pub(crate) const OPENAI: &[Kind] = kinds! { Dialect::OpenAi;
    "numbers for messages" MESSAGES => |n| (format!(r#""messages":[{}]"#, list("1", n)), String::new());
    "many messages" MESSAGES => |n| (format!(r#""messages":[{}]"#, list(r#"{"role":"user","content":"a"}"#, n)), String::new());
    "many system messages" MESSAGES => |n| talk(list(r#"{"role":"system","content":"a"}"#, n));
    "many developer messages" MESSAGES => |n| talk(list(r#"{"role":"developer","content":"a"}"#, n));
    "system and user in turn" MESSAGES => |n| talk(list(r#"{"role":"system","content":"a"},{"role":"user","content":"b"}"#, n));
    "turns" MESSAGES => |n| talk(list(r#"{"role":"user","content":"a"},{"role":"assistant","content":"b"}"#, n));
    "empty text parts" ANY => |n| content(format!("[{}]", list(r#"{"type":"text","text":""}"#, n)));
    "parts with unknown members" ANY => |n| content(format!("[{}]", list(r#"{"type":"text","text":"","a":1,"b":2,"c":3}"#, n)));
    "empty objects for parts" ANY => |n| content(format!("[{}]", list("{}", n)));
    "images" ANY => |n| content(format!("[{}]", list(r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}}"#, n)));
    "unknown members" ANY => |n| beside(numbered(n, |i| format!(r#""u{i:x}":1"#)));
    "one member again and again" &["twice", "doubled", "duplicate", "a"] => |n| beside(list(r#""a":1"#, n));
    "tools" &["tools"] => |n| beside(format!(r#""tools":[{}]"#, list(r#"{"type":"function","function":{"name":"a"}}"#, n)));
    "functions" &["functions"] => |n| beside(format!(r#""functions":[{}]"#, list(r#"{"name":""}"#, n)));
    "tool calls" ANY => |n| talk(format!(r#"{{"role":"user","content":"a"}},{{"role":"assistant","tool_calls":[{}]}}"#,
        numbered(n, |i| format!(r#"{{"id":"{i:x}","type":"function","function":{{"name":"a","arguments":"{{}}"}}}}"#))));
    "tool results" ANY => |n| talk(format!(r#"{{"role":"user","content":"a"}},{}"#,
        numbered(n, |i| format!(r#"{{"role":"tool","tool_call_id":"{i:x}","content":""}}"#))));
    "tool calls and results" ANY => |n| talk(format!(r#"{{"role":"user","content":"a"}},{}"#, numbered(n, |i| format!(
        r#"{{"role":"assistant","tool_calls":[{{"id":"{i:x}","type":"function","function":{{"name":"a","arguments":"{{}}"}}}}]}},{{"role":"tool","tool_call_id":"{i:x}","content":""}}"#))));
    "stops" &["stop"] => |n| beside(format!(r#""stop":[{}]"#, list(r#""""#, n)));
    "a deep unknown member" ANY => |n| beside(format!(r#""x":{}"#, deep("[", "", "]", n)));
    "deep content" ANY => |n| content(deep("[", "", "]", n));
    "deep parameters of a tool" ANY => |n| beside(format!(
        r#""tools":[{{"type":"function","function":{{"name":"a","parameters":{}}}}}]"#, deep(r#"{"a":"#, "1", "}", n)));
    "deep arguments of a call" ANY => |n| talk(format!(
        r#"{{"role":"user","content":"a"}},{{"role":"assistant","tool_calls":[{{"id":"a","type":"function","function":{{"name":"a","arguments":"{}"}}}}]}}"#,
        deep("[", "", "]", n)));
    "a wide strict schema" ANY => |n| beside(format!(
        r#""tools":[{{"type":"function","function":{{"name":"a","strict":true,"parameters":{{"type":"object","properties":{{{}}}}}}}}}]"#,
        numbered(n, |i| format!(r#""{i:x}":{{"type":"string"}}"#))));
    "a wide response format" ANY => |n| beside(format!(
        r#""response_format":{{"type":"json_schema","json_schema":{{"name":"a","schema":{{"type":"object","properties":{{{}}}}}}}}}"#,
        numbered(n, |i| format!(r#""{i:x}":{{"type":"string"}}"#))));
    "a long definition's name, and many schemas" ANY => |n| beside(format!(
        r#""response_format":{{"type":"json_schema","json_schema":{{"name":"a","schema":{}}}}}"#, named_schema(n)));
    "the same in a strict tool" ANY => |n| beside(format!(
        r#""tools":[{{"type":"function","function":{{"name":"a","strict":true,"parameters":{}}}}}]"#, named_schema(n)));
    "references in a chain" ANY => |n| beside(format!(
        r##""response_format":{{"type":"json_schema","json_schema":{{"name":"a","strict":true,"schema":{{"type":"object","additionalProperties":false,"properties":{{}},"$defs":{{{}}}}}}}}}"##,
        numbered(n, |i| format!(r##""d{i}":{{"$ref":"#/$defs/d{}"}}"##, i + 1))));
    "a number for each fallback" &["fallbacks"] => |n| beside(format!(r#""fallbacks":[{}]"#, list("1", n)));
    "fallbacks that are all one" &["fallbacks"] => |n| beside(format!(r#""fallbacks":[{}]"#, list(r#""chat""#, n)));
    "fallbacks that all differ" &["fallbacks"] => |n| beside(format!(r#""fallbacks":[{}]"#, numbered(n, |i| format!(r#""oai/a{i}""#))));
    "one long fallback" &["fallbacks"] => |n| beside(format!(r#""fallbacks":["oai/{}"]"#, "a".repeat(n)));
    "text" &[] => |n| content(format!(r#""{}""#, "a".repeat(n)));
    "escapes" &[] => |n| content(format!(r#""{}""#, "\\n".repeat(n / 2)));
    "unicode escapes" &[] => |n| content(format!(r#""{}""#, "\\u0001".repeat(n / 6)));
    "quotes" &[] => |n| content(format!(r#""{}""#, "\\\"".repeat(n / 2)));
    "biases" ANY => |n| beside(format!(r#""logit_bias":{{{}}}"#, numbered(n, |i| format!(r#""{i}":1"#))));
    "metadata" ANY => |n| beside(format!(r#""metadata":{{{}}}"#, numbered(n, |i| format!(r#""{i}":"1""#))));
    "members with long names" ANY => |n| beside((0..60).map(|i| format!(r#""{i}{}":1"#, "n".repeat(n / 60))).collect::<Vec<_>>().join(","));
};

/// What clients of Anthropic can send.
pub(crate) const ANTHROPIC: &[Kind] = kinds! { Dialect::Anthropic;
    "numbers for messages" MESSAGES => |n| (format!(r#""messages":[{}]"#, list("1", n)), String::new());
    "many messages" MESSAGES => |n| (format!(r#""messages":[{}]"#, list(r#"{"role":"user","content":"a"}"#, n)), String::new());
    "turns" MESSAGES => |n| talk(list(r#"{"role":"user","content":"a"},{"role":"assistant","content":"b"}"#, n));
    "system blocks" &["system"] => |n| beside(format!(r#""system":[{}]"#, list(r#"{"type":"text","text":"a"}"#, n)));
    "empty text blocks" ANY => |n| content(format!("[{}]", list(r#"{"type":"text","text":""}"#, n)));
    "blocks with unknown members" ANY => |n| content(format!("[{}]", list(r#"{"type":"text","text":"a","x":1,"y":2}"#, n)));
    "empty objects for blocks" ANY => |n| content(format!("[{}]", list("{}", n)));
    "cache marks" ANY => |n| content(format!("[{}]", list(r#"{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}"#, n)));
    "citations" ANY => |n| talk(format!(
        r#"{{"role":"user","content":"a"}},{{"role":"assistant","content":[{{"type":"text","text":"a","citations":[{}]}}]}}"#,
        list(r#"{"type":"char_location","cited_text":"a","document_index":0,"start_char_index":0,"end_char_index":1}"#, n)));
    "thoughts" ANY => |n| talk(format!(
        r#"{{"role":"user","content":"a"}},{{"role":"assistant","content":[{}]}}"#, list(r#"{"type":"thinking","thinking":"a","signature":"s"}"#, n)));
    "documents" ANY => |n| content(format!("[{}]", list(r#"{"type":"document","source":{"type":"text","media_type":"text/plain","data":"a"}}"#, n)));
    "uses of tools" ANY => |n| talk(format!(r#"{{"role":"user","content":"a"}},{{"role":"assistant","content":[{}]}}"#,
        numbered(n, |i| format!(r#"{{"type":"tool_use","id":"{i:x}","name":"a","input":{{}}}}"#))));
    "results of tools" ANY => |n| content(format!("[{}]", numbered(n, |i| format!(r#"{{"type":"tool_result","tool_use_id":"{i:x}","content":""}}"#))));
    "parts of a tool's result" ANY => |n| content(format!(
        r#"[{{"type":"tool_result","tool_use_id":"a","content":[{}]}}]"#, list(r#"{"type":"text","text":""}"#, n)));
    "tools" &["tools"] => |n| beside(format!(r#""tools":[{}]"#, list(r#"{"name":"a","input_schema":{"type":"object"}}"#, n)));
    "deep schema of a tool" ANY => |n| beside(format!(r#""tools":[{{"name":"a","input_schema":{}}}]"#, deep(r#"{"a":"#, "1", "}", n)));
    "a wide schema" ANY => |n| beside(format!(
        r#""tools":[{{"name":"a","input_schema":{{"type":"object","properties":{{{}}}}}}}]"#, numbered(n, |i| format!(r#""{i:x}":{{"type":"string"}}"#))));
    "stops" &["stop"] => |n| beside(format!(r#""stop_sequences":[{}]"#, list(r#""""#, n)));
    "a deep unknown member" ANY => |n| beside(format!(r#""x":{}"#, deep("[", "", "]", n)));
    "deep content" ANY => |n| content(deep("[", "", "]", n));
    "unknown members" ANY => |n| beside(numbered(n, |i| format!(r#""u{i:x}":1"#)));
    "fallbacks that all differ" &["fallbacks"] => |n| beside(format!(r#""fallbacks":[{}]"#, numbered(n, |i| format!(r#""oai/a{i}""#))));
    "text" &[] => |n| content(format!(r#""{}""#, "a".repeat(n)));
    "unicode escapes" &[] => |n| content(format!(r#""{}""#, "\\u0001".repeat(n / 6)));
    "members with long names" ANY => |n| beside((0..60).map(|i| format!(r#""{i}{}":1"#, "n".repeat(n / 60))).collect::<Vec<_>>().join(","));
};

/// A definition whose name is a third of it, over as many schemas as fit into the rest.
fn named_schema(size: usize) -> String {
    let (name, schemas) = ("n".repeat(size / 2), list("{}", size / 2));
    format!(r#"{{"type":"object","additionalProperties":false,"$defs":{{"{name}":{{"anyOf":[{schemas}]}}}}}}"#)
}
