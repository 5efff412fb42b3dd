//! Requests of other formats told to Anthropic, by what its models take. Built as IR, so that no other format has a say.

use wire::ir::{
    Citation, Extra, Losses, Media, MediaSource, Output, Part, Reasoning, Request, Role, Sampling, ServiceTier, Tool,
    ToolChoice, Turn, WebSearch,
};
use wire::json;

use crate::cases;
use crate::tree::Tree;

const OLD: &str = "claude-sonnet-4-20250514";
const BUDGETS: &str = "claude-sonnet-4-5";
const BOTH: &str = "claude-opus-4-6";
const NEW: &str = "claude-opus-5";

fn encode(model: &str, request: &Request) -> (Tree, Vec<String>) {
    let mut losses = Losses::default();
    let body = cases::outbound("anthropic").encode_request(request, model, &mut losses);
    (Tree::parse(&body), losses.dropped)
}

/// What `request` becomes, and what is lost. Only the members of `expected` are compared.
#[track_caller]
fn check(model: &str, request: &Request, expected: &str, losses: &[&str]) {
    let (body, dropped) = encode(model, request);
    let Tree::Object(expected) = Tree::parse(expected.as_bytes()) else { panic!("an object") };
    for (name, value) in &expected {
        assert_eq!(body.get(name).unwrap_or(&Tree::Null), value, "{name}");
    }
    assert_eq!(dropped, losses);
}

fn extra(members: &[(&str, &str)]) -> Extra {
    let member = |(name, value): &(&str, &str)| ((*name).to_owned(), json::raw((*value).to_owned()).unwrap());
    Extra { format: "openai_chat", members: members.iter().map(member).collect(), ..Extra::default() }
}

fn text(text: &str) -> Part {
    Part::Text { text: text.to_owned(), citations: Vec::new(), extra: Extra::default() }
}

fn turn(role: Role, parts: Vec<Part>) -> Turn {
    Turn { role, parts, extra: extra(&[]) }
}

fn said(turns: Vec<Turn>) -> Request {
    Request { turns, extra: extra(&[]), ..Request::default() }
}

fn ask() -> Request {
    said(vec![turn(Role::User, vec![text("Q")])])
}

fn call(id: &str) -> Part {
    Part::ToolCall { id: id.to_owned(), name: "f".to_owned(), arguments: "{}".to_owned(), extra: extra(&[]) }
}

fn result(id: &str, content: Vec<Part>) -> Part {
    Part::ToolResult { id: id.to_owned(), content, is_error: false, extra: extra(&[]) }
}

fn media(media_type: &str, data: &str) -> Media {
    let source = MediaSource::Base64 { media_type: media_type.to_owned(), data: data.to_owned() };
    Media { source, name: None, extra: extra(&[]) }
}

fn schema(text: &str) -> Output {
    Output::JsonSchema { name: None, schema: json::raw(text.to_owned()).unwrap(), strict: Some(true) }
}

fn tool(strict: Option<bool>, parameters: &str) -> Tool {
    let schema = Some(json::raw(parameters.to_owned()).unwrap());
    Tool { name: "f".to_owned(), schema, strict, extra: extra(&[]), ..Tool::default() }
}

const CLOSED: &str = r#"{"type":"object","additionalProperties":false,"properties":{}}"#;
const OPEN: &str = r#"{"type":"object","properties":{}}"#;

