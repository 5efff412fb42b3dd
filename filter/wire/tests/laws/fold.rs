//! Events folded into what they say, and answers seen the same way, so that the two can be compared.

use wire::ir::{Citation, Event, Fault, Part, PartStart, Response, StopReason, Usage};

use crate::tree::Tree;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    Text(String, Vec<Citation>),
    Reasoning { text: String, signature: Option<String>, redacted: bool },
    Refusal(String),
    Call { id: String, name: String, arguments: Result<Tree, String> },
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Answer {
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) said: Vec<Said>,
    pub(crate) stop: Option<StopReason>,
    pub(crate) usage: Usage,
    pub(crate) fault: Option<Fault>,
    pub(crate) done: bool,
}

impl Answer {
    /// Folds events, and checks their grammar on the way.
    pub(crate) fn of_events(events: &[Event]) -> Self {
        let mut answer = Self::default();
        let mut parts: Vec<(Said, bool)> = Vec::new();
        let mut raw_arguments: Vec<String> = Vec::new();
        for event in events {
            assert!(!answer.done && answer.fault.is_none(), "an event after the end: {event:?}");
            match event {
                Event::Start { id, model, .. } => {
                    assert!(answer.id.is_empty() && parts.is_empty(), "a second start");
                    (answer.id, answer.model) = (id.clone(), model.clone());
                }
                Event::PartStart { index, part } => {
                    assert_eq!(*index, parts.len(), "parts are numbered in the order they begin");
                    raw_arguments.push(String::new());
                    let said = match part {
                        PartStart::Text => Said::Text(String::new(), Vec::new()),
                        PartStart::Reasoning => {
                            Said::Reasoning { text: String::new(), signature: None, redacted: false }
                        }
                        PartStart::RedactedReasoning { data } => {
                            Said::Reasoning { text: String::new(), signature: Some(data.clone()), redacted: true }
                        }
                        PartStart::Refusal => Said::Refusal(String::new()),
                        PartStart::ToolCall { id, name } => {
                            Said::Call { id: id.clone(), name: name.clone(), arguments: Err(String::new()) }
                        }
                    };
                    parts.push((said, true));
                }
                Event::Delta { index, text } => {
                    assert!(!text.is_empty(), "an empty delta");
                    let (said, open) = &mut parts[*index];
                    assert!(*open, "a delta after the end of its part");
                    match said {
                        Said::Text(have, _) | Said::Refusal(have) | Said::Reasoning { text: have, .. } => {
                            have.push_str(text)
                        }
                        Said::Call { .. } => raw_arguments[*index].push_str(text),
                    }
                }
                Event::Signature { index, signature: piece } => {
                    let Said::Reasoning { signature, .. } = &mut parts[*index].0 else {
                        panic!("only reasoning is signed")
                    };
                    signature.get_or_insert_default().push_str(piece);
                }
                Event::Citation { index, citation } => {
                    let (said, open) = &mut parts[*index];
                    assert!(*open, "a citation after the end of its part");
                    let Said::Text(_, citations) = said else { panic!("only text is cited") };
                    citations.push(citation.clone());
                }
                Event::PartEnd { index } => {
                    assert!(std::mem::replace(&mut parts[*index].1, false), "a part ends twice");
                }
                Event::Usage(usage) => answer.usage.update(usage),
                Event::Stop(stop) => answer.stop = Some(stop.clone()),
                Event::Ping => {}
                Event::Fault(fault) => answer.fault = Some(fault.clone()),
                Event::Done => {
                    assert!(parts.iter().all(|(_, open)| !open), "done with a part open");
                    answer.done = true;
                }
            }
        }
        for (at, (mut said, _)) in parts.into_iter().enumerate() {
            if let Said::Call { arguments, .. } = &mut said {
                *arguments = tree(&raw_arguments[at]);
            }
            answer.said.push(said);
        }
        answer
    }

    pub(crate) fn of_response(response: &Response) -> Self {
        let said = response.parts.iter().filter_map(|part| match part {
            Part::Text { text, citations, .. } => Some(Said::Text(text.clone(), citations.clone())),
            Part::Reasoning { text, signature, redacted } => {
                Some(Said::Reasoning { text: text.clone(), signature: signature.clone(), redacted: *redacted })
            }
            Part::Refusal(text) => Some(Said::Refusal(text.clone())),
            Part::ToolCall { id, name, arguments, .. } => {
                Some(Said::Call { id: id.clone(), name: name.clone(), arguments: tree(arguments) })
            }
            Part::Opaque { .. } => None,
            Part::Image(_) | Part::Document(_) | Part::ToolResult { .. } => panic!("no part of an answer"),
        });
        Self {
            id: response.id.clone(),
            model: response.model.clone(),
            said: said.collect(),
            stop: response.stop.clone(),
            usage: response.usage,
            fault: None,
            done: true,
        }
    }

