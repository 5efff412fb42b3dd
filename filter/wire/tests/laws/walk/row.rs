//! The tables of members: `tests/corpus/<format>/parameter.json` and `answer.json`.
//!
//! A row names a member and a sample that sets it, on top of the table's minimal body. The body *without* the member is
//! the sample with it taken out, or with `instead` in its place where it is required.

#![expect(clippy::disallowed_methods, reason = "tests read their cases from files")]

use super::path;
use crate::cases;
use crate::doc::Doc;
use crate::page::code;

pub(crate) struct Row {
    /// Path and case.
    pub(crate) label: String,
    /// The same for a document.
    pub(crate) shown: String,
    /// The whole body with the member.
    pub(crate) with: Doc,
    /// The same without it.
    pub(crate) without: Doc,
    /// What the member was set to.
    pub(crate) sent: Doc,
    /// Where it is, by numbers.
    pub(crate) at: String,
    /// For readers.
    pub(crate) note: Option<String>,
    /// Format and reason: there the member means nothing.
    means_nothing: Option<Doc>,
    /// Format and reason: clients of it cannot be told.
    lost: Option<Doc>,
}

impl Row {
    /// The loss is this member or one that holds it.
    pub(crate) fn is_in(&self, loss: &str) -> bool {
        self.at.strip_prefix(loss).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }

    pub(crate) fn means_nothing(&self, format: &str) -> Option<String> {
        self.means_nothing.as_ref()?.get(format)?.text()
    }

    pub(crate) fn lost(&self, format: &str) -> Option<String> {
        self.lost.as_ref()?.get(format)?.text()
    }
}

/// All rows of a table, in its order.
pub(crate) fn rows(format: &str, table: &str) -> Vec<Row> {
    let file = cases::root().join("tests/corpus").join(format).join(table).with_extension("json");
    let doc = Doc::parse(&std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display())));
    let (minimal, items) = (doc.get("minimal").unwrap(), doc.get("rows").unwrap().items());
    let path_of = |item: &Doc| item.get("path").and_then(Doc::text).unwrap();
    let alone = |path: &str| items.iter().filter(|item| path_of(item) == path).count() == 1;
    let rows: Vec<Row> = items.iter().map(|item| row(item, minimal, alone(&path_of(item)))).collect();
    for (at, row) in rows.iter().enumerate() {
        assert!(rows[..at].iter().all(|other| other.label != row.label), "{format} {table}: {} twice", row.label);
    }
    rows
}

fn row(item: &Doc, minimal: &Doc, alone: bool) -> Row {
    const KNOWN: &[&str] = &["path", "sample", "instead", "case", "note", "means_nothing", "lost"];
    let Doc::Object(members) = item else { panic!("a row is an object: {}", item.line()) };
    members.iter().for_each(|(name, _)| assert!(KNOWN.contains(&name.as_str()), "{name}: {}", item.line()));
    let text = |name| item.get(name).and_then(Doc::text);
    let path = text("path").unwrap();
    let with = minimal.with(item.get("sample").unwrap());
    let (sent, at) = path::find(&with, &path).unwrap_or_else(|| panic!("the sample has no {path}: {}", with.line()));
    let (label, shown) = match text("case") {
        Some(case) => (format!("{path} {case}"), format!("{} {case}", code(&path))),
        None if alone => (path.clone(), code(&path)),
        // Several rows of one path differ in the value.
        None => {
            let label = format!("{path} = {}", sent.line());
            (label.clone(), code(&label))
        }
    };
    Row {
        label,
        shown,
        without: path::without(&with, &path, item.get("instead")),
        sent: sent.clone(),
        at,
        with,
        note: text("note"),
        means_nothing: item.get("means_nothing").cloned(),
        lost: item.get("lost").cloned(),
    }
}