#[test]
fn media_become_the_block_their_type_asks_for() {
    let url = Media { source: MediaSource::Url("https://example.com/a".to_owned()), name: None, extra: extra(&[]) };
    let file = Media { source: MediaSource::FileId("file-1".to_owned()), name: None, extra: extra(&[]) };
    let named = Media { name: Some("a.txt".to_owned()), ..media("text/plain; charset=utf-8", "aGk=") };
    let parts = vec![
        Part::Image(media("image/png", "AA==")),
        Part::Image(url.clone()),
        Part::Document(media("application/pdf", "AA==")),
        Part::Document(media("image/webp", "AA==")),
        Part::Document(named),
        Part::Document(url),
        Part::Image(media("image/svg+xml", "AA==")),
        Part::Document(file),
    ];
    check(
        NEW,
        &said(vec![turn(Role::User, parts)]),
        r#"{"messages":[{"role":"user","content":[
            {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}},
            {"type":"image","source":{"type":"url","url":"https://example.com/a"}},
            {"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"AA=="}},
            {"type":"image","source":{"type":"base64","media_type":"image/webp","data":"AA=="}},
            {"type":"document","source":{"type":"text","media_type":"text/plain","data":"hi"},"title":"a.txt"},
            {"type":"document","source":{"type":"url","url":"https://example.com/a"}}]}]}"#,
        &["messages[0].content[6]", "messages[0].content[7]"],
    );
}

