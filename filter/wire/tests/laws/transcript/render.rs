//! One case: what goes in, what comes out.

use wire::ir::{Losses, Operation};

use super::Kind;
use crate::cases::{self, Case};
use crate::doc::Doc;
use crate::page::code;
use crate::stream::{context, decode, encode};
use crate::walk::title;

pub(super) fn case(kind: Kind, case: &Case, from: &str, to: &str) -> String {
    let name = if case.name.starts_with('`') { case.name.clone() } else { code(&case.name) };
    let (from, to) = (Side { format: from }, Side { format: to });
    match kind {
        Kind::Request => request(&name, case, from, to),
        Kind::Response => response(&name, case, from, to),
        Kind::Stream => stream(&name, case, from, to),
        Kind::Fault => fault(&name, case, from, to),
    }
}

#[derive(Clone, Copy)]
struct Side<'a> {
    format: &'a str,
}

impl Side<'_> {
    fn title(self) -> &'static str {
        title(self.format)
    }
}

fn request(name: &str, case: &Case, from: Side<'_>, to: Side<'_>) -> String {
    let mut text = format!("\n## Request {name}: {} to {}\n\nThe client sends\n\n", from.title(), to.title());
    block(&mut text, &Doc::parse(&case.body));
    let request = match cases::inbound(from.format).decode_request(&case.body) {
        Ok(request) => request,
        Err(wrong) => {
            text.push_str(&format!("\nand is refused: `{}`: {}\n", wrong.path, wrong.message));
            return text;
        }
    };
    let provider = cases::outbound(to.format);
    let mut losses = Losses::default();
    let encoded = provider.encode_request(&request, "target-model", &mut losses);
    text.push_str(&format!("\nThe provider gets, at `{}`\n\n", provider.path(Operation::Chat).unwrap()));
    block(&mut text, &Doc::parse(&encoded));
    if losses.dropped.is_empty() {
        text.push_str("\nNothing is dropped.\n");
    } else {
        let names: Vec<String> = losses.dropped.iter().map(|name| code(name)).collect();
        text.push_str(&format!("\nDropped or bent: {}.\n", names.join(", ")));
    }
    text
}

fn response(name: &str, case: &Case, from: Side<'_>, to: Side<'_>) -> String {
    let mut text = format!("\n## Answer {name}: {} to {}\n\nThe provider answers\n\n", from.title(), to.title());
    block(&mut text, &Doc::parse(&case.body));
    let response = cases::outbound(from.format).decode_response(&case.body).unwrap();
    text.push_str("\nThe client gets\n\n");
    block(&mut text, &Doc::parse(&cases::inbound(to.format).encode_response(&response, &context())));
    text
}

fn stream(name: &str, case: &Case, from: Side<'_>, to: Side<'_>) -> String {
    let mut text = format!("\n## Stream {name}: {} to {}\n\nThe provider streams\n\n", from.title(), to.title());
    fenced(&mut text, "", &String::from_utf8_lossy(&case.body));
    let bytes = encode(to.format, &decode(from.format, &[&case.body]), context()).concat();
    text.push_str("\nThe client gets\n\n");
    fenced(&mut text, "", &String::from_utf8_lossy(&bytes));
    text
}

fn fault(name: &str, case: &Case, from: Side<'_>, to: Side<'_>) -> String {
    let status = cases::status_of(case);
    let fault = cases::outbound(from.format).decode_fault(status, &case.body);
    let client = cases::inbound(to.format);
    let mut text = format!("\n## Error {name}: {} to {}\n\n", from.title(), to.title());
    text.push_str(&format!("The provider answers with status {status}\n\n"));
    block(&mut text, &Doc::parse(&case.body));
    text.push_str(&format!("\nThe client gets status {}\n\n", client.status(&fault)));
    block(&mut text, &Doc::parse(&client.encode_fault(&fault)));
    text
}

fn block(text: &mut String, doc: &Doc) {
    fenced(text, "json", &doc.pretty());
}

fn fenced(text: &mut String, language: &str, body: &str) {
    // Carriage returns would not survive editors.
    let body = body.replace("\r\n", "\n").replace('\r', "\n");
    text.push_str(&format!("```{language}\n{}\n```\n", body.trim_end()));
}
