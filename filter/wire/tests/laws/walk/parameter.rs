//! Requests: the law and its table.

use wire::ir::Losses;

use super::diff;
use super::row::{self, Row};
use crate::cases;
use crate::doc::Doc;
use crate::page::{cell, code};

/// Models that a format's encoder may treat differently, the one that the table is about first.
fn models(format: &str) -> &'static [&'static str] {
    match format {
        "openai_chat" => &["gpt-5.1", "gpt-4o-search-preview"],
        "anthropic" => &["claude-opus-5", "claude-sonnet-4-5", "claude-3-5-haiku-latest"],
        _ => &["target"],
    }
}

/// What became of one parameter.
#[derive(PartialEq)]
enum Verdict {
    Kept(String),
    Bent(String, Vec<String>),
    Dropped(Vec<String>),
    Refused(String),
    Silent,
}

/// The body for the provider and what was noted.
fn encode(from: &str, to: &str, model: &str, body: &Doc) -> Result<(Doc, Vec<String>), String> {
    let request = cases::inbound(from).decode_request(body.line().as_bytes());
    let request = request.map_err(|wrong| format!("{}: {}", wrong.path, wrong.message))?;
    let mut losses = Losses::default();
    let encoded = cases::outbound(to).encode_request(&request, model, &mut losses);
    Ok((Doc::parse(&encoded), losses.dropped))
}

fn judge(from: &str, to: &str, model: &str, row: &Row) -> Verdict {
    let (with, noted) = match encode(from, to, model, &row.with) {
        Ok(encoded) => encoded,
        Err(why) => return Verdict::Refused(why),
    };
    let (without, before) = encode(from, to, model, &row.without).unwrap_or_else(|e| panic!("{}: {e}", row.label));
    // What was noted because of it; or that it is part of what is lost as a whole.
    let noted: Vec<String> = noted.into_iter().filter(|loss| row.is_in(loss) || !before.contains(loss)).collect();
    let changes = diff::between(&without, &with);
    let becomes = diff::shown(&changes, &row.sent);
    match (changes.is_empty(), noted.is_empty()) {
        (false, true) => Verdict::Kept(becomes),
        (false, false) => Verdict::Bent(becomes, noted),
        (true, false) => Verdict::Dropped(noted),
        (true, true) => Verdict::Silent,
    }
}

pub(super) fn table(from: &str, to: &str) -> String {
    let (first, others) = models(to).split_first().unwrap();
    let mut text = format!("The provider's model is `{first}`; remarks say where it is otherwise with another.\n\n");
    text.push_str("| parameter | verdict | becomes | remark |\n|---|---|---|---|\n");
    for row in row::rows(from, "parameter") {
        let verdict = judge(from, to, first, &row);
        let (word, becomes, mut remarks) = told(&row, to, &verdict);
        let mut otherwise: Vec<(Verdict, String)> = Vec::new();
        for model in others {
            let other = judge(from, to, model, &row);
            match otherwise.iter_mut().find(|(have, _)| *have == other) {
                Some((_, models)) => models.push_str(&format!(", {}", code(model))),
                None if other != verdict => otherwise.push((other, code(model))),
                None => {}
            }
        }
        for (other, models) in &otherwise {
            let (word, becomes, details) = told(&row, to, other);
            let details: Vec<String> =
                [becomes].into_iter().chain(details).filter(|detail| !detail.is_empty()).collect();
            remarks.push(match (details.is_empty(), word) {
                (false, _) => format!("with {models} {word}: {}", details.join(", ")),
                // It is dropped with both, but with this one alone.
                (true, "**dropped**") if matches!(verdict, Verdict::Dropped(_)) => {
                    format!("with {models} by its own name")
                }
                (true, _) => format!("with {models} {word}"),
            });
        }
        remarks.extend(row.note.as_deref().map(cell));
        text.push_str(&format!("| {} | {word} | {becomes} | {} |\n", row.shown, remarks.join("; ")));
    }
    text
}

/// A verdict in words, what became of it, and remarks.
fn told(row: &Row, to: &str, verdict: &Verdict) -> (&'static str, String, Vec<String>) {
    match verdict {
        Verdict::Kept(becomes) => ("kept", becomes.clone(), Vec::new()),
        Verdict::Bent(becomes, noted) => ("**bent**", becomes.clone(), named(row, noted)),
        Verdict::Dropped(noted) => ("**dropped**", String::new(), named(row, noted)),
        Verdict::Refused(why) => ("**refused**", String::new(), vec![cell(why)]),
        Verdict::Silent => match row.means_nothing(to) {
            Some(why) => ("without meaning", String::new(), vec![cell(&why)]),
            None => ("**dropped**", String::new(), vec!["not yet named to the client".to_owned()]),
        },
    }
}

/// The names that the client is told, unless it is the parameter's own.
fn named(row: &Row, noted: &[String]) -> Vec<String> {
    let other: Vec<String> = noted.iter().filter(|name| **name != row.at).map(|name| code(name)).collect();
    if other.is_empty() { Vec::new() } else { vec![format!("named as {}", other.join(", "))] }
}

#[test]
fn every_parameter_is_mapped_or_named_or_refused_or_means_nothing() {
    let (mut silent, mut untrue) = (Vec::new(), Vec::new());
    for (from, to) in super::directions() {
        for row in row::rows(from, "parameter") {
            let verdicts: Vec<Verdict> = models(to).iter().map(|model| judge(from, to, model, &row)).collect();
            let at = format!("{from} to {to}: {}", row.label);
            match row.means_nothing(to) {
                None if verdicts.contains(&Verdict::Silent) => silent.push(at),
                Some(why) if verdicts.iter().all(|v| matches!(v, Verdict::Kept(_) | Verdict::Bent(..))) => {
                    untrue.push(format!("{at} is told, so it does not hold that {why}"));
                }
                None | Some(_) => {}
            }
        }
    }
    assert_eq!(untrue, [""; 0], "reasons that no longer hold");
    assert_eq!(silent, Vec::<String>::new(), "dropped in silence");
}
