//! Counted prompts, as a filter asks for them, and against what vendors billed.

use std::path::Path;

use engine::govern::size::Size;
use serde_json::Value;
use sidecar::serve::count::prompt;
use sidecar_api::v1::{AdmitRequest, Count, ModelName};
use tonic::Code;
use wire::ir::Usage;
use wire::scan::scan;

use super::support::Place;

fn asked(models: &[&str], body: &str) -> AdmitRequest {
    let named = |model: &&str| ModelName { provider: "openai".to_owned(), model: (*model).to_owned() };
    let count = Count { models: models.iter().map(named).collect(), body: body.as_bytes().to_vec() };
    AdmitRequest { vm_nonce: vec![1; 16], count: Some(count), ..AdmitRequest::default() }
}

const BODY: &str =
    r#"{"model":"m","messages":[{"role":"user","content":"antidisestablishmentarianism"}],"max_tokens":20}"#;

#[tokio::test]
async fn a_prompt_is_counted_for_the_model_that_makes_most_of_it() {
    let place = Place::new();
    let server = place.start().await;
    let mut client = place.client();
    let mut count = async |models: &[&str], body: &str| {
        client.admit(asked(models, body)).await.map(|answer| answer.into_inner().tokens)
    };
    // Six tokens, as OpenAI publishes; a role; what is around.
    let tokens = count(&["gpt-4o"], BODY).await.unwrap();
    assert!((6 + 7..40).contains(&tokens), "{tokens}");
    let japanese = BODY.replace("antidisestablishmentarianism", "お誕生日おめでとう");
    let [old, new, both] = [
        count(&["gpt-4"], &japanese).await.unwrap(),
        count(&["gpt-4o"], &japanese).await.unwrap(),
        count(&["gpt-4o", "gpt-4"], &japanese).await.unwrap(),
    ];
    assert!(old == new + 1 && both == old, "{old} {new} {both}");
    for (models, body) in [
        (["claude-sonnet-4-6", "gpt-4o"].as_slice(), BODY),
        (&["gpt-4o"], "{"),
        (&["gpt-4o"], r#"{"messages":[{"content":[{"type":"image_url","image_url":{"url":"https://a/b"}}]}]}"#),
    ] {
        assert_eq!(count(models, body).await.unwrap(), 0, "{models:?} {body}");
    }
    let long = format!(r#"{{"messages":[{{"role":"user","content":"{}"}}]}}"#, "x".repeat(256 << 10));
    assert_eq!(count(&["gpt-4o"], &long).await.unwrap_err().code(), Code::InvalidArgument);
    server.stop().await;
}

#[test]
fn every_text_counts_wherever_it_stands() {
    let counted = |body: &str| prompt("gpt-4o", body.as_bytes()).unwrap();
    let plain = counted(BODY);
    let word = counted(&BODY.replace("anti", "anti anti")) - plain;
    assert!(word > 0);
    let twice = BODY.replace(r#""content":"#, r#""content":"antidisestablishmentarianism","content":"#);
    assert!(counted(&twice) >= plain + 6, "a name that stands twice");
    let ignored = BODY.replace(r#""max_tokens":20"#, r#""user":"antidisestablishmentarianism","metadata":{"a":"b"}"#);
    assert_eq!(counted(&ignored), plain, "what is in no prompt");
    let tools = r#""tools":[{"type":"function","function":{"name":"f","description":"antidisestablishmentarianism"}}]"#;
    assert!(counted(&BODY.replace(r#""max_tokens":20"#, tools)) > plain + 1024 + 6);
    let input = r#"[{"type":"tool_use","id":"a","name":"f","input":{"type":["a",1,null,true]}}]"#;
    let call = BODY.replace(r#""antidisestablishmentarianism""#, input);
    assert!(counted(&call) > 20, "{}", counted(&call));
    let harmony = prompt("gpt-oss-20b", BODY.as_bytes()).unwrap();
    assert_eq!(harmony, plain + 128, "what open models are told before");
}

#[test]
fn the_published_example_is_within_its_bound_and_near_it() {
    // https://github.com/openai/openai-cookbook/blob/main/examples/How_to_count_tokens_with_tiktoken.ipynb
    let example = r#"{"messages":[
        {"role":"system","content":"You are a helpful, pattern-following assistant that translates corporate jargon into plain English."},
        {"role":"system","name":"example_user","content":"New synergies will help drive top-line growth."},
        {"role":"system","name":"example_assistant","content":"Things working well together will increase revenue."},
        {"role":"system","name":"example_user","content":"Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage."},
        {"role":"system","name":"example_assistant","content":"Let's talk later when we're less busy about how to do better."},
        {"role":"user","content":"This late pivot means we don't have time to boil the ocean for the client deliverable."}]}"#;
    for (model, billed) in [("gpt-3.5-turbo", 129), ("gpt-4", 129), ("gpt-4o", 124), ("gpt-4o-mini", 124)] {
        let tokens = prompt(model, example.as_bytes()).unwrap();
        assert!((billed..billed + 60).contains(&tokens), "{model}: {billed} billed, {tokens} counted");
    }
}

#[test]
fn no_recorded_prompt_was_billed_more_than_is_counted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/recordings");
    let folder = std::env::var_os("ATTACHE_RECORDINGS").map_or(root, Into::into).join("openai_chat");
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("no recordings at {}: nothing is checked", folder.display());
        return;
    };
    let (mut checked, mut sums) = (0, [0; 3]);
    for file in files {
        let exchange: Value = serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
        let text = |side: &str| exchange[side]["text"].as_str();
        let chat = exchange["operation"] == "chat" && exchange["response"]["status"] == 200;
        let (true, Some(request), Some(answer)) = (chat, text("request"), text("response")) else { continue };
        let Ok(scanned) = scan(request.as_bytes()) else { continue };
        // The same models at resellers are asked for under longer names.
        let model = scanned.model.as_deref().unwrap_or_default();
        let Some(tokens) = prompt(model.trim_start_matches("openai/"), request.as_bytes()) else { continue };
        let Some(billed) = usage_of(answer).input.filter(|input| *input > 0) else { continue };
        let bytes = Size::of(&scanned, request.as_bytes(), None).input_worst.unwrap();
        assert!(billed <= tokens, "{}: {billed} billed, {tokens} counted", exchange["source"]);
        checked += 1;
        sums = [sums[0] + billed, sums[1] + tokens, sums[2] + bytes];
    }
    println!("{checked} exchanges: {} tokens billed, {} counted, {} by bytes", sums[0], sums[1], sums[2]);
    assert!(checked > 15, "{checked}");
}

fn usage_of(answer: &str) -> Usage {
    let format = wire::provider::find("openai").unwrap().format;
    if answer.trim_start().starts_with('{') {
        return format.glance(answer.as_bytes()).unwrap_or_default();
    }
    let mut watch = format.stream_watch(false);
    watch.push(answer.as_bytes(), &mut Vec::new());
    watch.finish(&mut Vec::new());
    watch.usage()
}
