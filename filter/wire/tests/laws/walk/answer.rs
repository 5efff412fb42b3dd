//! Answers: what a client of another format sees of every member.

use super::diff;
use super::row::{self, Row};
use crate::cases;
use crate::doc::Doc;
use crate::page::cell;
use crate::stream::context;

fn encode(from: &str, to: &str, body: &Doc) -> Doc {
    let response = cases::outbound(from).decode_response(body.line().as_bytes());
    let response = response.unwrap_or_else(|e| panic!("{e:?}: {}", body.line()));
    Doc::parse(&cases::inbound(to).encode_response(&response, &context()))
}

fn becomes(from: &str, to: &str, row: &Row) -> String {
    let changes = diff::between(&encode(from, to, &row.without), &encode(from, to, &row.with));
    diff::shown(&changes, &row.sent)
}

pub(super) fn table(from: &str, to: &str) -> String {
    let mut text = "| member | the client sees | remark |\n|---|---|---|\n".to_owned();
    for row in row::rows(from, "answer") {
        let becomes = becomes(from, to, &row);
        let seen = if becomes.is_empty() { "nothing" } else { &becomes };
        let remarks: Vec<String> = row.lost(to).iter().chain(&row.note).map(|text| cell(text)).collect();
        text.push_str(&format!("| {} | {seen} | {} |\n", row.shown, remarks.join("; ")));
    }
    text
}

#[test]
fn what_a_client_cannot_see_of_an_answer_has_a_reason() {
    let (mut unseen, mut untrue) = (Vec::new(), Vec::new());
    for (from, to) in super::directions() {
        for row in row::rows(from, "answer") {
            match (becomes(from, to, &row).as_str(), row.lost(to)) {
                ("", None) => unseen.push(format!("{from} to {to}: {}", row.label)),
                ("", Some(_)) | (_, None) => {}
                (seen, Some(why)) => {
                    untrue.push(format!("{from} to {to}: {} is seen as {seen}, though {why}", row.label))
                }
            }
        }
    }
    assert_eq!(untrue, [""; 0], "reasons that no longer hold");
    assert_eq!(unseen, Vec::<String>::new(), "lost without a reason");
}
