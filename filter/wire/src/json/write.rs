//! Writes objects member by member.
//!
//! Does not: sort, indent or own the buffer. Strings are escaped by serde_json.

use serde_json::Number;
use serde_json::value::RawValue;

use crate::ir::Extra;

/// Appends one object to `out`.
pub fn object(out: &mut Vec<u8>, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
    out.push(b'{');
    let mut writer = ObjectWriter { out, names: Vec::new(), empty: true };
    fill(&mut writer);
    out.push(b'}');
}

fn text(out: &mut Vec<u8>, text: &str) {
    // Writing a string into memory cannot fail; the result says so only for other sinks.
    serde_json::to_writer(out, text).ok();
}

/// The inside of an object.
#[derive(Debug)]
pub struct ObjectWriter<'o> {
    out: &'o mut Vec<u8>,
    names: Vec<&'static str>,
    empty: bool,
}

impl ObjectWriter<'_> {
    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
        text(self.out, name);
        self.out.push(b':');
        self.out
    }

    /// A name of ours, in which nothing is to be escaped.
    fn own(&mut self, name: &'static str) -> &mut Vec<u8> {
        self.names.push(name);
        self.out.extend_from_slice(if std::mem::take(&mut self.empty) { b"\"" } else { b",\"" });
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// A string.
    pub fn str(&mut self, name: &'static str, value: &str) {
        text(self.own(name), value);
    }

    /// JSON as it is; the caller knows that it is well formed.
    pub fn literal(&mut self, name: &'static str, json: &str) {
        self.own(name).extend_from_slice(json.as_bytes());
    }

    /// A value kept as text.
    pub fn raw(&mut self, name: &'static str, value: &RawValue) {
        self.literal(name, value.get());
    }

    /// A whole number.
    pub fn u64(&mut self, name: &'static str, value: u64) {
        self.literal(name, &value.to_string());
    }

    /// A boolean.
    pub fn bool(&mut self, name: &'static str, value: bool) {
        self.literal(name, if value { "true" } else { "false" });
    }

    /// A number, if there is one.
    pub fn number(&mut self, name: &'static str, value: Option<&Number>) {
        if let Some(value) = value {
            self.literal(name, &value.to_string());
        }
    }

    /// An object.
    pub fn object(&mut self, name: &'static str, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        object(self.own(name), fill);
    }

    /// An array.
    pub fn array(&mut self, name: &'static str, fill: impl FnOnce(&mut ArrayWriter<'_>)) {
        array(self.own(name), fill);
    }

    /// A member under a name that is not ours.
    pub fn member(&mut self, name: &str, value: &RawValue) {
        self.name(name).extend_from_slice(value.get().as_bytes());
    }

    /// Declares a name as written, so that [`ObjectWriter::extra`] leaves it out.
    pub fn skip(&mut self, name: &'static str) {
        self.names.push(name);
    }

    /// Uninterpreted members and mere spellings, if they came from `format`. Those already written stand.
    pub fn extra(&mut self, extra: &Extra, format: &str) {
        for (name, value) in extra.of(format).chain(extra.spelled(format)) {
            if !self.has(name) {
                self.member(name, value);
            }
        }
        for (name, inner) in extra.nested.iter().filter(|_| extra.format == format) {
            if !self.has(name) {
                self.object(name, |o| o.extra(inner, format));
            }
        }
    }

    /// What is left of this object, kept in its parent's `extra` (see [`Extra::nest`]).
    pub fn inner(&mut self, extra: &Extra, format: &str, name: &str) {
        if let Some(inner) = extra.inner(name) {
            self.extra(inner, format);
        }
    }

    fn has(&self, name: &str) -> bool {
        self.names.contains(&name)
    }
}

fn array(out: &mut Vec<u8>, fill: impl FnOnce(&mut ArrayWriter<'_>)) {
    out.push(b'[');
    fill(&mut ArrayWriter { out, empty: true });
    out.push(b']');
}

/// The inside of an array.
#[derive(Debug)]
pub struct ArrayWriter<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl ArrayWriter<'_> {
    fn item(&mut self) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
        self.out
    }

    /// A string.
    pub fn str(&mut self, value: &str) {
        text(self.item(), value);
    }

    /// A value kept as text.
    pub fn raw(&mut self, value: &RawValue) {
        self.item().extend_from_slice(value.get().as_bytes());
    }

    /// An object.
    pub fn object(&mut self, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        object(self.item(), fill);
    }
}