    /// What of it a format can say.
    pub(crate) fn told_by(mut self, format: &str) -> Self {
        // Anthropic's own split: an answer keeps it as that format's, a stream that is told anew has no place for it.
        self.usage.cache_write_long = None;
        match format {
            "openai_chat" => {
                if !self.id.is_empty() && !self.id.starts_with("chatcmpl-") {
                    self.id = format!("chatcmpl-{}", self.id);
                }
                for said in &mut self.said {
                    match said {
                        // Sources with an address, which is also their title if they have none; no words of theirs.
                        Said::Text(_, citations) => {
                            citations.retain(|citation| citation.url.is_some());
                            for citation in citations {
                                citation.title = citation.title.take().or_else(|| citation.url.clone());
                                (citation.cited_text, citation.range) = (None, None);
                            }
                        }
                        Said::Reasoning { .. } | Said::Refusal(_) | Said::Call { .. } => {}
                    }
                }
                // The format has one text, one reasoning, one refusal, then the calls.
                self.said.sort_by_key(|said| match said {
                    Said::Reasoning { .. } => 0,
                    Said::Text(..) => 1,
                    Said::Refusal(_) => 2,
                    Said::Call { .. } => 3,
                });
                self.stop = match self.stop {
                    Some(StopReason::StopSequence(_) | StopReason::Pause | StopReason::Compaction) => {
                        Some(StopReason::End)
                    }
                    Some(StopReason::ContextFull | StopReason::Other(_)) => Some(StopReason::MaxTokens),
                    other => other,
                };
            }
            "anthropic" => {
                let mut refuses = false;
                for said in &mut self.said {
                    match said {
                        Said::Refusal(text) => {
                            *said = Said::Text(std::mem::take(text), Vec::new());
                            refuses = true;
                        }
                        // A block is cited as a whole, and by addresses or in the format's own way.
                        Said::Text(_, citations) => {
                            citations
                                .retain(|c| c.url.is_some() || c.own.as_ref().is_some_and(|(at, _)| *at == format));
                            citations.iter_mut().for_each(|citation| citation.range = None);
                        }
                        Said::Reasoning { .. } | Said::Call { .. } => {}
                    }
                }
                if !self.id.is_empty() && !self.id.starts_with("msg_") {
                    self.id.insert_str(0, "msg_");
                }
                let calls = self.said.iter().any(|said| matches!(said, Said::Call { .. }));
                if calls && self.stop == Some(StopReason::End) {
                    self.stop = Some(StopReason::ToolUse);
                } else if refuses && self.stop == Some(StopReason::End) {
                    self.stop = Some(StopReason::Refusal);
                } else if matches!(self.stop, Some(StopReason::Other(_))) {
                    self.stop = Some(StopReason::MaxTokens);
                }
                self.usage.input = self.usage.input.or(Some(0));
                self.usage.output = self.usage.output.or(Some(0));
                // It has no sound.
                (self.usage.audio_input, self.usage.audio_output) = (None, None);
            }
            other => panic!("say what {other} can tell"),
        }
        self.merged()
    }

    /// Neighbouring pieces of one kind as one, empty ones left out; signatures that say nothing left out.
    pub(crate) fn merged(mut self) -> Self {
        let mut merged: Vec<Said> = Vec::new();
        for mut said in self.said {
            if let Said::Reasoning { signature, .. } = &mut said {
                *signature = signature.take().filter(|text| !text.is_empty());
            }
            match (merged.last_mut(), &said) {
                (_, Said::Text(text, _) | Said::Refusal(text)) if text.is_empty() => {}
                (_, Said::Reasoning { text, signature: None, .. }) if text.is_empty() => {}
                (Some(Said::Refusal(have)), Said::Refusal(text)) => have.push_str(text),
                (Some(Said::Text(have, cited)), Said::Text(text, more)) => {
                    have.push_str(text);
                    cited.extend_from_slice(more);
                }
                (
                    Some(Said::Reasoning { text: have, signature: None, redacted: false }),
                    Said::Reasoning { text, signature: None, redacted: false },
                ) => have.push_str(text),
                _ => merged.push(said),
            }
        }
        self.said = merged;
        self
    }
}

/// Arguments by value; no arguments are an empty object.
fn tree(text: &str) -> Result<Tree, String> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    match serde_json::from_str::<&serde_json::value::RawValue>(text) {
        Ok(_) => Ok(Tree::parse(text.as_bytes())),
        Err(_) => Err(text.to_owned()),
    }
}
