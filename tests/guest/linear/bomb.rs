//! Bombs: a sample of the walk's list in which one place is blown up to any size. Example: from
//! `{"messages": [{"role": "user", "content": "Q"}]}` come many messages, a long content, many members of the message,
//! one member again and again, a message inside the message's content.
//!
//! Does not: know a format. Fuzz targets make the same bombs, so this file stands on `serde_json` alone.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Stands where the bomb goes.
const HOLE: &str = "\u{0}hole";
/// The same as JSON text.
const HOLE_TEXT: &str = "\"\\u0000hole\"";

/// A body around one place that grows.
#[derive(Debug, Clone)]
pub struct Bomb {
    /// Place and kind, e.g. `messages[user].content: items`.
    pub name: String,
    head: String,
    unit: Unit,
    tail: String,
}

#[derive(Debug, Clone)]
enum Unit {
    /// Again and again, with this between; `#` becomes a number that counts up.
    Repeat(String, &'static str),
    /// Inside itself.
    Nest(String, String),
}

impl Bomb {
    /// One that is written by hand: `@` stands where the unit is repeated.
    pub fn by_hand(name: &str, body: &str, unit: &str, between: &'static str) -> Self {
        let (head, tail) = body.split_once('@').expect("a place for the unit");
        let unit = Unit::Repeat(unit.to_owned(), between);
        Self { name: name.to_owned(), head: head.to_owned(), unit, tail: tail.to_owned() }
    }

    /// The same between other text.
    pub fn within(self, head: &str, tail: &str) -> Self {
        Self { head: [head, &self.head].concat(), tail: [&self.tail, tail].concat(), ..self }
    }

    /// The body, of about so many bytes.
    pub fn body(&self, size: usize) -> Vec<u8> {
        let mut out = String::with_capacity(size + 256);
        out.push_str(&self.head);
        let fixed = self.head.len() + self.tail.len();
        match &self.unit {
            Unit::Repeat(unit, between) if !unit.contains('#') => {
                let count = size.saturating_sub(fixed) / (unit.len() + between.len()).max(1);
                out.push_str(unit);
                out.push_str(&[between, unit.as_str()].concat().repeat(count.saturating_sub(1)));
            }
            Unit::Repeat(unit, between) => {
                let pieces: Vec<&str> = unit.split('#').collect();
                let mut n = 0;
                while n == 0 || out.len() + self.tail.len() + unit.len() < size {
                    out.push_str(if n == 0 { "" } else { between });
                    for (at, piece) in pieces.iter().enumerate() {
                        if at > 0 {
                            out.push_str(&n.to_string());
                        }
                        out.push_str(piece);
                    }
                    n += 1;
                }
            }
            Unit::Nest(open, close) => {
                let levels = size.saturating_sub(fixed) / (open.len() + close.len()).max(1);
                out.push_str(&open.repeat(levels));
                out.push('1');
                out.push_str(&close.repeat(levels));
            }
        }
        out.push_str(&self.tail);
        out.into_bytes()
    }
}

/// The bombs of one sample. `seen` holds the names of those that others gave already.
pub fn bombs(sample: &Value, seen: &mut BTreeSet<String>) -> Vec<Bomb> {
    let mut found = Vec::new();
    let mut places = Vec::new();
    walk(sample, &mut Vec::new(), &mut places);
    for place in &places {
        at(sample, place, &mut |name, head, unit, tail| {
            if seen.insert(name.clone()) {
                found.push(Bomb { name, head, unit, tail });
            }
        });
    }
    found
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Member(String),
    Item(usize),
}

fn walk(value: &Value, path: &mut Vec<Step>, places: &mut Vec<Vec<Step>>) {
    places.push(path.clone());
    let steps: Vec<(Step, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, value)| (Step::Member(name.clone()), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(n, item)| (Step::Item(n), item)).collect(),
        _ => Vec::new(),
    };
    for (step, inner) in steps {
        path.push(step);
        walk(inner, path, places);
        path.pop();
    }
}

fn get<'v>(value: &'v Value, path: &[Step]) -> &'v Value {
    path.iter().fold(value, |value, step| match step {
        Step::Member(name) => &value[name.as_str()],
        Step::Item(n) => &value[*n],
    })
}

/// The document with `new` at this place, cut where the hole is.
fn cut(document: &Value, path: &[Step], new: Value, hole: &str) -> (String, String) {
    let mut document = document.clone();
    let place = path.iter().fold(&mut document, |value, step| match step {
        Step::Member(name) => &mut value[name.as_str()],
        Step::Item(n) => &mut value[*n],
    });
    *place = new;
    let text = document.to_string();
    let (head, tail) = text.split_once(hole).expect("the hole is in it");
    (head.to_owned(), tail.to_owned())
}

