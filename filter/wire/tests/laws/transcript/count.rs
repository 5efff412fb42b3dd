//! The page of an operation that one format has and others do not: counting the tokens of a request.

use wire::format::INBOUND;
use wire::ir::Operation;

use super::NOTICE;
use crate::cases;
use crate::walk::title;

const TITLE: &str = "Counting tokens";
const ABOUT: &str = "How many tokens a conversation would take, without an answer to it.";

pub(super) fn page() -> (&'static str, &'static str, &'static str, String) {
    let mut text = format!("# {TITLE}\n\n{ABOUT} {NOTICE}\n\n");
    text.push_str("| format | a client asks at | it is told | a provider is asked at |\n|---|---|---|---|\n");
    for format in INBOUND {
        let paths = ["/v1/messages/count_tokens", "/anthropic/v1/messages/count_tokens"];
        let claimed = |path: &&&str| format.claims(path) == Some(Operation::CountTokens);
        let asked: Vec<String> = paths.iter().filter(claimed).map(|path| format!("`{path}`")).collect();
        let told = format.encode_count(42).map(|body| format!("`{}`", String::from_utf8(body).unwrap()));
        let upstream = cases::outbound(format.name()).path(Operation::CountTokens).map(|path| format!("`{path}`"));
        let or_none = |text: Option<String>| text.filter(|text| !text.is_empty()).unwrap_or_else(|| "–".to_owned());
        text.push_str(&format!(
            "| {} | {} | {} | {} |\n",
            title(format.name()),
            or_none(Some(asked.join(", "))),
            or_none(told),
            or_none(upstream)
        ));
    }
    text.push_str("\nThe request is the one of a conversation. A provider without the operation is not asked.\n");
    ("count-tokens", TITLE, ABOUT, text)
}
