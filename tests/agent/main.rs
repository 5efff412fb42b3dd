//! Claude Code, the real program and headless, onto a provider that speaks OpenAI's protocol: it edits a file.
//!
//! Does not: pin what Claude Code says in its prompts. The provider's script goes by tools and results, whatever else is
//! asked for meanwhile. Does not leave loopback: the agent's environment is empty but for what is listed here.
//!
//! Decision: configuration and environment are those of `filter/docs/claude-code.md`, read from there, so that the page
//! is what works. Rejected: a copy here.

mod claude;
mod files;
mod provider;

use std::collections::BTreeSet;

use claude::Claude;
use provider::{Asked, World};

/// A model of each kind, as Claude Code knows them: one that thinks as much as it finds right and is given system
/// messages on the way, and an older one with a budget for thinking.
const MODELS: [&str; 2] = ["claude-opus-5-5", "claude-haiku-4-5"];

#[tokio::test(flavor = "multi_thread")]
async fn claude_code_edits_a_file_through_a_provider_of_the_other_protocol() {
    for model in MODELS {
        let world = World::start().await;
        let claude = Claude::new(world.stack.dir(), world.stack.listen());
        claude.write("greeting.txt", b"Hello wrold\n");
        claude.write("style.md", b"Greetings end with a full stop.\n");
        world.script(provider::edits(&claude));

        let said = claude.run("Mend greeting.txt as style.md wants it", &[("ANTHROPIC_MODEL", model)]).await;

        assert_eq!(claude.read("greeting.txt"), provider::MENDED, "{said:#}");
        assert_eq!((said["result"].as_str(), &said["is_error"]), (Some(provider::LAST_WORDS), &false.into()));
        let asked = world.check_requests();
        provider::check_edit(&asked.last().unwrap().body, &claude);
        world.check_ledger(asked.len()).await;
        report(model, &asked);
    }
}

/// Pictures, documents, failed tools, tools that are loaded later, a second agent, thoughts: each has a shape of its own
/// in Anthropic's protocol.
#[tokio::test(flavor = "multi_thread")]
async fn claude_code_gets_on_with_all_kinds_of_results() {
    let world = World::start().await;
    let claude = Claude::new(world.stack.dir(), world.stack.listen());
    claude.write("dot.png", files::PNG);
    claude.write("page.pdf", &files::pdf());
    world.script(provider::looks_around(&claude));

    let said = claude.run("Look around", &[("CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY", "1")]).await;

    assert_eq!((said["result"].as_str(), &said["is_error"]), (Some(provider::LAST_WORDS), &false.into()), "{said:#}");
    let asked = world.check_requests();
    provider::check_results(&asked);
    assert!(claude.remembers(provider::THOUGHT), "what the model thought is lost");
    world.check_ledger(asked.len()).await;
    // What it found at the gateway's `/v1/models`.
    let models = claude.read("../home/.claude/cache/gateway-models.json");
    assert!(models.contains("claude-opus-5-5") && models.contains("claude-haiku-4-5"), "{models}");
    report("whatever it likes", &asked);
}

fn report(model: &str, asked: &[Asked]) {
    let bytes: Vec<usize> = asked.iter().map(|request| request.bytes).collect();
    let tools: BTreeSet<usize> = asked.iter().map(Asked::tools).collect();
    println!("claude code as {model}: {} requests of {bytes:?} bytes, {tools:?} tools", asked.len());
}