#[test]
fn thinking_that_is_signed_goes_back_before_what_it_led_to() {
    let thought = |signature: Option<&str>, redacted| Part::Reasoning {
        text: if redacted { String::new() } else { "T".to_owned() },
        signature: signature.map(str::to_owned),
        redacted,
    };
    let turns = |parts| {
        vec![
            turn(Role::User, vec![text("Q")]),
            turn(Role::Assistant, parts),
            turn(Role::Tool, vec![result("a.1", vec![text(" "), Part::Image(media("image/png", "AA=="))])]),
        ]
    };
    let reasoning = Some(Reasoning::Budget(2000));
    let signed = vec![call("a.1"), thought(Some("s"), false), thought(Some("d"), true), thought(None, false)];
    check(
        BUDGETS,
        &Request { reasoning: reasoning.clone(), ..said(turns(signed)) },
        r#"{"thinking":{"type":"enabled","budget_tokens":2000},"max_tokens":34000,"messages":[
            {"role":"user","content":"Q"},
            {"role":"assistant","content":[
                {"type":"thinking","thinking":"T","signature":"s"},{"type":"redacted_thinking","data":"d"},
                {"type":"tool_use","id":"a_1","name":"f","input":{}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"a_1","content":[
                {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}}]}]}]}"#,
        &["messages[1].reasoning_content"],
    );
    // Without a signature a budget is refused inside the round; adaptive thinking asks for none.
    let unsigned = Request { reasoning, ..said(turns(vec![thought(Some(""), false), call("a.1")])) };
    let lost = ["reasoning_effort", "messages[1].reasoning_content"];
    check(BUDGETS, &unsigned, r#"{"thinking":null}"#, &lost);
    check(NEW, &unsigned, r#"{"thinking":{"type":"adaptive","display":"summarized"}}"#, &lost);
}

#[test]
fn reasoning_is_asked_for_in_the_models_own_way() {
    let adaptive = r#"{"type":"adaptive","display":"summarized"}"#;
    let budget = |tokens: u64| format!(r#"{{"type":"enabled","budget_tokens":{tokens}}}"#);
    let effort = |word: &str| Reasoning::Effort(word.to_owned());
    let bent = &["reasoning_effort"][..];
    for (model, wanted, thinking, word, losses) in [
        (NEW, effort("high"), adaptive, "high", &[][..]),
        (NEW, effort("minimal"), adaptive, "low", bent),
        (NEW, Reasoning::Auto, adaptive, "", &[]),
        (NEW, Reasoning::Off, r#"{"type":"disabled"}"#, "", &[]),
        (NEW, Reasoning::Budget(5000), adaptive, "high", bent),
        ("claude-fable-5", Reasoning::Off, "null", "low", bent),
        (BOTH, effort("xhigh"), adaptive, "high", bent),
        (BOTH, Reasoning::Budget(5000), &budget(5000), "", &[]),
        (BUDGETS, effort("medium"), &budget(4096), "", &[]),
        (BUDGETS, effort("max"), &budget(32_768), "", &[]),
        (BUDGETS, Reasoning::Budget(7), &budget(1024), "", &[]),
        (BUDGETS, Reasoning::Off, r#"{"type":"disabled"}"#, "", &[]),
        ("claude-3-5-haiku-latest", effort("high"), "null", "", bent),
        ("claude-3-5-haiku-latest", Reasoning::Off, "null", "", &[]),
    ] {
        let config = if word.is_empty() { "null".to_owned() } else { format!(r#"{{"effort":"{word}"}}"#) };
        let expected = format!(r#"{{"thinking":{thinking},"output_config":{config}}}"#);
        check(model, &Request { reasoning: Some(wanted), ..ask() }, &expected, losses);
    }
}

#[test]
fn a_budget_gives_way_to_the_rest_of_the_request() {
    let request = Request { reasoning: Some(Reasoning::Budget(4096)), ..ask() };
    let bound = |n| Request { max_tokens: Some(n), ..request.clone() };
    let bent = ["reasoning_effort"];
    check(BUDGETS, &bound(2000), r#"{"thinking":{"type":"enabled","budget_tokens":1999},"max_tokens":2000}"#, &bent);
    check(BUDGETS, &bound(1000), r#"{"thinking":null,"max_tokens":1000}"#, &bent);
    let forced = |model, thinking: &str, losses: &[&str]| {
        let (tools, tool_choice) = (vec![tool(None, OPEN)], Some(ToolChoice::Required));
        check(model, &Request { tools, tool_choice, ..request.clone() }, thinking, losses);
    };
    forced(BUDGETS, r#"{"thinking":null,"tool_choice":{"type":"any"}}"#, &bent);
    forced("claude-fable-5-1", r#"{"tool_choice":{"type":"auto"}}"#, &["tool_choice", "reasoning_effort"]);
}

#[test]
fn sampling_is_what_the_model_takes() {
    let number = |n: f64| serde_json::Number::from_f64(n);
    let request = |temperature: f64, top_p: f64| Request {
        sampling: Sampling {
            temperature: number(temperature),
            top_p: number(top_p),
            top_k: Some(40.into()),
            frequency_penalty: number(0.0),
            presence_penalty: number(0.5),
            seed: Some(7.into()),
        },
        n: Some(2),
        ..ask()
    };
    let always = ["presence_penalty", "seed", "n"];
    let and = |mut names: Vec<&'static str>| {
        names.extend(always);
        names
    };
    let all = r#"{"temperature":0.5,"top_p":0.9,"top_k":40}"#;
    check("claude-3-haiku-20240307", &request(0.5, 0.9), all, &always);
    check(BUDGETS, &request(0.5, 0.9), r#"{"temperature":0.5,"top_p":null,"top_k":40}"#, &and(vec!["top_p"]));
    check(BUDGETS, &request(1.5, 1.0), r#"{"temperature":1,"top_p":null}"#, &and(vec!["temperature"]));
    let none = r#"{"temperature":null,"top_p":null,"top_k":null}"#;
    check(NEW, &request(0.5, 0.9), none, &and(vec!["temperature", "top_p", "top_k"]));
    check(NEW, &request(1.0, 1.0), none, &and(vec!["top_k"]));
    let thinks = Request { reasoning: Some(Reasoning::Budget(2000)), ..request(1.0, 0.9) };
    check(BUDGETS, &thinks, none, &and(vec!["top_p", "top_k"]));
}

#[test]
fn schemas_are_enforced_or_called_for() {
    let native = format!(r#"{{"output_config":{{"format":{{"type":"json_schema","schema":{CLOSED}}}}},"tools":null}}"#);
    check(NEW, &Request { output: Some(schema(CLOSED)), ..ask() }, &native, &[]);
    let about = r#""name":"attache_output","description":"Gives the final answer. The input is the whole answer, as a JSON object.""#;
    let by_tool = |schema: &str, rest: &str| {
        format!(r#"{{"output_config":null,"tools":[{{{about},"input_schema":{schema}}}],"tool_choice":{rest}}}"#)
    };
    let alone = r#"{"type":"tool","name":"attache_output"}"#;
    let strict = ["response_format.json_schema.strict"];
    check(NEW, &Request { output: Some(schema(OPEN)), ..ask() }, &by_tool(OPEN, alone), &strict);
    check(OLD, &Request { output: Some(schema(CLOSED)), ..ask() }, &by_tool(CLOSED, alone), &strict);
    let object = Request { output: Some(Output::JsonObject), ..ask() };
    check(NEW, &object, &by_tool(r#"{"type":"object"}"#, alone), &[]);
    check("claude-mythos-5-1", &object, &by_tool(r#"{"type":"object"}"#, r#"{"type":"auto"}"#), &["response_format"]);
    // Beside tools the model may call one of those as well; a tool the client demands is the answer itself.
    let beside = Request { tools: vec![tool(None, OPEN)], parallel_tools: Some(false), ..object.clone() };
    check(NEW, &beside, r#"{"tool_choice":{"type":"any","disable_parallel_tool_use":true}}"#, &[]);
    let demanded = Request { tool_choice: Some(ToolChoice::Named("f".to_owned())), ..beside };
    let only = format!(
        r#"{{"tools":[{{"name":"f","input_schema":{OPEN}}}],
        "tool_choice":{{"type":"tool","name":"f","disable_parallel_tool_use":true}}}}"#
    );
    check(NEW, &demanded, &only, &["response_format"]);
}

#[test]
fn tools_are_strict_where_that_is_possible() {
    for (model, schema, kept) in [(NEW, CLOSED, true), (NEW, OPEN, false), (OLD, CLOSED, false)] {
        let request = Request { tools: vec![tool(Some(true), schema)], ..ask() };
        let strict = if kept { r#","strict":true"# } else { "" };
        let expected = format!(r#"{{"tools":[{{"name":"f","input_schema":{schema}{strict}}}],"tool_choice":null}}"#);
        check(model, &request, &expected, if kept { &[] } else { &["tools[0].function.strict"] });
    }
}

#[test]
fn a_choice_among_tools_keeps_its_meaning() {
    for (choice, parallel, expected) in [
        (None, None, "null"),
        (None, Some(true), "null"),
        (None, Some(false), r#"{"type":"auto","disable_parallel_tool_use":true}"#),
        (Some(ToolChoice::Auto), Some(true), r#"{"type":"auto"}"#),
        (Some(ToolChoice::None), Some(false), r#"{"type":"none"}"#),
        (Some(ToolChoice::Required), None, r#"{"type":"any"}"#),
        (Some(ToolChoice::Named("f".to_owned())), None, r#"{"type":"tool","name":"f"}"#),
    ] {
        let (tool_choice, parallel_tools) = (choice, parallel);
        let request = Request { tools: vec![tool(None, OPEN)], tool_choice, parallel_tools, ..ask() };
        check(NEW, &request, &format!(r#"{{"tool_choice":{expected}}}"#), &[]);
    }
}

#[test]
fn a_search_of_the_web_is_a_tool_here() {
    let mut search = WebSearch {
        max_uses: Some(2),
        allowed_domains: vec!["example.com".to_owned()],
        context_size: Some("high".to_owned()),
        ..WebSearch::default()
    };
    search.location[2] = Some("FR".to_owned());
    let tools = vec![Tool { web_search: Some(search), ..Tool::default() }];
    check(
        NEW,
        &Request { tools, ..ask() },
        r#"{"tools":[{"type":"web_search_20250305","name":"web_search","max_uses":2,"allowed_domains":["example.com"],
            "user_location":{"type":"approximate","country":"FR"}}]}"#,
        &["web_search_options.search_context_size"],
    );
}

#[test]
fn cache_markers_are_carried_over_and_never_a_loss() {
    let mark = ("cache_control", r#"{"type":"ephemeral"}"#);
    let marked =
        |text: &str| Part::Text { text: text.to_owned(), citations: vec![], extra: extra(&[mark, ("x", "1")]) };
    let mut request = said(vec![
        turn(Role::System, vec![marked("S")]),
        Turn { extra: extra(&[mark]), ..turn(Role::User, vec![text("A"), text("B")]) },
        turn(Role::Assistant, vec![call("c")]),
        Turn { extra: extra(&[mark]), ..turn(Role::Tool, vec![result("c", vec![text("R")])]) },
    ]);
    request.tools = vec![Tool { extra: extra(&[mark]), ..tool(None, OPEN) }];
    request.extra = extra(&[mark]);
    let c = r#""cache_control":{"type":"ephemeral"}"#;
    let expected = format!(
        r#"{{{c},"system":[{{"type":"text","text":"S",{c}}}],"messages":[
            {{"role":"user","content":[{{"type":"text","text":"A"}},{{"type":"text","text":"B",{c}}}]}},
            {{"role":"assistant","content":[{{"type":"tool_use","id":"c","name":"f","input":{{}}}}]}},
            {{"role":"user","content":[{{"type":"tool_result","tool_use_id":"c","content":"R",{c}}}]}}],
          "tools":[{{"name":"f","input_schema":{OPEN},{c}}}]}}"#
    );
    check(NEW, &request, &expected, &["messages[0].content[0].x"]);
}

#[test]
fn instructions_on_the_way_stay_where_the_model_takes_them() {
    let request = said(vec![
        turn(Role::System, vec![text("S")]),
        turn(Role::User, vec![text("A")]),
        turn(Role::System, vec![text("late")]),
        turn(Role::Assistant, vec![text("B")]),
        turn(Role::System, vec![text("misplaced")]),
        turn(Role::User, vec![text("C")]),
    ]);
    let system = |texts: &str| format!(r#""system":[{texts}]"#);
    let block = |text: &str| format!(r#"{{"type":"text","text":"{text}"}}"#);
    let kept = r#"{"role":"user","content":"A"},{"role":"system","content":"late"},{"role":"assistant","content":"B"}"#;
    let expected = format!(
        r#"{{{},"messages":[{kept},{{"role":"user","content":"C"}}]}}"#,
        system(&[block("S"), block("misplaced")].join(","))
    );
    check(NEW, &request, &expected, &["messages[4].role"]);
    let expected = format!("{{{}}}", system(&[block("S"), block("late"), block("misplaced")].join(",")));
    check("claude-sonnet-5", &request, &expected, &["messages[2].role", "messages[4].role"]);
}

#[test]
fn an_open_turn_of_the_assistant_is_continued_or_closed() {
    let request = said(vec![turn(Role::User, vec![text("A")]), turn(Role::Assistant, vec![text("It is \n")])]);
    let turns = r#"{"role":"user","content":"A"},{"role":"assistant","content":"It is"}"#;
    check(BUDGETS, &request, &format!(r#"{{"messages":[{turns}]}}"#), &[]);
    let closed = format!(r#"{{"messages":[{turns},{{"role":"user","content":"Continue."}}]}}"#);
    check(NEW, &request, &closed, &["messages[1].role"]);
}

#[test]
fn the_rest_has_its_place_or_is_named() {
    let cited = Citation { url: Some("https://example.com".to_owned()), ..Citation::default() };
    let parts = vec![Part::Text { text: "B".to_owned(), citations: vec![cited], extra: Extra::default() }];
    let request = Request {
        user: Some("u".to_owned()),
        service_tier: Some(ServiceTier::Standard),
        stop: vec!["\n".to_owned(), "END".to_owned()],
        extra: extra(&[("logit_bias", "{}")]),
        ..said(vec![turn(Role::User, vec![text("A")]), turn(Role::Assistant, parts), turn(Role::User, vec![text("C")])])
    };
    check(
        NEW,
        &request,
        r#"{"metadata":{"user_id":"u"},"service_tier":"standard_only","stop_sequences":["END"],"max_tokens":32000}"#,
        &["messages[1].annotations", "stop", "logit_bias"],
    );
}
