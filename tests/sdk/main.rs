//! The vendors' own SDKs, in Python and in Node, as clients of the whole product, towards providers of the other
//! protocol. The scripts beside this file hold the features; each answer is validated strictly against the SDK's types.
//!
//! Does not: repeat what the stories in `tests/envoy` show about routing and keys.
//!
//! Decision: without the SDKs this fails and names the command that brings them. Rejected: skipping, which looks like
//! passing.

mod features;
mod world;

use world::{Script, World};

#[tokio::test(flavor = "multi_thread")]
async fn openai_for_python() {
    World::start().await.run(&Script::python("openai_sdk.py"), features::OPENAI).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropic_for_python() {
    World::start().await.run(&Script::python("anthropic_sdk.py"), features::ANTHROPIC).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_for_node() {
    World::start().await.run(&Script::node("openai.mjs"), features::OPENAI).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropic_for_node() {
    World::start().await.run(&Script::node("anthropic.mjs"), features::ANTHROPIC).await;
}