/// The path in the words of the tables: what is in brackets is the item's type or role.
fn named(document: &Value, path: &[Step]) -> String {
    let mut name = String::new();
    for (n, step) in path.iter().enumerate() {
        match step {
            Step::Member(member) => {
                name.push_str(if name.is_empty() { "" } else { "." });
                name.push_str(member);
            }
            Step::Item(_) => {
                let item = get(document, &path[..=n]);
                let kind = ["type", "role"].iter().find_map(|name| item.get(name).and_then(Value::as_str));
                name.push_str(&format!("[{}]", kind.unwrap_or_default()));
            }
        }
    }
    name
}

type Sink<'s> = &'s mut dyn FnMut(String, String, Unit, String);

fn at(document: &Value, path: &[Step], out: Sink<'_>) {
    let name = named(document, path);
    let value = get(document, path);
    let hole = || Value::String(HOLE.to_owned());
    match value {
        Value::Array(items) => {
            let item = items.last().cloned().unwrap_or(Value::from(1));
            let kind = named(document, &[path, &[Step::Item(items.len().saturating_sub(1))]].concat());
            let mut with = items.clone();
            with.push(hole());
            let (head, tail) = cut(document, path, Value::Array(with), HOLE_TEXT);
            out(format!("{kind}: items"), head.clone(), Unit::Repeat(numbered(&item).to_string(), ","), tail.clone());
            out(format!("{name}: ones"), head.clone(), Unit::Repeat("1".to_owned(), ","), tail.clone());
            out(format!("{name}: depth"), head, Unit::Nest("[".to_owned(), "]".to_owned()), tail);
        }
        Value::Object(members) => {
            let member = format!("{HOLE_TEXT}:0");
            let with = |members: &Map<String, Value>| {
                let mut with = members.clone();
                with.insert(HOLE.to_owned(), Value::from(0));
                Value::Object(with)
            };
            let (head, tail) = cut(document, path, with(members), &member);
            let repeat = |text: &str| Unit::Repeat(text.to_owned(), ",");
            // Of other names, of one name, and spelled out as nothing.
            let members_of_all_kinds = r##""x#":1,"y":1,"z#":null"##;
            out(format!("{name}: members"), head.clone(), repeat(members_of_all_kinds), tail.clone());
            if let Some((_, last)) = members.iter().next_back() {
                let last = format!("\"k#\":{}", numbered(last));
                out(format!("{name}: named"), head.clone(), repeat(&last), tail.clone());
            }
            let (before, after) = (format!("{head}\""), format!("\":1{tail}"));
            out(format!("{name}: long name"), before, Unit::Repeat("n\\u0001".to_owned(), ""), after);
            nested(document, path, &name, out);
        }
        Value::String(_) => {
            let (head, tail) = cut(document, path, hole(), HOLE_TEXT);
            let (head, tail) = (format!("{head}\""), format!("\"{tail}"));
            // What is escaped, what ends words, and what looks like the beginning of something.
            let text = "a\\u0001\\\" \\n;base64,*** ".to_owned();
            out(format!("{name}: text"), head, Unit::Repeat(text, ""), tail);
        }
        Value::Number(_) => {
            let (head, tail) = cut(document, path, hole(), HOLE_TEXT);
            out(format!("{name}: digits"), head, Unit::Repeat("7".to_owned(), ""), tail);
        }
        Value::Bool(_) | Value::Null => {}
    }
}

/// The object again in each place inside it that holds something.
fn nested(document: &Value, path: &[Step], name: &str, out: Sink<'_>) {
    let value = get(document, path);
    let mut inner = Vec::new();
    walk(value, &mut Vec::new(), &mut inner);
    let (head, tail) = cut(document, path, Value::String(HOLE.to_owned()), HOLE_TEXT);
    let holds = |place: &&Vec<Step>| matches!(get(value, place), Value::Object(_) | Value::Array(_));
    for place in inner.iter().filter(|place| !place.is_empty()).filter(holds) {
        let (open, close) = cut(value, place, Value::String(HOLE.to_owned()), HOLE_TEXT);
        out(format!("{name}: itself as {}", named(value, place)), head.clone(), Unit::Nest(open, close), tail.clone());
    }
}

/// The same with a number at the end of each string that is a name or a text, so that no two are equal.
fn numbered(value: &Value) -> Value {
    const NAMES: &[&str] = &["id", "name", "tool_call_id", "tool_use_id", "text", "url", "$ref"];
    match value {
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                let value = match value {
                    Value::String(text) if NAMES.contains(&name.as_str()) => Value::String(format!("{text}#")),
                    other => numbered(other),
                };
                (name.clone(), value)
            };
            Value::Object(members.iter().map(member).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(numbered).collect()),
        other => other.clone(),
    }
}
