//! Golden transcripts: `filter/docs/transcripts/`, one page a feature.
//!
//! A page shows what goes in and what comes out, in both directions, for every case the manifest names. So a change of a
//! translation shows in a diff that people can read.

mod count;
mod manifest;
mod render;

use manifest::{FEATURES, Feature};

use crate::cases::{self, Case};
use crate::page;
use crate::walk::row;

const FOLDER: &str = "transcripts";
const NOTICE: &str = "This page is written by a test out of what the code does (`make envoy`).";

/// What a case is.
#[derive(Clone, Copy)]
enum Kind {
    Request,
    Response,
    Stream,
    Fault,
}

/// Folders of the corpus, in the order of a page.
const FOLDERS: &[(&str, Kind)] = &[
    ("request", Kind::Request),
    ("response", Kind::Response),
    ("stream", Kind::Stream),
    ("event", Kind::Stream),
    ("fault", Kind::Fault),
];

/// All corpus files of this stem.
fn found(stem: &str) -> Vec<(Kind, Case)> {
    let is = |case: &Case| case.name.rsplit('/').next().and_then(|file| file.rsplit_once('.')).unwrap().0 == stem;
    let all = FOLDERS.iter().flat_map(|(folder, kind)| cases::corpus(folder).into_iter().map(|case| (*kind, case)));
    all.filter(|(_, case)| is(case)).collect()
}

/// All rows whose label begins like this.
fn rows(label: &str) -> Vec<(Kind, Case)> {
    let mut cases = Vec::new();
    for format in wire::format::INBOUND {
        for (table, kind) in [("parameter", Kind::Request), ("answer", Kind::Response)] {
            let rows = row::rows(format.name(), table).into_iter().filter(|row| row.label.starts_with(label));
            cases.extend(rows.map(|row| {
                let body = row.with.line().into_bytes();
                (kind, Case { name: row.shown, format: format.name(), body })
            }));
        }
    }
    cases
}

fn cases_of(feature: &Feature) -> Vec<(Kind, Case)> {
    let mut cases = Vec::new();
    for stem in feature.cases {
        let of_stem = found(stem);
        assert!(!of_stem.is_empty(), "{}: no corpus file is called {stem}", feature.file);
        cases.extend(of_stem);
    }
    for label in feature.rows {
        let of_label = rows(label);
        assert!(!of_label.is_empty(), "{}: no row begins like {label}", feature.file);
        cases.extend(of_label);
    }
    // A label may be the beginning of another.
    let mut once: Vec<(Kind, Case)> = Vec::new();
    for (kind, case) in cases {
        if !once.iter().any(|(_, have)| have.name == case.name && have.format == case.format) {
            once.push((kind, case));
        }
    }
    once.sort_by_key(|(kind, case)| (*kind as usize, case.format != "openai_chat"));
    once
}

#[test]
fn documents_the_transcripts() {
    let mut index = format!("# Transcripts\n\nWhat clients and providers of different formats see. {NOTICE}\n\n");
    index.push_str("| feature | |\n|---|---|\n");
    let mut names = vec!["README.md".to_owned()];
    let pages = FEATURES.iter().map(|feature| (feature.file, feature.title, feature.about, page_of(feature)));
    for (file, title, about, text) in pages.chain([count::page()]) {
        page::check(&format!("{FOLDER}/{file}.md"), &text);
        index.push_str(&format!("| [{title}]({file}.md) | {about} |\n"));
        names.push(format!("{file}.md"));
    }
    page::check(&format!("{FOLDER}/README.md"), &index);
    page::check_folder(FOLDER, &names);
}

fn page_of(feature: &Feature) -> String {
    let mut text = format!("# {}\n\n{} {NOTICE}\n", feature.title, feature.about);
    for (kind, case) in cases_of(feature) {
        for (from, to) in crate::walk::directions().filter(|(from, _)| *from == case.format) {
            text.push_str(&render::case(kind, &case, from, to));
        }
    }
    text
}
