//! Walks over every documented member, request and answer: what the other formats make of it.
//!
//! The law: every parameter is mapped, dropped and named, refused, or means nothing for a written reason. The walks write
//! `filter/docs/translation.md`, so what it says is what the code does.

mod answer;
mod diff;
mod error;
mod event;
mod parameter;
pub(crate) mod path;
pub(crate) mod row;

use wire::format::INBOUND;

use crate::page;

/// What all tables say in front.
const HEAD: &str = include_str!("head.md");

/// Every inbound format, and every other format that some provider speaks.
pub(crate) fn directions() -> impl Iterator<Item = (&'static str, &'static str)> {
    let targets = crate::cases::formats();
    INBOUND.iter().flat_map(move |from| {
        let others: Vec<_> = targets.iter().map(|to| to.name()).filter(|to| *to != from.name()).collect();
        others.into_iter().map(|to| (from.name(), to))
    })
}

/// How the formats are called in headings.
pub(crate) fn title(format: &str) -> &'static str {
    match format {
        "openai_chat" => "OpenAI Chat Completions",
        "anthropic" => "Anthropic Messages",
        other => panic!("say how {other} is called"),
    }
}

#[test]
fn documents_the_table_of_translations() {
    let mut text = HEAD.to_owned();
    for (from, to) in directions() {
        text.push_str(&format!("\n## Requests: {} client, {} provider\n\n", title(from), title(to)));
        text.push_str(&parameter::table(from, to));
    }
    for (from, to) in directions() {
        // The answer goes the other way: from the provider's format to the client's.
        text.push_str(&format!("\n## Answers: {} provider, {} client\n\n", title(from), title(to)));
        text.push_str(&answer::table(from, to));
        text.push_str(&format!("\n### Stream: {} provider, {} client\n\n", title(from), title(to)));
        text.push_str(&event::table(from, to));
    }
    text.push_str("\n## Errors\n\n");
    text.push_str(&error::table());
    page::check("translation.md", &text);
}
